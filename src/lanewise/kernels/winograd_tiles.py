"""A map cut into Winograd's tiles: with which points, how many at once, how far past the edge they read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout, Sides
from lanewise.kernels.tiles import blocks
from lanewise.kernels.unpool import Source, read
from lanewise.kernels.winograd_transforms import SCHEMES, Scheme, both_axes
from lanewise.lanes.program import LANES, Index, Recorder, Value

BLOCK = 4
"""Tiles worked on together. Fewer leave weights with too little to do, more leave the nearer caches: 16 took up to 1.5
times as long for 16 to 32 channels."""

CACHED = 10240
"""Vectors of 64 bytes that products of a block of tiles may take before they are transformed back."""

WORTHWHILE = 0.9
"""Share of direct convolution's work below which Winograd's is chosen."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Rows or columns of outputs in tiles, `block` tiles worked on together; `before` inputs lie before the first."""

    scheme: Scheme
    size: int
    before: int
    block: int

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return self.scheme.tiles(self.size)

    def reads(self, tiles: int) -> int:
        """How many inputs so many tiles read from end to end."""
        return tiles * self.scheme.outputs + self.scheme.taps - 1

    def spans(self, k: Recorder) -> Iterator[tuple[Index, int, bool]]:
        """Cover all tiles with blocks: (first, width, whether the last of them sticks out)."""
        sticks_out = self.size % self.scheme.outputs > 0
        whole = (self.tiles - 1) // self.block * self.block if sticks_out else self.tiles
        for first, width in blocks(k, whole, self.block):
            yield first, width, False
        if sticks_out:
            yield whole, self.tiles - whole, True

    def one_by_one(self, k: Recorder) -> Iterator[tuple[Index, int]]:
        """All tiles: (number, how many outputs lie inside)."""
        return self.inside(k, self.tiles, self.size % self.scheme.outputs > 0)

    def inside(self, k: Recorder, width: int, sticks_out: bool) -> Iterator[tuple[Index, int]]:
        """The tiles of a block: (number, how many outputs lie inside).

        Parameters
        ----------
        k : Recorder
            Where it is recorded.
        width : int
            Tiles of the block.
        sticks_out : bool
            Whether the last of them reaches past the edge.
        """
        for tile in k.loop(width - sticks_out):
            yield tile, self.scheme.outputs
        if sticks_out:
            yield width - 1, self.size % self.scheme.outputs


@dataclass(frozen=True, slots=True)
class Tiling:
    """One convolution in tiles: sums over `inputs` channels for each of `outputs` channels, `together` at once."""

    inputs: int
    outputs: int
    rows: Axis
    columns: Axis
    together: int

    @property
    def points(self) -> int:
        """Points of a tile."""
        return self.rows.scheme.points * self.columns.scheme.points

    @property
    def taps(self) -> int:
        """Taps of the kernel."""
        return self.rows.scheme.taps * self.columns.scheme.taps

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return self.rows.tiles * self.columns.tiles

    @property
    def block(self) -> int:
        """Tiles worked on together."""
        return self.rows.block * self.columns.block

    @property
    def weight_shape(self) -> tuple[int, int]:
        """(points, outputs and inputs), with room for the last vector."""
        return (self.points, -(-(self.outputs * self.inputs + -self.inputs % LANES) // LANES) * LANES)

    def weight(self, o: Index, i: Index) -> Index:
        """Where the weight of an output and an input lies among those of its point."""
        return o * self.inputs + i

    def cost(self, products: float, analyse: float, synthesise: float) -> float:
        """The work as a share of direct convolution's.

        A product costs `products` of direct convolution's multiply-adds. To transform a point there or back takes a
        number of operations in proportion to the points of a row and of a column, so it costs `analyse` or
        `synthesise` times those. Fitted to what shapes from 3 to 64 channels and 2 to 32 columns took.

        Parameters
        ----------
        products, analyse, synthesise : float
            In multiply-adds of direct convolution.
        """
        multiplications = self.points * self.tiles / (self.taps * self.rows.size * self.columns.size)
        around = self.rows.scheme.points + self.columns.scheme.points
        return multiplications * (products + around * (analyse / self.outputs + synthesise / self.inputs))

    def point(self, a: int, b: int) -> int:
        """Number of the point at row `a` and column `b`."""
        return a * self.columns.scheme.points + b


def tiling_of(
    inputs: int, outputs: int, shape: tuple[int, int], kernel: tuple[int, int], before: tuple[int, int]
) -> Tiling:
    """The tiling for a map of `shape` outputs; `before` inputs lie before the first row and column.

    Parameters
    ----------
    inputs, outputs : int
        Channels that are summed over, and that come out.
    shape, kernel, before : (rows, columns)
        Outputs, taps of the kernel, and inputs before the first output's own.
    """
    schemes = [_scheme(*axis) for axis in zip(shape, kernel, strict=True)]
    width = _nearly_equal(schemes[1].tiles(shape[1]), BLOCK)
    height = _nearly_equal(schemes[0].tiles(shape[0]), BLOCK // width)
    rows, columns = (
        Axis(scheme, size, start, block)
        for scheme, size, start, block in zip(schemes, shape, before, (height, width), strict=True)
    )
    cached = CACHED // (rows.scheme.points * columns.scheme.points * height * width)
    return Tiling(inputs, outputs, rows, columns, _nearly_equal(outputs, max(LANES, cached)))


def tiling_forward(conv: Conv, y: Layout) -> Tiling:
    """The tiling of a convolution's outputs: that of its forward pass and of its weight gradient."""
    return tiling_of(conv.channels, conv.filters, y.shape[1:], conv.kernel, conv.padding[:2])


def _scheme(size: int, taps: int) -> Scheme:
    """What needs fewer points; the more exact one when they are equal."""
    return min(SCHEMES[taps], key=lambda scheme: scheme.tiles(size) * scheme.points)


def _nearly_equal(count: int, most: int) -> int:
    """Size of blocks of at most `most` that leave the last one nearly as large."""
    return -(-count // -(-count // most))


def suits(conv: Conv) -> bool:
    """Whether Winograd's kernels can do it: a scheme for rows and columns of taps, every position, all channels."""
    plain = (conv.stride, conv.dilation, conv.groups) == ((1, 1), (1, 1), 1)
    return plain and all(taps in SCHEMES for taps in conv.kernel)


def odd(count: int) -> int:
    """`count` or one more: arrays so many lines apart meet different sets of the cache (3 to 15 % faster)."""
    return count | 1


def whole(conv: Conv, x: Layout) -> Layout:
    """What comes out of a convolution with stride 1, before any pool."""
    (top, left, bottom, right), (_, rows, columns) = conv.padding, x.shape
    return Layout((conv.filters, rows + top + bottom - conv.kernel[0] + 1, columns + left + right - conv.kernel[1] + 1))


def border(tiling: Tiling, read: Layout, window: tuple[int, int] = (1, 1)) -> Sides:
    """How far past its edges a map is read, in whole tiles; of windows, if each element of it is one.

    Parameters
    ----------
    tiling : Tiling
    read : Layout
        The map that is read; only its shape matters.
    window : (rows, columns)
        How many elements of the map before a pool each of its elements stands for.
    """
    (top, bottom), (left, right) = (
        (max(0, -(-axis.before // n)), max(0, -(-(axis.reads(axis.tiles) - axis.before) // n) - size))
        for axis, size, n in zip((tiling.rows, tiling.columns), read.shape[1:], window, strict=True)
    )
    return (top, left, bottom, right)


def analyse(k: Recorder, tiling: Tiling, source: Source, first: tuple[Index, Index, Index]) -> Iterator[Value]:
    """The inputs of one tile at all points, in order; `first` is its first channel, row and column.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    tiling : Tiling
    source : Source
        What is convolved.
    first : (channel, row, column)
        Where the tile's inputs begin.
    """
    i, row, column = first
    rows, columns = tiling.rows.scheme, tiling.columns.scheme
    grid = read(source, (i, row, column), (rows.points, columns.points))
    for line in both_axes(k, rows.analyse, columns.analyse, grid):
        yield from line
