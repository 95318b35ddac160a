"""ONNX operators that move a window over an image: convolution and the pools, and padding as ONNX writes it."""

from __future__ import annotations

from dataclasses import dataclass

from lanewise.model_file.builder import Value
from lanewise.model_file.node import Step
from lanewise.network.layers import AvgPool2D, Conv2D, GlobalAvgPool2D, MaxPool2D, Padding, Pair, Sides


@dataclass(frozen=True, slots=True)
class Window:
    """A kernel on its way over an image; `overhangs` where ceil_mode lets it pass the padded end."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    padding: Padding
    overhangs: bool


def conv(step: Step) -> Value:
    """Conv."""
    x, weight, bias = step.value(), step.weights(1, "weight"), step.weights(2, "bias")
    if weight is None or weight.ndim != x.rank or not weight.size:
        step.fail(f"its weight must be there and have as many axes as its input, {x.rank}")
    window, groups = _window(step, weight.shape[2:]), step.whole("group", 1)
    filters, channels = weight.shape[0], step.drafts.shape(x)[0]
    if groups < 1 or weight.shape[1] * groups != channels:
        step.fail(
            f"its weight of shape {weight.shape} with {groups} groups does not fit {channels} channels; "
            f"(filters, {channels} / groups, rows, columns) would"
        )
    if bias is not None and bias.shape != (filters,):
        step.fail(f"its bias has shape {bias.shape}; {filters} filters need ({filters},)")
    layer = Conv2D(filters, window.kernel, window.stride, window.padding, window.dilation, groups, bias is not None)
    four_axes = weight.reshape(*weight.shape[:2], *window.kernel)
    return step.drafts.add_weighted(layer, x, four_axes, bias, own=step.own)


def max_pool(step: Step) -> Value:
    """MaxPool."""
    window = _undilated(step)
    return step.drafts.add(MaxPool2D(window.kernel, window.stride, window.padding), (step.value(),), own=step.own)


def average_pool(step: Step) -> Value:
    """AveragePool."""
    window, counted = _undilated(step), bool(step.whole("count_include_pad", 0))
    if window.overhangs and counted:
        step.fail("ceil_mode with count_include_pad makes windows hang over the padding; export it without one of them")
    layer = AvgPool2D(window.kernel, window.stride, window.padding, counted)
    return step.drafts.add(layer, (step.value(),), own=step.own)


def global_average_pool(step: Step) -> Value:
    """GlobalAveragePool. ONNX keeps rows and columns of size 1; the layer drops them, so it depends on what follows."""
    x = step.value()
    _, rows, columns = _image(step)
    if x.rank == 4 and step.readers and set(step.readers) <= {"Flatten", "Reshape", "Squeeze"}:
        return step.drafts.add(GlobalAvgPool2D(), (x,), own=step.own)
    return step.drafts.add(AvgPool2D((rows, columns), (1, 1)), (x,), own=step.own)


def _image(step: Step) -> tuple[int, int, int]:
    shape = step.drafts.shape(step.value())
    if step.value().rank == 2 or len(shape) != 3:
        step.fail("it needs images (N, C, H, W) or sequences (N, C, L)")
    channels, rows, columns = shape
    return channels, rows, columns


def _undilated(step: Step) -> Window:
    window = _window(step, None)
    if window.dilation != (1, 1):
        step.fail("pooling with dilation is not supported; pool without it, or use a convolution")
    return window


def _window(step: Step, default_kernel: tuple[int, ...] | None) -> Window:
    """The window of a convolution or pool; a convolution's weight says how large it must be."""
    _, *size = _image(step)
    axes = step.value().rank - 2
    if default_kernel and step.numbers("kernel_shape", default_kernel) != default_kernel:
        step.fail(f"its kernel_shape {step.numbers('kernel_shape')} is not that of its weight, {default_kernel}")
    kernel = _pair(step, "kernel_shape", axes, default_kernel, 1)
    stride, dilation = (_pair(step, name, axes, (1,) * axes, 1) for name in ("strides", "dilations"))
    pads = step.numbers("pads", (0,) * (2 * axes))
    if len(pads) != 2 * axes or min(pads) < 0:
        step.fail(f"its pads {pads[:8]} must be {2 * axes} numbers of 0 or more")
    top, left, bottom, right = pads if axes == 2 else (0, pads[0], 0, pads[1])
    mode, ceil = str(step.attributes.get("auto_pad", "NOTSET")), bool(step.whole("ceil_mode", 0))
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER") or (mode != "NOTSET" and (any(pads) or ceil)):
        step.fail(f"auto_pad {mode[:20]!r} with pads {pads} and ceil_mode {int(ceil)} is not read; give pads alone")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    overhang = [
        _overhang(n, before, after, span, s) if ceil else 0
        for n, before, after, span, s in zip(size, (top, left), (bottom, right), spans, stride, strict=True)
    ]
    sides: Sides = (top, left, bottom + overhang[0], right + overhang[1])
    if mode.startswith("SAME"):
        sides = _same(size, spans, stride, upper=mode == "SAME_UPPER")
    return Window(kernel, stride, dilation, sides if any(sides) else "valid", any(overhang))


def _pair(step: Step, name: str, axes: int, default: tuple[int, ...] | None, missing: int) -> Pair:
    """(rows, columns) of an attribute; a sequence has columns only, and `missing` for its one row."""
    numbers = step.numbers(name, default)
    if len(numbers) != axes or min(numbers) < 1:
        step.fail(f"its {name} {numbers[:8]} must be {axes} numbers of 1 or more")
    return (numbers[0], numbers[1]) if axes == 2 else (missing, numbers[0])


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
