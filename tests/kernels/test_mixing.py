"""Mixing: each image with that of the next lane, by its own random numbers, and the share of the other label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.kernels.augmentation import CUT_FIRST_PLACES, CUT_SIZE_PLACES, MIX_PLACES, Augment
from lanewise.kernels.layout import Layout
from lanewise.kernels.mixing import mix
from lanewise.kernels.random import bits_array
from tests.kernels.support import TARGETS, border_of, buffer, from_lanes, into_lanes, run_everywhere

IMAGES = np.array([7, 0, 19, 19, 3, 30, 11, 5, 18, 2, 1, 4, 6, 8, 9, 7], np.int32)
KEY = np.array([3, 8], np.int32)

Array = npt.NDArray[np.float32]


def mixed(x: Array, augment: Augment, targets: tuple[str, ...] = ("host",)) -> tuple[Array, Array]:
    """The images, and the shares of the others."""
    layout = Layout(x.shape[1:], (1, 0, 2, 1))
    before = into_lanes(x, layout)
    arrays = [buffer(IMAGES, np.int32), buffer(KEY, np.int32), before.copy(), buffer(np.zeros(16))]
    *_, after, shares = run_everywhere(mix(layout, augment), arrays, targets)
    np.testing.assert_array_equal(border_of(after, layout), border_of(before, layout))
    return from_lanes(after, layout), shares


def expected(x: Array, lane: int, augment: Augment) -> tuple[npt.NDArray[np.float64], float]:
    """One image, and the share of the other, by the formulas."""

    def drawn(place: int) -> int:
        return int(bits_array(KEY[0], KEY[1], IMAGES[lane], place)[0])

    own, other = (x[n % 16].astype(np.float64) for n in (lane, lane + 1))
    rows, columns = x.shape[2:]
    if augment.mixup and not (augment.cutmix and drawn(MIX_PLACES[1]) >= 2**31):
        share = augment.mixup * (drawn(MIX_PLACES[0]) >> 8) / 2**24
        return (1 - share) * own + share * other, share
    most = [round(size * augment.cutmix**0.5) for size in (rows, columns)]
    height, width = (drawn(place) * (size + 1) >> 32 for place, size in zip(CUT_SIZE_PLACES, most, strict=True))
    top = drawn(CUT_FIRST_PLACES[0]) * (rows - height + 1) >> 32
    left = drawn(CUT_FIRST_PLACES[1]) * (columns - width + 1) >> 32
    own[:, top : top + height, left : left + width] = other[:, top : top + height, left : left + width]
    return own, height * width / (rows * columns)


@pytest.mark.parametrize(
    "augment", [Augment(mixup=0.5), Augment(cutmix=1.0), Augment(cutmix=0.4), Augment(mixup=1.0, cutmix=0.5)], ids=str
)
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 4, 6), (7, 3, 3), (2, 1, 1)])
def test_mixing(shape: tuple[int, int, int], augment: Augment) -> None:
    x = np.random.default_rng(0).normal(size=(16, *shape)).astype(np.float32)
    came, shares = mixed(x, augment, TARGETS if shape == (3, 4, 6) else ("host",))
    wanted, wanted_shares = zip(*(expected(x, lane, augment) for lane in range(16)), strict=True)
    np.testing.assert_allclose(came, np.stack(wanted), atol=1e-6)
    np.testing.assert_allclose(shares, wanted_shares, atol=1e-7)


def test_shares_are_uniform_up_to_the_most() -> None:
    shares = 0.5 * (bits_array(1, 2, np.arange(60_000), MIX_PLACES[0]) >> 8) / 2**24
    np.testing.assert_allclose(np.histogram(shares, 10, (0, 0.5))[0] / 60_000, 0.1, atol=0.005)


def test_an_image_mixed_with_itself_stays() -> None:
    x = np.tile(np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32), (16, 1, 1, 1))
    np.testing.assert_array_equal(mixed(x, Augment(mixup=0.5, cutmix=0.5))[0], x)
