"""Convolution of one image by Winograd's algorithm: 3x3, stride 1, in m x m outputs at a time.

    y = A^T [ sum over i of (G w[o, i] G^T) * (B^T x[i] B) ] A + bias[o]

with the matrices of `winograd_transforms.py`, x an (m + 2) x (m + 2) patch and * point by point: (m + 2)**2
multiply-adds for each channel instead of 9 m**2, that is 36 instead of 144 for m = 4 and 16 instead of 36 for m = 2.
Lanes hold channels in the first transform and filters in the last, so neither needs shuffles. G w G^T is worked out
when weights are laid out, in float64. The sum over i runs in the order of the channels.

Whether it pays, and m, follow from the layer's shape alone: they change bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np

from lanewise.kernels.activations import Applied, applied
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Sides
from lanewise.kernels.single.blocked import Blocked, blocks_of
from lanewise.kernels.single.conv import Floats
from lanewise.kernels.tiles import blocks, outer_product
from lanewise.kernels.winograd_transforms import F2, F4, SIX_POINTS, both_axes
from lanewise.lanes.program import LANES, Buffer, Index, Program, Recorder, Value, kernel

_SCHEMES = {2: F2, 4: F4}
_G = {
    2: np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    4: np.array(
        [
            [SIX_POINTS.factor(), 0, 0],
            *([SIX_POINTS.factor(p) * point**n for n in range(3)] for p in SIX_POINTS.pairs for point in (p, -p)),
            [0, 0, 1],
        ]
    ),
}


@dataclass(frozen=True, slots=True)
class Tiles:
    """How an output of rows x columns is cut into tiles of `m` x `m`, `together` rows of tiles worked on at once."""

    m: int
    rows: int
    columns: int
    together: int

    @property
    def down(self) -> int:
        """Rows of tiles."""
        return -(-self.rows // self.m)

    @property
    def across(self) -> int:
        """Tiles in a row."""
        return -(-self.columns // self.m)

    @property
    def points(self) -> int:
        """Products that a tile and channel take."""
        return (self.m + 2) ** 2

    @property
    def most(self) -> int:
        """Tiles that are worked on at once."""
        return self.together * self.across

    def of(self, rows: int) -> Tiles:
        """Those of so many rows of the output."""
        return replace(self, rows=rows, together=min(self.together, -(-rows // self.m)))


FEW_TILES, FEW_WEIGHTS = 8, 1 << 15
"""Tiles to work on at once at least, and weights (vectors) that the second cache holds.

Fewer tiles at once leave more of the first cache to each; but weights that come from further away should be read
once. Measured for 16 to 256 channels and 8x8 to 56x56 outputs: the wrong choice costs up to 40 % (2.4 times for
large weights).
"""

MOST_SCRATCH = 1 << 20
"""Scalars of transformed tiles at most, as long as that leaves a row of tiles."""


def tiles_for(conv: Conv, y_shape: tuple[int, int, int]) -> Tiles | None:
    """The tiles to use for a convolution, or None where direct convolution is as good."""
    plain = conv.kernel == (3, 3) and conv.stride == conv.dilation == (1, 1) and conv.groups == 1
    if not plain or min(conv.channels, conv.filters) < LANES:
        return None
    _, rows, columns = y_shape
    costs = {m: _cost(conv, _tiles(conv, m, rows, columns)) for m in (2, 4)}
    m = min(costs, key=lambda m: costs[m])
    direct = rows * columns * 9 * conv.channels * blocks_of(conv.filters) / 1.8
    return _tiles(conv, m, rows, columns) if costs[m] < direct else None


def _tiles(conv: Conv, m: int, rows: int, columns: int) -> Tiles:
    down, across = -(-rows // m), -(-columns // m)
    i_blocks, o_blocks = blocks_of(conv.channels), blocks_of(conv.filters)
    weights = (m + 2) ** 2 * conv.channels * o_blocks
    together = -(-FEW_TILES // across) if weights <= FEW_WEIGHTS else down
    scratch = (m + 2) ** 2 * across * LANES * (i_blocks + o_blocks)
    return Tiles(m, rows, columns, max(1, min(down, together, MOST_SCRATCH // scratch)))


def _cost(conv: Conv, tiles: Tiles) -> float:
    """Cycles, roughly: products or the reading of their weights, whichever is longer, and the transforms."""
    count, i_blocks, o_blocks = tiles.down * tiles.across, blocks_of(conv.channels), blocks_of(conv.filters)
    weights = tiles.points * conv.channels * o_blocks
    reading = weights * (2 if weights <= FEW_WEIGHTS else 9 if weights <= 3 << 16 else 20)
    products = weights * count / 1.7
    return max(products, reading) + 6 * tiles.points * count * (i_blocks + o_blocks)


def x_border(conv: Conv, tiles: Tiles, x: Blocked) -> Sides:
    """How far past its edges the input is read.

    Parameters
    ----------
    conv : Conv
    tiles : Tiles
        Those of its output.
    x : Blocked
        How the input lies; only its rows and columns matter.
    """
    _, rows, columns = x.shape
    top, left = conv.padding[:2]
    return (
        top,
        left,
        max(0, tiles.down * tiles.m + 2 - top - rows),
        max(0, tiles.across * tiles.m + 2 - left - columns),
    )


def scratch(conv: Conv, tiles: Tiles) -> tuple[int, int]:
    """Scalars of the two buffers that `forward` works in."""
    tiles_of_points = tiles.points * tiles.most
    return tiles_of_points * _patch_size(conv), tiles_of_points * blocks_of(conv.filters) * LANES


def _patch_size(conv: Conv) -> int:
    """Scalars from one tile's channels to the next tile's: an odd number of cache lines, or tiles evict each other."""
    return (blocks_of(conv.channels) | 1) * LANES


def lay_weight(tiles: Tiles, weight: Floats) -> Floats:
    """(o, i, 3, 3) as the kernel reads it: (points, blocks of filters, i, 16)."""
    g, (filters, channels) = _G[tiles.m], weight.shape[:2]
    taps = np.ascontiguousarray(weight.astype(np.float64).transpose(2, 3, 0, 1))
    # sums written out: a matrix product's order would be the library's, and differ from machine to machine
    rows = [a[0] * taps[0] + a[1] * taps[1] + a[2] * taps[2] for a in g]
    points = [b[0] * row[0] + b[1] * row[1] + b[2] * row[2] for row in rows for b in g]
    padded = np.zeros((tiles.points, blocks_of(filters) * LANES, channels), np.float32)
    padded[:, :filters] = points
    return np.ascontiguousarray(padded.reshape(tiles.points, -1, LANES, weight.shape[1]).swapaxes(2, 3))


@kernel
def forward(
    conv: Conv, tiles: Tiles, x: Blocked, y: Blocked, *, activation: Applied | None = None, registers: int = 32
) -> Program:
    """Buffers: x, weight (as `lay_weight` gives it), bias (blocks, 16), y, patches and products (`scratch` of each)."""
    k = Recorder("single winograd conv")
    x_in, w = x.buffer(k, "x"), k.lanes("weight", (tiles.points, y.blocks, conv.channels))
    bias, y_out = k.lanes("bias", (y.blocks,)), y.lanes.buffer(k, "y")
    patches = k.scalars("patches", (tiles.points, tiles.most, _patch_size(conv)))
    products = k.lanes("products", (tiles.points, tiles.most, y.blocks))
    for first, count, height in _bands(k, tiles):
        for tr in k.loop(count):
            for tc in k.loop(tiles.across):
                for b in k.loop(x.blocks):
                    at = (b, (first + tr) * tiles.m - conv.padding[0], tc * tiles.m - conv.padding[1])
                    _transform_patch(k, tiles, x_in, at, patches, tr * tiles.across + tc)
        _multiply(k, conv, tiles, (patches, w, products), count * tiles.across, registers)
        for tr in k.loop(count):
            for tc, width in _along(k, tiles.columns, tiles.m):
                for o in k.loop(y.blocks):
                    place = (o, (first + tr) * tiles.m, tc * tiles.m)
                    tile = tr * tiles.across + tc
                    for p, q, value in _inverse(k, tiles.m, products, tile, o, bias[o], (height, width)):
                        y_out[o, place[1] + p, place[2] + q] = applied(k, value, activation)
    return k.program()


def _bands(k: Recorder, tiles: Tiles) -> Iterator[tuple[Index, int, int]]:
    """Rows of tiles that are worked on at once: (first, how many, rows of y in each)."""
    full, rest = divmod(tiles.rows, tiles.m)
    for first, count in blocks(k, full, tiles.together):
        yield first, count, tiles.m
    if rest:
        yield full, 1, rest


def _along(k: Recorder, size: int, m: int) -> Iterator[tuple[Index, int]]:
    """Tiles along a row: (number, columns of y in it)."""
    for n in k.loop(size // m):
        yield n, m
    if size % m:
        yield size // m, size % m


def _transform_patch(
    k: Recorder, tiles: Tiles, x: Buffer, at: tuple[Index, Index, Index], patches: Buffer, tile: Index
) -> None:
    """patches[., tile] = B^T x B for the channels of one block."""
    (b, r, c), scheme = at, _SCHEMES[tiles.m]
    patch = [[x.vector(b, r + p, c + q, 0) for q in range(scheme.points)] for p in range(scheme.points)]
    for n, value in enumerate(chain.from_iterable(both_axes(k, scheme.analyse, scheme.analyse, patch))):
        patches.set_vector(value, n, tile, b * LANES)


def _multiply(
    k: Recorder, conv: Conv, tiles: Tiles, buffers: tuple[Buffer, Buffer, Buffer], count: int, registers: int
) -> None:
    """products[n, tile, o] = sum over i of weight[n, o, i] patches[n, tile, i] for `count` tiles."""
    patches, w, products = buffers
    o_blocks = blocks_of(conv.filters)
    tile_o, tile_t = _register_tile(o_blocks, count, registers)
    for n in k.loop(tiles.points):
        for o, height in blocks(k, o_blocks, tile_o):
            for t, width in blocks(k, count, tile_t):
                total = [[k.register() for _ in range(width)] for _ in range(height)]
                for i, unrolled in blocks(k, conv.channels, UNROLLED_CHANNELS):
                    for step in range(unrolled):
                        weights = [w[n, o + m, i + step] for m in range(height)]
                        for q in range(width):
                            number = patches[n, t + q, i + step]
                            for m in range(height):
                                total[m][q].accumulate(weights[m], number)
                for m in range(height):
                    for q in range(width):
                        products[n, t + q, o + m] = total[m][q].get()


UNROLLED_CHANNELS = 4


def _register_tile(o_blocks: int, count: int, registers: int) -> tuple[int, int]:
    """Blocks of filters and tiles whose products are summed at once.

    Weights stream in from afar, each used once for every tile: more accumulators than elsewhere, most of them tiles,
    give them the time (up to 20 % on large layers).
    """
    if registers < 32:
        return outer_product(o_blocks, count, 1, 1, registers)
    tiles = min(count, 12)
    return -(-o_blocks // -(-o_blocks * tiles // 24)), tiles


def _inverse(
    k: Recorder, m: int, products: Buffer, tile: Index, o: Index, bias: Value, shape: tuple[int, int]
) -> Iterator[tuple[int, int, Value]]:
    """A^T products A + bias, as far as the tile lies inside y."""
    scheme = _SCHEMES[m]
    size = scheme.points
    points = [[products[p * size + q, tile, o] for q in range(size)] for p in range(size)]
    rows = both_axes(k, scheme.synthesise, scheme.synthesise, points)
    for p, row in enumerate(islice(rows, shape[0])):
        for q, value in enumerate(row[: shape[1]]):
            yield p, q, value + bias
