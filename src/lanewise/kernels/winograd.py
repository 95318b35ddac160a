"""Winograd's convolution: 3x3 kernels with 36 multiplications for 16 outputs instead of 144.

    y  = A^T [ sum over i of (G w[o, i] G^T) * (B^T x[i] B) ] A + bias[o]      tile by tile, * point by point
    dx = the same of dy, with the kernels turned around and `o` and `i` swapped

with the matrices of `winograd_transforms.py`. For a block of tiles that fits into the cache: transform the inputs of
all channels (`v`), multiply the matrices of each point (`m`), transform back. Weights (`u`) are transformed once, by a
program of their own, and serve all images. Every sum over channels runs in order, from zero, whatever the blocks.

A lane still is an image, so a transform is additions and multiplications of whole vectors, without a shuffle. Inputs
are read past the edge in whole tiles (`x_border`, `dy_border`); of outputs, only what lies inside is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout, Sides
from lanewise.kernels.tiles import blocks, outer_product
from lanewise.kernels.winograd_transforms import F2, F4, TAPS, Scheme, both_axes
from lanewise.lanes.program import LANES, Buffer, Index, Program, Recorder, Value

CACHED = 10240
"""Vectors of 64 bytes that a block of transformed inputs may take, and its products again: they share 2 MB of cache."""

Finish = Callable[[tuple[Index, Index, Index], Value], None]
"""What is done with an output: its place (channel, row, column), its value."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """Rows or columns of outputs in tiles, `block` tiles worked on together; `before` inputs lie before the first."""

    scheme: Scheme
    size: int
    before: int
    block: int

    @property
    def tiles(self) -> int:
        return self.scheme.tiles(self.size)

    @property
    def reach(self) -> int:
        """How many inputs all tiles read from end to end."""
        return self.tiles * self.scheme.outputs + TAPS - 1

    def spans(self, k: Recorder) -> Iterator[tuple[Index, int, bool]]:
        """Cover all tiles with blocks: (first, width, whether the last of them sticks out)."""
        if self.size % self.scheme.outputs == 0:
            for first, width in blocks(k, self.tiles, self.block):
                yield first, width, False
            return
        whole = (self.tiles - 1) // self.block * self.block
        for first, width in blocks(k, whole, self.block):
            yield first, width, False
        yield whole, self.tiles - whole, True

    def inside(self, k: Recorder, width: int, sticks_out: bool) -> Iterator[tuple[Index, int]]:
        """The tiles of a block: (number, how many outputs lie inside)."""
        for tile in k.loop(width - sticks_out):
            yield tile, self.scheme.outputs
        if sticks_out:
            yield width - 1, self.size % self.scheme.outputs


@dataclass(frozen=True, slots=True)
class _Tiling:
    """One convolution in tiles: `inputs` channels to `outputs` channels, `together` of these at once."""

    inputs: int
    outputs: int
    rows: _Axis
    columns: _Axis
    together: int

    @property
    def points(self) -> int:
        """Points of a tile."""
        return self.rows.scheme.points * self.columns.scheme.points

    @property
    def block(self) -> int:
        """Tiles worked on together."""
        return self.rows.block * self.columns.block

    @property
    def weight_shape(self) -> tuple[int, int, int]:
        """(points, outputs, inputs), inputs padded to whole vectors."""
        return (self.points, self.outputs, -(-self.inputs // LANES) * LANES)


def _scheme(size: int) -> Scheme:
    """What needs fewer points; F(2, 3), the more exact one, when they are equal."""
    return min((F2, F4), key=lambda scheme: scheme.tiles(size) * scheme.points)


def _split(count: int, most: int) -> int:
    """Size of nearly equal blocks of at most `most`."""
    return -(-count // -(-count // most))


def _tiling(inputs: int, outputs: int, shape: tuple[int, int], before: tuple[int, int]) -> _Tiling:
    rows, columns = (_scheme(size) for size in shape)
    points = rows.points * columns.points
    most = max(4, min(16, CACHED // (points * inputs)))
    width = _split(columns.tiles(shape[1]), most)
    height = _split(rows.tiles(shape[0]), max(1, most // width))
    together = _split(outputs, max(16, CACHED // (points * width * height)))
    return _Tiling(
        inputs,
        outputs,
        _Axis(rows, shape[0], before[0], height),
        _Axis(columns, shape[1], before[1], width),
        together,
    )


def _forward_tiling(conv: Conv, y: Layout) -> _Tiling:
    return _tiling(conv.channels, conv.filters, y.shape[1:], conv.padding[:2])


def _backward_tiling(conv: Conv, x: Layout) -> _Tiling:
    top, left = conv.padding[:2]
    return _tiling(conv.filters, conv.channels, x.shape[1:], (TAPS - 1 - top, TAPS - 1 - left))


def _border(tiling: _Tiling, read: Layout) -> Sides:
    (top, bottom), (left, right) = (
        (max(0, axis.before), max(0, axis.reach - axis.before - size))
        for axis, size in zip((tiling.rows, tiling.columns), read.shape[1:], strict=True)
    )
    return (top, left, bottom, right)


def x_border(conv: Conv, x: Layout, y: Layout) -> Sides:
    """How far past its edges `forward` reads the input."""
    return _border(_forward_tiling(conv, y), x)


def dy_border(conv: Conv, x: Layout, y: Layout) -> Sides:
    """How far past its edges `backward_input` reads the output's slope."""
    return _border(_backward_tiling(conv, x), y)


def transform_weights(conv: Conv, x: Layout, y: Layout, *, slope: bool = False) -> Program:
    """Weights for `forward`, or with `slope` those for `backward_input`. Buffers: weight, transformed.

    Lanes hold the channels that are summed over.
    """
    k = Recorder("winograd weights")
    tiling = _backward_tiling(conv, x) if slope else _forward_tiling(conv, y)
    w, u = k.scalars("weight", conv.weight_shape), k.scalars("transformed", tiling.weight_shape)
    filter_stride, channel_stride = conv.channels * TAPS * TAPS, TAPS * TAPS
    output_stride, input_stride = (channel_stride, filter_stride) if slope else (filter_stride, channel_stride)
    rows, columns = tiling.rows.scheme, tiling.columns.scheme

    start = k.register(k.integer(0))
    for o in k.loop(tiling.outputs):
        channels = k.register(k.lane_number())
        for i in k.loop(tiling.weight_shape[2] // LANES):
            channel = k.apply("where_ult", channels, tiling.inputs, channels, tiling.inputs - 1)
            taps = [k.gather(w, channel, input_stride, start.get() + tap) for tap in range(TAPS * TAPS)]
            if slope:
                taps.reverse()
            grid = [taps[TAPS * n : TAPS * (n + 1)] for n in range(TAPS)]
            for a, row in enumerate(both_axes(k, rows.weigh, columns.weigh, grid)):
                for b, value in enumerate(row):
                    u.set_vector(value, a * columns.points + b, o, i * LANES)
            channels.add(LANES)
        start.add(output_stride)
    return k.program()


def forward(conv: Conv, x: Layout, y: Layout, *, relu: bool = False, values: int = 32) -> Program:
    """Buffers: x, transformed weights, bias (if any), two for scratch, y. With `relu`, y = max(y, 0)."""
    k = Recorder("winograd forward")
    tiling = _forward_tiling(conv, y)
    x_in, u = x.buffer(k, "x"), k.scalars("transformed", tiling.weight_shape)
    b = k.scalars("bias", (conv.filters,)) if conv.bias else None
    v, m = _scratch_buffers(k, tiling)
    y_out = y.buffer(k, "y")

    def finish(place: tuple[Index, Index, Index], value: Value) -> None:
        result = value + b[place[0]] if b else value
        y_out[place] = k.apply("max", 0.0, result) if relu else result

    _convolve(k, tiling, x_in, u, v, m, finish, values)
    return k.program()


def backward_input(
    conv: Conv, x: Layout, dy: Layout, dx: Layout, *, gate: bool = False, accumulate: bool = False, values: int = 32
) -> Program:
    """Buffers: transformed weights (with `slope`), dy, x (with `gate`), two for scratch, dx.

    With `gate`, x came out of a ReLU and dx is made zero where x is: the ReLU's own backward pass for free.
    """
    k = Recorder("winograd backward input")
    tiling = _backward_tiling(conv, x)
    u, dy_in = k.scalars("transformed", tiling.weight_shape), dy.buffer(k, "dy")
    x_in = x.buffer(k, "x") if gate else None
    v, m = _scratch_buffers(k, tiling)
    dx_out = dx.buffer(k, "dx")

    def finish(place: tuple[Index, Index, Index], value: Value) -> None:
        slope = k.apply("where_gt", x_in[place], 0.0, value, 0.0) if x_in else value
        dx_out[place] = dx_out[place] + slope if accumulate else slope

    _convolve(k, tiling, dy_in, u, v, m, finish, values)
    return k.program()


def pays(conv: Conv, x: Layout, y: Layout) -> bool:
    """Whether this is faster than direct convolution, by shape alone: bits may not depend on the machine."""
    if (conv.kernel, conv.stride, conv.dilation, conv.groups) != ((TAPS, TAPS), (1, 1), (1, 1), 1):
        return False
    return min(conv.channels, conv.filters) >= 16 and min(y.shape[1:]) >= 3


def scratch(program: Program) -> list[Layout]:
    """Layouts of the scratch buffers of a program of this file, in its order."""
    return [Layout((b.scalars // LANES, 1, 1)) for b in program.buffers if b.name.startswith("scratch")]


def _scratch_buffers(k: Recorder, tiling: _Tiling) -> tuple[Buffer, Buffer]:
    return (
        k.lanes("scratch inputs", (tiling.points, tiling.inputs, tiling.block)),
        k.lanes("scratch products", (tiling.points, tiling.together, tiling.block)),
    )


def _convolve(
    k: Recorder, tiling: _Tiling, source: Buffer, u: Buffer, v: Buffer, m: Buffer, finish: Finish, values: int
) -> None:
    for r, height, below in tiling.rows.spans(k):
        for c, width, beside in tiling.columns.spans(k):
            _analyse(k, tiling, source, v, (r, c), (height, width))
            for o, together in blocks(k, tiling.outputs, tiling.together):
                _multiply(k, tiling, (u, v, m), o, together, height * width, values)
                for n in k.loop(together):
                    for p, rows in tiling.rows.inside(k, height, below):
                        for q, columns in tiling.columns.inside(k, width, beside):
                            tile = _synthesise(k, tiling, m, n, p * width + q)
                            for a in range(rows):
                                for b in range(columns):
                                    row = (r + p) * tiling.rows.scheme.outputs + a
                                    column = (c + q) * tiling.columns.scheme.outputs + b
                                    finish((o + n, row, column), tile[a][b])


def _analyse(
    k: Recorder, tiling: _Tiling, source: Buffer, v: Buffer, first: tuple[Index, Index], size: tuple[int, int]
) -> None:
    """Transform the inputs of a block of tiles, all channels."""
    rows, columns = tiling.rows, tiling.columns
    for i in k.loop(tiling.inputs):
        for p in k.loop(size[0]):
            for q in k.loop(size[1]):
                row = (first[0] + p) * rows.scheme.outputs - rows.before
                column = (first[1] + q) * columns.scheme.outputs - columns.before
                grid = [
                    [source[i, row + a, column + b] for b in range(columns.scheme.points)]
                    for a in range(rows.scheme.points)
                ]
                for a, line in enumerate(both_axes(k, rows.scheme.analyse, columns.scheme.analyse, grid)):
                    for b, value in enumerate(line):
                        v[a * columns.scheme.points + b, i, p * size[1] + q] = value


def _multiply(
    k: Recorder,
    tiling: _Tiling,
    buffers: tuple[Buffer, Buffer, Buffer],
    o: Index,
    together: int,
    tiles: int,
    values: int,
) -> None:
    """m[point, n, tile] = sum over i of u[point, o + n, i] v[point, i, tile]: a small matrix product at each point."""
    u, v, m = buffers
    tile_o, tile_t = outer_product(together, tiles, 1, 1, values)
    for point in k.loop(tiling.points):
        for n, height in blocks(k, together, tile_o):
            for t, width in blocks(k, tiles, tile_t):
                total = [[k.register() for _ in range(width)] for _ in range(height)]
                for i in k.loop(tiling.inputs):
                    seen = [v[point, i, t + q] for q in range(width)]
                    for p in range(height):
                        weight = u[point, o + n + p, i]
                        for q in range(width):
                            total[p][q].accumulate(weight, seen[q])
                for p in range(height):
                    for q in range(width):
                        m[point, n + p, t + q] = total[p][q].get()


def _synthesise(k: Recorder, tiling: _Tiling, m: Buffer, n: Index, tile: Index) -> list[list[Value]]:
    """The outputs of one tile and channel."""
    rows, columns = tiling.rows.scheme, tiling.columns.scheme
    grid = [[m[a * columns.points + b, n, tile] for b in range(columns.points)] for a in range(rows.points)]
    return both_axes(k, rows.synthesise, columns.synthesise, grid)
