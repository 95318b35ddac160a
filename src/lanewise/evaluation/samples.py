"""Rows and labels as scikit-learn has them, as images and labels to train on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.data.arrays import channels_come_first, perhaps_first
from lanewise.data.images import Images
from lanewise.data.split import joined
from lanewise.errors import DataError, OptionError
from lanewise.labels import as_array, plain, typed
from lanewise.notes import say
from lanewise.pixel_scale import Pixels


def unusual(y: Any) -> NDArray[Any] | None:
    """Labels that scikit-learn does not take for such: bytes, dates and other objects; None if they are usual ones."""
    array = y if hasattr(y, "dtype") and hasattr(y, "shape") else as_array(y)
    kind = getattr(array.dtype, "kind", "O")
    objects = kind == "O" and not all(isinstance(label, str) for label in np.ravel(np.asarray(array)).tolist())
    nullable = not isinstance(array.dtype, np.dtype) and kind in "iufbM"
    if kind not in "ST" and not objects and not nullable and not np.ma.isMaskedArray(y):
        return None
    given, label_type = plain(y)
    if given.ndim != 1:
        return None
    values, place = np.unique(given, return_inverse=True)
    found: NDArray[Any] = typed(values.tolist(), label_type)[place]
    return found


def shape_of(shape: tuple[int, ...], wanted: Sequence[int] | None) -> tuple[int, int, int]:
    """(rows, columns, channels) of the images in an array of `shape`, checked against the shape that is wanted."""
    if wanted is None and channels_come_first(shape):
        raise DataError(f"channels come first in X of shape {shape}: give X.transpose(0, 2, 3, 1), or image_shape")
    if wanted is None:
        if said := perhaps_first(shape):
            say(said)
        wanted = shape[1:] if len(shape) > 2 else (1, shape[1])
    elif not isinstance(wanted, tuple | list) or len(wanted) not in (2, 3) or not all(map(_is_size, wanted)):
        raise OptionError(f"image_shape is {wanted!r}: give (rows, columns) or (rows, columns, channels)")
    rows, columns, channels = image = tuple(map(int, (*wanted, 1)[:3]))
    if len(shape) == 2 and math.prod(image) != shape[1]:
        raise DataError(f"X has {shape[1]} features but image_shape {tuple(wanted)} needs {math.prod(image)}")
    if len(shape) > 2 and (*shape[1:], 1)[:3] != image:
        raise DataError(f"X holds images of shape {shape[1:]} but image_shape {tuple(wanted)} is needed")
    return rows, columns, channels


def _is_size(number: object) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool) and int(number) >= 1


def whole_bytes(pixels: Pixels) -> Pixels:
    """Whole numbers 0 to 255 of any type as the bytes that the model was trained on."""
    if pixels.dtype == np.uint8:
        return pixels
    wrong = (pixels != np.clip(pixels, 0, 255).astype(np.uint8)).any(axis=(1, 2, 3))
    if wrong.any():
        raise DataError(
            f"the classifier was trained on integers 0 to 255, but X[{wrong.argmax()}] holds others: scale X as then"
        )
    return pixels.astype(np.uint8)


def distinct(images: Images, weights: NDArray[np.float64]) -> tuple[Images, NDArray[np.float64]]:
    """The images in an order that depends on them alone; equal ones of one class become one, their weights added.

    Groups of which an image became one are one.
    """
    assert images.labels is not None
    kept = np.flatnonzero(weights)
    digests = b"".join(
        hashlib.blake2b(images.pixels[n], digest_size=16, salt=int(images.labels[n]).to_bytes(4, "little")).digest()
        for n in kept
    )
    _, first, place = np.unique(np.frombuffer(digests, "V16"), return_index=True, return_inverse=True)
    if images.groups is not None:
        numbers = images.groups.numbers.copy()
        numbers[kept] = joined(numbers[kept], place.reshape(-1))
        images = replace(images, groups=replace(images.groups, numbers=numbers))
    return images.take(kept[first]), np.bincount(place, weights[kept]).astype(np.float64)
