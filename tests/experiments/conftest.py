"""Small images, and a folder of its own for every test."""

import numpy as np
import pytest

from lanewise.data.arrays import from_arrays
from lanewise.data.images import ImageSets


def stripes(count, seed, noise=40):
    """Images of 8x8 with stripes that lie or stand, which no single pixel tells."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    wave = np.where(np.arange(8) % 4 < 2, 60, 190)
    shifted = np.stack([np.roll(wave, random.integers(4)) for _ in range(count)])
    pixels = np.where(labels[:, None, None] == 0, shifted[:, :, None], shifted[:, None, :])
    pixels = pixels + random.normal(0, noise, (count, 8, 8))
    return from_arrays(pixels.clip(0, 255).astype(np.uint8)[..., None], labels)


@pytest.fixture(scope="session")
def sets():
    """128 training images, 64 test images."""
    return ImageSets(stripes(128, 1), None, stripes(64, 2))
