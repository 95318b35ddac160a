"""Convolution of one image, with 16 filters in the lanes.

    y[o, r, c] = bias[o] + sum over i, u, v of  w[o, i, u, v] x[i, r s + u d, c s + v d]

for 16 filters o at once: the weights of a tap are one vector, the pixel that they meet is one number, broadcast. With
as many groups as channels and filters, lanes hold channels and the sum over i falls away:

    y[i, r, c] = bias[i] + sum over u, v of  w[i, u, v] x[i, r s + u d, c s + v d]

Sums run in the order written, as in the kernels for 16 images. Groups that fill no whole blocks are laid out as one
convolution of all channels, whose other weights are zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from lanewise.kernels.activations import Applied, applied
from lanewise.kernels.conv import Conv
from lanewise.kernels.single.blocked import Blocked, blocks_of
from lanewise.kernels.tiles import FIRST_CACHE, UNROLLED_SUM, blocks, outer_product, product_tile
from lanewise.lanes.program import LANES, Buffer, Index, Program, Recorder, Register, Value, kernel

UNROLLED_MULTIPLY_ADDS = 160
"""Kernel rows become a loop when unrolling them would record more than this."""

Floats = NDArray[np.float32]


def is_depthwise(conv: Conv) -> bool:
    """Whether each channel has one filter of its own."""
    return conv.groups == conv.channels == conv.filters


def is_one_product(conv: Conv, x: Blocked, y: Blocked) -> bool:
    """Whether it is a product of two matrices whose positions are one long row, as no border parts the rows.

    Parameters
    ----------
    conv : Conv
    x, y : Blocked
        How its input and its output lie.
    """
    plain = x.plain and y.plain and x.shape[1:] == y.shape[1:] and not any(conv.padding)
    return conv.kernel == (1, 1) and conv.groups == 1 and plain


def one_row(layout: Blocked) -> Blocked:
    """A plain layout as that long row."""
    return replace(layout, shape=(layout.shape[0], 1, prod(layout.shape[1:])))


def _groups(conv: Conv) -> int:
    """Groups that are worked on one after the other; 1 where they are not made of whole blocks."""
    whole = conv.filters // conv.groups % LANES == 0 and conv.channels // conv.groups % LANES == 0
    return conv.groups if whole else 1


def lay_weight(conv: Conv, weight: Floats) -> Floats:
    """(o, i, u, v) as the kernel reads them: (blocks of filters, i, u, v, 16), or (blocks, u, v, 16) if depthwise."""
    if is_depthwise(conv):
        return _in_blocks(weight[:, 0])
    groups = conv.groups // _groups(conv)
    if groups == 1:
        return _in_blocks(weight)
    o, i = conv.filters // groups, conv.channels // groups
    whole = np.zeros((conv.filters, conv.channels, *conv.kernel), np.float32)
    for g in range(groups):
        whole[g * o : (g + 1) * o, g * i : (g + 1) * i] = weight[g * o : (g + 1) * o]
    return _in_blocks(whole)


def lay_bias(filters: int, bias: Floats | None) -> Floats:
    """(o,) as (blocks of filters, 16); zeros without a bias."""
    return _in_blocks(np.zeros(filters, np.float32) if bias is None else bias)


def _in_blocks(array: Floats) -> Floats:
    """(o, ...) to (blocks of o, ..., 16), filled up with zeros."""
    count = blocks_of(len(array))
    padded = np.zeros((count * LANES, *array.shape[1:]), np.float32)
    padded[: len(array)] = array
    return np.ascontiguousarray(np.moveaxis(padded.reshape(count, LANES, *array.shape[1:]), 1, -1))


@kernel
def forward(conv: Conv, x: Blocked, y: Blocked, *, activation: Applied | None = None, registers: int = 32) -> Program:
    """Buffers: x, weight (as `lay_weight` gives it), bias (as `lay_bias`), y. An activation is applied to y."""
    if is_depthwise(conv):
        return _depthwise(conv, x, y, activation)
    if conv.kernel == (1, 1) and conv.groups == 1:
        return _pointwise(conv, x, y, activation, registers)
    k = Recorder("single conv")
    groups, (_, rows, columns) = _groups(conv), y.shape
    o_blocks, channels = y.blocks // groups, conv.channels // groups
    x_in = x.buffer(k, "x")
    w = k.lanes("weight", (y.blocks, channels, *conv.kernel))
    bias, y_out = k.lanes("bias", (y.blocks,)), y.lanes.buffer(k, "y")
    tile_o, tile_c = outer_product(o_blocks, columns, conv.kernel[1], conv.stride[1], registers)

    for g in k.loop(groups):
        for o, height in blocks(k, o_blocks, tile_o):
            filters = [g * o_blocks + o + m for m in range(height)]
            for r in k.loop(rows):
                for c, width in blocks(k, columns, tile_c):
                    total = [[k.register(bias[f]) for _ in range(width)] for f in filters]
                    for block, i, number in _channels(k, x, channels, groups):
                        source = g * (channels // LANES) + block if groups > 1 else block
                        _add_taps(k, conv, (x_in, source, i), (r, c), (w, filters, number), total)
                    for m, f in enumerate(filters):
                        for q in range(width):
                            result = total[m][q].get()
                            y_out[f, r, c + q] = applied(k, result, activation)
    return k.program()


def _channels(k: Recorder, x: Blocked, channels: int, groups: int) -> Iterator[tuple[Index, Index, Index]]:
    """The channels of a group in order: block, lane, number."""
    group = x if groups == 1 else Blocked((channels, *x.shape[1:]))
    for block, lanes in group.parts(k):
        for i in k.loop(lanes):
            yield block, i, block * x.width + i


def _add_taps(
    k: Recorder,
    conv: Conv,
    source: tuple[Buffer, Index, Index],
    at: tuple[Index, Index],
    weight: tuple[Buffer, list[Index], Index],
    total: list[list[Register]],
) -> None:
    """Add what one channel (buffer, block, lane) says to a tile of filters and of columns of row r from c on.

    A pixel is loaded once for all the taps that meet it, and each output still meets its taps in their order.
    """
    (x, block, i), (r, c), (w, filters, number) = source, at, weight
    (rows_u, columns_v), (s_r, s_c), (d_r, d_c) = conv.kernel, conv.stride, conv.dilation
    top, left = conv.padding[:2]
    width = len(total[0])
    small = rows_u * columns_v * len(filters) * width <= UNROLLED_MULTIPLY_ADDS
    for u in range(rows_u) if small else k.loop(rows_u):
        weights = [[w[f, number, u, v] for v in range(columns_v)] for f in filters]
        for place in sorted({q * s_c + v * d_c for q in range(width) for v in range(columns_v)}):
            pixel = x[block, r * s_r + u * d_r - top, c * s_c + place - left, i]
            for v in range(columns_v):
                q, between = divmod(place - v * d_c, s_c)
                if not between and 0 <= q < width:
                    for m in range(len(filters)):
                        total[m][q].accumulate(weights[m][v], pixel)


def _pointwise(conv: Conv, x: Blocked, y: Blocked, activation: Applied | None, registers: int) -> Program:
    """A product of two matrices: weights times positions, which are one long row where no border parts the rows."""
    k = Recorder("single pointwise conv")
    (s_r, s_c), (top, left) = conv.stride, conv.padding[:2]
    if is_one_product(conv, x, y):
        s_r, s_c = 1, 1  # a stride along an axis that has one position says nothing, and would in the long row
        x, y = one_row(x), one_row(y)
    x_in, w = x.buffer(k, "x"), k.lanes("weight", (y.blocks, conv.channels))
    bias, y_out = k.lanes("bias", (y.blocks,)), y.lanes.buffer(k, "y")
    _, rows, columns = y.shape
    tile_o, tile_c = product_tile(y.blocks, columns, conv.channels, registers)

    def positions() -> Iterator[tuple[Index, Index, int]]:
        for r in k.loop(rows):
            for c, width in blocks(k, columns, tile_c):
                yield r, c, width

    def tile(rows_of: tuple[Index, int], at: tuple[Index, Index, int], part: _Part) -> None:
        (o, height), (r, c, width) = rows_of, at
        spots = [(m, q) for m in range(height) for q in range(width)]
        total = {(m, q): k.register(bias[o + m] if part.first else y_out[o + m, r, c + q]) for m, q in spots}
        for block, lanes in part.blocks(k):
            for i, unrolled in blocks(k, lanes, UNROLLED_SUM):
                for n in range(unrolled):
                    weights = [w[o + m, block * x.width + i + n] for m in range(height)]
                    for q in range(width):
                        pixel = x_in[block, r * s_r - top, (c + q) * s_c - left, i + n]
                        for m in range(height):
                            total[m, q].accumulate(weights[m], pixel)
        for m, q in spots:
            y_out[o + m, r, c + q] = applied(k, total[m, q].get(), activation if part.last else None)

    whole = _Part(x, 0, *divmod(x.shape[0], x.width), True, True)
    if conv.channels * y.blocks <= FIRST_CACHE // 2:  # weights stay in the first cache, so positions are met once
        for at in positions():
            for o, height in blocks(k, y.blocks, tile_o):
                tile((o, height), at, whole)
    else:
        for part in _parts(k, x, FIRST_CACHE // tile_o):
            for o, height in blocks(k, y.blocks, tile_o):
                for at in positions():
                    tile((o, height), at, part)
    return k.program()


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the blocks of channels that a sum runs over: `full` blocks from `start` on, and the one that is not full.

    The first part begins with the bias, a later one with what the part before has left in the output.
    """

    x: Blocked
    start: Index
    full: int
    rest: int
    first: bool
    last: bool

    def blocks(self, k: Recorder) -> Iterator[tuple[Index, int]]:
        """As (block, channels in it)."""
        for n in k.loop(self.full):
            yield self.start + n, self.x.width
        if self.rest:
            yield self.start + self.full, self.rest


def _parts(k: Recorder, x: Blocked, channels: int) -> Iterator[_Part]:
    """The sum over all channels in parts of about so many, whose weights stay in the first cache."""
    full, rest = divmod(x.shape[0], x.width)
    count = max(1, round(full * x.width / channels))
    size = -(-full // count)
    count = max(1, -(-full // size)) if size else 1
    if count == 1:
        yield _Part(x, 0, full, rest, True, True)
        return
    yield _Part(x, 0, size, 0, True, False)
    for n in k.loop(count - 2):
        yield _Part(x, (n + 1) * size, size, 0, False, False)
    yield _Part(x, (count - 1) * size, full - (count - 1) * size, rest, False, True)


def _depthwise(conv: Conv, x: Blocked, y: Blocked, activation: Applied | None) -> Program:
    k = Recorder("single depthwise conv")
    x_in, w = x.lanes.buffer(k, "x"), k.lanes("weight", (y.blocks, *conv.kernel))
    bias, y_out = k.lanes("bias", (y.blocks,)), y.lanes.buffer(k, "y")
    (rows_u, columns_v), (s_r, s_c), (d_r, d_c) = conv.kernel, conv.stride, conv.dilation
    top, left = conv.padding[:2]
    _, rows, columns = y.shape
    for b in k.loop(y.blocks):
        for r in k.loop(rows):
            for c, width in blocks(k, columns, DEPTHWISE_TILE):
                total = [k.register(bias[b]) for _ in range(width)]
                for u in range(rows_u) if rows_u * columns_v * width <= UNROLLED_MULTIPLY_ADDS else k.loop(rows_u):
                    seen: dict[int, Value] = {}
                    for v in range(columns_v):
                        weight = w[b, u, v]
                        for q in range(width):
                            place = q * s_c + v * d_c
                            if place not in seen:
                                seen[place] = x_in[b, r * s_r + u * d_r - top, c * s_c + place - left]
                            total[q].accumulate(weight, seen[place])
                for q in range(width):
                    result = total[q].get()
                    y_out[b, r, c + q] = applied(k, result, activation)
    return k.program()


DEPTHWISE_TILE = 8
"""Columns that a depthwise convolution works on together."""
