"""Random numbers: the program and its twin agree, and the numbers are random enough to drop and to shift by."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise.kernels import random
from lanewise.lanes.program import I32, LANES, Recorder
from tests.kernels.support import aligned, buffer, run_everywhere


def test_program_agrees_with_twin() -> None:
    k = Recorder("random")
    images, key = k.scalars("images", (LANES,), I32), k.scalars("key", (2,), I32)
    drawn, fractions, small = k.scalars("bits", (64,), I32), k.lanes("uniform", (4,)), k.scalars("below", (64,), I32)
    numbers = random.stream(k, key, images.vector(0))
    place = k.register(k.integer(2**31 - 1))
    for n in k.loop(4):
        b = random.bits(k, numbers, place.get())
        drawn.set_vector(b, n * LANES)
        fractions[n] = random.uniform(k, b)
        small.set_vector(random.below(k, b, 7), n * LANES)
        place.add(1)
    image = np.array([*range(14), -1, 2**31 - 1])
    seed, epoch = -5, 3
    arrays = [buffer(image, np.int32), buffer([seed, epoch], np.int32)]
    arrays += [aligned(64, np.int32), aligned(64), aligned(64, np.int32)]
    _, _, bits, uniform, below = run_everywhere(k.program(), arrays)
    expected = random.bits_array(seed, epoch, image, 2**31 - 1 + np.arange(4)[:, None])
    np.testing.assert_array_equal(bits.view(np.uint32).reshape(4, LANES), expected)
    np.testing.assert_array_equal(uniform.reshape(4, LANES), (expected >> 8) / 2**24)
    np.testing.assert_array_equal(below.reshape(4, LANES), (expected.astype(np.uint64) * 7) >> 32)


def test_extremes_of_uniform() -> None:
    k = Recorder("uniform")
    bits, result = k.scalars("bits", (LANES,), I32), k.lanes("result", (1,))
    result[0] = random.uniform(k, bits.vector(0))
    values = np.resize(np.array([0, 255, 2**32 - 1, 2**31], np.uint32), LANES).view(np.int32)
    _, came = run_everywhere(k.program(), [buffer(values, np.int32), aligned(LANES)])
    assert came[:4].tolist() == [0.0, 0.0, 1 - 2.0**-24, 0.5]


def test_twin_is_fixed() -> None:
    """A changed number changes every training: these are from the formula, worked out with Python's whole numbers."""

    def mix(x: int) -> int:
        for shift, multiplier in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = ((x ^ (x >> shift)) * multiplier) % 2**32
        return x ^ (x >> 16)

    golden = 0x9E3779B9
    epoch = mix((mix((123 + golden) % 2**32) + 4) % 2**32)
    a = mix(epoch ^ 56)
    b = mix((a + golden) % 2**32)
    assert random.bits_array(123, 4, 56, 78)[0] == mix((mix(78 ^ a) + b) % 2**32)


@pytest.mark.parametrize("what", ["seed", "epoch", "image", "place"])
def test_each_bit_of_each_input_changes_half_of_the_output(what: str) -> None:
    rng = np.random.default_rng(0)
    inputs = {name: rng.integers(0, 2**32, 4000) for name in ("seed", "epoch", "image", "place")}
    before = random.bits_array(**inputs)
    for bit in range(32):
        flipped = before ^ random.bits_array(**{**inputs, what: inputs[what] ^ (1 << bit)})
        share = ((flipped[:, None] >> np.arange(32, dtype=np.uint32)) & 1).mean(axis=0)
        # 4000 throws of a coin: five standard deviations are 0.04
        assert np.abs(share - 0.5).max() < 0.05


def test_neighbouring_images_and_places_are_independent() -> None:
    numbers = random.bits_array(0, 0, np.arange(256)[:, None], np.arange(1024)) / 2.0**32
    assert abs(numbers.mean() - 0.5) < 0.003
    assert len(np.unique(numbers)) > 0.9999 * numbers.size
    for axis in (0, 1):
        a, b = np.delete(numbers, -1, axis), np.delete(numbers, 0, axis)
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.01
    counts = np.histogram(numbers, 64, (0, 1))[0]
    assert np.sum((counts - counts.mean()) ** 2 / counts.mean()) < 120  # chi squared, 63 degrees of freedom
