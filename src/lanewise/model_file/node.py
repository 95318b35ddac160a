"""One node of a file on its way to becoming a layer: its inputs and attributes, asked for by kind."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import ModelFileError
from lanewise.model_file.axes import Axes, channels_of, places, sizes, written
from lanewise.model_file.builder import NetworkBuilder, TensorRef, Weights
from lanewise.model_file.curves import Curve
from lanewise.model_file.over_channels import OverChannels
from lanewise.model_file.tensors import Constant
from lanewise.network.layers import Conv2D, Dense, Layer, Sides

MOST_TAKEN = 1 << 24
"""Weights of a layer that only takes some channels out of others."""


@dataclass(frozen=True, eq=False)
class FileNode:
    """One node of a file, on its way to becoming a layer.

    `inputs` are values of the network, constants of the file, or None where an optional input is left out; operators
    that compute each number by itself may get curves, too, and some of them what is computed with means over channels.
    `batch` is the number of images the file was fixed to, None if it takes any; `users` are the operators that read the
    output; `maker` is what messages call the node; `padding` the zeros, or what counts as such, that a node before it
    put around its first input.
    """

    operator: str
    inputs: tuple[TensorRef | Curve | OverChannels | Constant | None, ...]
    attributes: dict[str, Any]
    outputs: int
    users: tuple[str, ...]
    opset: int
    batch: int | None
    builder: NetworkBuilder
    maker: str = ""
    padding: Sides = (0, 0, 0, 0)

    @property
    def single_use(self) -> bool:
        """Whether one node alone reads the output."""
        return len(self.users) == 1

    def add(self, layer: Layer, *inputs: TensorRef, axes: Axes | None = None) -> TensorRef:
        """Append the layer that this node is.

        Parameters
        ----------
        layer : Layer
        *inputs : TensorRef
            Values of the network that it reads.
        axes : Axes, optional
            How the file's axes are made of its output; by default like those of the first input.

        Returns
        -------
        TensorRef
            Its output.

        Raises
        ------
        NetworkError
            It does not fit its inputs.
        """
        return self.builder.add(layer, inputs, single_use=self.single_use, axes=axes)

    def fail(self, reason: str) -> NoReturn:
        """Refuse the node; the caller puts its name before the reason."""
        raise ModelFileError(reason)

    def value(self, position: int = 0) -> TensorRef:
        """Input `position`, which must be a value of the network."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if not isinstance(found, TensorRef):
            self.fail(f"its input {position + 1} must come from the network, not from a constant")
        return found

    def value_or_means(self) -> TensorRef | OverChannels:
        """The first input, which may be computed with means over channels."""
        found = self.inputs[0] if self.inputs else None
        return found if isinstance(found, OverChannels) else self.value()

    def constant(self, position: int, what: str) -> Constant | None:
        """Input `position`, which must be a constant, or None if it is left out."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if isinstance(found, TensorRef | Curve | OverChannels):
            self.fail(f"its {what} (input {position + 1}) is computed by the network; it must be a constant")
        return found

    def weights(self, position: int, what: str) -> Weights | None:
        """Input `position`, which must be a float32 constant, or None if it is left out."""
        found = self.constant(position, what)
        if found is not None and found.dtype != np.float32:
            self.fail(f"its {what} (input {position + 1}) holds {found.dtype}; float32 is needed")
        return found

    def number(self, name: str, default: float) -> float:
        """The attribute `name`, one number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float):
            self.fail(f"its attribute {name} must be one number")
        return value

    def whole(self, name: str, default: int) -> int:
        """The attribute `name`, one whole number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            self.fail(f"its attribute {name} must be one whole number")
        return value

    def numbers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """The attribute `name`, a list of whole numbers; without a default it must be there."""
        value = self.attributes.get(name, default)
        if not isinstance(value, tuple) or not all(isinstance(item, int) for item in value):
            self.fail(
                f"its attribute {name} must be a list of whole numbers" + (", and is missing" if value is None else "")
            )
        return value

    def axis(self, default: int, rank: int) -> int:
        """The attribute `axis`, counted from the front."""
        axis = self.whole("axis", default)
        return axis + rank if axis < 0 else axis

    def dims(self, value: TensorRef | OverChannels) -> tuple[int, ...]:
        """The file's shape of `value`, without the batch."""
        return sizes(value.axes)

    def passed(self, value: TensorRef, axes: Axes | None = None) -> TensorRef:
        """`value` itself under another name, and maybe with other axes."""
        return replace(
            value, single_use=value.single_use and self.single_use, axes=value.axes if axes is None else axes
        )

    def image(self, x: TensorRef) -> TensorRef:
        """`x` as images (N, C, H, W) or sequences (N, C, L); channels that were moved about are put in order."""
        shape = self.builder.shape(x)
        if x.rank not in (3, 4) or len(shape) != 3:
            self.fail("it needs images (N, C, H, W) or sequences (N, C, L)")
        usual = written(shape, x.rank)
        if x.axes != usual:
            order = self.channel_order(x, 1)
            if order is None or x.axes[1:] != usual[1:]:
                self.fail(
                    f"its input {self.dims(x)} is no image with the channels first; channels last are read up to the"
                    " next Transpose"
                )
            x = self.taken(x, 1, order)
        return x

    def channel_order(self, x: TensorRef, axis: int) -> NDArray[np.int64] | None:
        """Which channel of `x` stands where along axis `axis` of the file; None if that axis does not hold them all."""
        shape, runs = self.builder.shape(x), x.axes[axis - 1]
        inside = math.prod(shape[1:])
        if any(stride % inside for _, stride in runs) or math.prod(size for size, _ in runs) != shape[0]:
            return None
        return places([runs]) // inside

    def taken(self, x: TensorRef, axis: int, channels: NDArray[np.int64]) -> TensorRef:
        """Some channels of `x`, by a layer of ones and zeros.

        Parameters
        ----------
        x : TensorRef
        axis : int
            Of the file, the batch counted; the channels lie along it.
        channels : array of int
            Those of `x`, in the order that they get.
        """
        shape = self.builder.shape(x)
        if len(channels) * shape[0] > MOST_TAKEN or not len(channels):
            self.fail(f"it takes {len(channels)} of {shape[0]} channels, which is not read")
        weight = np.zeros((len(channels), shape[0]), np.float32)
        weight[np.arange(len(channels)), channels] = 1
        axes = (*x.axes[: axis - 1], channels_of((len(channels), *shape[1:])), *x.axes[axis:])
        if len(shape) == 1:
            layer: Conv2D | Dense = Dense(len(channels), bias=False)
        else:
            layer, weight = Conv2D(len(channels), (1, 1), bias=False), weight[:, :, np.newaxis, np.newaxis]
        return self.builder.add_weighted(layer, x, weight, None, single_use=self.single_use, axes=axes)
