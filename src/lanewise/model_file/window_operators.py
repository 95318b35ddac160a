"""ONNX operators that move a window over an image: convolution and the pools, and padding as ONNX writes it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from lanewise.errors import ModelFileError
from lanewise.model_file.axes import channels_of, plain
from lanewise.model_file.builder import NetworkBuilder, TensorRef, Weights
from lanewise.model_file.node import FileNode
from lanewise.model_file.over_channels import OverChannels, mean_of
from lanewise.model_file.tensors import listed
from lanewise.network.activations import ReLU
from lanewise.network.layers import AvgPool2D, Conv2D, Dense, Flatten, GlobalAvgPool2D, MaxPool2D, Padding, Pair, Sides


@dataclass(frozen=True, slots=True)
class Window:
    """A kernel on its way over an image; `overhangs` where ceil_mode lets it pass the padded end."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    padding: Padding
    overhangs: bool


@dataclass(frozen=True, slots=True)
class Padded:
    """A value with numbers around it, all of them `fill`: what a window reads there."""

    value: TensorRef
    sides: Sides
    fill: float
    maker: str
    place: int
    single_use: bool

    def taken_by(self, operator: str, builder: NetworkBuilder) -> bool:
        """Whether an operator can do the padding: a convolution's is zeros, a max pool's never the largest."""
        never_negative = isinstance(builder.nodes[self.value.node].layer, ReLU)
        return (operator == "Conv" and self.fill == 0) or (operator == "MaxPool" and (self.fill < 0 or never_negative))

    def settle(self, builder: NetworkBuilder) -> TensorRef:
        """The padded value, by a convolution with ones.

        Raises
        ------
        ModelFileError
            It is padded with other numbers, or by too much; the message names the node.
        """
        channels = builder.shape(self.value)[0]
        layer = Conv2D(channels, (1, 1), padding=self.sides, groups=channels, bias=False)
        weight = np.ones((channels, 1, 1, 1), np.float32)
        with builder.at(self.place, self.maker):
            if self.fill != 0:
                raise ModelFileError("it pads with minus infinity, which only a max pool reads")
            added = builder.add_weighted(layer, self.value, weight, None, single_use=self.single_use)
        old, new = builder.shape(self.value), builder.shape(added)
        larger = dict(zip(plain(old)[1:], plain(new)[1:], strict=True))
        inside, more = math.prod(old[1:]), math.prod(new[1:])
        return replace(
            added,
            axes=tuple(
                larger.get(axis, tuple((size, stride // inside * more) for size, stride in axis))
                for axis in self.value.axes
            ),
        )


def conv(node: FileNode) -> TensorRef:
    """Conv."""
    x, weight, bias = node.value(), node.weights(1, "weight"), node.weights(2, "bias")
    if len(node.builder.shape(x)) == 1:
        return _conv_of_features(node, x, weight, bias)
    order = node.channel_order(x, 1)
    if order is not None and weight is not None and weight.shape[1:2] == order.shape and x.rank == weight.ndim:
        x = replace(x, axes=(channels_of(node.builder.shape(x)), *x.axes[1:]))
        weight = weight[:, np.argsort(order)]
    x = node.image(x)
    if weight is None or weight.ndim != x.rank or not weight.size:
        node.fail(f"its weight must be there and have as many axes as its input, {x.rank}")
    window, groups = _window(node, x, weight.shape[2:]), node.whole("group", 1)
    filters, channels = weight.shape[0], node.builder.shape(x)[0]
    if groups < 1 or weight.shape[1] * groups != channels:
        node.fail(
            f"its weight of shape {weight.shape} with {groups} groups does not fit {channels} channels; "
            f"(filters, {channels} / groups, rows, columns) would"
        )
    if bias is not None and bias.shape != (filters,):
        node.fail(f"its bias has shape {bias.shape}; {filters} filters need ({filters},)")
    layer = Conv2D(filters, window.kernel, window.stride, window.padding, window.dilation, groups, bias is not None)
    four_axes = weight.reshape(*weight.shape[:2], *window.kernel)
    return node.builder.add_weighted(layer, x, four_axes, bias, single_use=node.single_use)


def _conv_of_features(node: FileNode, x: TensorRef, weight: Weights | None, bias: Weights | None) -> TensorRef:
    """A convolution of what is one row and one column, and features here: a dense layer."""
    features, *_ = node.builder.shape(x)
    if weight is None or weight.shape != (weight.shape[0], features, *[1] * (x.rank - 2)) or any(node.padding):
        node.fail(f"it needs images (N, C, H, W) or sequences (N, C, L), or 1x1 kernels for {features} features")
    if x.axes[0] != channels_of((features,)) or any(node.numbers("pads", ())) or node.whole("group", 1) != 1:
        node.fail("features are not padded, grouped or moved")
    layer = Dense(weight.shape[0], bias is not None)
    return node.builder.add_weighted(
        layer,
        x,
        weight.reshape(-1, features),
        bias,
        single_use=node.single_use,
        axes=(channels_of((len(weight),)), *x.axes[1:]),
    )


def max_pool(node: FileNode) -> TensorRef:
    """MaxPool."""
    x = node.image(node.value())
    window = _undilated(node, x)
    return node.add(MaxPool2D(window.kernel, window.stride, window.padding), x)


def average_pool(node: FileNode) -> TensorRef:
    """AveragePool."""
    x = node.image(node.value())
    window, counted = _undilated(node, x), bool(node.whole("count_include_pad", 0))
    if window.overhangs and counted:
        node.fail("ceil_mode with count_include_pad makes windows hang over the padding; export it without one of them")
    return node.add(AvgPool2D(window.kernel, window.stride, window.padding, counted), x)


def global_pool(node: FileNode) -> TensorRef | OverChannels:
    """GlobalAveragePool or GlobalMaxPool."""
    x = node.value_or_means()
    return _reduced(node, x, range(2, x.rank), keep=True)


def reduce(node: FileNode) -> TensorRef | OverChannels:
    """ReduceMean or ReduceMax over all rows and columns, wherever the file has them, or a mean over the channels."""
    x, given = node.value_or_means(), node.constant(1, "list of axes")
    axes = node.numbers("axes", ()) if given is None else listed(given)
    if not axes or any(not -x.rank <= axis < x.rank for axis in axes):
        node.fail("it must name the axes it goes over")
    return _reduced(node, x, sorted({axis % x.rank for axis in axes}), keep=bool(node.whole("keepdims", 1)))


def _reduced(
    node: FileNode, x: TensorRef | OverChannels, axes: Iterable[int], *, keep: bool
) -> TensorRef | OverChannels:
    """The mean or maximum of each channel over `axes` of the file, which stay with size 1 if `keep`.

    Where rows and columns stay, what follows may be a convolution, or only drop them: the layer depends on it.
    """
    gone = set(axes)
    if (axis := _channels_alone(node, x, gone)) is not None and keep:
        return mean_of(x, axis, node.builder, node.maker)
    x = x.settle(node.builder)
    shape = node.builder.shape(x)
    inside = math.prod(shape[1:])
    left = tuple(() if axis in gone else x.axes[axis - 1] for axis in range(1, x.rank) if keep or axis not in gone)
    runs = [run for axis in gone - {0} for run in x.axes[axis - 1]]
    if 0 in gone or not left:
        node.fail("it goes over the images")
    if not runs:
        return node.passed(x, left)
    if any(stride >= inside for _, stride in runs) or math.prod(size for size, _ in runs) != inside:
        node.fail(f"of {node.dims(x)}, it must go over all rows and columns, and nothing else")
    flat = len(left) == 1 or (
        bool(node.users) and set(node.users) <= {"Conv", "Flatten", "Reshape", "Squeeze", "Transpose"}
    )
    at_one = tuple(tuple((size, stride // inside) for size, stride in axis) for axis in left)
    if len(shape) == 1:
        node.fail("features are neither averaged nor compared")
    whole = (shape[1], shape[2])
    if node.operator in ("GlobalMaxPool", "ReduceMax"):
        most = node.add(MaxPool2D(whole, (1, 1)), x, axes=at_one)
        return node.add(Flatten(), most, axes=at_one) if flat else most
    return node.add(GlobalAvgPool2D() if flat else AvgPool2D(whole, (1, 1)), x, axes=at_one)


def _channels_alone(node: FileNode, x: TensorRef | OverChannels, gone: set[int]) -> int | None:
    """The axis, without the batch, that holds the channels, if a mean goes over that alone."""
    if len(gone) != 1 or 0 in gone or node.operator not in ("GlobalAveragePool", "ReduceMean"):
        return None
    (axis,) = gone
    if isinstance(x, OverChannels):
        return axis - 1 if axis - 1 == x.axis and x.samples.shape[1] > 1 else None
    return axis - 1 if node.builder.shape(x)[0] > 1 and node.channel_order(x, axis) is not None else None


def pad(node: FileNode) -> Padded:
    """Pad, of rows and columns: what reads it takes it in, or a convolution of ones does it."""
    x, rank = node.value(), node.value().rank
    sizes = node.numbers("pads", ()) if "pads" in node.attributes else listed(node.constant(1, "list of pads"))
    fill, axes = node.constant(2, "value"), listed(node.constant(3, "list of axes"))
    number = node.number("value", 0.0) if fill is None else float(fill.item()) if fill.size == 1 else math.nan
    axes = tuple(range(rank)) if axes is None else axes
    if sizes is None or len(sizes) != 2 * len(axes) or len(set(axes)) != len(axes) or min(sizes, default=-1) < 0:
        node.fail(f"its pads must be 0 or more, two for each of {rank} axes")
    if str(node.attributes.get("mode", "constant")) != "constant" or number not in (0, -math.inf):
        node.fail("it pads with other numbers than zeros; only zeros are read, and before a max pool minus infinity")
    if any(not -rank <= axis < rank for axis in axes):
        node.fail(f"it pads axes {axes[:8]} of {rank}")
    shape = node.builder.shape(x)
    if len(shape) != 3:
        node.fail("only rows and columns of images are padded")
    _, rows, columns = plain(shape)
    if any(stride % math.prod(shape[1:]) for axis in x.axes if axis not in (rows, columns) for _, stride in axis):
        node.fail("only rows and columns of images are padded")
    around = {axis % rank: pair for axis, *pair in zip(axes, sizes, sizes[len(axes) :], strict=False)}
    sides = [0, 0, 0, 0]
    for axis, (before, after) in around.items():
        if before or after:
            if axis == 0 or x.axes[axis - 1] not in (rows, columns) or x.axes[axis - 1] == ():
                node.fail("only rows and columns of images are padded")
            place = 0 if x.axes[axis - 1] == rows else 1
            sides[place], sides[place + 2] = before, after
    return Padded(x, (sides[0], sides[1], sides[2], sides[3]), number, node.maker, node.builder.place, node.single_use)


def _undilated(node: FileNode, x: TensorRef) -> Window:
    window = _window(node, x, None)
    if window.dilation != (1, 1):
        node.fail("pooling with dilation is not supported; pool without it, or use a convolution")
    return window


def _window(node: FileNode, x: TensorRef, default_kernel: tuple[int, ...] | None) -> Window:
    """The window of a convolution or pool; a convolution's weight says how large it must be."""
    _, *size = node.builder.shape(x)
    size = [n + before + after for n, before, after in zip(size, node.padding[:2], node.padding[2:], strict=True)]
    axes = x.rank - 2
    if default_kernel and node.numbers("kernel_shape", default_kernel) != default_kernel:
        node.fail(f"its kernel_shape {node.numbers('kernel_shape')} is not that of its weight, {default_kernel}")
    kernel = _pair(node, "kernel_shape", axes, default_kernel)
    stride, dilation = (_pair(node, name, axes, (1,) * axes) for name in ("strides", "dilations"))
    pads = node.numbers("pads", (0,) * (2 * axes))
    if len(pads) != 2 * axes or min(pads) < 0:
        node.fail(f"its pads {pads[:8]} must be {2 * axes} numbers of 0 or more")
    top, left, bottom, right = pads if axes == 2 else (0, pads[0], 0, pads[1])
    mode, ceil = str(node.attributes.get("auto_pad", "NOTSET")), bool(node.whole("ceil_mode", 0))
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER") or (mode != "NOTSET" and (any(pads) or ceil)):
        node.fail(f"auto_pad {mode[:20]!r} with pads {pads} and ceil_mode {int(ceil)} is not read; give pads alone")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    overhang = [
        _overhang(n, before, after, span, s) if ceil else 0
        for n, before, after, span, s in zip(size, (top, left), (bottom, right), spans, stride, strict=True)
    ]
    sides: Sides = (top, left, bottom + overhang[0], right + overhang[1])
    if mode.startswith("SAME"):
        sides = _same(size, spans, stride, upper=mode == "SAME_UPPER")
    top, left, bottom, right = (one + other for one, other in zip(sides, node.padding, strict=True))
    sides = (top, left, bottom, right)
    return Window(kernel, stride, dilation, sides if any(sides) else "valid", any(overhang))


def _pair(node: FileNode, name: str, axes: int, default: tuple[int, ...] | None) -> Pair:
    """(rows, columns) of an attribute; a sequence has columns only, and 1 for its one row."""
    numbers = node.numbers(name, default)
    if len(numbers) != axes or min(numbers) < 1:
        node.fail(f"its {name} {numbers[:8]} must be {axes} numbers of 1 or more")
    return (numbers[0], numbers[1]) if axes == 2 else (1, numbers[0])


def _same(size: list[int], spans: list[int], stride: Pair, *, upper: bool) -> Sides:
    """Padding that keeps ceil(size / stride); an odd row or column goes to the end if `upper`, else before."""
    total = [max(0, (-(-n // s) - 1) * s + span - n) for n, span, s in zip(size, spans, stride, strict=True)]
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    (top, left), (bottom, right) = (small, large) if upper else (large, small)
    return (top, left, bottom, right)


def _overhang(size: int, before: int, after: int, span: int, stride: int) -> int:
    """How far the last window passes the padded end when the number of positions is rounded up.

    It may if it begins inside the image or the padding before it. That is the same as more padding at the end, where
    padding is neither counted nor ever the largest.
    """
    padded = before + size + after
    positions = -(-(padded - span) // stride) + 1
    if (positions - 1) * stride >= before + size:
        positions -= 1
    return max(0, (positions - 1) * stride + span - padded)
