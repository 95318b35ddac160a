"""How alike the images of a class look: how often an image's nearest neighbour among the others has its class.

At most 2,000 images are compared, averaged down to at most 12x12 and each less its mean, by squared distances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Pixels

COMPARED = 2000
"""Images at most."""

_BLOCK = 64  # images whose pixels are looked at at once
_SIDE = 12  # rows and columns that images are averaged down to before they are compared


def agreement(pixels: Pixels, labels: NDArray[np.int32], indices: NDArray[np.int64]) -> float:
    """Leave-one-out accuracy of the nearest neighbour: the share of images whose nearest other image has their class.

    Parameters
    ----------
    pixels : (N, rows, columns, channels)
    labels : (N,) int32
    indices : (n,) int64
        Positions of the images to use.
    """
    chosen = _chosen(indices)
    flat = _averaged(pixels, chosen).reshape(len(chosen), -1)
    return _agreement(flat, flat, labels[chosen])


def mirror_agreement(pixels: Pixels, labels: NDArray[np.int32], indices: NDArray[np.int64]) -> tuple[float, float]:
    """The accuracy of the nearest neighbour for images as they are, and for mirrored ones among those that are not.

    The original of a mirrored image does not count as its neighbour.

    Parameters
    ----------
    pixels : (N, rows, columns, channels)
    labels : (N,) int32
    indices : (n,) int64
        Positions of the images to use.
    """
    chosen = _chosen(indices)
    small = _averaged(pixels, chosen)
    flat = small.reshape(len(small), -1)
    mirrored = small[:, :, ::-1].reshape(len(small), -1)
    return _agreement(flat, flat, labels[chosen]), _agreement(mirrored, flat, labels[chosen])


def moved_agreement(
    pixels: Pixels, labels: NDArray[np.int32], indices: NDArray[np.int64], share: float = 1.0, degrees: float = 0.0
) -> tuple[float, float]:
    """The accuracy of the nearest neighbour for images as they are, and for parts of them, or for turned ones.

    Parameters
    ----------
    pixels : (N, rows, columns, channels)
    labels : (N,) int32
    indices : (n,) int64
        Positions of the images to use.
    share : float
        Of the rows and columns, around the middle, that is enlarged.
    degrees : float
        By which images are turned, to either side.
    """
    chosen = _chosen(indices)
    plain = _sampled(pixels, chosen, 1.0, 0.0)
    moved = (_sampled(pixels, chosen, share, side * degrees * pi / 180) for side in ((1, -1) if degrees else (1,)))
    return _agreements(plain, moved, labels[chosen])


def colour_agreement(
    pixels: Pixels,
    labels: NDArray[np.int32],
    indices: NDArray[np.int64],
    *changes: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> tuple[float, float]:
    """The accuracy of the nearest neighbour by colour for images as they are, and for changed ones.

    Parameters
    ----------
    pixels : (N, rows, columns, channels)
    labels : (N,) int32
    indices : (n,) int64
        Positions of the images to use.
    *changes : callable
        Each is given images (n, rows, columns, channels) that were averaged down, and changes their colours. What is
        returned for them is the mean.
    """
    chosen = _chosen(indices)
    channels = [_averaged(pixels[..., i : i + 1], chosen, centred=False) for i in range(pixels.shape[3])]
    small = np.stack(channels, axis=3)
    flat = (len(chosen), -1)
    return _agreements(small.reshape(flat), (change(small).reshape(flat) for change in changes), labels[chosen])


def _sampled(pixels: Pixels, chosen: NDArray[np.int64], share: float, angle: float) -> NDArray[np.float32]:
    """Parts around the middle of images, turned, averaged down; from pixels on a grid."""
    size = np.array(pixels.shape[1:3])
    row, column = np.meshgrid(*((np.arange(4 * _SIDE) + 0.5) / (4 * _SIDE) - 0.5,) * 2, indexing="ij")
    row, column = row * size[0] * share, column * size[1] * share
    turned = (cos(angle) * row + sin(angle) * column, cos(angle) * column - sin(angle) * row)
    rows, columns = (
        np.clip(np.floor(place + count / 2), 0, count - 1).astype(int)
        for place, count in zip(turned, size, strict=True)
    )
    picked = pixels[chosen[:, None, None], rows, columns]
    return _averaged(picked, np.arange(len(picked))).reshape(len(picked), -1)


def _chosen(indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Some of them from everywhere, at no regular distance: classes may follow one another, or take turns."""
    if len(indices) <= COMPARED:
        return indices
    bits = np.random.Philox(key=0).random_raw(len(indices))
    return indices[np.sort(np.argsort(bits, kind="stable")[:COMPARED])]


def _agreement(questions: NDArray[np.float32], known: NDArray[np.float32], labels: NDArray[np.int32]) -> float:
    # Squared distances without the question's own norm, which is the same for all neighbours.
    distances = (known * known).sum(axis=1)[None, :] - 2 * questions @ known.T
    np.fill_diagonal(distances, np.inf)
    return float((labels[distances.argmin(axis=1)] == labels).mean())


def _agreements(
    known: NDArray[np.float32], changed: Iterable[NDArray[np.float32]], labels: NDArray[np.int32]
) -> tuple[float, float]:
    """That of images as they are, and the mean of those of changed ones."""
    return _agreement(known, known, labels), float(np.mean([_agreement(one, known, labels) for one in changed]))


def _averaged(pixels: Pixels, chosen: NDArray[np.int64], *, centred: bool = True) -> NDArray[np.float32]:
    rows, columns = pixels.shape[1:3]
    row_edges = np.linspace(0, rows, min(rows, _SIDE) + 1).astype(int)[:-1]
    column_edges = np.linspace(0, columns, min(columns, _SIDE) + 1).astype(int)[:-1]
    # A mirrored image must be averaged over mirrored blocks, or the comparison would be unfair.
    image = np.empty((len(chosen), rows, columns), np.float32)
    for start in range(0, len(chosen), _BLOCK):
        image[start : start + _BLOCK] = pixels[chosen[start : start + _BLOCK]].astype(np.float32).mean(axis=3)
    if centred:
        image -= image.mean(axis=(1, 2), keepdims=True)
    there = np.add.reduceat(np.add.reduceat(image, row_edges, axis=1), column_edges, axis=2)
    back = np.add.reduceat(np.add.reduceat(image[:, :, ::-1], row_edges, axis=1), column_edges, axis=2)[:, :, ::-1]
    mean: NDArray[np.float32] = there + back
    return mean
