"""A network laid out as nodes in order: who reads whom, each node's shape, where the parameters belong.

    build(layers, (channels, rows, columns)) -> Graph

`Residual` and `Concat` become ordinary nodes here, so whoever walks a graph sees one flat list and branching costs
nothing. A `Flatten` node is put before a `Dense` that is given a picture, so that the list hides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from lanewise.network.layers import Layer

Shape = tuple[int, ...]
"""Of one image: (channels, rows, columns) or (features,)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One array of weights: `role` is "weight" or "bias", `shape` is (o, i, u, v), (o, i) or (o,)."""

    node: int
    role: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Node:
    """One step of the network.

    `inputs` are positions in `Graph.nodes`, all smaller than its own. `name` is unique, like "conv1".
    `padding` is resolved to (top, left, bottom, right) for convolutions and pools, and zero elsewhere.
    """

    name: str
    layer: Layer
    inputs: tuple[int, ...]
    shape: Shape
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in an order in which they can be computed. Node 0 is the input, the last one is the output."""

    nodes: tuple[Node, ...]
    parameters: tuple[Parameter, ...]

    @property
    def input_shape(self) -> Shape:
        """Shape of one picture, (channels, rows, columns)."""
        return self.nodes[0].shape

    @property
    def output_shape(self) -> Shape:
        """Shape of what comes out for one picture."""
        return self.nodes[-1].shape


def build(layers: tuple[Layer, ...], input_shape: Shape) -> Graph:
    """Lay `layers` out as a graph for pictures of `input_shape`."""
    raise NotImplementedError
