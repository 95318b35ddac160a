"""The layers a network is described with: frozen values that know their options and nothing else.

Axis names, here and everywhere: `o` filters, `i` channels, `r c` rows and columns, `u v` kernel rows and
columns. A shape of one image is `(channels, rows, columns)`, or `(features,)` after flattening.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lanewise.network.activations import Activation, LeakyReLU, ReLU, Sigmoid, Tanh
from lanewise.network.base import Elementwise, Initial, Layer, Padding, Pair, Sides
from lanewise.network.channelwise import Affine, BatchNorm, Channelwise, PReLU, Scale

__all__ = [
    "LRN",
    "Activation",
    "Add",
    "Affine",
    "AvgPool2D",
    "BatchNorm",
    "Channelwise",
    "Concat",
    "Conv2D",
    "Dense",
    "Dropout",
    "Elementwise",
    "FilterBank",
    "Fixed",
    "Flatten",
    "Gate",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "Initial",
    "Input",
    "Join",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "MaxPool2D",
    "Multiply",
    "PReLU",
    "Padding",
    "Pair",
    "ReLU",
    "Residual",
    "Scale",
    "Sides",
    "Sigmoid",
    "Softmax",
    "Tanh",
]


@dataclass(frozen=True, slots=True)
class Conv2D(Layer):
    """The weighted sum of a neighbourhood, with the same weights at every position.

        y[o, r, c] = bias[o] + sum over i, u, v of
                     weight[o, i, u, v] * x[i, r * stride + u * dilation - top, c * stride + v * dilation - left]

    Weights are (filters, channels / groups, rows, columns); with `groups` > 1 a filter sees its group's channels only.
    `frozen` weights and biases are not trained. `initial` says what weights start from: "random" numbers; "identity",
    where the first filters pass the channels on as they are; "whiten", the principal axes of the training images.
    """

    filters: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = "valid"
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True
    frozen: bool = False
    initial: Initial = "random"


@dataclass(frozen=True, slots=True)
class Fixed(Layer):
    """Hand-made filters, like Sobel's, applied to every channel: `bank` holds names of `filters.BANKS`.

        y[i * count + o, r, c] = sum over u, v of kernel[o, u, v] * x[i, r * stride + u - top, c * stride + v - left]

    A graph has a `FilterBank` in its place.
    """

    bank: tuple[str, ...]
    stride: Pair = (1, 1)
    padding: Padding = "same"


@dataclass(frozen=True, slots=True)
class MaxPool2D(Layer):
    """The most active value of each neighbourhood. Padding never wins. `stride=None` means the window's size."""

    window: Pair
    stride: Pair | None = None
    padding: Padding = "valid"


@dataclass(frozen=True, slots=True)
class AvgPool2D(Layer):
    """The mean of each neighbourhood; padding counts as zeros only with `count_padding`."""

    window: Pair
    stride: Pair | None = None
    padding: Padding = "valid"
    count_padding: bool = False


class GlobalAvgPool2D(Layer):
    """The mean of each whole channel: (channels, rows, columns) to (channels,)."""

    __slots__ = ()


class GlobalMaxPool2D(Layer):
    """The largest value of each whole channel: (channels, rows, columns) to (channels,).

    A graph has a `MaxPool2D` of the whole image and a `Flatten` in its place.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Dense(Layer):
    """The weighted sum of all inputs; images are flattened first.

    y[o] = bias[o] + sum over i of weight[o, i] * x[i]

    `frozen` as for `Conv2D`.
    """

    units: int
    bias: bool = True
    frozen: bool = False


class Softmax(Layer):
    """exp(x) over its sum, over the features of one image."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class LayerNorm(Layer):
    """The channels at each position, or all features, less their mean, divided by their standard deviation.

        y = (x - mean) / sqrt(variance + epsilon)

    Ba, Kiros and Hinton 2016, "Layer Normalization". The learned scale and shift are a layer of their own, `Scale`.
    """

    epsilon: float = 1e-5

    opset: ClassVar[int] = 17


@dataclass(frozen=True, slots=True)
class LRN(Layer):
    """Local response normalisation: each value divided by a power of what the channels beside it hold there.

        y[i] = x[i] / (k + alpha / size * sum of x[j] ** 2) ** beta,   |i - j| <= (size - 1) / 2

    Krizhevsky, Sutskever and Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks", whose
    alpha is what this one is divided by `size`. `size` is odd.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    @property
    def half(self) -> int:
        """How many channels on each side count."""
        return self.size // 2


class Flatten(Layer):
    """(channels, rows, columns) to (features,), in that order."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Dropout(Layer):
    """While training, each value is dropped with probability `rate` and the rest are divided by 1 - rate."""

    rate: float = 0.5


@dataclass(frozen=True, slots=True)
class Residual(Layer):
    """body(x) + shortcut(x); an empty shortcut is x itself."""

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()


@dataclass(frozen=True, slots=True)
class Gate(Layer):
    """x times a factor for each channel (or feature), which its body makes of x.

    With `global average` in front it is squeeze-and-excitation (Hu, Shen and Sun 2018).
    """

    body: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Concat(Layer):
    """The channels of several branches, one after the other; an empty branch is x itself."""

    branches: tuple[tuple[Layer, ...], ...]


class Input(Layer):
    """Where images enter. Only `graph.py` makes it; it is node 0 of every graph."""

    __slots__ = ()


class Add(Layer):
    """The sum of its inputs, all of one shape. Only `graph.py` makes it, for `Residual`."""

    __slots__ = ()


class Multiply(Layer):
    """Each channel of its first input times a number of the second. Only `graph.py` makes it, for `Gate`."""

    __slots__ = ()


class Join(Layer):
    """Its inputs one after the other along channels (or features). Only `graph.py` makes it, for `Concat`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class FilterBank(Conv2D):
    """The frozen convolution that a `Fixed` is. Only `graph.py` makes it, when it knows how many channels there are."""

    bank: tuple[str, ...] = ()
