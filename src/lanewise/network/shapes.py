"""The shape that comes out of each layer, and why a layer does not fit what comes before it."""

from __future__ import annotations

import math

from lanewise.errors import ShapeError
from lanewise.network import layers
from lanewise.network.layers import Layer, Padding, Pair, Sides

Shape = tuple[int, ...]
"""Of one image: (channels, rows, columns) or (features,)."""


def output_shape(layer: Layer, inputs: tuple[Shape, ...]) -> tuple[Shape, Sides]:
    """Shape that comes out of `layer` for inputs of these shapes, and its padding as (top, left, bottom, right).

    Raises
    ------
    ShapeError
        If the layer does not fit. The message is a clause; the caller puts the name of the layer before it.
    """
    (shape, *_), none = inputs, (0, 0, 0, 0)
    _few_enough(inputs)
    match layer:
        case layers.Conv2D():
            channels, rows, columns = _image(shape)
            _groups_divide(layer, channels)
            if layer.initial == "whiten":
                _can_whiten(layer, (channels, rows, columns))
            sides = _sides(layer.padding, (rows, columns), layer.kernel, layer.stride, layer.dilation)
            return (layer.filters, *_positions(layer, (rows, columns), sides)), sides
        case layers.MaxPool2D() | layers.AvgPool2D():
            channels, rows, columns = _image(shape)
            sides = _sides(layer.padding, (rows, columns), layer.window, layer.stride or layer.window, (1, 1))
            out = _positions(layer, (rows, columns), sides)
            _no_window_of_padding(layer, (rows, columns), out, sides)
            return (channels, *out), sides
        case layers.GlobalAvgPool2D():
            return _image(shape)[:1], none
        case layers.LRN():
            return _image(shape), none
        case layers.Dense():
            if len(shape) != 1:
                raise ShapeError(f"needs features, not {describe(shape)}; put `flatten` before it")
            return (layer.units,), none
        case layers.Softmax():
            if len(shape) != 1:
                raise ShapeError(f"needs features, not {describe(shape)}; put `flatten` or `global average` before it")
            return shape, none
        case layers.Flatten():
            return (math.prod(shape),), none
        case layers.Add():
            for other in inputs[1:]:
                _branches_equal(shape, other)
            return shape, none
        case layers.Multiply():
            _one_for_each_channel(shape, inputs[1])
            return shape, none
        case layers.Join():
            return _joined(inputs), none
        case _:
            return shape, none


def describe(shape: Shape) -> str:
    """Say a shape in words: "images of 30x30 with 3 channels" or "100 features"."""
    if len(shape) == 1:
        return f"{shape[0]} feature{'s' * (shape[0] != 1)}"
    channels, rows, columns = shape
    return f"images of {rows}x{columns} with {channels} channel{'s' * (channels != 1)}"


def _image(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ShapeError(f"needs images, but gets {describe(shape)}; put it before flatten, dense and global average")
    channels, rows, columns = shape
    return channels, rows, columns


def _groups_divide(layer: layers.Conv2D, channels: int) -> None:
    if channels % layer.groups or layer.filters % layer.groups:
        fits = [n for n in range(1, math.gcd(channels, layer.filters) + 1) if not (channels % n or layer.filters % n)]
        raise ShapeError(
            f"{layer.groups} groups must divide both the {channels} channels it gets and its {layer.filters} filters; "
            f"with these, groups can be {', '.join(map(str, fits))}"
        )


MOST_AXES = 256
"""Numbers in a patch whose principal axes are found."""


def _can_whiten(layer: layers.Conv2D, image: tuple[int, int, int]) -> None:
    channels, *size = image
    axes, (rows, columns) = channels * math.prod(layer.kernel), layer.kernel
    spans = [(k - 1) * d + 1 for k, d in zip(layer.kernel, layer.dilation, strict=True)]
    if layer.groups > 1:
        raise ShapeError("`whiten` is for one group: its filters look at all channels of a patch")
    if axes > MOST_AXES or any(span > there for span, there in zip(spans, size, strict=True)):
        raise ShapeError(
            f"`whiten` needs patches that fit into the image of {size[0]}x{size[1]}, of at most {MOST_AXES} numbers; "
            f"its kernel of {rows}x{columns} with {channels} channels sees {axes}"
        )
    if layer.filters > 2 * axes:
        raise ShapeError(
            f"`whiten` has at most {2 * axes} filters here: patches of {rows}x{columns} with {channels} "
            f"channel{'s' * (channels != 1)} have {axes} principal axes, each with its negative"
        )


def _sides(padding: Padding, size: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Sides:
    """Resolve `padding`; where `same` needs an odd number, the extra row or column goes to the bottom or right."""
    if padding == "valid":
        return (0, 0, 0, 0)
    if padding != "same":
        return padding
    total = [
        max(0, (math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n)
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)
    ]
    top, left = total[0] // 2, total[1] // 2
    return (top, left, total[0] - top, total[1] - left)


def _positions(layer: layers.Conv2D | layers.MaxPool2D | layers.AvgPool2D, size: Pair, sides: Sides) -> Pair:
    """Rows and columns of positions at which the kernel or window fits into the padded image."""
    convolution = isinstance(layer, layers.Conv2D)
    kernel = layer.kernel if isinstance(layer, layers.Conv2D) else layer.window
    dilation = layer.dilation if isinstance(layer, layers.Conv2D) else (1, 1)
    stride = layer.stride or kernel
    padded = (sides[0] + size[0] + sides[2], sides[1] + size[1] + sides[3])
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if spans[0] > padded[0] or spans[1] > padded[1]:
        fits = [(n - 1) // d + 1 for n, d in zip(padded, dilation, strict=True)]
        dilated = f", {spans[0]}x{spans[1]} when dilated," if max(dilation) > 1 else ""
        with_padding = f", {padded[0]}x{padded[1]} with padding" if any(sides) else ""
        raise ShapeError(
            f"its {'kernel' if convolution else 'window'} of {kernel[0]}x{kernel[1]}{dilated} is larger than the "
            f"{size[0]}x{size[1]} image it gets{with_padding}; at most {fits[0]}x{fits[1]} fits, or use `same`, or "
            "pool less before it"
        )
    rows, columns = ((n - k) // s + 1 for n, k, s in zip(padded, spans, stride, strict=True))
    return rows, columns


def _no_window_of_padding(layer: layers.MaxPool2D | layers.AvgPool2D, size: Pair, out: Pair, sides: Sides) -> None:
    stride = layer.stride or layer.window
    for axis, what in enumerate(("row", "column")):
        before, window = sides[axis], layer.window[axis]
        if before >= window or (out[axis] - 1) * stride[axis] - before >= size[axis]:
            raise ShapeError(
                f"a window of {layer.window[0]}x{layer.window[1]} would lie entirely in the padding "
                f"{sides[0]}:{sides[1]}:{sides[2]}:{sides[3]} (top:left:bottom:right) and hold no {what} of the "
                f"{size[0]}x{size[1]} image; {what} padding can be at most {window - 1} here, or use `same`"
            )


def _branches_equal(body: Shape, shortcut: Shape) -> None:
    if body == shortcut:
        return
    advice = "make the body keep the shape"
    if len(body) == len(shortcut) == 3:
        stride = tuple(max(1, math.ceil(s / b)) for b, s in zip(body[1:], shortcut[1:], strict=True))
        strided = tuple(math.ceil(s / t) for s, t in zip(shortcut[1:], stride, strict=True))
        if strided == body[1:]:
            rows, columns = stride
            words = "" if stride == (1, 1) else f" stride {rows}" if rows == columns else f" stride {rows}x{columns}"
            advice = f'put "conv {body[0]}@1x1{words}" at the end of the shortcut, after a "|"'
        else:
            advice = "use `same` in the body, so that both keep their rows and columns"
    elif len(body) == len(shortcut) == 1:
        advice = f'put "dense {body[0]}" at the end of the shortcut, after a "|"'
    raise ShapeError(
        f"its body gives {describe(body)} and its shortcut {describe(shortcut)}, which cannot be added; {advice}"
    )


def _one_for_each_channel(shape: Shape, factors: Shape) -> None:
    if (factors[0], math.prod(factors)) != (shape[0], shape[0]):
        raise ShapeError(
            f"its body gives {describe(factors)} for {describe(shape)}, which needs {shape[0]} features: begin it with "
            f"`global average` and end it with `dense {shape[0]}, sigmoid`"
        )


MOST_BRANCHES = 60
"""Inputs of one kernel: it gets a pointer for each."""


def _few_enough(inputs: tuple[Shape, ...]) -> None:
    if len(inputs) > MOST_BRANCHES:
        raise ShapeError(f"it takes {len(inputs)} inputs; up to {MOST_BRANCHES} fit, so join some of them first")


def _joined(inputs: tuple[Shape, ...]) -> Shape:
    first = inputs[0]
    for number, shape in enumerate(inputs[1:], 2):
        if shape[1:] != first[1:] or len(shape) != len(first):
            raise ShapeError(
                f"branch 1 gives {describe(first)} and branch {number} {describe(shape)}; all branches must give "
                "the same rows and columns: use `same` and equal strides in them, or `flatten` at the end of each"
            )
    return (sum(shape[0] for shape in inputs), *first[1:])
