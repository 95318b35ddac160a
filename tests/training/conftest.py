"""A small model, and images of other classes than it knows."""

from dataclasses import replace

import numpy as np
import pytest

import lanewise
from lanewise.data.images import ImageSets


@pytest.fixture(scope="package")
def digits():
    return lanewise.load("digits")


@pytest.fixture(scope="package")
def start(digits):
    """Knows the digits from 0 to 4."""
    low = digits.train.take(np.flatnonzero(digits.train.labels < 5))
    text = "conv 16@3x3 same, relu, max 2, residual(conv 16@3x3 same, relu), conv 32@3x3, relu, global average, dense 5"
    return lanewise.train(replace(low, classes=digits.train.classes[:5]), network=text, epochs=8)


@pytest.fixture(scope="package")
def high(digits):
    """The digits from 5 to 9, by other names."""

    def part(images):
        chosen = images.take(np.flatnonzero(images.labels >= 5))
        return replace(chosen, labels=chosen.labels - 5, classes=tuple("fghij"))

    return ImageSets(part(digits.train), test=part(digits.test))
