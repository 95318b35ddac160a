"""Random images and labels, the same for every framework, and the batch of each step."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import cast

import numpy as np
from numpy.typing import NDArray

from lanewise.bench.nets import Net
from lanewise.data.images import empty_pixels

MOST_IMAGES = 2048
MOST_VALUES = 2**24
"""In all images together, unless one batch needs more."""

SCALE, OFFSET = 1 / 64, -2.0
"""Pixels of 0 to 255 become about -2 to 2: raw * SCALE + OFFSET."""

LEARNING_RATE, MOMENTUM = 0.01, 0.9
SEED = 1
"""Of the weights that everybody starts from."""

BLOCK = 256
"""Images prepared at once, so that preparing takes little memory beside its result."""


def image_count(net: Net, batch: int) -> int:
    """The number of training images: whole batches, and not too much memory."""
    return batch * max(1, min(MOST_IMAGES, MOST_VALUES // prod(net.shape)) // batch)


def images(net: Net, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Pixels (count, rows, columns, channels) and labels (count,)."""
    channels, rows, columns = net.shape
    numbers = np.random.default_rng(0)
    # it has a few bytes behind its end that vector code may read
    pixels = cast(NDArray[np.uint8], empty_pixels((count, rows, columns, channels)))
    for first in range(0, count, BLOCK):
        part = pixels[first : first + BLOCK]
        part[...] = numbers.integers(0, 256, part.shape, dtype=np.uint8)
    return pixels, numbers.integers(0, net.classes, count, dtype=np.int32)


def prepared(pixels: NDArray[np.uint8], *, channels_first: bool = False) -> NDArray[np.float32]:
    """What a peer is given, scaled beforehand and outside the time that is measured; Lanewise scales in each step."""
    order = (0, 3, 1, 2) if channels_first else (0, 1, 2, 3)
    result = np.empty([pixels.shape[axis] for axis in order], np.float32)
    for first in range(0, len(pixels), BLOCK):
        part = pixels[first : first + BLOCK].transpose(order)
        result[first : first + BLOCK] = part * np.float32(SCALE) + np.float32(OFFSET)
    return result


def batches(size: int, count: int) -> Iterator[NDArray[np.int32]]:
    """Numbers of the images of each batch (size,), without end: each of `count` once, then shuffled anew."""
    numbers = np.random.default_rng(2)
    left = np.empty(0, np.int64)
    while True:
        while len(left) < size:
            left = np.concatenate([left, numbers.permutation(count)])
        yield left[:size].astype(np.int32)
        left = left[size:]
