"""Pooling: one number for each neighbourhood, channel by channel.

    max        y[i, r, c] = max over u, v of          x[i, r s - top + u, c s - left + v]
               dx = dy at the first u, v (in row-major order) where x = y, added up over windows in their order
    average    y[i, r, c] = 1 / count * sum over u, v of x[i, r s - top + u, c s - left + v]
               dx = dy / count at each u, v, likewise
    global     y[i] = mean of all x[i, r, c]

with stride s. Only taps inside the image take part: they, or with `count_padding` all of them, are the count. A
window that padding clips is recorded apart from the others, so no border is read and nothing is tested while running.
With `mask` x came out of a ReLU, and dx is the gradient before that ReLU: it is zero where x is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

from lanewise.kernels.layout import Layout, Sides
from lanewise.kernels.pointwise import put
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import Buffer, Index, Program, Recorder, Value, kernel

TILE = 4
"""Columns of y that are worked on together."""

GLOBAL_TILE = 8
"""Channels that a global average works on together."""

CLEARED = 8
"""Pixels zeroed by one turn of a loop."""

UNROLLED_TAPS = 64
"""Windows with more taps than this are loops, one row of taps after the other, and one column of y at a time."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The geometry of a pooling layer; `padding` is (top, left, bottom, right)."""

    window: tuple[int, int]
    stride: tuple[int, int]
    padding: Sides = (0, 0, 0, 0)

    @property
    def overlapping(self) -> bool:
        """Whether a pixel may belong to several windows."""
        return self.stride[0] < self.window[0] or self.stride[1] < self.window[1]


@dataclass(frozen=True, slots=True)
class _Run:
    """Positions first .. first + count - 1 along an axis of y, whose windows have the taps low .. high - 1.

    Tap u of position r lies at r * stride - padding + u of x. A cell is a window with the gap that follows it up to the
    next one: taps high .. cell - 1 are pixels in no window.
    """

    first: int
    count: int
    low: int
    high: int
    cell: int


def _runs(pool: Pool, axis: int, size: int, out: int) -> list[_Run]:
    """The positions of an axis of y, gathered into runs of the same taps; `size` is that of x."""
    window, stride, padding = pool.window[axis], pool.stride[axis], pool.padding[axis]
    runs: list[_Run] = []
    for r in range(out):
        start = r * stride - padding
        low, room = max(0, -start), size - start
        taps = (low, min(window, room), min(max(window, stride), room))
        if runs and (runs[-1].low, runs[-1].high, runs[-1].cell) == taps:
            runs[-1] = _Run(runs[-1].first, runs[-1].count + 1, *taps)
        else:
            runs.append(_Run(r, 1, *taps))
    return runs


@dataclass(frozen=True, slots=True)
class _Windows:
    """Some neighbouring columns of one row of y: their places, and the taps that they have in common."""

    channel: Index
    row: Index
    columns: tuple[Index, ...]
    rows: _Run
    across: _Run
    pool: Pool

    def at(self, q: int) -> tuple[Index, Index, Index]:
        """The place of window `q` in y."""
        return self.channel, self.row, self.columns[q]

    def tap(self, q: int, u: Index, v: Index) -> tuple[Index, Index, Index]:
        """The place of its tap (u, v) in x."""
        (down, right), (top, left, _, _) = self.pool.stride, self.pool.padding
        return self.channel, self.row * down + u - top, self.columns[q] * right + v - left

    @property
    def taps(self) -> int:
        """How many taps a window has."""
        return (self.rows.high - self.rows.low) * (self.across.high - self.across.low)


def _windows(k: Recorder, pool: Pool, x: Layout, y: Layout, tile: int) -> Iterator[_Windows]:
    """All windows in row-major order, some columns at a time."""
    channels, rows, columns = y.shape
    row_runs, column_runs = _runs(pool, 0, x.shape[1], rows), _runs(pool, 1, x.shape[2], columns)
    if pool.window[0] * pool.window[1] > UNROLLED_TAPS:
        tile = 1
    for i in k.loop(channels):
        for down in row_runs:
            for r in k.loop(down.count):
                for across in column_runs:
                    for first, width in blocks(k, across.count, tile):
                        places = tuple(across.first + first + q for q in range(width))
                        yield _Windows(i, down.first + r, places, down, across, pool)


def _taps(k: Recorder, windows: _Windows) -> Iterator[tuple[Index, Index]]:
    """The taps (u, v) of a window in row-major order."""
    yield windows.rows.low, windows.across.low
    yield from _later_taps(k, windows)


def _later_taps(k: Recorder, windows: _Windows) -> Iterator[tuple[Index, Index]]:
    """All taps but the first."""
    down, across = windows.rows, windows.across
    if windows.taps <= UNROLLED_TAPS:
        taps = [(u, v) for u in range(down.low, down.high) for v in range(across.low, across.high)]
        yield from taps[1:]
        return
    for v in k.loop(across.high - across.low - 1):
        yield down.low, v + (across.low + 1)
    for u in k.loop(down.high - down.low - 1):
        for v in k.loop(across.high - across.low):
            yield u + (down.low + 1), v + across.low


def _fold(k: Recorder, windows: _Windows, xs: Buffer, step: Callable[[Value, Value], Value]) -> list[Value]:
    """step(... step(step(tap 0, tap 1), tap 2) ...) for each of the windows."""
    low = windows.rows.low, windows.across.low
    registers = [k.register(xs[windows.tap(q, *low)]) for q in range(len(windows.columns))]
    for u, v in _later_taps(k, windows):
        for q, register in enumerate(registers):
            register.set(step(register.get(), xs[windows.tap(q, u, v)]))
    return [register.get() for register in registers]


Give = Callable[[tuple[Index, Index, Index]], Value]
"""Records what the pixel at a place of x is given of its window's gradient."""


def _spread(
    k: Recorder,
    pool: Pool,
    y: Layout,
    dx: tuple[Layout, Buffer],
    window: Callable[[_Windows, int], Give],
    accumulate: bool,
    tile: int,
) -> None:
    """Write or add to dx what each window gives to its pixels; zero for pixels in no window."""
    layout, dxs = dx
    channels, rows, columns = layout.shape
    add = accumulate or pool.overlapping
    if pool.overlapping and not accumulate:
        for i in k.loop(channels):
            _clear(k, dxs, i, (0, rows), (0, columns))
    for windows in _windows(k, pool, layout, y, tile):
        for q in range(len(windows.columns)):
            give = window(windows, q)
            for u, v in _taps(k, windows):
                put(dxs, windows.tap(q, u, v), give(windows.tap(q, u, v)), add)
            if not add:
                _clear_gaps(k, dxs, windows, q)
    if not add:
        past_row, past_column = (_covered(pool, axis, layout, y) for axis in (0, 1))
        for i in k.loop(channels):
            _clear(k, dxs, i, (0, past_row), (past_column, columns - past_column))
            _clear(k, dxs, i, (past_row, rows - past_row), (0, columns))


def _covered(pool: Pool, axis: int, x: Layout, y: Layout) -> int:
    """Where the last cell of an axis ends: later pixels are in no window."""
    size, out = x.shape[1 + axis], y.shape[1 + axis]
    last = _runs(pool, axis, size, out)[-1]
    return (out - 1) * pool.stride[axis] - pool.padding[axis] + last.cell


def _clear_gaps(k: Recorder, dxs: Buffer, windows: _Windows, q: int) -> None:
    """Zero the pixels between window `q` and the next ones, to the right and below."""
    down, across = windows.rows, windows.across
    i, top, left = windows.tap(q, down.low, across.low)
    height, width = down.high - down.low, across.high - across.low
    _clear(k, dxs, i, (top, height), (left + width, across.cell - across.high))
    _clear(k, dxs, i, (top + height, down.cell - down.high), (left, across.cell - across.low))


def _clear(k: Recorder, dxs: Buffer, i: Index, rows: tuple[Index, int], columns: tuple[Index, int]) -> None:
    """Zero a rectangle of channel i; rows and columns are (first, count)."""
    if not columns[1]:
        return
    for r in k.loop(rows[1]):
        for first, width in blocks(k, columns[1], CLEARED):
            for q in range(width):
                dxs[i, rows[0] + r, columns[0] + first + q] = 0.0


@kernel
def max_forward(pool: Pool, x: Layout, y: Layout, tile: int = TILE) -> Program:
    """The largest value of each window. Buffers: x, y."""
    k = Recorder("max_pool")
    xs, ys = x.buffer(k, "x"), y.buffer(k, "y")
    for windows in _windows(k, pool, x, y, tile):
        for q, largest in enumerate(_fold(k, windows, xs, lambda so_far, tap: k.apply("max", tap, so_far))):
            ys[windows.at(q)] = largest
    return k.program()


MOST_JOINED = 6
"""Taps of a window that a convolution holds in registers until it knows the largest: as many as AVX2 has room for."""

NOBODY = -1.0
"""The argmax of a window from which no gradient passes."""


def joins_convolution(pool: Pool) -> bool:
    """Whether a convolution's kernel can do this max pooling: windows side by side, no padding, and not too large."""
    return pool.stride == pool.window and not any(pool.padding) and pool.window[0] * pool.window[1] <= MOST_JOINED


def _first_largest(k: Recorder, taps: list[Value], relu: bool, numbered: bool) -> tuple[Value, Value | None]:
    """The largest of a window's taps, each max(0, tap) with `relu`; with `numbered` the number of the first that is it.

    NOBODY wins where a ReLU would stop the gradient, or where the first tap, and hence the largest, is not a number.
    Only the first tap goes through the ReLU: a later one is chosen only if it is larger than that, so above zero.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    taps : list of Value
        In row-major order of the window; a convolution without a pool has one.
    relu : bool
        Whether a ReLU lies before or behind the pool, which is the same.
    numbered : bool
        Whether the argmax is asked for.
    """
    largest = k.apply("max", 0.0, taps[0]) if relu else taps[0]
    argmax = None
    if numbered:
        passes = ("where_gt", largest, 0.0) if relu else ("where_eq", largest, largest)
        argmax = k.apply(*passes, 0.0, NOBODY)
    for number, tap in enumerate(taps[1:], 1):
        if argmax is not None:
            argmax = k.apply("where_gt", tap, largest, float(number), argmax)
        largest = k.apply("max", tap, largest)
    return largest, argmax


def finisher(
    k: Recorder, y: Layout, *, relu: bool, plus: Layout | None, argmax: Layout | None = None
) -> Callable[[tuple[Index, Index, Index], list[Value]], None]:
    """Declare plus, y and argmax, as far as they are given, for the end of a kernel: a sum, a ReLU, a max pool.

    Parameters
    ----------
    k : Recorder
    y, plus, argmax : Layout
        How what is left of a window lies, what is added to its taps, and the number of its argmax. Without a pool a
        window has one tap.
    relu : bool
        Whether a ReLU lies before or behind the pool.

    Returns
    -------
    callable (place, taps)
        Records that end for the window at a place of y.
    """
    added = plus.buffer(k, "plus") if plus else None
    y_out, argmax_out = y.buffer(k, "y"), argmax.buffer(k, "argmax") if argmax else None

    def finish(place: tuple[Index, Index, Index], taps: list[Value]) -> None:
        taps = [tap + added[place] for tap in taps] if added else taps
        y_out[place], won = _first_largest(k, taps, relu, argmax is not None)
        if argmax_out and won:
            argmax_out[place] = won

    return finish


@kernel
def argmax_backward(pool: Pool, dy: Layout, dx: Layout, tile: int = TILE) -> Program:
    """Give each window's gradient to the tap that won it in the forward pass. Buffers: dy, argmax, dx.

    Nothing is read but what is as small as y.
    """
    k = Recorder("max_pool_backward")
    dys, argmax, dxs = dy.buffer(k, "dy"), Layout(dy.shape).buffer(k, "argmax"), dx.buffer(k, "dx")

    def window(windows: _Windows, q: int) -> Give:
        gradient, won, numbers = dys[windows.at(q)], argmax[windows.at(q)], count()
        return lambda _: k.apply("where_eq", won, float(next(numbers)), gradient, 0.0)

    _spread(k, pool, dy, (dx, dxs), window, False, tile)
    return k.program()


@kernel
def max_backward(
    pool: Pool, x: Layout, y: Layout, dy: Layout, dx: Layout, accumulate: bool, mask: bool = False, tile: int = TILE
) -> Program:
    """Give each window's gradient to the first of its pixels that is the largest. Buffers: x, y, dy, dx."""
    k = Recorder("max_pool_backward")
    xs, ys, dys, dxs = x.buffer(k, "x"), y.buffer(k, "y"), dy.buffer(k, "dy"), dx.buffer(k, "dx")

    def window(windows: _Windows, q: int) -> Give:
        largest, gradient = ys[windows.at(q)], dys[windows.at(q)]
        rest = k.register(k.apply("where_gt", largest, 0.0, gradient, 0.0) if mask else gradient)

        def give(tap: tuple[Index, Index, Index]) -> Value:
            value, gradient = xs[tap], rest.get()
            rest.set(k.apply("where_eq", value, largest, 0.0, gradient))
            return k.apply("where_eq", value, largest, gradient, 0.0)

        return give

    _spread(k, pool, y, (dx, dxs), window, accumulate, tile)
    return k.program()


@kernel
def average_forward(pool: Pool, x: Layout, y: Layout, count_padding: bool = False, tile: int = TILE) -> Program:
    """The mean of each window. Buffers: x, y."""
    k = Recorder("average_pool")
    xs, ys = x.buffer(k, "x"), y.buffer(k, "y")
    for windows in _windows(k, pool, x, y, tile):
        for q, total in enumerate(_fold(k, windows, xs, lambda so_far, tap: so_far + tap)):
            ys[windows.at(q)] = total * _share(windows, count_padding)
    return k.program()


@kernel
def average_backward(
    pool: Pool,
    x: Layout,
    dy: Layout,
    dx: Layout,
    accumulate: bool,
    mask: bool = False,
    count_padding: bool = False,
    tile: int = TILE,
) -> Program:
    """Give each pixel of a window an equal part of its gradient. Buffers: x, dy, dx; x is read only with `mask`."""
    k = Recorder("average_pool_backward")
    xs, dys, dxs = x.buffer(k, "x"), dy.buffer(k, "dy"), dx.buffer(k, "dx")

    def window(windows: _Windows, q: int) -> Give:
        part = dys[windows.at(q)] * _share(windows, count_padding)
        return lambda tap: k.apply("where_gt", xs[tap], 0.0, part, 0.0) if mask else part

    _spread(k, pool, dy, (dx, dxs), window, accumulate, tile)
    return k.program()


def _share(windows: _Windows, count_padding: bool) -> float:
    rows, columns = windows.pool.window
    return 1 / (rows * columns if count_padding else windows.taps)


@kernel
def global_average_forward(x: Layout, y: Layout) -> Program:
    """The mean of each channel, (channels, rows, columns) to (channels, 1, 1). Buffers: x, y.

    Each sum is one chain of additions; several channels are worked on at once to hide their latency.
    """
    k = Recorder("global_average")
    xs, ys = x.buffer(k, "x"), y.buffer(k, "y")
    channels, rows, columns = x.shape
    for first, width in blocks(k, channels, GLOBAL_TILE):
        totals = [k.register(0.0) for _ in range(width)]
        for r in k.loop(rows):
            for c in k.loop(columns):
                for p, total in enumerate(totals):
                    total.add(xs[first + p, r, c])
        for p, total in enumerate(totals):
            ys[first + p, 0, 0] = total.get() * (1 / (rows * columns))
    return k.program()


@kernel
def global_average_backward(x: Layout, dy: Layout, dx: Layout, accumulate: bool, mask: bool = False) -> Program:
    """Give each pixel an equal part of its channel's gradient. Buffers: x, dy, dx; x is read only with `mask`."""
    k = Recorder("global_average_backward")
    xs, dys, dxs = x.buffer(k, "x"), dy.buffer(k, "dy"), dx.buffer(k, "dx")
    channels, rows, columns = dx.shape
    for i in k.loop(channels):
        part = dys[i, 0, 0] * (1 / (rows * columns))
        for r in k.loop(rows):
            for first, width in blocks(k, columns, TILE):
                for q in range(width):
                    at = (i, r, first + q)
                    put(dxs, at, k.apply("where_gt", xs[at], 0.0, part, 0.0) if mask else part, accumulate)
    return k.program()
