"""How the axes of a file's tensor are made of a value of the network: transposes and reshapes, by bookkeeping alone.

A value is numbers in one order, (channels, rows, columns) or (features,). A file may write the same numbers with its
axes in another order, split or merged. Each of them, without the batch, is a tuple of runs, from the outermost in:

    run = (size, stride)        `size` numbers, `stride` apart in the value

An image of 8 channels, 5 rows and 6 columns is ((8, 30),), ((5, 6),), ((6, 1),) where the file has channels first,
and ((5, 6),), ((6, 1),), ((8, 30),) where it has them last. Flattened after that, it is one axis of three runs, (5, 6),
(6, 1), (8, 30); flattened before, that would be one run, (240, 1). An axis of size 1 has no runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lanewise.network.shapes import Shape

Run = tuple[int, int]
Axis = tuple[Run, ...]
Axes = tuple[Axis, ...]


def plain(shape: Shape) -> Axes:
    """The axes of a file that writes a value as it is."""
    return tuple(_axis(size, math.prod(shape[place + 1 :])) for place, size in enumerate(shape))


def written(shape: Shape, rank: int) -> Axes:
    """The axes of a file that writes a value as it is, with `rank` axes: an image of one row may have no rows."""
    axes = plain(shape)
    return (axes[0], axes[2]) if rank == 3 and len(shape) == 3 and shape[1] == 1 else axes


def channels_of(shape: Shape) -> Axis:
    """The axis that holds the channels of a value of `shape`, or its features."""
    return _axis(shape[0], math.prod(shape[1:]))


def sizes(axes: Axes) -> tuple[int, ...]:
    """What the file says are the sizes of its axes."""
    return tuple(math.prod(size for size, _ in axis) for axis in axes)


def merged(axes: Sequence[Axis]) -> Axis:
    """Several axes as one."""
    runs: list[Run] = []
    for size, stride in (run for axis in axes for run in axis):
        if runs and runs[-1][1] == size * stride:
            size *= runs.pop()[0]
        runs.append((size, stride))
    return tuple(runs)


def reshaped(axes: Axes, wanted: Sequence[int]) -> Axes | None:
    """The same numbers in the same order with other sizes, or None where no runs say it.

    Parameters
    ----------
    axes : Axes
    wanted : sequence of int
        Sizes of 1 or more, as many numbers in all.
    """
    left = list(reversed(merged(axes)))
    found: list[Axis] = []
    for size in wanted:
        runs: list[Run] = []
        while size > 1:
            count, stride = left.pop()
            if size % count == 0:
                runs.append((count, stride))
                size //= count
            elif count % size == 0:
                runs.append((size, stride * (count // size)))
                left.append((count // size, stride))
                size = 1
            else:
                return None
        found.append(merged([tuple(runs)]))
    return tuple(found)


def places(axes: Sequence[Axis]) -> NDArray[np.int64]:
    """Where in the value each number of some axes lies, the last axis running fastest."""
    found = np.zeros(1, np.int64)
    for size, stride in (run for axis in axes for run in axis):
        found = (found[:, np.newaxis] + np.arange(size, dtype=np.int64) * stride).reshape(-1)
    return found


def _axis(size: int, stride: int) -> Axis:
    return ((size, stride),) if size > 1 else ()
