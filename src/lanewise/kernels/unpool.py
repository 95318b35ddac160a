"""Gradients as a convolution's gradient kernels read them: a map, or spelled out from those of a max pool behind it.

The pool leaves its own gradients and, for each window, the number of the tap that won it. The gradient before the pool
is that of the window at this tap and zero at the others. It goes into a transform at once, and never is a map in
memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from lanewise.kernels.layout import Layout
from lanewise.kernels.pool import Pool
from lanewise.lanes.ir import Affine
from lanewise.lanes.program import Buffer, Index, Recorder, Value


@dataclass(frozen=True, slots=True)
class Unpooled:
    """The map before a pool. Past the edge there are no gradients, so it does not matter who would have won them."""

    pool: Pool
    dy: Buffer
    argmax: Buffer


Source: TypeAlias = Buffer | Unpooled
"""A map to read from."""


def gradients_in(k: Recorder, dy: Layout, pool: Pool | None) -> Source:
    """Declare dy, or with `pool` dy and argmax.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    dy : Layout
        How dy lies, and the argmax too.
    pool : Pool, optional
        The max pool whose output's gradient dy is.
    """
    gradients = dy.buffer(k, "dy")
    return Unpooled(pool, gradients, dy.buffer(k, "argmax")) if pool else gradients


def read(source: Source, first: tuple[Index, Index, Index], size: tuple[int, int]) -> list[list[Value]]:
    """So many rows and columns of one channel; where pools are spelled out, each window is loaded once.

    Column by column, in the order in which they are transformed, so that few of them wait in registers.

    Parameters
    ----------
    source : Source
        dy, or dy and argmax behind a pool.
    first : (channel, row, column)
        Of the map before the pool.
    size : (rows, columns)
    """
    (i, row, column), (rows, columns) = first, size
    if isinstance(source, Buffer):
        return [[source[i, row + a, column + b] for b in range(columns)] for a in range(rows)]
    down, across = source.pool.window
    (r, u), (c, v) = _split(row, down), _split(column, across)
    windows: dict[tuple[int, int], tuple[Value, Value]] = {}
    grid: list[list[Value]] = [[] for _ in range(rows)]
    for b in range(columns):
        for a in range(rows):
            (p, tap_row), (q, tap_column) = divmod(u + a, down), divmod(v + b, across)
            if (p, q) not in windows:
                windows[p, q] = source.dy[i, r + p, c + q], source.argmax[i, r + p, c + q]
            gradient, argmax = windows[p, q]
            tap = float(tap_row * across + tap_column)
            grid[a].append(gradient.k.apply("where_eq", argmax, tap, gradient, 0.0))
    return grid


def _split(index: Index, size: int) -> tuple[Index, int]:
    """The window in which a tile starts, and where in it: tiles are as large as some windows, so it is always there."""
    if isinstance(index, int):
        return divmod(index, size)
    number, place = divmod(index.constant, size)
    return Affine(number, tuple((loop, step // size) for loop, step in index.terms)), place
