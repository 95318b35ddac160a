"""The weights' slope of a convolution with a max pool inside, where nobody asks for the slope of its input.

    dw[o, i, u, v] = sum over r, c, images of da[o, r, c] x[i, r s + u d, c s + v d]
    db[o]          = sum over r, c, images of da[o, r, c]

where da, the slope before the pool, is dy at the tap that won its window and zero at the others. `da` is spelled out
for one row of windows and a few filters at a time, in the nearest cache, and never is a map in memory. Sums run in the
order of `conv_weight.backward_weight`; between rows of windows they wait in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from lanewise.kernels.across import lane_sum
from lanewise.kernels.conv import Conv
from lanewise.kernels.conv_weight_gradient import add_row, weight_tile
from lanewise.kernels.layout import Layout
from lanewise.kernels.pool import Pool
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import Buffer, Index, Program, Recorder, kernel

__all__ = ["backward_weight"]

WINDOWS = 4
"""Windows of a row spelled out by one turn of a loop."""


@kernel
def backward_weight(
    conv: Conv, x: Layout, dy: Layout, pool: Pool, *, accumulate: bool = False, values: int = 32
) -> Program:
    """Buffers: x, dy, winners, two for scratch, dweight, dbias (if any). With `accumulate`, adds to what is there."""
    k = Recorder("conv backward weight, pooled")
    x_in, dy_in, winners = x.buffer(k, "x"), dy.buffer(k, "dy"), Layout(dy.shape).buffer(k, "winners")
    (_, rows, columns), (down, across) = dy.shape, pool.window
    group_filters, group_channels = conv.filters // conv.groups, conv.channels // conv.groups
    tile = weight_tile(conv, columns * across, values)
    da = k.lanes("scratch_slopes", (tile.filters, down, columns * across))
    sums = k.lanes("scratch_sums", conv.weight_shape)
    dw = k.scalars("dweight", conv.weight_shape)

    for place in _places(k, conv):
        sums[place] = 0.0
    for r in k.loop(rows):
        for g in k.loop(conv.groups):
            for o, height in blocks(k, group_filters, tile.filters):
                filters = [g * group_filters + o + m for m in range(height)]
                for m, f in enumerate(filters):
                    _spell_out(k, pool, (dy_in, winners), (f, r, columns), (da, m))
                for i, depth in blocks(k, group_channels, tile.channels):
                    for u, tap_rows in blocks(k, conv.kernel[0], tile.rows):
                        taps = [(j, n, v) for j in range(depth) for n in range(tap_rows) for v in range(conv.kernel[1])]
                        total = [{(j, n, v): k.register(sums[f, i + j, u + n, v]) for j, n, v in taps} for f in filters]
                        for p in k.loop(down):
                            row = (r * down + p) * conv.stride[0] + u * conv.dilation[0] - conv.padding[0]
                            slopes, picture = (da, range(height), p), (x_in, (g * group_channels + i, row))
                            add_row(k, conv, slopes, picture, (columns * across, tile.columns), total)
                        for m, f in enumerate(filters):
                            for j, n, v in taps:
                                sums[f, i + j, u + n, v] = total[m][j, n, v].get()
    for place in _places(k, conv):
        slope = lane_sum(k, sums[place])
        dw[place] = dw[place] + slope if accumulate else slope
    if conv.bias:
        _bias_slope(k, pool, dy, (dy_in, winners), k.scalars("dbias", (conv.filters,)), accumulate)
    return k.program()


def _places(k: Recorder, conv: Conv) -> Iterator[tuple[Index, ...]]:
    """All weights."""
    filters, channels, rows_u, columns_v = conv.weight_shape
    for o in k.loop(filters):
        for i in k.loop(channels):
            for u in k.loop(rows_u):
                for v in range(columns_v):
                    yield o, i, u, v


def _spell_out(
    k: Recorder,
    pool: Pool,
    pooled: tuple[Buffer, Buffer],
    row: tuple[Index, Index, int],
    slopes: tuple[Buffer, int],
) -> None:
    """Write the slopes before the pool of a filter's row of windows, as those of filter m of `da`."""
    (dy, winners), (f, r, columns), (da, m) = pooled, row, slopes
    down, across = pool.window
    for c, width in blocks(k, columns, WINDOWS):
        for n in range(width):
            slope, winner = dy[f, r, c + n], winners[f, r, c + n]
            for p in range(down):
                for q in range(across):
                    here = k.apply("where_eq", winner, float(p * across + q), slope, 0.0)
                    da[m, p, (c + n) * across + q] = here


def _bias_slope(
    k: Recorder, pool: Pool, layout: Layout, pooled: tuple[Buffer, Buffer], db: Buffer, accumulate: bool
) -> None:
    """As `conv_weight.bias_slope`: a row of the map before the pool takes part with the windows that were won in it."""
    (dy, winners), (filters, rows, columns), (down, across) = pooled, layout.shape, pool.window
    for o, height in blocks(k, filters, 8):
        total = [k.register() for _ in range(height)]
        for r in k.loop(rows):
            for p in range(down):
                for c in k.loop(columns):
                    for m in range(height):
                        slope, winner = dy[o + m, r, c], winners[o + m, r, c]
                        not_before = k.apply("where_gt", winner, p * across - 0.5, slope, 0.0)
                        total[m].add(k.apply("where_gt", (p + 1) * across - 0.5, winner, not_before, 0.0))
        for m in range(height):
            slope = lane_sum(k, total[m].get())
            db[o + m] = db[o + m] + slope if accumulate else slope
