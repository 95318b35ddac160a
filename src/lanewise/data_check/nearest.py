"""Which images are most alike: all compared with all, coarsely, by one native kernel.

An image is averaged down to 8x8 cells of grey, less its mean and divided by its norm, so that brightness and contrast
do not count. The product of two such vectors is their correlation. Each is split into the part that mirroring leaves
alone and the part that mirroring turns round: with the products s of the former and t of the latter, one image
correlates with another by s + t and with its mirror image by s - t, hence with the better of both by s + |t|.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Pixels
from lanewise.data_check.similarity import Floats, cells, normalised
from lanewise.engine.schedule import Call, Executable, Phase, Place, Section, aligned
from lanewise.kernels.similarity import ASKED, compare
from lanewise.lanes.program import LANES
from lanewise.target import chosen, usable_threads

NEAREST = 6
"""Neighbours of an image whose likeness is known. The last tells how alike images are that are no copies."""

CANDIDATES = 3
"""Neighbours of an image of which it is known, too, which they are."""

_SIDE = 8
_HALF = _SIDE * _SIDE // 2
_KNOWN = 512  # images that are compared with those that ask while they are in the cache
_GROUPS = 1024  # at least, of images enough
_BLOCK = 2048  # images that ask between two calls of `progress`

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The images most like each image, mirrored or not, the most alike first.

    Attributes
    ----------
    which : (N, CANDIDATES) int64
    mirrored : (N, CANDIDATES) bool
        Whether the mirror image is more alike.
    correlation : (N, NEAREST) float32
        -1 or less where there are no more images.
    """

    which: Indices
    mirrored: NDArray[np.bool_]
    correlation: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Packed:
    """Images in groups: image n is member n // groups of group n % groups. Beyond `count` there are zeros.

    Attributes
    ----------
    vectors : (groups, size, 2, 32) float32
    """

    vectors: Floats
    count: int

    def of(self, images: Indices) -> Floats:
        member, group = np.divmod(images, len(self.vectors))
        return self.vectors[group, member]


def neighbours(
    pixels: Pixels, threads: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Neighbours:
    """Find the most alike of all others for each of the images (N, rows, columns, channels).

    Many images are taken in groups of up to 64. Of two neighbours in the same group the less alike is not seen; but
    six neighbours seldom meet among a thousand groups, and a copy that an image does not see sees the image.

    Parameters
    ----------
    progress : callable, optional
        Called with how many images are done, and how many there are.
    """
    packed = _pack(pixels)
    count, groups = packed.count, len(packed.vectors)
    compared = _comparer(packed, usable_threads(threads))
    which = np.zeros((count, CANDIDATES), np.int64)
    mirrored = np.zeros((count, CANDIDATES), bool)
    correlation = np.full((count, NEAREST), -1.0, np.float32)
    for start in range(0, count, _BLOCK):
        asking = np.arange(start, min(start + _BLOCK, count))
        alike = compared(asking)[:, :count]
        alike[asking - start, asking % groups] = _most_alike(packed, asking, asking % groups)[2]  # but itself
        known = min(NEAREST, alike.shape[1])
        best = np.argpartition(-alike, known - 1, axis=1)[:, :known]
        order = np.argsort(-np.take_along_axis(alike, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        correlation[asking, :known] = np.take_along_axis(alike, best, axis=1)
        for place in range(min(CANDIDATES, known)):
            which[asking, place], mirrored[asking, place], _ = _most_alike(packed, asking, best[:, place])
        if progress is not None:
            progress(start + len(asking), count)
    return Neighbours(which, mirrored, correlation)


def _pack(pixels: Pixels) -> _Packed:
    coarse = normalised(cells(pixels, _SIDE))
    left, right = coarse[:, :, : _SIDE // 2], coarse[:, :, : _SIDE // 2 - 1 : -1]
    halves = np.stack([left + right, left - right], axis=1) * np.float32(np.sqrt(0.5))
    count = len(pixels)
    size = next(size for size in (64, 16, 4, 1) if count >= size * _GROUPS or size == 1)
    groups = -(-count // _KNOWN) * _KNOWN // size
    vectors = np.zeros((size * groups, 2, _HALF), np.float32)
    vectors[:count] = halves.reshape(count, 2, _HALF)
    grouped = aligned((groups, size, 2, _HALF))
    grouped[:] = vectors.reshape(size, groups, 2, _HALF).swapaxes(0, 1)
    return _Packed(grouped, count)


def _comparer(packed: _Packed, threads: int) -> Callable[[Indices], Floats]:
    """What tells how alike images are to the most like of each group: (images, groups)."""
    groups, size = packed.vectors.shape[:2]
    target = chosen()
    blocks, each = groups * size // _KNOWN, _KNOWN // size
    one = 4 * ASKED * each  # bytes of what one call writes
    call = Call(
        compare(_HALF, _KNOWN, size, registers=target.registers),
        (
            Place("asking", by_task=4 * ASKED * 2 * _HALF),
            Place("known", by_repeat=4 * _KNOWN * 2 * _HALF),
            Place("best", by_task=blocks * one, by_repeat=one),
        ),
    )
    executable = Executable([Phase(None, (Section((call,), repeats=blocks),))], target)
    most = -(-min(packed.count, _BLOCK) // ASKED)
    lanes = aligned((most, ASKED // LANES, 2, _HALF, LANES))
    best = aligned((most, blocks, ASKED // LANES, each, LANES))

    def compared(asking: Indices) -> Floats:
        tasks = -(-len(asking) // ASKED)
        padded = np.zeros((tasks * ASKED, 2, _HALF), np.float32)
        padded[: len(asking)] = packed.of(asking)
        lanes[:tasks] = padded.reshape(tasks, -1, LANES, 2, _HALF).transpose(0, 1, 3, 4, 2)
        arrays = {"asking": lanes, "known": packed.vectors, "best": best}
        executable.run(arrays, tasks=tasks, threads=min(threads, tasks))
        return best[:tasks].transpose(0, 2, 4, 1, 3).reshape(tasks * ASKED, groups)[: len(asking)]

    return compared


def _most_alike(packed: _Packed, asking: Indices, groups: Indices) -> tuple[Indices, NDArray[np.bool_], Floats]:
    """Which other image of its group is most like each that asks, whether it is so mirrored, and how alike; or -2."""
    every, size = len(packed.vectors), packed.vectors.shape[1]
    members = groups[:, None] + every * np.arange(size)
    own = packed.of(asking)
    both = np.einsum("nmhk,nhk->hnm", packed.vectors[groups], own)
    alike = both[0] + np.abs(both[1])
    alike[(members >= packed.count) | (members == asking[:, None])] = -2.0
    first = alike.argmax(axis=1)
    rows = np.arange(len(asking))
    return members[rows, first], both[1][rows, first] < 0, alike[rows, first]
