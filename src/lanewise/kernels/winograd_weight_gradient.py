"""The weights' gradient of Winograd's convolution, with fewer multiplications than taps and outputs.

    dw[o, i] = G^T [ sum over tiles and images of (A dy[o] A^T) * (B^T x[i] B) ] G      * point by point
    db[o]    = sum over r, c, images of dy[o, r, c]

with the matrices of `winograd_transforms.py`. With an image in each lane, all 36 sums of each (o, i) would end in a sum
over lanes. So x is transposed first, 16 channels of 16 images at a time: lanes then hold channels, images and tiles are
what is summed over, and dy at a point is one scalar, broadcast. That is 4 shuffles for a value which is then multiplied
`filters` times.

The gradient of the bias is summed on the way, tile by tile, where dy goes through the registers anyway.

The sum is one of blocks of tiles; that of a block runs tile by tile, in it image by image. Blocks follow from the shape
alone. Summing them apart costs nothing, and on a map of 32x32 one long sum had three times the error.
"""

from __future__ import annotations

from dataclasses import dataclass

from lanewise.kernels.across import lane_sum, transpose
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.kernels.pool import Pool
from lanewise.kernels.tiles import UNROLLED_SUM, blocks, matrix_tile
from lanewise.kernels.unpool import Source, gradients_in, read
from lanewise.kernels.winograd_tiles import CACHED, WORTHWHILE, Tiling, analyse, odd, suits, tiling_forward, whole
from lanewise.kernels.winograd_transforms import both_axes
from lanewise.lanes.program import LANES, Buffer, Index, Program, Recorder, Value, kernel


def backward_weight_pays(conv: Conv, y: Layout) -> bool:
    """Whether `backward_weight` can be used and is faster than direct convolution, by shape alone."""
    fits = suits(conv) and conv.channels % LANES == 0
    return fits and tiling_forward(conv, y).cost(products=1.0, analyse=2.0, synthesise=0.8) < WORTHWHILE


@kernel
def backward_weight(
    conv: Conv, x: Layout, dy: Layout, *, pool: Pool | None = None, accumulate: bool = False, registers: int = 32
) -> Program:
    """Buffers: x, dy, argmax (with `pool`), four for scratch or with bias five, dweight, dbias (if any).

    With `accumulate`, adds to what is there. `conv.channels` must be a multiple of 16. With `pool`, dy is the gradient
    of what that max pool makes of y, and lies as the argmax do (`winograd.pooled_border`).
    """
    k = Recorder("winograd backward weight")
    tiling, vectors = tiling_forward(conv, whole(conv, x)), conv.channels // LANES
    part = _Sums(k, tiling, vectors, registers)
    rows, columns = tiling.rows, tiling.columns
    one_block = tiling.block == tiling.tiles
    together = _together(tiling) if one_block else conv.filters
    x_in, dy_in = x.buffer(k, "x"), gradients_in(k, dy, pool)
    turned = k.lanes("scratch_images", (LANES, *(axis.reads(axis.block) for axis in (rows, columns))))
    v = k.lanes("scratch_inputs", (tiling.points, odd(tiling.block * LANES * vectors)))
    z = k.scalars("scratch_gradients", (tiling.points, odd(conv.filters * tiling.block) * LANES))
    s = k.lanes("scratch_sums", (tiling.points, odd(together * vectors)))
    bias_sums = k.lanes("scratch_bias", (conv.filters,)) if conv.bias else None
    dw = k.scalars("dweight", (conv.filters, conv.channels * tiling.taps))

    if bias_sums:
        for o in k.loop(conv.filters):
            bias_sums[o] = 0.0
    if not one_block:
        for point in k.loop(tiling.points):
            for n in k.loop(together * vectors):
                s[point, n] = 0.0
    for r, height, below in rows.spans(k):
        for c, width, beside in columns.spans(k):
            for i in k.loop(vectors):
                part.turn(x_in, turned, (i, r, c), (height, width))
                for p in k.loop(height):
                    for q in k.loop(width):
                        at = ((p * width + q) * vectors + i) * LANES
                        for n in k.loop(LANES):
                            first = (n, p * rows.scheme.outputs, q * columns.scheme.outputs)
                            for point, value in enumerate(analyse(k, tiling, turned, first)):
                                v.set_vector(value, point, at + n, more=True)
            for o in k.loop(conv.filters):
                for p, whole_rows in rows.inside(k, height, below):
                    for q, whole_columns in columns.inside(k, width, beside):
                        at = (o * tiling.block + p * width + q) * LANES
                        total = part.spread(dy_in, z, (o, r + p, c + q), (whole_rows, whole_columns), at)
                        if bias_sums:
                            bias_sums[o] = bias_sums[o] + total
            for o, count in blocks(k, conv.filters, together):
                part.multiply((v, z, s), (o, count, height * width), add=not one_block)
                if one_block:
                    part.collect(s, dw, (o, count), accumulate)
    if not one_block:
        part.collect(s, dw, (0, conv.filters), accumulate)
    if bias_sums:
        db = k.scalars("dbias", (conv.filters,))
        for o in k.loop(conv.filters):
            gradient = lane_sum(k, bias_sums[o])
            db[o] = db[o] + gradient if accumulate else gradient
    return k.program()


def _together(tiling: Tiling) -> int:
    """Filters whose sums stay in the cache until they are transformed back."""
    return min(tiling.outputs, max(LANES, CACHED // (tiling.points * tiling.inputs // LANES)))


@dataclass(frozen=True, slots=True)
class _Sums:
    """The steps of `backward_weight`, for `vectors` times 16 channels."""

    k: Recorder
    tiling: Tiling
    vectors: int
    registers: int

    def turn(self, x: Buffer, turned: Buffer, first: tuple[Index, Index, Index], size: tuple[int, int]) -> None:
        """Copy what a block of tiles reads, so that lanes hold 16 channels and the first axis images."""
        k, (i, r, c), (rows, columns) = self.k, first, (self.tiling.rows, self.tiling.columns)
        for a in k.loop(rows.reads(size[0])):
            for b in k.loop(columns.reads(size[1])):
                row = r * rows.scheme.outputs - rows.before + a
                column = c * columns.scheme.outputs - columns.before + b
                channels = [x[i * LANES + n, row, column] for n in range(LANES)]
                for n, value in enumerate(transpose(k, channels)):
                    turned.set_vector(value, n, a, b, more=True)

    def spread(
        self, dy: Source, z: Buffer, tile: tuple[Index, Index, Index], inside: tuple[int, int], at: Index
    ) -> Value:
        """Store the gradients of one tile, zero outside the map, at all points; return their sum."""
        k, (o, r, c), rows, columns = self.k, tile, self.tiling.rows.scheme, self.tiling.columns.scheme
        there = read(dy, (o, r * rows.outputs, c * columns.outputs), inside)
        zero = k.constant(0.0)
        grid = [row + [zero] * (columns.outputs - inside[1]) for row in there]
        grid += [[zero] * columns.outputs] * (rows.outputs - inside[0])
        for a, line in enumerate(both_axes(k, rows.spread, columns.spread, grid)):
            for b, value in enumerate(line):
                z.set_vector(value, self.tiling.point(a, b), at, more=True)
        return _total([_total(row) for row in there])

    def multiply(self, buffers: tuple[Buffer, Buffer, Buffer], part: tuple[Index, int, int], *, add: bool) -> None:
        """s[point, o, i] = sum over tiles and images of z[point, o, tile, image] v[point, tile, i, image]."""
        k, tiling, vectors = self.k, self.tiling, self.vectors
        (v, z, s), (o, together, tiles) = buffers, part
        tile_o, tile_i = matrix_tile(together, vectors, tiles * LANES, self.registers)
        for point in k.loop(tiling.points):
            for n, height in blocks(k, together, tile_o):
                for i, width in blocks(k, vectors, tile_i):
                    places = [[(point, (n + p) * vectors + i + q) for q in range(width)] for p in range(height)]
                    total = [[k.register() for _ in row] for row in places]
                    for t in k.loop(tiles):
                        for first in k.loop(LANES // UNROLLED_SUM):
                            for image in (first * UNROLLED_SUM + step for step in range(UNROLLED_SUM)):
                                seen = [v[point, (t * vectors + i + q) * LANES + image] for q in range(width)]
                                for p in range(height):
                                    gradient = z[point, ((o + n + p) * tiling.block + t) * LANES + image]
                                    for q in range(width):
                                        total[p][q].accumulate(gradient, seen[q])
                    for p in range(height):
                        for q in range(width):
                            place = places[p][q]
                            s[place] = s[place] + total[p][q].get() if add else total[p][q].get()

    def collect(self, s: Buffer, dw: Buffer, part: tuple[Index, int], accumulate: bool) -> None:
        """The taps' gradients, 16 channels at a time: written, or added to what is there."""
        k, tiling, rows, columns = self.k, self.tiling, self.tiling.rows.scheme, self.tiling.columns.scheme
        for n in k.loop(part[1]):
            for i in k.loop(self.vectors):
                at = n * self.vectors + i
                grid = [[s[tiling.point(a, b), at] for b in range(columns.points)] for a in range(rows.points)]
                taps = [tap for line in both_axes(k, rows.collect, columns.collect, grid) for tap in line]
                for m, value in enumerate(_interleaved(k, taps)):
                    place = (part[0] + n, i * (LANES * tiling.taps) + m * LANES)
                    dw.set_vector(dw.vector(*place) + value if accumulate else value, *place)


def _total(values: list[Value]) -> Value:
    return sum(values[1:], values[0])


def _interleaved(k: Recorder, taps: list[Value]) -> list[Value]:
    """All taps of lane 0, all taps of lane 1, and so on, one after the other in as many values."""
    count, merged = len(taps), []
    for m in range(count):
        lanes = [divmod(m * LANES + n, count) for n in range(LANES)]  # (channel, tap) of each lane
        value = k.shuffle(taps[0], taps[1], [channel + LANES * (tap == 1) for channel, tap in lanes])
        for number in range(2, count):
            mask = [LANES + channel if tap == number else n for n, (channel, tap) in enumerate(lanes)]
            value = k.shuffle(value, taps[number], mask)
        merged.append(value)
    return merged
