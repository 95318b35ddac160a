"""Affine layers at inference: taken into the weights of the convolution or dense layer before them.

    (w x + b) factor + offset  =  (w factor) x + (b factor + offset)

What is left is the same network with fewer layers. A channelwise layer stays where something else is before it, or
where its convolution's values are read by others, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.engine.parameters import Floats
from lanewise.network.graph import Graph, assemble
from lanewise.network.layers import Affine, Conv2D, Dense, Layer

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Folding:
    """A network without the channelwise layers that another layer does.

    Attributes
    ----------
    whole : the network as it is
    graph : what remains of it
    nodes : for each node of `graph` its number in `whole`, and that of the channelwise layer it does or None
    """

    whole: Graph
    graph: Graph
    nodes: tuple[tuple[int, int | None], ...]

    @staticmethod
    def of(graph: Graph) -> Folding:
        """Decide which are taken in."""
        users = graph.users()
        taken: dict[int, int] = {}
        for number, node in enumerate(graph.nodes):
            before = node.inputs[0] if node.inputs else number
            weighted = isinstance(graph.nodes[before].layer, Conv2D | Dense)
            if isinstance(node.layer, Affine) and weighted and users[before] == (number,):
                taken[before] = number
        place: dict[int, int] = {}
        steps: list[tuple[Layer, tuple[int, ...]]] = []
        nodes: list[tuple[int, int | None]] = []
        for number, node in enumerate(graph.nodes):
            if number in taken.values():
                place[number] = place[node.inputs[0]]
                continue
            place[number] = len(nodes)
            nodes.append((number, taken.get(number)))
            if node.inputs:
                layer = _with_bias(node.layer) if number in taken else node.layer
                steps.append((layer, tuple(place[source] for source in node.inputs)))
        return Folding(graph, assemble(steps, graph.input_shape) if taken else graph, tuple(nodes))

    def fold(self, parameters: Sequence[Floats]) -> list[Floats]:
        """The parameters of what remains, from those of the whole network."""
        found: list[Floats] = []
        for number, norm in self.nodes:
            own = [parameters[n] for n in self.whole.parameters_of(number)]
            if norm is not None:
                layer = self.whole.nodes[norm].layer
                assert isinstance(layer, Affine)
                factor, offset = layer.factor_and_offset([parameters[n] for n in self.whole.parameters_of(norm)])
                bias = own[1].astype(np.float64) if len(own) > 1 else 0.0
                by_output = factor.reshape(-1, *[1] * (own[0].ndim - 1))
                own = [_rounded(own[0] * by_output), _rounded(bias * factor + offset)]
            found += own
        return found


def _with_bias(layer: Layer) -> Layer:
    if isinstance(layer, Dense):
        return Dense(layer.units)
    assert isinstance(layer, Conv2D)
    return Conv2D(layer.filters, layer.kernel, layer.stride, layer.padding, layer.dilation, layer.groups)


def _rounded(array: Numbers) -> Floats:
    return np.asarray(array, np.float32)
