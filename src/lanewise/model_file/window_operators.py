"""ONNX operators that move a window over an image: convolution and the pools, and padding as ONNX writes it."""

from __future__ import annotations

from dataclasses import dataclass

from lanewise.model_file.builder import TensorRef
from lanewise.model_file.node import FileNode
from lanewise.network.layers import AvgPool2D, Conv2D, GlobalAvgPool2D, MaxPool2D, Padding, Pair, Sides


@dataclass(frozen=True, slots=True)
class Window:
    """A kernel on its way over an image; `overhangs` where ceil_mode lets it pass the padded end."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    padding: Padding
    overhangs: bool


def conv(node: FileNode) -> TensorRef:
    """Conv."""
    x, weight, bias = node.value(), node.weights(1, "weight"), node.weights(2, "bias")
    if weight is None or weight.ndim != x.rank or not weight.size:
        node.fail(f"its weight must be there and have as many axes as its input, {x.rank}")
    window, groups = _window(node, weight.shape[2:]), node.whole("group", 1)
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


def max_pool(node: FileNode) -> TensorRef:
    """MaxPool."""
    window = _undilated(node)
    return node.add(MaxPool2D(window.kernel, window.stride, window.padding), node.value())


def average_pool(node: FileNode) -> TensorRef:
    """AveragePool."""
    window, counted = _undilated(node), bool(node.whole("count_include_pad", 0))
    if window.overhangs and counted:
        node.fail("ceil_mode with count_include_pad makes windows hang over the padding; export it without one of them")
    layer = AvgPool2D(window.kernel, window.stride, window.padding, counted)
    return node.add(layer, node.value())


def global_average_pool(node: FileNode) -> TensorRef:
    """GlobalAveragePool. ONNX keeps rows and columns of size 1; the layer drops them, so it depends on what follows."""
    x = node.value()
    _, rows, columns = _image(node)
    if x.rank == 4 and node.users and set(node.users) <= {"Flatten", "Reshape", "Squeeze"}:
        return node.add(GlobalAvgPool2D(), x)
    return node.add(AvgPool2D((rows, columns), (1, 1)), x)


def _image(node: FileNode) -> tuple[int, int, int]:
    shape = node.builder.shape(node.value())
    if node.value().rank == 2 or len(shape) != 3:
        node.fail("it needs images (N, C, H, W) or sequences (N, C, L)")
    channels, rows, columns = shape
    return channels, rows, columns


def _undilated(node: FileNode) -> Window:
    window = _window(node, None)
    if window.dilation != (1, 1):
        node.fail("pooling with dilation is not supported; pool without it, or use a convolution")
    return window


def _window(node: FileNode, default_kernel: tuple[int, ...] | None) -> Window:
    """The window of a convolution or pool; a convolution's weight says how large it must be."""
    _, *size = _image(node)
    axes = node.value().rank - 2
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
