"""Random pictures and labels, the same for every framework, and which of them each step learns from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.nets import Net

PICTURES = 2048
SCALE, OFFSET = 1 / 64, -2.0
"""Pixels of 0 to 255 become about -2 to 2: raw * SCALE + OFFSET."""

LEARNING_RATE, MOMENTUM = 0.01, 0.9
SEED = 1
"""Of the weights that everybody starts from."""


def pictures(net: Net) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Pixels (PICTURES, rows, columns, channels) and labels (PICTURES,)."""
    channels, rows, columns = net.shape
    numbers = np.random.default_rng(0)
    pixels = numbers.integers(0, 256, (PICTURES, rows, columns, channels), dtype=np.uint8)
    return pixels, numbers.integers(0, net.classes, PICTURES, dtype=np.int32)


def prepared(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a peer is given, scaled beforehand and outside the time that is measured; Lanewise scales in each step."""
    return pixels.astype(np.float32) * np.float32(SCALE) + np.float32(OFFSET)


def batches(size: int) -> Iterator[NDArray[np.int32]]:
    """Numbers of the pictures of each batch (size,), without end: every picture once, then shuffled anew."""
    numbers = np.random.default_rng(2)
    left = np.empty(0, np.int64)
    while True:
        while len(left) < size:
            left = np.concatenate([left, numbers.permutation(PICTURES)])
        yield left[:size].astype(np.int32)
        left = left[size:]
