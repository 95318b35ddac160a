"""Tiles cover everything once, fit into the registers, and are those that were measured to be fast."""

from __future__ import annotations

import pytest

from lanewise.kernels.tiles import blocks, matrix_tile, outer_product, product_tile
from lanewise.lanes.ir import Affine
from lanewise.lanes.program import Recorder


@pytest.mark.parametrize("count", [0, 1, 4, 5, 12, 13, 31])
@pytest.mark.parametrize("size", [1, 4, 5, 40])
def test_blocks_cover_all_once(count: int, size: int) -> None:
    k = Recorder("blocks")
    covered: list[int] = []
    for first, width in blocks(k, count, size):
        assert 1 <= width <= size
        low, high = k.bounds(first) if isinstance(first, Affine) else (first, first)
        covered += [start + n for start in range(low, high + 1, size) for n in range(width)]
    assert covered == list(range(count))
    k.program()


@pytest.mark.parametrize("registers", [32, 8, 4])
@pytest.mark.parametrize("rows", [1, 2, 3, 6, 16, 17, 64])
@pytest.mark.parametrize("columns", [1, 2, 7, 14, 28, 29])
def test_tiles_fit(registers: int, rows: int, columns: int) -> None:
    for taps in (1, 3, 5):
        for step in (1, 2):
            a, b = outer_product(rows, columns, taps, step, registers)
            assert 1 <= a <= rows
            assert 1 <= b <= columns
            assert a * b < registers, "accumulators leave no register for what feeds them"


@pytest.mark.parametrize(
    ("rows", "columns", "taps", "registers", "accumulators"),
    [(6, 28, 5, 32, (10, 14)), (16, 30, 3, 32, (10, 14)), (32, 15, 3, 32, (10, 14)), (16, 30, 3, 8, (4, 4))],
)
def test_enough_accumulators_to_hide_the_latency(
    rows: int, columns: int, taps: int, registers: int, accumulators: tuple[int, int]
) -> None:
    a, b = outer_product(rows, columns, taps, 1, registers)
    assert accumulators[0] <= a * b <= accumulators[1]
    assert a > 1 or b > 1


@pytest.mark.parametrize(("registers", "most"), [(32, 18), (8, 6)])
@pytest.mark.parametrize("window", [(2, 2), (3, 2), (1, 3)])
def test_whole_windows(window: tuple[int, int], registers: int, most: int) -> None:
    """Room for whole windows alone is made by rounding up: 2x2 of them took 90 % of the time of three side by side."""
    a, b = outer_product(16, 15, 3, 1, registers, window)
    accumulators = a * b * window[0] * window[1]
    assert 4 <= accumulators <= most or accumulators == window[0] * window[1]


@pytest.mark.parametrize("registers", [32, 8, 4])
@pytest.mark.parametrize("rows", [1, 5, 16, 32, 71])
@pytest.mark.parametrize("columns", [1, 2, 4, 16])
@pytest.mark.parametrize("depth", [4, 64, 512])
def test_tiles_of_products_fit(registers: int, rows: int, columns: int, depth: int) -> None:
    a, b = matrix_tile(rows, columns, depth, registers)
    assert 1 <= a <= rows
    assert 1 <= b <= columns
    assert a * b < registers, "accumulators leave no register for what feeds them"


def test_products_use_more_accumulators_and_split_evenly() -> None:
    """No row of tiles is so thin that its multiply-adds wait for one another."""
    assert matrix_tile(32, 4, 32, 32) == (4, 4)
    assert matrix_tile(64, 4, 64, 32) == (6, 4)


@pytest.mark.parametrize(("registers", "fewest", "most"), [(32, 20, 28), (8, 4, 4), (4, 2, 2)])
@pytest.mark.parametrize(("rows", "columns"), [(1, 12544), (5, 196), (9, 56), (30, 14), (72, 7), (12, 49)])
def test_products_of_broadcasts(rows: int, columns: int, registers: int, fewest: int, most: int) -> None:
    """Sums enough to hide the loads, and registers left for a row of weights."""
    a, b = product_tile(rows, columns, 96, registers)
    assert fewest <= a * b <= most
    assert a <= rows
    assert b <= columns
