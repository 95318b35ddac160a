"""The scale of pixels: values that a model is given must be on the scale of the values that it was trained on.

    on_scale(pixels, preprocessing) -> (pixels, note)
    scaled(images, preprocessing) -> Images         with the note among its notes

A network that was trained on x / 255 and is given x sees noise, and says nothing. So a model knows the smallest and the
largest value of its training set. Bytes (0 to 255, as files have them) are brought to 0 to 1, or to -1 to 1, where that
is what the range says, and the note tells it; whatever else does not fit is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Images
from lanewise.errors import DataError
from lanewise.notes import Caution, Note
from lanewise.preprocessing import Preprocessing

Pixels = NDArray[np.uint8 | np.float32]

FULL = 0.9
"""Values that reach this share of 0 to 1, and no further, are taken for bytes divided by 255."""

MOST_OF_BYTES = 512
"""Floats from 0 to at most this are taken for bytes that were not scaled."""

OUTSIDE = 0.01
"""Share of the values that may lie farther outside the range of the training set than it is wide."""

ENOUGH = 8
"""Images from which on their spread says something."""

UNLIKE = 2.5
"""Times as wide or as narrow as the training set's: a spread that deserves a word."""

BEYOND = 0.05
"""Share of its width outside the range of the training set where values deserve a word."""

UNUSED = 0.45
"""Share of the range, at either end, that no value of many images lies in: that deserves a word."""

IMPOSSIBLE = 0.1
"""Share of the values below 0 or above 255 where a model of bytes deserves a word: resizing alone makes a few."""

DARK = 0.02
"""Floats of one image that reach no further than this share of the range are probably on another scale."""

FEW_LEVELS = 31
"""Bytes of many images that go no higher are counts or levels, like the 0 to 16 of scanned digits, not 0 to 255."""

_BLOCK = 1024  # images looked at together, so that mapped arrays are never copied whole


def range_of(pixels: Pixels, chosen: NDArray[np.int64], *, files: bool) -> tuple[float, float]:
    """The smallest and the largest value of some images; 0 and 255 of bytes, unless they are few levels.

    Parameters
    ----------
    pixels : (N, rows, columns, channels)
    chosen : (n,) int64
        Which images count.
    files : bool
        Whether the images came from files, whose values may always be 0 to 255.
    """
    few = FEW_LEVELS if len(chosen) >= ENOUGH else 1
    if files or (pixels.dtype == np.uint8 and any(pixels[part].max() > few for part in _blocks(chosen))):
        return 0.0, 255.0
    parts = [pixels[part] for part in _blocks(chosen)]
    return float(min(part.min() for part in parts)), float(max(part.max() for part in parts))


def on_scale(array: NDArray[Any], preprocessing: Preprocessing) -> tuple[Pixels, Note | None]:
    """Raw pixels as the model takes them, and what there is to be said of them.

    Parameters
    ----------
    array : (N, rows, columns, channels) numbers
    preprocessing : Preprocessing

    Returns
    -------
    pixels : (N, rows, columns, channels) uint8 or float32
    note : Note or None

    Raises
    ------
    DataError
        An image holds NaN or infinity, or the values are on another scale than the training set's.
    """
    if not array.size:
        return np.ascontiguousarray(array, np.uint8 if preprocessing.dtype == "uint8" else np.float32), None
    low, high = preprocessing.value_range or ((0.0, 255.0) if preprocessing.dtype == "uint8" else (-np.inf, np.inf))
    whole = array.dtype.kind in "bui"
    least, most = float(array.min()), float(array.max())
    # By the type alone, so that no image's result depends on those beside it.
    if array.dtype == np.uint8 and preprocessing.dtype == "float32" and not (low >= 0 and 1 < high <= MOST_OF_BYTES):
        return _from_bytes(array, low, high) if np.isfinite(high - low) else (array.astype(np.float32), None)
    if preprocessing.dtype == "uint8" and high <= FEW_LEVELS and whole and most > max(2 * high, 1):
        raise DataError(_but(f"reach from {least:.4g} to {most:.4g}", low, high, "scale them alike"))
    if preprocessing.dtype == "uint8" and whole and least >= 0 and most <= 255:
        pixels: Pixels = np.ascontiguousarray(array, np.uint8)
        if high > 1 and most == 1:
            return pixels, Caution(_but("lie within 0 to 1", low, high, "multiply by 255"))
        return pixels, _few_levels(pixels, low, high)
    with np.errstate(over="ignore"):
        pixels = np.ascontiguousarray(array, np.float32)
    finite = np.isfinite(pixels).all(axis=(1, 2, 3))
    if not finite.all():
        raise DataError(f"image {int(finite.argmin())} holds NaN or infinity; replace it or leave the image out")
    if not np.isfinite(high - low) or high == low:  # nothing is known of the scale
        return pixels, None
    # Images scaled to 0..1 would all look black to a model of bytes: easily done, and hard to see.
    if high >= 100 and low >= 0 and 0 < most <= 1 and not whole:
        raise DataError(_but("lie within 0 to 1", low, high, "multiply by 255" if high <= 255 else "scale them alike"))
    with np.errstate(over="ignore"):  # bounds beyond float32 are infinite there, which is as good
        outside = np.mean((pixels < 2 * low - high) | (pixels > 2 * high - low))
    if outside > OUTSIDE:
        advice = "divide by 255" if least >= 0 and most <= 255 and high <= 1 else "scale them alike"
        raise DataError(_but(f"reach from {least:.4g} to {most:.4g}", low, high, advice))
    return pixels, _unlike(pixels, preprocessing, low, high)


def scaled(images: Images, preprocessing: Preprocessing) -> Images:
    """Images on the scale that a model was trained on, and what there is to be said of it among their notes."""
    if images.pixels.shape[1:] != preprocessing.shape:  # refused elsewhere, with words that fit
        return images
    pixels, note = on_scale(images.pixels, preprocessing)
    new = () if note is None or note in images.notes else (note,)
    if not new and pixels.dtype == images.pixels.dtype:  # nothing changed
        return images
    return replace(images, pixels=pixels, notes=(*images.notes, *new))


def _from_bytes(array: NDArray[Any], low: float, high: float) -> tuple[Pixels, Note]:
    """Bytes for a network that was trained on something else, if it is plain what that was."""
    if low >= 0 and FULL <= high <= 1:
        divisor, shift, how = 255.0, 0.0, "from 0 to 1, so bytes are divided by 255."
    elif low <= -FULL and low >= -1 and FULL <= high <= 1:
        divisor, shift, how = 127.5, 1.0, "from -1 to 1, so bytes are divided by 127.5, minus 1."
    else:
        raise DataError(_but("are bytes, 0 to 255", low, high, "give arrays that are scaled alike"))
    pixels = np.ascontiguousarray(array, np.float32) / np.float32(divisor) - np.float32(shift)
    return pixels, _few_levels(array, 0.0, 255.0) or Note(f"The model was trained on values {how}")


def _unlike(pixels: Pixels, preprocessing: Preprocessing, low: float, high: float) -> Caution | None:
    """A word where the values lie otherwise than the training set's did, though they could be on its scale."""
    least, most, margin = float(pixels.min()), float(pixels.max()), BEYOND * (high - low)
    if least == most and low <= least <= high:  # black or white throughout, which no scale explains better
        return None
    with np.errstate(over="ignore"):
        unlike = bool(np.mean((pixels < low - margin) | (pixels > high + margin)) > OUTSIDE)
    if preprocessing.dtype == "uint8":
        unlike = unlike or bool(np.mean((pixels < low) | (pixels > high)) > IMPOSSIBLE)
    unlike = unlike or (low >= 0 and 0 < most < DARK * high)
    if len(pixels) >= ENOUGH and preprocessing.standardised:
        spread = float((pixels[:_BLOCK] * np.array(preprocessing.scale, np.float32)).std(axis=(0, 1, 2)).mean())
        unlike = unlike or not 1 / UNLIKE <= spread <= UNLIKE
    if len(pixels) >= ENOUGH:
        unlike = unlike or max(least - low, high - most) > UNUSED * (high - low)
    if not unlike:
        return None
    advice = "scale them as then, or the answers will be wrong"
    return Caution(_but(f"reach from {least:.4g} to {most:.4g}", low, high, advice))


def _few_levels(images: NDArray[Any], low: float, high: float) -> Caution | None:
    """A word where many images of bytes hold low values alone, though the training set's went up to 255."""
    most = int(images.max())
    if len(images) < ENOUGH or not 0 < most <= FEW_LEVELS < high:
        return None
    return Caution(_but(f"reach from {int(images.min())} to {most}", low, high, "scale them as then"))


def _but(what: str, low: float, high: float, advice: str) -> str:
    return f"these images {what}, but the model was trained on values from {low:.4g} to {high:.4g}: {advice}"


def _blocks(chosen: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [chosen[start : start + _BLOCK] for start in range(0, len(chosen), _BLOCK)]
