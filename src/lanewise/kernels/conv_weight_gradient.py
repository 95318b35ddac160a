"""The gradients of a convolution's weights and bias.

    dw[o, i, u, v] = sum over r, c, images of   dy[o, r, c] x[i, r s + u d, c s + v d]
    db[o]          = sum over r, c, images of   dy[o, r, c]

with x and dy as in `conv.py`. Sums run over r, then c, then lanes by the fixed tree of `across.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

from lanewise.kernels.across import lane_sum
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import Buffer, Index, Program, Recorder, Register, Value, kernel


@kernel
def backward_weight(conv: Conv, x: Layout, dy: Layout, *, accumulate: bool = False, registers: int = 32) -> Program:
    """Buffers: x, dy, dweight, dbias (if any). With `accumulate`, adds to what is there."""
    k = Recorder("conv backward weight")
    x_in, dy_in = x.buffer(k, "x"), dy.buffer(k, "dy")
    dw = k.scalars("dweight", conv.weight_shape)
    _, rows, columns = dy.shape
    group_filters, group_channels = conv.filters // conv.groups, conv.channels // conv.groups
    tile = weight_tile(conv, columns, registers)

    for g in k.loop(conv.groups):
        for o, height in blocks(k, group_filters, tile.filters):
            filters = [g * group_filters + o + m for m in range(height)]
            for i, depth in blocks(k, group_channels, tile.channels):
                for u, tap_rows in blocks(k, conv.kernel[0], tile.rows):
                    taps = [(j, n, v) for j in range(depth) for n in range(tap_rows) for v in range(conv.kernel[1])]
                    total = [{tap: k.register() for tap in taps} for _ in filters]
                    for r in k.loop(rows):
                        corner = g * group_channels + i, r * conv.stride[0] + u * conv.dilation[0] - conv.padding[0]
                        add_row(k, conv, (dy_in, filters, r), (x_in, corner), (columns, tile.columns), total)
                    for m, f in enumerate(filters):
                        for j, n, v in taps:
                            place, gradient = (f, i + j, u + n, v), lane_sum(k, total[m][j, n, v].get())
                            dw[place] = dw[place] + gradient if accumulate else gradient
    if conv.bias:
        bias_gradient(k, dy_in, dy, k.scalars("dbias", (conv.filters,)), accumulate)
    return k.program()


def add_row(
    k: Recorder,
    conv: Conv,
    gradients: tuple[Buffer, Sequence[Index], Index],
    image: tuple[Buffer, tuple[Index, Index]],
    width: tuple[int, int],
    total: list[dict[tuple[int, int, int], Register]],
) -> None:
    """Add to the filters' sums, by channel, kernel row and column, what a row of the output says.

    `gradients` are dy, the filters and the row; `image` is x, and the channel and row that the first kernel row meets;
    `width` is how many columns there are, and how many are unrolled.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    conv : Conv
    gradients : (dy, filters, row)
    image : (x, (channel, row))
        The channel and row that the first kernel row meets.
    width : (columns, unrolled)
    total : list of dict
        For each filter the sums, by (channel, kernel row, kernel column) of the tile.
    """
    (dy, filters, r), (x, (channel, row)), (columns, unrolled) = gradients, image, width
    for c, count in blocks(k, columns, unrolled):
        met = [[dy[f, r, c + q] for q in range(count)] for f in filters]
        seen: dict[tuple[int, int, int], Value] = {}
        for q in range(count):
            for j, n, v in total[0]:
                at = (j, n * conv.dilation[0], q * conv.stride[1] + v * conv.dilation[1])
                if at not in seen:
                    seen[at] = x[channel + j, row + at[1], c * conv.stride[1] + at[2] - conv.padding[1]]
                for m in range(len(filters)):
                    total[m][j, n, v].accumulate(met[m][q], seen[at])


@dataclass(frozen=True, slots=True)
class WeightTile:
    """Filters, channels and kernel rows that are summed together, and columns that are unrolled."""

    filters: int
    channels: int
    rows: int
    columns: int


def weight_tile(conv: Conv, columns: int, registers: int) -> WeightTile:
    """All taps of two filters where they fit (3x3), else one kernel row of a few filters; a column feeds them all.

    Where rows are short (1x1), of several channels too: a sum that shares none of its two factors is bound by loads.

    Parameters
    ----------
    conv : Conv
    columns : int
        Of the output.
    registers : int
        How many values of 16 lanes the target's registers hold.
    """
    most = {32: 18, 8: 6}.get(registers, 3)
    taps, row = conv.kernel[0] * conv.kernel[1], conv.kernel[1]
    group_filters = conv.filters // conv.groups
    rows = conv.kernel[0] if taps <= max(1, most // 2) or (taps <= most and group_filters == 1) else 1
    channels = max(1, min(conv.channels // conv.groups, isqrt(most // (rows * row))))
    filters = max(1, min(group_filters, most // (channels * rows * row)))
    unrolled = max(1, 96 // max(1, filters * channels * rows * row))
    best = min(range(1, min(columns, unrolled, 8) + 1), key=lambda n: (-(-columns // n) + (columns % n > 0), n))
    return WeightTile(filters, channels, rows, best)


def bias_gradient(k: Recorder, dy_in: Buffer, dy: Layout, db: Buffer, accumulate: bool) -> None:
    """The sum of dy over rows, columns and images, filter by filter: written to `db`, or added to what is there.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    dy_in, dy : Buffer, Layout
        The output's gradient, (filters, rows, columns) of 16 lanes.
    db : Buffer
        (filters,) scalars.
    accumulate : bool
        Whether to add to what is in db.
    """
    filters, rows, columns = dy.shape
    for o, height in blocks(k, filters, 8):
        total = [k.register() for _ in range(height)]
        for r in k.loop(rows):
            for c in k.loop(columns):
                for m in range(height):
                    total[m].add(dy_in[o + m, r, c])
        for m in range(height):
            gradient = lane_sum(k, total[m].get())
            db[o + m] = db[o + m] + gradient if accumulate else gradient
