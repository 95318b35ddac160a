"""Winograd's convolution, with fewer multiplications: for 16 outputs of 3x3 taps 36 instead of 144, of 5x5 taps 64
instead of 400.

    y  = A^T [ sum over i of (G w[o, i] G^T) * (B^T x[i] B) ] A + bias[o]      tile by tile, * point by point
    dx = the same of dy, with the kernels turned around and `o` and `i` swapped

with the matrices of `winograd_transforms.py`. For a block of tiles: transform the inputs of
all channels (`v`), multiply the matrices of each point (`m`), transform back. Weights (`u`) are transformed once, by a
program of their own, and serve all images. Every sum over channels runs in order, from zero, whatever the blocks.

A lane still is an image, so a transform is additions and multiplications of whole vectors, without a shuffle. Inputs
are read past the edge in whole tiles (`x_border`, `dy_border`); of outputs, only what lies inside is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from math import prod

from lanewise.kernels import winograd_few
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout, Sides
from lanewise.kernels.pointwise import put
from lanewise.kernels.pool import Pool, finisher
from lanewise.kernels.tiles import UNROLLED_SUM, blocks, matrix_tile
from lanewise.kernels.unpool import Source, gradients_in
from lanewise.kernels.winograd_few import Finish, Place, few
from lanewise.kernels.winograd_tiles import (
    WORTHWHILE,
    Tiling,
    analyse,
    border,
    odd,
    suits,
    tiling_forward,
    tiling_of,
    whole,
)
from lanewise.kernels.winograd_transforms import Row, both_axes
from lanewise.lanes.program import LANES, Buffer, Index, Program, Recorder, Value, kernel


def _pooled_tiling(conv: Conv, x: Layout, y: Layout, pool: Pool) -> Tiling:
    """The tiling for the map before the pool, without what no window reaches. Which points follows from all of it."""
    tiling = tiling_forward(conv, whole(conv, x))
    reached = replace(tiling.rows, size=y.shape[1] * pool.window[0])
    return replace(tiling, rows=reached, columns=replace(tiling.columns, size=y.shape[2] * pool.window[1]))


def _backward_tiling(conv: Conv, x: Layout) -> Tiling:
    (top, left), (rows, columns) = conv.padding[:2], conv.kernel
    return tiling_of(conv.filters, conv.channels, x.shape[1:], conv.kernel, (rows - 1 - top, columns - 1 - left))


def x_border(conv: Conv, x: Layout, y: Layout) -> Sides:
    """How far past its edges `forward` reads the input; `backward_weight` reads no further.

    Parameters
    ----------
    conv : Conv
        Of stride 1, with a kernel that Winograd's method knows.
    x, y : Layout
        Input and output; only their shapes matter.
    """
    return border(tiling_forward(conv, y), x)


def dy_border(conv: Conv, x: Layout, y: Layout) -> Sides:
    """How far past its edges `backward_input` reads the output's gradient.

    Parameters
    ----------
    conv : Conv
        Of stride 1, with a kernel that Winograd's method knows.
    x, y : Layout
        Input and output; only their shapes matter.
    """
    return border(_backward_tiling(conv, x), y)


def pooled_border(conv: Conv, x: Layout, dy: Layout, pool: Pool) -> Sides:
    """How far past its edges the gradients of input and weights read that of a max pool's output, and the argmax.

    Parameters
    ----------
    conv : Conv
        Of stride 1, with a kernel that Winograd's method knows.
    x : Layout
        The input; only its shape matters.
    dy : Layout
        The gradient of the pool's output.
    pool : Pool
    """
    windows, (_, rows, columns) = Layout(dy.shape), whole(conv, x).shape
    cut = int(rows % pool.window[0] > 0), int(columns % pool.window[1] > 0)
    return windows.with_border(border(_backward_tiling(conv, x), dy, pool.window)).with_border((0, 0, *cut)).border


def _cost(tiling: Tiling) -> float:
    """The share of direct convolution's work, by the schedule that it gets."""
    if few(tiling):
        return tiling.cost(products=1.2, analyse=1.3, synthesise=0.22)
    return tiling.cost(products=1.4, analyse=0.7, synthesise=0.7)


def forward_pays(conv: Conv, y: Layout) -> bool:
    """Whether `forward` is faster than direct convolution, by shape alone: bits may not depend on the machine."""
    return suits(conv) and _cost(tiling_forward(conv, y)) < WORTHWHILE


def backward_input_pays(conv: Conv, x: Layout) -> bool:
    """Whether `backward_input` is faster than direct convolution, by shape alone.

    Direct convolution leaves out taps that only meet the border.
    """
    y = whole(conv, x)
    inside = min(1.0, y.shape[1] * y.shape[2] / (x.shape[1] * x.shape[2]))
    return suits(conv) and _cost(_backward_tiling(conv, x)) < WORTHWHILE * inside


@kernel
def transform_weights(conv: Conv, x: Layout, y: Layout, *, gradient: bool = False) -> Program:
    """Weights for `forward`, or with `gradient` those for `backward_input`. Buffers: weight, transformed.

    Lanes hold the channels that are summed over.
    """
    k = Recorder("winograd weights")
    tiling = _backward_tiling(conv, x) if gradient else tiling_forward(conv, y)
    w, u = k.scalars("weight", conv.weight_shape), k.scalars("transformed", tiling.weight_shape)
    (taps_u, taps_v), channel_stride = conv.kernel, prod(conv.kernel)
    filter_stride = conv.channels * channel_stride
    output_stride, input_stride = (channel_stride, filter_stride) if gradient else (filter_stride, channel_stride)

    start = k.register(k.integer(0))
    for o in k.loop(tiling.outputs):
        channels = k.register(k.lane_number())
        for i in k.loop(-(-tiling.inputs // LANES)):
            channel = k.apply("where_ult", channels, tiling.inputs, channels, tiling.inputs - 1)
            taps = [k.gather(w, channel, input_stride, start.get() + tap) for tap in range(channel_stride)]
            if gradient:
                taps.reverse()
            grid = [taps[taps_v * u : taps_v * (u + 1)] for u in range(taps_u)]
            for a, row in enumerate(both_axes(k, tiling.rows.scheme.weigh, tiling.columns.scheme.weigh, grid)):
                for b, value in enumerate(row):
                    u.set_vector(value, tiling.point(a, b), tiling.weight(o, i * LANES))
            channels.add(LANES)
        start.add(output_stride)
    return k.program()


def pools(conv: Conv, y: Layout, pool: Pool) -> bool:
    """Whether `forward` can do that max pool of its outputs y: each window lies in one tile.

    Parameters
    ----------
    conv : Conv
        Of stride 1, with a kernel that Winograd's method knows.
    y : Layout
        The output before the pool; only its shape matters.
    pool : Pool
    """
    return suits(conv) and _aligned(tiling_forward(conv, y), pool)


def gradients_pool(conv: Conv, x: Layout, pool: Pool) -> bool:
    """Whether the gradients of input and weights can be had from that of a max pool's output and the argmax.

    Parameters
    ----------
    conv : Conv
        Of stride 1, with a kernel that Winograd's method knows.
    x : Layout
        The input; only its shape matters.
    pool : Pool
    """
    return suits(conv) and all(
        _aligned(tiling, pool) for tiling in (tiling_forward(conv, whole(conv, x)), _backward_tiling(conv, x))
    )


def _aligned(tiling: Tiling, pool: Pool) -> bool:
    outputs = tiling.rows.scheme.outputs, tiling.columns.scheme.outputs
    return all(size % window == 0 for size, window in zip(outputs, pool.window, strict=True))


@kernel
def forward(
    conv: Conv,
    x: Layout,
    y: Layout,
    *,
    relu: bool = False,
    plus: Layout | None = None,
    pool: Pool | None = None,
    argmax: Layout | None = None,
    registers: int = 32,
) -> Program:
    """Buffers: x, transformed weights, bias (if any), two for scratch, plus (if any), y, argmax (if asked for).

    With `relu`, y = max(y, 0); `plus` is added before that; with `pool`, y is what that max pool makes of it, and
    `argmax` are for its backward pass, as in `conv.forward`.
    """
    k = Recorder("winograd forward")
    tiling = _pooled_tiling(conv, x, y, pool) if pool else tiling_forward(conv, y)
    x_in, u = x.buffer(k, "x"), k.scalars("transformed", tiling.weight_shape)
    b_in = k.scalars("bias", (conv.filters,)) if conv.bias else None
    v, m = _scratch_buffers(k, tiling, registers)
    finish_window = finisher(k, y, relu=relu, plus=plus, argmax=argmax)
    window = pool.window if pool else (1, 1)
    tile_rows, tile_columns = tiling.rows.scheme.outputs // window[0], tiling.columns.scheme.outputs // window[1]

    def finish(tile: Place, outputs: Iterator[Row]) -> None:
        o, r, c = tile
        for a, b, taps in _windows(outputs, window):
            place = o, r * tile_rows + a, c * tile_columns + b
            finish_window(place, [tap + b_in[o] if b_in else tap for tap in taps])

    _convolve(k, tiling, (x_in, u, v, m), finish, registers)
    return k.program()


@kernel
def backward_input(
    conv: Conv,
    x: Layout,
    dy: Layout,
    dx: Layout,
    *,
    pool: Pool | None = None,
    mask: bool = False,
    accumulate: bool = False,
    registers: int = 32,
) -> Program:
    """Buffers: transformed weights (with `gradient`), dy, argmax (with `pool`), x (with `mask`), two for scratch, dx.

    With `pool`, dy is the gradient of what that max pool makes of y, and lies as the argmax do (`pooled_border`).

    With `mask`, x came out of a ReLU and dx, all that was added up, is made zero where x is: the ReLU's own backward
    pass for free.
    """
    k = Recorder("winograd backward input")
    tiling = _backward_tiling(conv, x)
    u, dy_in = k.scalars("transformed", tiling.weight_shape), gradients_in(k, dy, pool)
    x_in = x.buffer(k, "x") if mask else None
    v, m = _scratch_buffers(k, tiling, registers)
    dx_out = dx.buffer(k, "dx")

    def finish(tile: Place, outputs: Iterator[Row]) -> None:
        i, r, c = tile
        for a, row in enumerate(outputs):
            for b, value in enumerate(row):
                place = i, r * tiling.rows.scheme.outputs + a, c * tiling.columns.scheme.outputs + b
                put(dx_out, place, value, accumulate, x_in)

    _convolve(k, tiling, (dy_in, u, v, m), finish, registers)
    return k.program()


def _windows(outputs: Iterator[Row], window: tuple[int, int]) -> Iterator[tuple[int, int, list[Value]]]:
    """(row, column, taps) of each window of a tile, as soon as its rows are there."""
    rows, columns = window
    for a, together in enumerate(zip(*[outputs] * rows, strict=False)):
        for b in range(len(together[0]) // columns):
            yield a, b, [tap for row in together for tap in row[b * columns : (b + 1) * columns]]


def _scratch_buffers(k: Recorder, tiling: Tiling, registers: int) -> tuple[Buffer, Buffer]:
    if few(tiling):
        return winograd_few.scratch_buffers(k, tiling, registers)
    return (
        k.lanes("scratch_inputs", (tiling.points, odd(tiling.inputs * tiling.block))),
        k.lanes("scratch_products", (tiling.points, odd(tiling.together * tiling.block))),
    )


def _convolve(
    k: Recorder, tiling: Tiling, buffers: tuple[Source, Buffer, Buffer, Buffer], finish: Finish, registers: int
) -> None:
    if few(tiling):
        winograd_few.convolve(k, tiling, buffers, finish, registers)
        return
    source, u, v, m = buffers
    rows, columns = tiling.rows, tiling.columns
    for r, height, below in rows.spans(k):
        for c, width, beside in columns.spans(k):
            for i in k.loop(tiling.inputs):
                for p in k.loop(height):
                    for q in k.loop(width):
                        row = (r + p) * rows.scheme.outputs - rows.before
                        column = (c + q) * columns.scheme.outputs - columns.before
                        for point, value in enumerate(analyse(k, tiling, source, (i, row, column))):
                            v[point, i * tiling.block + p * width + q] = value
            for o, together in blocks(k, tiling.outputs, tiling.together):
                _multiply(k, tiling, (u, v, m), (o, together, height * width), registers)
                for n in k.loop(together):
                    for p, whole_rows in rows.inside(k, height, below):
                        for q, whole_columns in columns.inside(k, width, beside):
                            outputs = _synthesise(k, tiling, m, n * tiling.block + p * width + q)
                            inside = (row[:whole_columns] for row in islice(outputs, whole_rows))
                            finish((o + n, r + p, c + q), inside)


def _multiply(
    k: Recorder,
    tiling: Tiling,
    buffers: tuple[Buffer, Buffer, Buffer],
    part: tuple[Index, int, int],
    registers: int,
) -> None:
    """m[point, n, tile] = sum over i of u[point, o + n, i] v[point, i, tile]: a small matrix product at each point."""
    (u, v, m), (o, together, tiles) = buffers, part
    tile_o, tile_t = matrix_tile(together, tiles, tiling.inputs, registers)
    for point in k.loop(tiling.points):
        for n, height in blocks(k, together, tile_o):
            for t, width in blocks(k, tiles, tile_t):
                total = [[k.register() for _ in range(width)] for _ in range(height)]
                for first, count in blocks(k, tiling.inputs, UNROLLED_SUM):
                    for i in (first + step for step in range(count)):
                        seen = [v[point, i * tiling.block + t + q] for q in range(width)]
                        for p in range(height):
                            weight = u[point, tiling.weight(o + n + p, i)]
                            for q in range(width):
                                total[p][q].accumulate(weight, seen[q])
                for p in range(height):
                    for q in range(width):
                        m[point, (n + p) * tiling.block + t + q] = total[p][q].get()


def _synthesise(k: Recorder, tiling: Tiling, m: Buffer, at: Index) -> Iterator[Row]:
    """The outputs of one tile and channel, row by row."""
    rows, columns = tiling.rows.scheme, tiling.columns.scheme
    grid = [[m[tiling.point(a, b), at] for b in range(columns.points)] for a in range(rows.points)]
    return both_axes(k, rows.synthesise, columns.synthesise, grid)
