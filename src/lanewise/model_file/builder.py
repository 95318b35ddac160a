"""A network while it is being read: nodes that can still take in the scale and shift of what follows them.

y = (x * weight + bias) * scale + shift   =   x * (weight * scale) + (bias * scale + shift)
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import ModelFileError, NetworkError, TooLargeError
from lanewise.model_file.axes import Axes, written
from lanewise.network.graph import Graph, Shape, assemble
from lanewise.network.layers import BatchNorm, Conv2D, Dense, Input, Layer, PReLU, Scale
from lanewise.network.options import option_problem
from lanewise.network.shapes import output_shape

MOST_WEIGHTS = (1 << 29) - (1 << 23)
"""A little less than 2 GiB of float32, as much as a file may hold. Nodes that share weights get their own here."""

MOST_VALUES = 1 << 27
"""Numbers that one image may be at any place in a network."""

Weights = NDArray[np.float32]
Channels = NDArray[np.float64]
"""One number for each channel or feature."""


class NodeError(ModelFileError):
    """A node of the file that is not read; the message begins with what it is called."""


@dataclass(frozen=True, slots=True)
class TensorRef:
    """What a tensor of the file is here.

    `axes` says how the file's axes, without the batch, are made of the node's value. `single_use` says that one node
    of the file alone reads this value, so that the node that makes it may change.
    """

    node: int
    axes: Axes
    single_use: bool

    @property
    def rank(self) -> int:
        """How many axes the file gives it, with the batch."""
        return len(self.axes) + 1

    def settle(self, builder: NetworkBuilder) -> TensorRef:
        """Itself: what is not yet a value of the network has a method of that name, too."""
        return self


@dataclass(slots=True)
class UnfinishedNode:
    """A node of the network that can still change; `changes` counts how often it did.

    `weight` and `bias` are scale and shift of a batch normalisation, whose mean and variance are among `others`, with
    which nothing is merged, like the slopes of a PReLU.
    `place` is that of the file's node that it comes from.
    """

    layer: Layer
    inputs: tuple[int, ...]
    shape: Shape
    weight: Weights | None = None
    bias: Weights | None = None
    others: tuple[Weights, ...] = ()
    place: int = 0
    is_read: bool = False
    changes: int = 0


class NetworkBuilder:
    """The nodes read so far, in order; node 0 is the input."""

    def __init__(self, input_shape: Shape, *, merging: bool = True) -> None:
        """Begin with images of `input_shape`; `merging` takes scales and shifts into the layers before them."""
        self.merging = merging
        self.nodes = [UnfinishedNode(Input(), (), input_shape)]
        self.weights = 0
        self.place = 0

    @contextlib.contextmanager
    def at(self, place: int, maker: str) -> Iterator[None]:
        """While the file's node at `place` is read: errors get its name, `maker`, unless they have another's."""
        before, self.place = self.place, place
        try:
            yield
        except NodeError:
            raise
        except (ModelFileError, NetworkError, TooLargeError) as error:
            raise NodeError(f"{maker}: {error}") from None
        finally:
            self.place = before

    def shape(self, value: TensorRef) -> Shape:
        """Shape of one image at `value`."""
        return self.nodes[value.node].shape

    def add(
        self, layer: Layer, inputs: tuple[TensorRef, ...], *, single_use: bool, axes: Axes | None = None
    ) -> TensorRef:
        """Append a layer without weights.

        Parameters
        ----------
        layer : Layer
        inputs : tuple of TensorRef
            What it reads.
        single_use : bool
            Whether one node of the file alone reads its output.
        axes : Axes, optional
            How the file's axes are made of the output; by default like those of the first input.

        Raises
        ------
        NetworkError
            The layer does not fit its inputs.
        """
        return self._append(
            UnfinishedNode(layer, tuple(value.node for value in inputs), ()), inputs[0], single_use, axes
        )

    def add_weighted(
        self,
        layer: Conv2D | Dense,
        x: TensorRef,
        weight: Weights,
        bias: Weights | None,
        *,
        single_use: bool,
        axes: Axes | None = None,
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
        axes : Axes, optional
            How the file's axes are made of the output; by default like those of the input.

        Raises
        ------
        NetworkError
            The layer does not fit its input, or the network has too many weights.
        """
        self.weights += weight.size
        if self.weights > MOST_WEIGHTS:
            raise NetworkError(f"the network has more than {MOST_WEIGHTS:,} weights")
        return self._append(UnfinishedNode(layer, (x.node,), (), weight, bias), x, single_use, axes)

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
        weight, bias, *others = arrays
        return self._append(UnfinishedNode(layer, (x.node,), (), weight, bias, tuple(others)), x, single_use, x.axes)

    def add_prelu(self, x: TensorRef, slopes: Channels, *, single_use: bool) -> TensorRef:
        """Append a PReLU.

        Parameters
        ----------
        x : TensorRef
            What it reads.
        slopes : (channels,) float64
        single_use : bool
            Whether one node of the file alone reads its output.
        """
        numbers = (slopes.astype(np.float32),)
        return self._append(UnfinishedNode(PReLU(), (x.node,), (), others=numbers), x, single_use, x.axes)

    def scale_and_shift(self, x: TensorRef, scale: Channels, shift: Channels, *, single_use: bool) -> TensorRef:
        """x * scale + shift for each channel: taken into the layer before, or as a layer of its own.

        Parameters
        ----------
        x : TensorRef
        scale, shift : (channels,) float64
        single_use : bool
            Whether one node of the file alone reads the result.

        Raises
        ------
        NetworkError
            A number is not finite.
        """
        node = self.nodes[x.node]
        if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
            raise NetworkError("its constants make NaN or infinity")
        own = self.merging or (isinstance(node.layer, Scale) and bool(np.all(scale == 1)) and not np.any(node.bias))
        if own and x.single_use and not node.is_read and node.weight is not None:
            node.changes += 1
            by_filter = scale.reshape(-1, *[1] * (node.weight.ndim - 1))
            old = 0.0 if node.bias is None else node.bias.astype(np.float64)
            node.weight = (node.weight * by_filter).astype(np.float32)
            node.bias = (old * scale + shift).astype(np.float32)
            if isinstance(node.layer, Conv2D | Dense):
                node.layer = replace(node.layer, bias=True)
            return replace(x, single_use=single_use)
        numbers = scale.astype(np.float32), shift.astype(np.float32)
        if isinstance(node.layer, Input):  # in a file, a scale there would be taken for preprocessing
            each = Conv2D(len(scale), (1, 1), groups=len(scale))
            weight = numbers[0].reshape(-1, 1, 1, 1)
            return self.add_weighted(each, x, weight, numbers[1], single_use=single_use, axes=x.axes)
        return self._append(UnfinishedNode(Scale(), (x.node,), (), *numbers), x, single_use, x.axes)

    def finish(self, output: TensorRef) -> tuple[Graph, tuple[Weights, ...]]:
        """The graph that ends with `output`, without what that does not need, and its weights and biases in order."""
        needed = {0, output.node}
        for position in range(output.node, 0, -1):
            if position in needed:
                needed.update(self.nodes[position].inputs)
        order = sorted(needed, key=lambda position: (self.nodes[position].place, position))  # curves came later
        new = {old: position for position, old in enumerate(order)}
        nodes = [self.nodes[old] for old in order]
        steps = ((node.layer, tuple(new[source] for source in node.inputs)) for node in nodes[1:])
        graph = assemble(steps, nodes[0].shape)
        arrays = [array for node in nodes for array in (node.weight, node.bias, *node.others) if array is not None]
        shaped = (array.reshape(parameter.shape) for array, parameter in zip(arrays, graph.parameters, strict=True))
        return graph, tuple(map(np.ascontiguousarray, shaped))

    def _append(self, node: UnfinishedNode, first: TensorRef, single_use: bool, axes: Axes | None) -> TensorRef:
        if problem := option_problem(node.layer):
            raise NetworkError(problem)
        node.shape, _ = output_shape(node.layer, tuple(self.nodes[source].shape for source in node.inputs))
        if math.prod(node.shape) > MOST_VALUES:
            raise NetworkError(f"an image has {math.prod(node.shape):,} values there; at most {MOST_VALUES:,} are read")
        node.place = self.place
        for source in node.inputs:
            self.nodes[source].is_read = True
        self.nodes.append(node)
        if axes is None:
            axes = first.axes if node.shape == self.shape(first) else written(node.shape, first.rank)
        return TensorRef(len(self.nodes) - 1, axes, single_use)
