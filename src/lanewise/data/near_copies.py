"""Near copies among images of one class: frames of one track, crops and variants of one photograph.

    leak(images, trained, held) -> Leak           held-out images with a near copy in training, from a sample
    similar(pixels, labels) -> a group for each      near copies together, over others if need be

An image is averaged down to 8x8 cells of grey, less their mean and gradients, and rounded to whole numbers such that
its norm is about `NORM`. The correlation of two images is then a sum of products of whole numbers below 2^24, which
float32 has exactly, in whatever order it is summed up: so groups, and training by them, are the same on every machine.
The mirror image is compared, too, as in `data_check/nearest.py`.

Images of one class may all look alike, so likeness alone says nothing. A near copy must be far nearer than the image's
neighbours are from the `FAR`th on, of the same class: a track is shorter than that, and among images that are no copies
distance grows slowly with the rank of a neighbour (by 2 / m, if they vary in m ways).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Images, Pixels


@dataclass(frozen=True, slots=True)
class Nearness:
    """What near copies have: a correlation of at least `alike`, and at most the share `nearer` of the distance to the
    `FAR`th neighbour."""

    alike: float
    nearer: float


TOLD = Nearness(0.9, 0.05)
"""To be named as such: of images that are no copies but look alike, as digits do, up to 1 in 25 are that near."""

TOGETHER = Nearness(0.75, 0.3)
"""To be kept together, which costs little where they are no copies."""

FAR = 64
"""Rank of the neighbour that tells how alike images are that are no copies; a third of the class, if that is less."""

FEWEST = 12
"""Images of a class, below which there is no telling."""

SAMPLE = 500
"""Held-out images that are looked at, at most."""

NORM = 2047.0
_SIDE = 8
_SHARES = 64  # of a pixel, whole numbers of which are in a cell
_COARSE = 32  # rows and columns that are left of larger images, at least, where pixels are skipped
_ROWS = 512  # images that are compared with all others at once
_FLAT = 2.0  # of 255, that no cell differs by: there is nothing to compare
_BLOCK_BYTES = 2**18  # bytes of images that are averaged down at once

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Leak:
    """Held-out images that have a near copy among those to train on.

    Attributes
    ----------
    asked : int
        Held-out images that were looked at.
    pairs : (n, 2) int64
        Positions of a held-out image and its nearest in training, the most alike first.
    """

    asked: int
    pairs: Indices


def leak(images: Images, trained: Indices, held: Indices) -> Leak:
    """Look for near copies of held-out images, of a sample of them if they are many, in the training set.

    Parameters
    ----------
    images : Images
    trained, held : positions
    """
    assert images.labels is not None
    labels = images.labels
    asking = held[:: -(-len(held) // SAMPLE)] if len(held) else held
    known, asked = _signatures(images.pixels, trained), _signatures(images.pixels, asking)
    found: list[tuple[float, int, int]] = []
    for label in np.unique(labels[asking]):
        ours, theirs = np.flatnonzero(labels[asking] == label), np.flatnonzero(labels[trained] == label)
        for start, distance in _distances(asked[ours], known[theirs]):
            nearest, room = distance.argmin(axis=1), _room(distance, TOLD)
            least = distance[np.arange(len(distance)), nearest]
            for n in np.flatnonzero(least <= room).tolist():
                found.append((float(least[n]), int(asking[ours[start + n]]), int(trained[theirs[nearest[n]]])))
    pairs = [pair for _, *pair in sorted(found)]
    return Leak(len(asking), np.array(pairs, np.int64).reshape(-1, 2))


def similar(pixels: Pixels, labels: NDArray[np.int32]) -> Indices:
    """Group near copies of the same class: those that are near copies of one another, over others if need be.

    Parameters
    ----------
    pixels : (N, rows, columns, channels)
    labels : (N,) int32

    Returns
    -------
    (N,) int64
        For each image the position of the first of its group.
    """
    group = np.arange(len(labels))
    vectors = _signatures(pixels, group)
    for label in np.unique(labels):
        ours = np.flatnonzero(labels == label)
        room = np.concatenate(
            [_room(_but_itself(distance, start), TOGETHER) for start, distance in _of_itself(vectors[ours])]
        )
        for start, distance in _of_itself(vectors[ours]):
            rows = slice(start, start + len(distance))
            one, other = np.nonzero(distance <= np.minimum(room[rows, None], room[None, :]))
            for a, b in zip((one + start).tolist(), other.tolist(), strict=True):
                if a < b:
                    _join(group, int(ours[a]), int(ours[b]))
    return np.array([_first(group, n) for n in range(len(group))], np.int64)


def _of_itself(vectors: Floats) -> Iterator[tuple[int, Floats]]:
    return _distances(vectors, vectors)


def _but_itself(distance: Floats, start: int) -> Floats:
    rows = np.arange(len(distance))
    distance[rows, start + rows] = np.inf
    return distance


def _first(group: Indices, n: int) -> int:
    while group[n] != n:
        group[n] = group[group[n]]
        n = int(group[n])
    return n


def _join(group: Indices, one: int, other: int) -> None:
    low, high = sorted((_first(group, one), _first(group, other)))
    group[high] = low


def _distances(asking: Floats, known: Floats) -> Iterator[tuple[int, Floats]]:
    """1 - correlation of some images, mirrored or not, with all known ones; some at a time, with where they begin."""
    turned = np.ascontiguousarray(known.transpose(1, 2, 0))
    for start in range(0, len(asking), _ROWS):
        few = np.ascontiguousarray(asking[start : start + _ROWS].transpose(1, 0, 2))
        alike = few[0] @ turned[0]
        alike += np.abs(few[1] @ turned[1])
        yield start, np.float32(1) - alike / np.float32(2 * NORM * NORM)


def _room(distance: Floats, wanted: Nearness) -> Floats:
    """How near a near copy of each image must be, by the distances to all others; -1 where there is no telling."""
    count = distance.shape[1]
    if count < FEWEST:
        return np.full(len(distance), -1, np.float32)
    far = min(FAR, count // 3) - 1
    ambient = np.partition(distance, far, axis=1)[:, far]
    room: Floats = np.minimum(np.float32(wanted.nearer) * ambient, np.float32(1 - wanted.alike))
    return room


def _signatures(pixels: Pixels, chosen: Indices) -> Floats:
    """For each image (2, 32) whole numbers: what mirroring leaves alone, and what it turns round."""
    skips = [max(1, side // _COARSE) for side in pixels.shape[1:3]] + [-(-pixels.shape[3] // 3)]
    skipped = tuple(slice(None, None, skip) for skip in skips)
    rows, columns, channels = pixels[0][skipped].shape
    down, across = _shares(rows).T.astype(np.float64), np.repeat(_shares(columns), channels, axis=1).T
    found = np.zeros((len(chosen), 2, _SIDE * _SIDE // 2), np.float32)
    step = max(1, _BLOCK_BYTES // pixels[0].nbytes)
    for start in range(0, len(chosen), step):
        few = _bytes(pixels[chosen[start : start + step]][:, *skipped])
        narrow = (few.reshape(-1, columns * channels) @ across).reshape(len(few), rows, _SIDE)
        cells = narrow.transpose(0, 2, 1).astype(np.float64) @ down  # (N, cells across, cells down)
        less = _levelled(cells.astype(np.int64), rows * columns * channels)
        left, right = less[:, : _SIDE // 2], less[:, : _SIDE // 2 - 1 : -1]
        found[start : start + step] = np.stack([left + right, left - right], axis=1).reshape(len(few), 2, -1)
    return found


def _bytes(few: Pixels) -> Floats:
    """Whole numbers from 0 to 255; those of other images span all of these."""
    if few.dtype == np.uint8:
        return few.astype(np.float32)
    flat = few.reshape(len(few), -1)
    low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
    scaled = (flat - low) / np.maximum(high - low, np.float32(1e-30)) * np.float32(255)
    whole: Floats = np.rint(scaled).astype(np.float32).reshape(few.shape)
    return whole


def _shares(size: int) -> Floats:
    """How many 64ths of each of `size` pixels are in each of 8 cells that cover them: (8, size)."""
    edges = np.arange(_SIDE + 1) * (size * _SHARES // _SIDE)
    pixel = np.arange(size) * _SHARES
    shares = np.minimum(edges[1:, None], pixel + _SHARES) - np.maximum(edges[:-1, None], pixel)
    known: Floats = np.maximum(shares, 0).astype(np.float32)
    return known


def _levelled(cells: NDArray[np.int64], values: int) -> NDArray[np.float64]:
    """Cells less their mean and gradients, whole numbers of norm `NORM`; 0 where nothing is left.

    Parameters
    ----------
    cells : (N, 8, 8) int64
        Sums over an image of so many values, each 64 * 64 times.
    values : int
    """
    size, ramp = _SIDE * _SIDE, np.arange(1 - _SIDE, _SIDE, 2)
    square = _SIDE * int((ramp * ramp).sum())
    less = size * cells - cells.sum(axis=(1, 2), keepdims=True)
    one = (less.sum(axis=2) * ramp).sum(axis=1)[:, None, None] * ramp[:, None]
    other = (less.sum(axis=1) * ramp).sum(axis=1)[:, None, None] * ramp
    left = (square * less - one - other).astype(np.float64)
    most = np.abs(left).max(axis=(1, 2), keepdims=True)
    flat = most / (size * square * _SHARES * _SHARES / size * values) < _FLAT
    whole = np.rint(left / np.maximum(most, 1) * 2.0**27).astype(np.int64)  # their squares add up to below 2**63
    norm = np.sqrt((whole * whole).sum(axis=(1, 2), keepdims=True).astype(np.float64))
    return np.where(flat, 0.0, np.rint(whole * (NORM / np.maximum(norm, 1))))
