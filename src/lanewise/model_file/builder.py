"""A network while it is being read: nodes that can still take in the scale and shift of what follows them.

y = (x * weight + bias) * scale + shift   =   x * (weight * scale) + (bias * scale + shift)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import NetworkError
from lanewise.network.graph import Graph, Shape, assemble
from lanewise.network.layers import Conv2D, Dense, Input, Layer
from lanewise.network.options import option_problem
from lanewise.network.shapes import output_shape

MOST_WEIGHTS = 1 << 29
"""2 GiB of float32: as much as a file may hold. Nodes that share weights in the file get their own here."""

MOST_VALUES = 1 << 27
"""Numbers that one image may be at any place in a network."""

Weights = NDArray[np.float32]
Channels = NDArray[np.float64]
"""One number for each channel or feature."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a tensor of the file is here.

    `rank` counts the file's axes with the batch: 4 (N, C, H, W); 3 (N, C, L), which is read as images of one row, or
    (N, H, W), grey images that are about to be flattened or to get a channel; or 2 (N, F). `own` says that nothing but
    the next reader sees this value, so that the node that makes it may change.
    """

    node: int
    rank: int
    own: bool


@dataclass(slots=True)
class Draft:
    """A node that can still change."""

    layer: Layer
    inputs: tuple[int, ...]
    shape: Shape
    weight: Weights | None = None
    bias: Weights | None = None


class Drafts:
    """The nodes read so far, in order; node 0 is the input."""

    def __init__(self, input_shape: Shape) -> None:
        """Begin with images of `input_shape`."""
        self.nodes = [Draft(Input(), (), input_shape)]
        self.weights = 0

    def shape(self, value: Value) -> Shape:
        """Shape of one image at `value`."""
        return self.nodes[value.node].shape

    def add(self, layer: Layer, inputs: tuple[Value, ...], *, own: bool, rank: int | None = None) -> Value:
        """Append a layer without weights; raise NetworkError if it does not fit."""
        return self._append(Draft(layer, tuple(value.node for value in inputs), ()), own, rank or inputs[0].rank)

    def add_weighted(
        self, layer: Conv2D | Dense, x: Value, weight: Weights, bias: Weights | None, *, own: bool
    ) -> Value:
        """Append a layer with weights; `weight` is (o, i, u, v) or (o, i), `bias` is (o,) or None."""
        self.weights += weight.size
        if self.weights > MOST_WEIGHTS:
            raise NetworkError(f"the network has more than {MOST_WEIGHTS:,} weights")
        return self._append(Draft(layer, (x.node,), (), weight, bias), own, x.rank)

    def scale_and_shift(self, x: Value, scale: Channels, shift: Channels, *, own: bool) -> Value:
        """x * scale + shift for each channel: taken into the layer before, or as a 1x1 convolution."""
        draft = self.nodes[x.node]
        if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
            raise NetworkError("its constants make NaN or infinity")
        if x.own and draft.weight is not None and isinstance(draft.layer, Conv2D | Dense):
            by_filter = scale.reshape(-1, *[1] * (draft.weight.ndim - 1))
            old = 0.0 if draft.bias is None else draft.bias.astype(np.float64)
            draft.weight = (draft.weight * by_filter).astype(np.float32)
            draft.bias = (old * scale + shift).astype(np.float32)
            draft.layer = replace(draft.layer, bias=True)
            return replace(x, own=own)
        if x.rank == 2:
            raise NetworkError(
                "it scales or shifts features that do not come straight from a dense layer; scale them in one"
            )
        channels = len(scale)
        each = Conv2D(channels, (1, 1), groups=channels)
        weight = scale.astype(np.float32).reshape(channels, 1, 1, 1)
        return self.add_weighted(each, x, weight, shift.astype(np.float32), own=own)

    def finish(self) -> tuple[Graph, tuple[Weights, ...]]:
        """The graph, and its weights and biases in order."""
        graph = assemble(((draft.layer, draft.inputs) for draft in self.nodes[1:]), self.nodes[0].shape)
        arrays = [array for draft in self.nodes for array in (draft.weight, draft.bias) if array is not None]
        return graph, tuple(map(np.ascontiguousarray, arrays))

    def _append(self, draft: Draft, own: bool, rank: int) -> Value:
        if problem := option_problem(draft.layer):
            raise NetworkError(problem)
        draft.shape, _ = output_shape(draft.layer, tuple(self.nodes[node].shape for node in draft.inputs))
        if math.prod(draft.shape) > MOST_VALUES:
            raise NetworkError(
                f"an image has {math.prod(draft.shape):,} values there; at most {MOST_VALUES:,} are read"
            )
        self.nodes.append(draft)
        return Value(len(self.nodes) - 1, rank, own)
