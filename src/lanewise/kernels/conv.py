"""Convolution: the weighted sum of a neighbourhood, with the same weights at every position.

    y[o, r, c]     = bias[o] + sum over i, u, v of  w[o, i, u, v] x[i, r s + u d, c s + v d]
    dx[i, r, c]    = sum over o, u, v of            w[o, i, u, v] dy[o, (r - u d) / s, (c - v d) / s]   where whole
    dw[o, i, u, v] = sum over r, c, images of       dy[o, r, c] x[i, r s + u d, c s + v d]
    db[o]          = sum over r, c, images of       dy[o, r, c]

(the last two in `conv_weight_gradient.py`) with stride s and dilation d; x and dy are read through borders of zeros,
where padding shifts rows by `top` and columns by `left`. Sums run in the order written: `o` or `i` outermost, then u,
v; or r, c. Then lanes by the fixed tree of `across.py`. Tiles choose which outputs are worked on together, never the
order of one sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from lanewise.kernels.layout import Layout, Sides
from lanewise.kernels.pointwise import put
from lanewise.kernels.pool import Pool, finisher
from lanewise.kernels.tiles import blocks, outer_product
from lanewise.lanes.program import Buffer, Index, Program, Recorder, Register, Value, kernel

UNROLLED_MULTIPLY_ADDS = 160
UNROLLED_GRADIENTS = 400
"""Kernel rows `u` become a loop when unrolling them would record more than this, forward and in the input gradient:
code that fits, compiled sooner."""

TOGETHER = 24
"""Accumulators of a strided convolution's input gradient: all phases of some positions at once."""

MOST_BANDS = 16
MOST_COLUMN_BLOCKS = 2
WORTH_BANDS = 0.85
"""Rows and columns near the edges get code of their own where taps that only meet zeros are more than a share of 1 -
this, and if that does not make too much code."""


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution with everything resolved; `padding` is (top, left, bottom, right)."""

    filters: int
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Sides = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    bias: bool = True

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(filters, channels of one group, kernel rows, kernel columns)."""
        return (self.filters, self.channels // self.groups, *self.kernel)

    def x_border(self, x: Layout, y: Layout) -> Sides:
        """How far past its edges the input is read: by the forward kernel and by the weight gradient."""
        (_, x_rows, x_columns), (_, rows, columns) = x.shape, y.shape
        reach_rows = (rows - 1) * self.stride[0] + (self.kernel[0] - 1) * self.dilation[0] + 1
        reach_columns = (columns - 1) * self.stride[1] + (self.kernel[1] - 1) * self.dilation[1] + 1
        top, left = self.padding[:2]
        return (top, left, max(0, reach_rows - top - x_rows), max(0, reach_columns - left - x_columns))

    def reads(self, row: int, column: int) -> bool:
        """Whether an output, if there were enough of them, would read inputs at this row and column."""
        axes = zip((row, column), self.kernel, self.stride, self.padding[:2], self.dilation, strict=True)
        return all(any((at + before - u * apart) % s == 0 for u in range(taps)) for at, taps, s, before, apart in axes)

    def dy_border(self, x: Layout, y: Layout) -> Sides:
        """How far past its edges the output's gradient is read by the input gradient."""
        before, after = [0, 0], [0, 0]
        for axis in (0, 1):
            size, out = x.shape[1 + axis], y.shape[1 + axis]
            for phase in _phases(self, axis, size):
                for _, shift in phase.taps:
                    before[axis] = max(before[axis], -shift)
                    after[axis] = max(after[axis], phase.count - 1 + shift - (out - 1))
        return (before[0], before[1], after[0], after[1])


@dataclass(frozen=True, slots=True)
class _Phase:
    """Input positions first, first + stride, ...: `count` of them are fed by the same taps.

    `taps` are (kernel index, shift): position number n reads the output's gradient at n + shift. Both are evenly
    spaced.
    """

    first: int
    count: int
    taps: tuple[tuple[int, int], ...]

    def rolled(self, k: Recorder, multiply_adds: int) -> Iterator[tuple[Index, Index]]:
        """The taps: unrolled while that stays small, else a loop."""
        (u, shift), *others = self.taps
        next_u, next_shift = others[0] if others else (u, shift)
        for n in _rolled(k, len(self.taps), multiply_adds, UNROLLED_GRADIENTS):
            yield u + n * (next_u - u), shift + n * (next_shift - shift)

    def blocks(self, k: Recorder, tile: int, out: int) -> Iterator[tuple[Index, int]]:
        """Positions `tile` at a time: (first, how many). `out`: the gradient's columns.

        Few blocks are code of their own, with `first` a number, where many of their taps meet the border of zeros.
        """
        inside = sum(0 <= n + shift < out for n in range(self.count) for _, shift in self.taps)
        if self.count > MOST_COLUMN_BLOCKS * tile or inside > WORTH_BANDS * self.count * len(self.taps):
            yield from blocks(k, self.count, tile)
            return
        for first in range(0, self.count, tile):
            yield first, min(tile, self.count - first)

    def bands(self, stride: int, out: int) -> list[_Phase]:
        """Positions by the taps that meet rows of the gradient, and not its border of zeros. `out`: its rows.

        Each band is code of its own, so they are told apart only where that leaves out a good part of the work.
        """
        inside = [tuple(t for t in self.taps if 0 <= n + t[1] < out) for n in range(self.count)]
        starts = [n for n in range(self.count) if n == 0 or inside[n] != inside[n - 1]]
        if len(starts) > MOST_BANDS or sum(map(len, inside)) > WORTH_BANDS * self.count * len(self.taps):
            return [self]
        return [
            _Phase(self.first + start * stride, end - start, tuple((u, shift + start) for u, shift in inside[start]))
            for start, end in zip(starts, [*starts[1:], self.count], strict=True)
        ]


def _phases(conv: Conv, axis: int, size: int) -> Iterator[_Phase]:
    stride, dilation, before = conv.stride[axis], conv.dilation[axis], conv.padding[axis]
    for first in range(min(stride, size)):
        reach = [(u, first + before - u * dilation) for u in range(conv.kernel[axis])]
        taps = tuple((u, position // stride) for u, position in reach if position % stride == 0)
        yield _Phase(first, len(range(first, size, stride)), taps)


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
    """Buffers: x, weight, bias (if any), plus (if any), y, argmax (if asked for). With `relu`, y = max(y, 0).

    With `plus`, something as large as y is added to it, before the ReLU: the sum of a residual block.

    With `pool`, y is what that max pool makes of it, and the map before it is never in memory: the outputs of a window
    are in registers together. `argmax` are for the pool's backward pass, `pool.argmax_backward`, and lie as given.
    """
    k = Recorder("conv forward")
    x_in, w = x.buffer(k, "x"), k.scalars("weight", conv.weight_shape)
    b = k.scalars("bias", (conv.filters,)) if conv.bias else None
    finish = finisher(k, y, relu=relu, plus=plus, argmax=argmax)
    (rows_u, columns_v), (s_r, s_c), (top, left) = conv.kernel, conv.stride, conv.padding[:2]
    _, rows, columns = y.shape
    group_filters, group_channels = conv.filters // conv.groups, conv.channels // conv.groups
    window_rows, window_columns = window = pool.window if pool else (1, 1)
    tile_o, tile_c = outer_product(group_filters, columns, columns_v, s_c, registers, window)

    for g in k.loop(conv.groups):
        for r in k.loop(rows):
            for c, width in blocks(k, columns, tile_c):
                windows = [
                    [(p, n * window_columns + q) for p in range(window_rows) for q in range(window_columns)]
                    for n in range(width)
                ]
                outputs = [at for window_outputs in windows for at in window_outputs]
                for o, height in blocks(k, group_filters, tile_o):
                    filters = [g * group_filters + o + m for m in range(height)]
                    total = [{at: k.register(b[f] if b else 0.0) for at in outputs} for f in filters]
                    for i in k.loop(group_channels):
                        for u in _rolled(k, rows_u, height * len(outputs) * columns_v):
                            corner = (
                                g * group_channels + i,
                                r * (window_rows * s_r) + u * conv.dilation[0] - top,
                                c * (window_columns * s_c) - left,
                            )
                            _add_kernel_row(conv, (w, filters, i, u), (x_in, corner), total)
                    for m, f in enumerate(filters):
                        for n in range(width):
                            finish((f, r, c + n), [total[m][at].get() for at in windows[n]])
    return k.program()


def _add_kernel_row(
    conv: Conv,
    kernel_row: tuple[Buffer, list[Index], Index, Index],
    image: tuple[Buffer, tuple[Index, Index, Index]],
    total: list[dict[tuple[int, int], Register]],
) -> None:
    """Add to each filter's sums, at (row, column) of a tile of outputs, what kernel row u of channel i says.

    `image` is x, and where in it the kernel row lies for the tile's first output.
    """
    (w, filters, i, u), (x, (channel, row, column)) = kernel_row, image
    seen: dict[tuple[int, int], Value] = {}
    for v in range(conv.kernel[1]):
        weights = [w[f, i, u, v] for f in filters]
        for p, q in total[0]:
            at = (p * conv.stride[0], q * conv.stride[1] + v * conv.dilation[1])
            if at not in seen:
                seen[at] = x[channel, row + at[0], column + at[1]]
            for m, weight in enumerate(weights):
                total[m][p, q].accumulate(weight, seen[at])


def _rolled(k: Recorder, count: int, multiply_adds: int, most: int = UNROLLED_MULTIPLY_ADDS) -> Iterator[Index]:
    """Kernel rows: unrolled while that stays small, else a loop."""
    return iter(range(count)) if count * multiply_adds <= most else k.loop(count)


@kernel
def backward_input(
    conv: Conv,
    x: Layout,
    dy: Layout,
    dx: Layout,
    *,
    mask: bool = False,
    accumulate: bool = False,
    gaps: bool = False,
    onto: Conv | None = None,
    registers: int = 32,
) -> Program:
    """Buffers: weight, dy, x (with `mask`), dx.

    With `mask`, x came out of a ReLU and dx, all that was added up, is made zero where x is: the ReLU's own backward
    pass for free. With `gaps`, positions that it never `reads` are left as they are; what adds to such a gradient next
    says `onto` which convolution's it is, has the same stride, and writes there.
    """
    k = Recorder("conv backward input")
    w, dy_in = k.scalars("weight", conv.weight_shape), dy.buffer(k, "dy")
    x_in = x.buffer(k, "x") if mask else None
    part = _InputGradient(k, conv, w, dy_in, x_in, dx.buffer(k, "dx"), dy.shape[2])
    row_phases, column_phases = (tuple(_phases(conv, axis, x.shape[1 + axis])) for axis in (0, 1))
    if _alike(conv, (row_phases, column_phases), registers):
        part.all_phases(row_phases, column_phases, accumulate, onto)
        return k.program()
    for row_phase in (band for phase in row_phases for band in phase.bands(conv.stride[0], dy.shape[1])):
        for column_phase in column_phases:
            first = row_phase.first, column_phase.first
            added = accumulate and (onto is None or onto.reads(*first))
            if row_phase.taps and column_phase.taps:
                part.one_phase(row_phase, column_phase, added, registers)
            elif mask if added else not gaps or conv.reads(*first):
                part.none(row_phase, column_phase, added)
    return k.program()


def _alike(conv: Conv, phases: tuple[tuple[_Phase, ...], tuple[_Phase, ...]], registers: int) -> bool:
    """Whether the phases of a strided convolution can be done together: as many positions in each, and registers.

    An axis shorter than the stride has fewer phases than the stride, so they cannot.
    """
    every = all(phase.taps and phase.count == axis[0].count for axis in phases for phase in axis)
    every = every and tuple(map(len, phases)) == conv.stride
    small = prod(conv.kernel) * TOGETHER <= UNROLLED_GRADIENTS * prod(conv.stride)
    return every and small and 1 < prod(conv.stride) <= TOGETHER // 4 and registers == 32


@dataclass(frozen=True, slots=True)
class _InputGradient:
    """The buffers of `backward_input`, x only if it masks, `columns` of dy; and what is recorded on them."""

    k: Recorder
    conv: Conv
    w: Buffer
    dy: Buffer
    x: Buffer | None
    dx: Buffer
    columns: int

    def one_phase(self, rows: _Phase, columns: _Phase, accumulate: bool, registers: int) -> None:
        """Gradients of the inputs that the same taps read."""
        k, conv, (s_r, s_c) = self.k, self.conv, self.conv.stride
        group_filters, group_channels = conv.filters // conv.groups, conv.channels // conv.groups
        tile_i, tile_c = outer_product(group_channels, columns.count, len(columns.taps), 1, registers)
        for g in k.loop(conv.groups):
            for r in k.loop(rows.count):
                for c, width in columns.blocks(k, tile_c, self.columns):
                    for i, height in blocks(k, group_channels, tile_i):
                        total = [[k.register() for _ in range(width)] for _ in range(height)]
                        for o in k.loop(group_filters):
                            self.gather_taps((g * group_filters + o, i, r, c), rows, columns, total)
                        for m in range(height):
                            for q in range(width):
                                row, column = r * s_r + rows.first, (c + q) * s_c + columns.first
                                place = g * group_channels + i + m, row, column
                                put(self.dx, place, total[m][q].get(), accumulate, self.x)

    def gather_taps(
        self, at: tuple[Index, Index, Index, Index], rows: _Phase, columns: _Phase, total: list[list[Register]]
    ) -> None:
        """Add what filter f's gradient says of a tile of input channels (from i on) and columns (from c on).

        Where c is known, nothing is multiplied with the border of zeros around the gradient's columns.
        """
        (f, i, r, c), height, width = at, len(total), len(total[0])
        for u, row_shift in rows.rolled(self.k, height * width * len(columns.taps)):
            seen: dict[int, Value] = {}
            for v, shift in columns.taps:
                inside = [
                    q for q in range(len(total[0])) if not isinstance(c, int) or 0 <= c + q + shift < self.columns
                ]
                weights = [self.w[f, i + m, u, v] for m in range(height if inside else 0)]
                for q in inside:
                    if q + shift not in seen:
                        seen[q + shift] = self.dy[f, r + row_shift, c + (q + shift)]
                    for m, weight in enumerate(weights):
                        total[m][q].accumulate(weight, seen[q + shift])

    def all_phases(
        self, rows: tuple[_Phase, ...], columns: tuple[_Phase, ...], accumulate: bool, onto: Conv | None
    ) -> None:
        """All phases at once: a loaded gradient feeds up to all taps, and dx is written from end to end.

        Phase by phase, as `one_phase` does it, each phase loads all of dy again and writes dx with gaps of a stride,
        which costs as many passes over both as there are phases. Here one turn of the loops computes s_r x s_c
        neighbouring pixels for each position of dy. Every sum still runs over o, then u, then v, so the bits are the
        same. It takes a register for each of these pixels, hence `_alike`.

        Parameters
        ----------
        rows, columns : tuple of _Phase
            On each axis all of one count.
        accumulate : bool
            Whether to add to what is in dx.
        onto : Conv, optional
            The convolution that wrote it and left gaps, if one did.
        """
        k, conv, (s_r, s_c) = self.k, self.conv, self.conv.stride
        group_filters, group_channels = conv.filters // conv.groups, conv.channels // conv.groups
        tile_i = min(2, group_channels)
        # Kernel row or column, which phase it belongs to, and the shift; sorted, so that each sum meets its taps in
        # order.
        taps_u, taps_v = (
            sorted((u, n, shift) for n, phase in enumerate(axis) for u, shift in phase.taps) for axis in (rows, columns)
        )
        for g in k.loop(conv.groups):
            for r in k.loop(rows[0].count):
                for c, width in blocks(k, columns[0].count, TOGETHER // (s_r * s_c * tile_i)):
                    for i, height in blocks(k, group_channels, tile_i):
                        places = list(product(range(height), range(s_r), range(width), range(s_c)))
                        total = {place: k.register() for place in places}
                        for o in k.loop(group_filters):
                            f, seen = g * group_filters + o, dict[tuple[int, int], Value]()
                            for (u, a, down), (v, b, right), m in product(taps_u, taps_v, range(height)):
                                weight = self.w[f, i + m, u, v]
                                for q in range(width):
                                    if (down, q + right) not in seen:
                                        seen[down, q + right] = self.dy[f, r + down, c + q + right]
                                    total[m, a, q, b].accumulate(weight, seen[down, q + right])
                        for m, a, q, b in places:
                            place = g * group_channels + i + m, r * s_r + a, (c + q) * s_c + b
                            added = accumulate and (onto is None or onto.reads(a, b))
                            put(self.dx, place, total[m, a, q, b].get(), added, self.x)

    def none(self, rows: _Phase, columns: _Phase, added: bool) -> None:
        """Positions that no output reads, as there are where the stride is larger than the kernel.

        What was added up there is masked; if nothing was, they are made zero.
        """
        k, x, (s_r, s_c) = self.k, self.x if added else None, self.conv.stride
        for i in k.loop(self.conv.channels):
            for r in k.loop(rows.count):
                for c, width in blocks(k, columns.count, 8):
                    for q in range(width):
                        place = i, r * s_r + rows.first, (c + q) * s_c + columns.first
                        self.dx[place] = k.apply("where_gt", x[place], 0.0, self.dx[place], 0.0) if x else 0.0
