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
from lanewise.network.layers import BatchNorm, Conv2D, Dense, Input, Layer
from lanewise.network.options import option_problem
from lanewise.network.shapes import output_shape

MOST_WEIGHTS = (1 << 29) - (1 << 23)
"""A little less than 2 GiB of float32, as much as a file may hold. Nodes that share weights get their own here."""

MOST_VALUES = 1 << 27
"""Numbers that one image may be at any place in a network."""

Weights = NDArray[np.float32]
Channels = NDArray[np.float64]
"""One number for each channel or feature."""


@dataclass(frozen=True, slots=True)
class TensorRef:
    """What a tensor of the file is here.

    `rank` counts the file's axes with the batch: 4 (N, C, H, W); 3 (N, C, L), which is read as images of one row, or
    (N, H, W), grey images that are about to be flattened or to get a channel; or 2 (N, F). `single_use` says that one
    node alone reads this value, so that the node that makes it may change.
    """

    node: int
    rank: int
    single_use: bool


@dataclass(slots=True)
class UnfinishedNode:
    """A node of the network that can still change. `weight` and `bias` are scale and shift of a batch normalisation,
    whose mean and variance are its `statistics`."""

    layer: Layer
    inputs: tuple[int, ...]
    shape: Shape
    weight: Weights | None = None
    bias: Weights | None = None
    statistics: tuple[Weights, ...] = ()


class NetworkBuilder:
    """The nodes read so far, in order; node 0 is the input."""

    def __init__(self, input_shape: Shape) -> None:
        """Begin with images of `input_shape`."""
        self.nodes = [UnfinishedNode(Input(), (), input_shape)]
        self.weights = 0

    def shape(self, value: TensorRef) -> Shape:
        """Shape of one image at `value`."""
        return self.nodes[value.node].shape

    def add(
        self, layer: Layer, inputs: tuple[TensorRef, ...], *, single_use: bool, rank: int | None = None
    ) -> TensorRef:
        """Append a layer without weights.

        Parameters
        ----------
        layer : Layer
        inputs : tuple of TensorRef
            What it reads.
        single_use : bool
            Whether one node of the file alone reads its output.
        rank : int, optional
            Axes that the file gives the output, the batch counted; those of the first input by default.

        Raises
        ------
        NetworkError
            The layer does not fit its inputs.
        """
        return self._append(
            UnfinishedNode(layer, tuple(value.node for value in inputs), ()), single_use, rank or inputs[0].rank
        )

    def add_weighted(
        self, layer: Conv2D | Dense, x: TensorRef, weight: Weights, bias: Weights | None, *, single_use: bool
    ) -> TensorRef:
        """Append a layer with weights.

        Parameters
        ----------
        layer : Conv2D or Dense
        x : TensorRef
            What it reads.
        weight : (o, i, u, v) or (o, i) float32
        bias : (o,) float32, or None
        single_use : bool
            Whether one node of the file alone reads its output.

        Raises
        ------
        NetworkError
            The layer does not fit its input, or the network has too many weights.
        """
        self.weights += weight.size
        if self.weights > MOST_WEIGHTS:
            raise NetworkError(f"the network has more than {MOST_WEIGHTS:,} weights")
        return self._append(UnfinishedNode(layer, (x.node,), (), weight, bias), single_use, x.rank)

    def add_batch_norm(self, layer: BatchNorm, x: TensorRef, arrays: list[Weights], *, single_use: bool) -> TensorRef:
        """Append a batch normalisation.

        Parameters
        ----------
        layer : BatchNorm
        x : TensorRef
            What it reads.
        arrays : list of four (channels,) float32
            Scale, shift, mean and variance.
        single_use : bool
            Whether one node of the file alone reads its output.
        """
        weight, bias, *statistics = arrays
        return self._append(UnfinishedNode(layer, (x.node,), (), weight, bias, tuple(statistics)), single_use, x.rank)

    def scale_and_shift(self, x: TensorRef, scale: Channels, shift: Channels, *, single_use: bool) -> TensorRef:
        """x * scale + shift for each channel: taken into the layer before, or as a 1x1 convolution.

        Parameters
        ----------
        x : TensorRef
        scale, shift : (channels,) float64
        single_use : bool
            Whether one node of the file alone reads the result.

        Raises
        ------
        NetworkError
            A number is not finite, or features are scaled that no dense layer made.
        """
        node = self.nodes[x.node]
        if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
            raise NetworkError("its constants make NaN or infinity")
        if x.single_use and node.weight is not None:
            by_filter = scale.reshape(-1, *[1] * (node.weight.ndim - 1))
            old = 0.0 if node.bias is None else node.bias.astype(np.float64)
            node.weight = (node.weight * by_filter).astype(np.float32)
            node.bias = (old * scale + shift).astype(np.float32)
            if isinstance(node.layer, Conv2D | Dense):
                node.layer = replace(node.layer, bias=True)
            return replace(x, single_use=single_use)
        if x.rank == 2:
            raise NetworkError(
                "it scales or shifts features that do not come straight from a dense layer; scale them in one"
            )
        channels = len(scale)
        each = Conv2D(channels, (1, 1), groups=channels)
        weight = scale.astype(np.float32).reshape(channels, 1, 1, 1)
        return self.add_weighted(each, x, weight, shift.astype(np.float32), single_use=single_use)

    def finish(self) -> tuple[Graph, tuple[Weights, ...]]:
        """The graph, and its weights and biases in order."""
        graph = assemble(((node.layer, node.inputs) for node in self.nodes[1:]), self.nodes[0].shape)
        arrays = [
            array for node in self.nodes for array in (node.weight, node.bias, *node.statistics) if array is not None
        ]
        return graph, tuple(map(np.ascontiguousarray, arrays))

    def _append(self, node: UnfinishedNode, single_use: bool, rank: int) -> TensorRef:
        if problem := option_problem(node.layer):
            raise NetworkError(problem)
        node.shape, _ = output_shape(node.layer, tuple(self.nodes[source].shape for source in node.inputs))
        if math.prod(node.shape) > MOST_VALUES:
            raise NetworkError(f"an image has {math.prod(node.shape):,} values there; at most {MOST_VALUES:,} are read")
        self.nodes.append(node)
        return TensorRef(len(self.nodes) - 1, rank, single_use)
