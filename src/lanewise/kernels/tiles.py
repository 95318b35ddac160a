"""Register tiles: how many outputs a kernel works on at once. A tile changes speed and never a bit.

A broadcast weight should feed several pixels, and a loaded pixel several filters; about ten to fourteen accumulators
hide the latency of a multiply-add (four cycles, two a cycle) without running out of registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from lanewise.lanes.program import Index, Recorder


def blocks(k: Recorder, count: int, size: int) -> Iterator[tuple[Index, int]]:
    """Cover 0 .. count - 1: a loop of blocks of `size`, then one smaller block. Yields (first, width).

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    count : int
        How many positions there are.
    size : int
        How many of them a block has.
    """
    for block in k.loop(count // size):
        yield block * size, size
    if count % size:
        yield count - count % size, count % size


def _widths(count: int, size: int) -> list[tuple[int, int]]:
    """(width, how often) of the blocks that `blocks` makes."""
    return [(w, n) for w, n in ((size, count // size), (count % size, 1)) if w and n]


@cache
def outer_product(
    rows: int, columns: int, taps: int, step: int, registers: int, window: tuple[int, int] = (1, 1)
) -> tuple[int, int]:
    """Tile (rows, columns) for accumulators that are fed by broadcasts per row and by sliding loads per column.

    Parameters
    ----------
    rows, columns : int
        How many there are in all (filters and pixels of a row of the image).
    taps : int
        How many taps along a row share the loaded pixels.
    step : int
        How far apart neighbouring columns read (the stride).
    registers : int
        How many 16-lane registers the registers hold: 32 for AVX-512, 8 for AVX2, 4 for SSE.
    window : tuple of two int
        Rows and columns of accumulators that each column stands for.

    The cost of a tile is counted in half cycles (one multiply-add or one load each), for all taps of one row.
    """
    most = -(-{32: 14, 8: 4}.get(registers, max(1, registers // 2)) // (window[0] * window[1]))
    latency = 8 * taps * min(1.0, registers / 32)

    def cost(m: int, n: int) -> float:
        loads = window[0] * ((n * window[1] - 1) * step + taps) + m * taps
        return max(m * n * window[0] * window[1] * taps, latency) + 0.35 * loads

    return _cheapest(rows, columns, most, cost)


def _cheapest(rows: int, columns: int, most: int, cost: Callable[[int, int], float]) -> tuple[int, int]:
    """The tile (rows, columns) of at most so many accumulators whose blocks cost least: `cost` says what one does."""
    best, best_cost = (1, 1), float("inf")
    for a in range(1, min(rows, most) + 1):
        for b in range(1, min(columns, most // a) + 1):
            total = 0.0
            for m, often_m in _widths(rows, a):
                for n, often_n in _widths(columns, b):
                    total += often_m * often_n * cost(m, n)
            if total < best_cost - 1e-9:
                best, best_cost = (a, b), total
    return best


FIRST_CACHE = 512
"""Values of 16 lanes, 32 KB, that stay in the first cache between one tile and the next."""

UNROLLED_SUM = 4
"""Steps of a matrix product's sum that are written out: fewer jumps, 2 to 5 % faster."""


@cache
def matrix_tile(rows: int, columns: int, depth: int, registers: int) -> tuple[int, int]:
    """Tile (rows, columns) for the accumulators of a matrix product: sums of `depth` products.

    As `outer_product`, but no operand is shared by taps: each step of the sum loads all that its tile needs, so larger
    tiles pay; and a short sum pays for its start and end, which is about 20 cycles for the jump that is guessed wrong.

    Parameters
    ----------
    rows, columns : int
        Of the product.
    depth : int
        How many products a sum has.
    registers : int
        How many values of 16 lanes the target's registers hold.
    """
    load = 0.35 if depth * columns <= FIRST_CACHE else 1.5
    return _tile_of_product(rows, columns, depth, registers, 24, load)


@cache
def product_tile(rows: int, columns: int, depth: int, registers: int) -> tuple[int, int]:
    """Tile (rows, columns) for a matrix product whose columns are broadcasts of single numbers.

    As `matrix_tile`, but a number that is broadcast waits in no register of its own for long, so that more sums fit.

    Parameters
    ----------
    rows, columns : int
        Of the product.
    depth : int
        How many products a sum has.
    registers : int
        How many values of 16 lanes the target's registers hold.
    """
    return _tile_of_product(rows, columns, depth, registers, 28, 0.35)


def _tile_of_product(rows: int, columns: int, depth: int, registers: int, sums: int, load: float) -> tuple[int, int]:
    """The cheapest tile of at most `sums` accumulators (with 32 registers), where a column's operand costs `load`."""
    latency = 16 * min(1.0, registers / 32)

    def cost(m: int, n: int) -> float:
        return depth * (max(m * n, latency) + 0.5 * m + load * n) + 40 + 2 * m * n

    return _cheapest(rows, columns, {32: sums, 8: 4}.get(registers, max(1, registers // 2)), cost)
