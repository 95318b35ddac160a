"""Images as users have them, as an array that a model takes: files, bytes, images of Pillow's, arrays of any size.

raw_pixels(x, preprocessing) -> (N, rows, columns, channels)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.data.arrays import channels_come_first
from lanewise.data.decode import fitted, image_pixels, is_pillow, read_pixels
from lanewise.data.load import load_for_prediction
from lanewise.data.reading import FilesProgress
from lanewise.errors import DataError
from lanewise.notes import Note, say
from lanewise.preprocessing import Preprocessing

COLOURS = (1, 3, 4)
"""Channels that the last axis of an image may have: grey, colour, and colour with alpha, which is left out."""

Numbers = NDArray[Any]


def raw_pixels(x: Any, preprocessing: Preprocessing) -> Numbers:
    """Images of a model's size, on whatever scale they were given.

    Parameters
    ----------
    x : path, bytes, file, image of Pillow's, array, or list, iterator or column of any of these
        An array is (N, rows, columns, channels), (N, channels, rows, columns), (N, rows, columns) or one image.
    preprocessing : Preprocessing
        The size and channels that come out.

    Returns
    -------
    pixels : (N, rows, columns, channels)

    Raises
    ------
    DataError
        It is no image, or has other channels.
    """
    if isinstance(x, Iterator) and not hasattr(x, "read"):
        x = list(x)
    elif hasattr(x, "dtype") and np.asarray(x).dtype.kind in "OUT" and np.ndim(x) == 1:
        x = np.asarray(x).tolist()  # names in an array or a column of a data frame
    if isinstance(x, list | tuple) and not len(x):
        return np.empty((0, *preprocessing.shape), preprocessing.dtype)
    if isinstance(x, list | tuple):
        if all(map(_is_path, x)):
            return _decoded(x, preprocessing)
        if not any(map(_is_one, x)):
            try:
                return _array(np.asarray(x), preprocessing)
            except ValueError as error:  # arrays of several sizes
                if isinstance(error, DataError):
                    raise
        return np.concatenate([_one(item, preprocessing) for item in x])
    return _one(x, preprocessing) if _is_one(x) else _array(np.asarray(x), preprocessing)


def _is_path(x: object) -> bool:
    return isinstance(x, str | os.PathLike)


def _is_encoded(x: object) -> bool:
    return isinstance(x, bytes | bytearray | memoryview) or hasattr(x, "read")


def _is_one(x: object) -> bool:
    """Whether it is what `_one` reads, apart from arrays."""
    return _is_path(x) or _is_encoded(x) or is_pillow(x)


def _one(item: Any, preprocessing: Preprocessing) -> Numbers:
    """One image, (1, rows, columns, channels)."""
    rows, columns, channels = preprocessing.shape
    if _is_path(item):
        return _decoded([item], preprocessing)
    if _is_encoded(item):
        content = bytes(item.read() if hasattr(item, "read") else item)
        try:
            pixels, _ = read_pixels(
                content, (rows, columns), _channels(preprocessing), bits=preprocessing.bits, fit=preprocessing.fit
            )
        except DataError as error:
            raise DataError(f"the {len(content):,} bytes given are no usable image: {error}") from None
        return pixels[np.newaxis]
    if is_pillow(item):
        pixels = image_pixels(item, (rows, columns), _channels(preprocessing), preprocessing.bits, preprocessing.fit)
        return pixels[np.newaxis]
    array = _numbers(np.asarray(item))
    if array.ndim == 2:
        array = array[..., np.newaxis]
    elif array.ndim == 3 and array.shape[2] not in (*COLOURS, channels) and array.shape[0] in (*COLOURS, channels):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3:
        raise DataError(f"an array of shape {array.shape} is no image: give (rows, columns[, channels])")
    return _fitted(array[np.newaxis], preprocessing)


def read_files(
    paths: Sequence[Any], preprocessing: Preprocessing, progress: FilesProgress | None = None
) -> tuple[Numbers, tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Read files and folders as a model takes them; returns and errors are those of `load_for_prediction`.

    Parameters
    ----------
    paths : sequence of path
    preprocessing : Preprocessing
        The model's.
    progress : callable, optional
        Given how many files are read, of how many.
    """
    return load_for_prediction(
        paths,
        size=(preprocessing.rows, preprocessing.columns),
        channels=preprocessing.channels,
        fit=preprocessing.fit,
        bits=preprocessing.bits,
        progress=progress,
    )


def _decoded(paths: Sequence[Any], preprocessing: Preprocessing) -> Numbers:
    pixels, _, skipped = read_files(paths, preprocessing)
    if skipped:
        name, reason = skipped[0]
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        raise DataError(f"{name} is no usable image: {reason}{more}; leave it out")
    return pixels


def _numbers(array: Numbers) -> Numbers:
    if array.dtype.kind not in "buif":
        raise DataError(f"images must be numbers, but the array holds {array.dtype}")
    return array


def _array(array: Numbers, preprocessing: Preprocessing) -> Numbers:
    """An array of many images, or of one."""
    rows, columns, channels = full = preprocessing.shape
    _numbers(array)
    shapes = (full, full[:2]) if channels == 1 else (full,)
    if array.shape[1:] in shapes or array.shape in shapes or array.shape[1:] == (rows * columns * channels,):
        return array.reshape(-1, *full)
    if rows == 1 and array.ndim < 4:  # features or sequences, which nobody resizes
        if array.shape[1:] == (channels, columns):  # (N, C, L), as other frameworks have sequences
            return array.transpose(0, 2, 1)[:, np.newaxis]
        if channels > 1 and array.shape == (channels, columns):
            return array.T[np.newaxis, np.newaxis]
        raise _does_not_fit(array, preprocessing)
    colours = COLOURS if channels in (1, 3) else (channels,)
    if array.shape[1:] == (channels, rows, columns) or (
        channels_come_first(array.shape) and array.shape[1] in colours and array.shape[3] != channels
    ):
        return _fitted(array.transpose(0, 2, 3, 1), preprocessing)
    if array.ndim == 4:
        return _fitted(array, preprocessing)
    if channels > 1 and array.shape == (channels, rows, columns):
        return _one(array, preprocessing)
    if array.ndim == 2 or (
        array.ndim == 3 and array.shape[2] in {*COLOURS, channels} - ({1} if channels > 1 else set())
    ):
        return _one(array, preprocessing)
    if array.ndim == 3 and channels == 1:
        return _fitted(array[..., np.newaxis], preprocessing)
    raise _does_not_fit(array, preprocessing)


def _does_not_fit(array: Numbers, preprocessing: Preprocessing) -> DataError:
    rows, columns, channels = preprocessing.shape
    wanted = f"(N, {rows}, {columns}, {channels})" + (f" or (N, {rows}, {columns})" if channels == 1 else "")
    return DataError(
        f"an array of shape {array.shape} does not fit this model, which takes {wanted}; give images of that many "
        "channels, or file names"
    )


def _fitted(images: Numbers, preprocessing: Preprocessing) -> Numbers:
    """Images (N, rows, columns, channels) brought to the model's size and, between grey and colour, channels."""
    size, channels = (preprocessing.rows, preprocessing.columns), preprocessing.channels
    if 0 in images.shape[1:]:
        raise DataError(f"images of shape {images.shape[1:]} have no pixels")
    came = images.shape[3]
    if came == 4 and channels in (1, 3):
        images, came = images[..., :3], 3
    if came != channels and not {came, channels} <= {1, 3}:
        raise DataError(
            f"images of {came} channels do not fit this model, which takes (N, {size[0]}, {size[1]}, {channels})"
        )
    if images.shape[1:3] != size:
        came_size, wanted = (f"{a}x{b}" for a, b in (images.shape[1:3], size))
        say(Note(f"Images of {came_size} are resized to {wanted} (rows x columns), as files are."))
        kept = images if images.dtype == np.uint8 else images.astype(np.float32)
        images = (
            np.stack([fitted(image, size, preprocessing.fit) for image in kept])
            if len(kept)
            else np.empty((0, *size, came))
        )
    if came == 1 and channels == 3:
        return images.repeat(3, axis=3)
    if came == 3 and channels == 1:
        grey: Numbers = (images @ np.array([0.299, 0.587, 0.114]))[..., np.newaxis]
        return np.round(grey).astype(np.uint8) if images.dtype == np.uint8 else grey.astype(np.float32)
    return images


def _channels(preprocessing: Preprocessing) -> int:
    if preprocessing.channels not in (1, 3):
        raise DataError(
            f"the model takes images of {preprocessing.channels} channels: files give 1 or 3, so give it arrays"
        )
    return preprocessing.channels
