"""The weights' gradient of a convolution with a max pool inside, where nobody asks for the gradient of its input.

    dw[o, i, u, v] = sum over r, c, images of da[o, r, c] x[i, r s + u d, c s + v d]
    db[o]          = sum over r, c, images of da[o, r, c]

where da, the gradient before the pool, is dy at the tap that won its window and zero at the others. `da` is spelled out
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

WINDOWS = 4
"""Windows of a row spelled out by one turn of a loop."""


@kernel
def backward_weight(
    conv: Conv, x: Layout, dy: Layout, pool: Pool, *, accumulate: bool = False, registers: int = 32
) -> Program:
    """Buffers: x, dy, argmax, two for scratch, dweight, dbias (if any). With `accumulate`, adds to what is there."""
    k = Recorder("conv backward weight, pooled")
    x_in, dy_in, argmax = x.buffer(k, "x"), dy.buffer(k, "dy"), Layout(dy.shape).buffer(k, "argmax")
    (_, rows, columns), (down, across) = dy.shape, pool.window
    group_filters, group_channels = conv.filters // conv.groups, conv.channels // conv.groups
    tile = weight_tile(conv, columns * across, registers)
    da = k.lanes("scratch_gradients", (tile.filters, down, columns * across))
    sums = k.lanes("scratch_sums", conv.weight_shape)
    dw = k.scalars("dweight", conv.weight_shape)

    for place in _places(k, conv):
        sums[place] = 0.0
    for r in k.loop(rows):
        for g in k.loop(conv.groups):
            for o, height in blocks(k, group_filters, tile.filters):
                filters = [g * group_filters + o + m for m in range(height)]
                for m, f in enumerate(filters):
                    _spell_out(k, pool, (dy_in, argmax), (f, r, columns), (da, m))
                for i, depth in blocks(k, group_channels, tile.channels):
                    for u, tap_rows in blocks(k, conv.kernel[0], tile.rows):
                        taps = [(j, n, v) for j in range(depth) for n in range(tap_rows) for v in range(conv.kernel[1])]
                        total = [{(j, n, v): k.register(sums[f, i + j, u + n, v]) for j, n, v in taps} for f in filters]
                        for p in k.loop(down):
                            row = (r * down + p) * conv.stride[0] + u * conv.dilation[0] - conv.padding[0]
                            gradients, image = (da, range(height), p), (x_in, (g * group_channels + i, row))
                            add_row(k, conv, gradients, image, (columns * across, tile.columns), total)
                        for m, f in enumerate(filters):
                            for j, n, v in taps:
                                sums[f, i + j, u + n, v] = total[m][j, n, v].get()
    for place in _places(k, conv):
        gradient = lane_sum(k, sums[place])
        dw[place] = dw[place] + gradient if accumulate else gradient
    if conv.bias:
        _bias_gradient(k, pool, dy, (dy_in, argmax), k.scalars("dbias", (conv.filters,)), accumulate)
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
    gradients: tuple[Buffer, int],
) -> None:
    """Write the gradients before the pool of a filter's row of windows, as those of filter m of `da`."""
    (dy, argmax), (f, r, columns), (da, m) = pooled, row, gradients
    down, across = pool.window
    for c, width in blocks(k, columns, WINDOWS):
        for n in range(width):
            gradient, won = dy[f, r, c + n], argmax[f, r, c + n]
            for p in range(down):
                for q in range(across):
                    here = k.apply("where_eq", won, float(p * across + q), gradient, 0.0)
                    da[m, p, (c + n) * across + q] = here


def _bias_gradient(
    k: Recorder, pool: Pool, layout: Layout, pooled: tuple[Buffer, Buffer], db: Buffer, accumulate: bool
) -> None:
    """As `conv_weight.bias_gradient`: a row of the map before the pool takes part with the windows that were won in
    it."""
    (dy, argmax), (filters, rows, columns), (down, across) = pooled, layout.shape, pool.window
    for o, height in blocks(k, filters, 8):
        total = [k.register() for _ in range(height)]
        for r in k.loop(rows):
            for p in range(down):
                for c in k.loop(columns):
                    for m in range(height):
                        gradient, won = dy[o + m, r, c], argmax[o + m, r, c]
                        not_before = k.apply("where_gt", won, p * across - 0.5, gradient, 0.0)
                        total[m].add(k.apply("where_gt", (p + 1) * across - 0.5, won, not_before, 0.0))
        for m in range(height):
            gradient = lane_sum(k, total[m].get())
            db[o + m] = db[o + m] + gradient if accumulate else gradient
