"""How alike pictures are: correlations of small grey versions, for all pairs at once and, of few, closely.

A picture is averaged down to 8x8 cells of grey, less its mean and divided by its norm, so that brightness and contrast
do not count. The product of two such vectors is their correlation. All pairs are compared in blocks by matrix products;
pairs that may be copies are looked at again in 16x16 cells, with windows of either picture moved over the other, so
that a cropped copy fits somewhere.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.learning.pictures import Pixels

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

NEAREST = 6
"""Neighbours that are sought of a picture. The last tells how alike pictures of this data are that are no copies."""

_COARSE, _FINE, _SIDE = 8, 16, 32
_ROWS = 512  # questions asked together
_GROUP = 64  # pictures of which first only the most alike is looked at
_SCALES = (0.95, 0.9, 0.82)  # of the windows: a copy may have lost almost a fifth of its rows and columns
_PAIRS = 512  # looked at closely together


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The `NEAREST` neighbours of each picture, the most alike first.

    Attributes
    ----------
    which : (N, NEAREST) int64
    correlation : (N, NEAREST) float32
    """

    which: Indices
    correlation: Floats


def grey(pixels: Pixels) -> Floats:
    """Pictures as 32x32 cells of grey: (N, 32, 32)."""
    down, across = (_averaging(size, _SIDE, 0.0, 1.0) for size in pixels.shape[1:3])
    small = np.empty((len(pixels), _SIDE, _SIDE), np.float32)
    for start in range(0, len(pixels), _ROWS):
        picture = pixels[start : start + _ROWS].mean(axis=3, dtype=np.float32)
        small[start : start + _ROWS] = down @ picture @ across.T
    return small


def neighbours(questions: Floats, known: Floats) -> Neighbours:
    """Find the most alike of `known` for each of `questions`, both (N, 32, 32); picture n is never that of n."""
    asked, answers = _coarse(questions), _coarse(known)
    count = len(known)
    padded = -(-count // _GROUP) * _GROUP
    most = min(NEAREST, padded // _GROUP)
    which = np.zeros((count, NEAREST), np.int64)
    correlation = np.full((count, NEAREST), -1.0, np.float32)
    for start in range(0, count, _ROWS):
        block = asked[start : start + _ROWS]
        alike = np.full((len(block), padded), -2.0, np.float32)
        np.matmul(block, answers.T, out=alike[:, :count])
        rows = np.arange(len(block))
        alike[rows, start + rows] = -2.0
        # The most alike lie in those groups whose best are the best.
        groups = alike.reshape(len(block), -1, _GROUP)
        best = np.argpartition(-groups.max(axis=2), most - 1, axis=1)[:, :most]
        candidates = (np.sort(best, axis=1)[:, :, None] * _GROUP + np.arange(_GROUP)).reshape(len(block), -1)
        found = np.take_along_axis(alike, candidates, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")[:, :NEAREST]
        which[start : start + _ROWS] = np.take_along_axis(candidates, order, axis=1)
        correlation[start : start + _ROWS] = np.take_along_axis(found, order, axis=1)
    return Neighbours(which, correlation)


def aligned(one: Floats, other: Floats) -> Floats:
    """The best correlation of each pair when a window of either may be moved over the whole of the other.

    Parameters
    ----------
    one, other : (N, 32, 32) float32

    Returns
    -------
    (N,) float32
    """
    windows = _windows()
    best = np.full(len(one), -1.0, np.float32)
    for start in range(0, len(one), _PAIRS):
        here = slice(start, start + _PAIRS)
        for whole, part in ((one[here], other[here]), (other[here], one[here])):
            fixed = _normalised(whole.reshape(len(whole), -1) @ windows[:, : _FINE * _FINE])
            moved = (part.reshape(len(part), -1) @ windows).reshape(len(part), -1, _FINE * _FINE)
            found = np.einsum("nwk,nk->nw", _normalised(moved), fixed)
            best[here] = np.maximum(best[here], found.max(axis=1))
    return best


def _coarse(small: Floats) -> Floats:
    step = _SIDE // _COARSE
    cells = small.reshape(len(small), _COARSE, step, _COARSE, step).mean(axis=(2, 4))
    return _normalised(cells.reshape(len(small), -1))


def _normalised(vectors: Floats) -> Floats:
    """Less their mean, of length 1; what does not vary becomes 0, which is like nothing."""
    less = vectors - vectors.mean(axis=-1, keepdims=True)
    length = np.sqrt((less * less).sum(axis=-1, keepdims=True))
    out: Floats = np.divide(less, length, out=np.zeros_like(less), where=length > 1e-4)
    return out


def _windows() -> Floats:
    """One matrix that cuts all windows out of a picture and averages each to 16x16 cells; the first is the whole."""
    places = [(0.0, 0.0, 1.0)]
    for scale in _SCALES:
        places += [(u * (1 - scale), v * (1 - scale), scale) for u, v in itertools.product((0.0, 0.5, 1.0), repeat=2)]
    matrices = []
    for top, left, scale in places:
        down, across = (_averaging(_SIDE, _FINE, start, start + scale) for start in (top, left))
        matrices.append(np.kron(down, across).T)
    return np.hstack(matrices)


def _averaging(size: int, cells: int, start: float, stop: float) -> Floats:
    """The matrix (cells, size) that averages the part from `start` to `stop` (of 1) of `size` pixels to `cells`."""
    edges = (start + (stop - start) * np.arange(cells + 1) / cells) * size
    middle, half = (edges[1:] + edges[:-1]) / 2, np.maximum(np.diff(edges), 1.0) / 2
    low, high = np.clip(middle - half, 0, size), np.clip(middle + half, 0, size)
    pixel = np.arange(size)
    overlap = np.minimum(high[:, None], pixel + 1) - np.maximum(low[:, None], pixel)
    weights = np.maximum(overlap, 0.0)
    averaging: Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return averaging
