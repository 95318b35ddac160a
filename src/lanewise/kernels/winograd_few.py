"""Winograd's convolution of few channels: one tile at a time, so that all of it stays in the first cache.

The same sums as in `winograd.py`, to the bit. With few channels the transforms take most of the time, and a store that
leaves the first cache costs them two to four. All points of a column are summed at once, in registers, so that what is
stored has been transformed back along one axis already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lanewise.kernels.tiles import FIRST_CACHE, UNROLLED_SUM, blocks
from lanewise.kernels.unpool import Source
from lanewise.kernels.winograd_tiles import Tiling, analyse, odd
from lanewise.kernels.winograd_transforms import Row
from lanewise.lanes.program import Buffer, Index, Recorder

Place = tuple[Index, Index, Index]
"""(channel, row, column)."""

Finish = Callable[[Place, Iterator[Row]], None]
"""What is done with a tile: its channel, row and column among the tiles, and those of its outputs that lie inside.

They come row by row, each computed when it is asked for: all of them do not fit into the registers.
"""


def few(tiling: Tiling) -> bool:
    """Whether a tile of all inputs stays in the first cache."""
    return tiling.points * tiling.inputs <= FIRST_CACHE


def scratch_buffers(k: Recorder, tiling: Tiling, registers: int) -> tuple[Buffer, Buffer]:
    """Declare what `convolve` needs: the inputs of a tile at the points, and the sums of products.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    tiling : Tiling
    registers : int
        How many values of 16 lanes the target's registers hold.
    """
    rows, columns = tiling.rows.scheme, tiling.columns.scheme
    return (
        k.lanes("scratch_inputs", (columns.points, rows.points, odd(tiling.inputs))),
        k.lanes("scratch_products", (_outputs_at_once(tiling, registers), rows.outputs, columns.points)),
    )


def convolve(
    k: Recorder, tiling: Tiling, buffers: tuple[Source, Buffer, Buffer, Buffer], finish: Finish, registers: int
) -> None:
    """Compute all tiles. `buffers` are the source, the transformed weights, and those for scratch.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    tiling : Tiling
    buffers : (source, transformed weights, inputs at the points, sums of products)
        The last two as `scratch_buffers` declares them.
    finish : Finish
        Records what is done with a tile's outputs.
    registers : int
        How many values of 16 lanes the target's registers hold.
    """
    (source, u, v, m), rows, columns = buffers, tiling.rows, tiling.columns
    for r, height in rows.one_by_one(k):
        for c, width in columns.one_by_one(k):
            row, column = r * rows.scheme.outputs - rows.before, c * columns.scheme.outputs - columns.before
            for i in k.loop(tiling.inputs):
                for point, value in enumerate(analyse(k, tiling, source, (i, row, column))):
                    a, b = divmod(point, columns.scheme.points)
                    v[b, a, i] = value
            for o, together in blocks(k, tiling.outputs, _outputs_at_once(tiling, registers)):
                _multiply(k, tiling, (u, v, m), (o, together), registers)
                for n in k.loop(together):
                    finish((o + n, r, c), _rows(k, tiling, m, n, (height, width)))


def _accumulators(registers: int) -> int:
    """As many as hide the latency and leave registers for what they are fed with."""
    return {32: 24, 8: 4}.get(registers, 2)


def _outputs_at_once(tiling: Tiling, registers: int) -> int:
    return min(tiling.outputs, max(1, _accumulators(registers) // tiling.rows.scheme.points))


def _multiply(
    k: Recorder, tiling: Tiling, buffers: tuple[Buffer, Buffer, Buffer], part: tuple[Index, int], registers: int
) -> None:
    """m[n, row, b] = A^T [ sum over i of u[a, b, o + n, i] v[a, b, i] ], all points a at once if registers suffice."""
    (u, v, m), (o, together) = buffers, part
    scheme, columns = tiling.rows.scheme, tiling.columns.scheme.points
    group = max(1, _accumulators(registers) // together)
    for b in k.loop(columns):
        sums: list[Row] = [[] for _ in range(together)]
        for start in range(0, scheme.points, group):
            points = range(start, min(start + group, scheme.points))
            total = [[k.register() for _ in points] for _ in range(together)]
            for first, count in blocks(k, tiling.inputs, UNROLLED_SUM):
                for i in (first + step for step in range(count)):
                    for p, a in enumerate(points):
                        seen = v[b, a, i]
                        for n in range(together):
                            total[n][p].accumulate(u[a * columns + b, tiling.weight(o + n, i)], seen)
            for n in range(together):
                sums[n] += [register.get() for register in total[n]]
        for n in range(together):
            for row, value in enumerate(scheme.synthesise(k, sums[n])):
                m[n, row, b] = value


def _rows(k: Recorder, tiling: Tiling, m: Buffer, n: Index, wanted: tuple[int, int]) -> Iterator[Row]:
    scheme = tiling.columns.scheme
    for row in range(wanted[0]):
        yield scheme.synthesise(k, [m[n, row, b] for b in range(scheme.points)])[: wanted[1]]
