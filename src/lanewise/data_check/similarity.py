"""How alike pairs of images are: correlations of 16x16 cells of grey, windows of either being moved over the other.

So a cropped copy fits somewhere. Brightness and contrast do not count, nor does an even gradient of brightness across
the image: skies that grow brighter towards the horizon are alike in little else.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Pixels

Floats = NDArray[np.float32]

SIDE = 32
"""Rows and columns of the grey images that pairs are compared by."""

_FINE = 16
_SCALES = (1.0, 0.95, 0.9, 0.82)  # of the windows: a copy may have lost almost a fifth of its rows and columns
_PAIRS = 256  # compared together
_ENOUGH, _NEARLY_ALL = 2000, 0.98  # images that are transformed at most; a share of their variation
_COLOURS, _TINGE = 0.5, 0.03  # how much colours of copies differ: as a share, and of the brightness
_FLAT = 1e-6  # share of an image's variation: a window of less has nothing to be compared by


def aligned(one: Floats, other: Floats) -> Floats:
    """The best correlation of each pair when a window of either may be moved over the whole of the other.

    Parameters
    ----------
    one, other : (N, 32, 32) float32

    Returns
    -------
    (N,) float32
    """
    cuts, level = _windows(), _level(_FINE)
    best = np.full(len(one), -1.0, np.float32)
    for start in range(0, len(one), _PAIRS):
        here = slice(start, start + _PAIRS)
        for whole, part in ((one[here], other[here]), (other[here], one[here])):
            fixed = normalised(_cut(whole, cuts[0])[:, 0, :, 0, :])
            centred = part - part.mean(axis=(1, 2), keepdims=True)
            least = _FLAT * (centred * centred).sum(axis=(1, 2))[:, None, None]
            for cut in cuts:
                window = _cut(centred, cut)
                product = np.einsum("nuavd,nad->nuv", window, fixed)
                square = np.einsum("nuavd,nuavd->nuv", window, window)
                for plane in level:
                    square -= np.einsum("nuavd,ad->nuv", window, plane) ** 2
                found = np.divide(product, np.sqrt(np.maximum(square, 0)), out=product * 0, where=square > least)
                best[here] = np.maximum(best[here], found.max(axis=(1, 2)))
    return best


def values_compared(pixels: Pixels) -> int:
    """How many frequencies hold nearly all the variation of images (N, rows, columns, channels): 1 to 256.

    Of the discrete cosine transform of their 16x16 cells, as `normalised` leaves them, in the mean over many images.
    Rows and columns that repeat the one before in every image do not count.
    """
    few = pixels[:: -(-len(pixels) // _ENOUGH)]
    rows, columns = (
        np.flatnonzero(np.r_[True, (np.diff(few.astype(np.float32), axis=axis) != 0).any(axis=others)])
        for axis, others in ((1, (0, 2, 3)), (2, (0, 1, 3)))
    )
    grey = normalised(cells(few[:, rows][:, :, columns], _FINE)).astype(np.float64)
    waves = np.cos(np.pi / _FINE * np.outer(np.arange(_FINE), np.arange(_FINE) + 0.5))
    waves /= np.sqrt((waves * waves).sum(axis=1, keepdims=True))
    strength = np.sort(((waves @ grey @ waves.T) ** 2).sum(axis=0), axis=None)[::-1]
    return 1 + int(np.searchsorted(np.cumsum(strength), _NEARLY_ALL * strength.sum()))


def same_colours(one: Pixels, other: Pixels) -> NDArray[np.bool_]:
    """Whether images (N, rows, columns, channels) differ no more in brightness, contrast and colour than copies do.

    Brightness and contrast by a factor of two at most; colours, in 4x4 cells and over the brightness, by less than half
    of the more colourful one. A copy may have become grey altogether.
    """
    bright, contrast, colours, colourless = zip(*(_colours(images) for images in (one, other)), strict=True)
    same = _within(*contrast)
    if one.dtype == np.uint8:
        same &= _within(*bright)
    strength = np.maximum(*(np.sqrt((colour * colour).sum(axis=1)) for colour in colours))
    difference = np.sqrt(((colours[0] - colours[1]) ** 2).sum(axis=1))
    same &= (difference <= _COLOURS * strength + _TINGE * colours[0].shape[1] ** 0.5) | colourless[0] | colourless[1]
    return same


def _colours(images: Pixels) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Brightness, contrast, what red and blue are more than the mean in 4x4 cells, and whether all is grey."""
    few = np.stack([cells(images[..., n : n + 1], 4) for n in range(images.shape[3])], axis=3)
    mean = few.mean(axis=3, keepdims=True)
    bright = np.maximum(mean.mean(axis=(1, 2, 3)), 1e-6)
    apart = (few - mean)[..., ::2]
    colour = apart.reshape(len(few), math.prod(apart.shape[1:])) / bright[:, None]
    grey = (images == images[..., :1]).all(axis=(1, 2, 3))
    return bright, cells(images, SIDE).std(axis=(1, 2)), colour, grey


def _within(one: Floats, other: Floats) -> NDArray[np.bool_]:
    """Whether positive numbers differ by a factor of two at most."""
    within: NDArray[np.bool_] = np.maximum(one, other) <= 2 * np.minimum(one, other)
    return within


def cells(pixels: Pixels, side: int) -> Floats:
    """Averages of the grey of images (N, rows, columns, channels) over side x side cells: (N, side, side)."""
    rows, columns, channels = pixels.shape[1:]
    down = _averaging(rows, side, 0.0, 1.0).T
    across = np.repeat(_averaging(columns, side, 0.0, 1.0).T / channels, channels, axis=0)
    out = np.empty((len(pixels), side, side), np.float32)
    step = max(1, 2**22 // (rows * columns * channels))
    for start in range(0, len(pixels), step):
        image = pixels[start : start + step].astype(np.float32)
        narrow = image.reshape(-1, columns * channels) @ across
        turned = np.ascontiguousarray(narrow.reshape(-1, rows, side).transpose(0, 2, 1)).reshape(-1, rows)
        out[start : start + step] = (turned @ down).reshape(-1, side, side).transpose(0, 2, 1)
    return out


def reduced(pixels: Pixels, most: int) -> Pixels:
    """Images (N, rows, columns, channels) averaged down so that the longer side has `most` pixels at most."""
    share = most / max(pixels.shape[1:3])
    if share >= 1:
        return pixels
    rows, columns = (max(1, round(side * share)) for side in pixels.shape[1:3])
    down, across = _averaging(pixels.shape[1], rows, 0.0, 1.0), _averaging(pixels.shape[2], columns, 0.0, 1.0)
    out = np.empty((len(pixels), rows, columns, pixels.shape[3]), pixels.dtype)
    for n, image in enumerate(pixels):
        small = np.einsum("ru,uvi,cv->rci", down, image.astype(np.float32), across, optimize=True)
        out[n] = np.rint(small) if pixels.dtype == np.uint8 else small
    return out


def normalised(images: Floats) -> Floats:
    """Images less their mean and gradient, of length 1; where nothing is left they are 0, which is like nothing."""
    less = images - images.mean(axis=(1, 2), keepdims=True)
    whole = np.sqrt((less * less).sum(axis=(1, 2), keepdims=True))
    for plane in _level(images.shape[1]):
        less -= np.einsum("nad,ad->n", less, plane)[:, None, None] * plane
    length = np.sqrt((less * less).sum(axis=(1, 2), keepdims=True))
    out: Floats = np.divide(less, length, out=np.zeros_like(less), where=length > 1e-4 + _FLAT**0.5 * whole)
    return out


def _level(side: int) -> Floats:
    """The mean and the two gradients of side x side cells, of length 1 and at right angles: (3, side, side)."""
    gradient = np.arange(side, dtype=np.float32) - (side - 1) / 2
    planes = np.stack([np.ones((side, side)), np.tile(gradient, (side, 1)), np.tile(gradient, (side, 1)).T])
    level: Floats = (planes / np.sqrt((planes * planes).sum(axis=(1, 2), keepdims=True))).astype(np.float32)
    return level


def _cut(images: Floats, cut: Floats) -> Floats:
    """All windows of one size, each as 16x16 cells: (N, places across, 16, places down, 16)."""
    count, many = len(images), len(cut) // _FINE
    narrow = (images.reshape(-1, SIDE) @ cut.T).reshape(count, SIDE, -1)
    turned = np.ascontiguousarray(narrow.transpose(0, 2, 1)).reshape(-1, SIDE)
    return (turned @ cut.T).reshape(count, many, _FINE, many, _FINE)


def _windows() -> list[Floats]:
    """For each scale a matrix (places times 16, 32) that averages windows in all its places to 16 cells."""
    return [
        np.concatenate(
            [
                _averaging(SIDE, _FINE, place * (1 - scale), place * (1 - scale) + scale)
                for place in ((0.0, 0.5, 1.0) if scale < 1 else (0.0,))
            ]
        )
        for scale in _SCALES
    ]


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
