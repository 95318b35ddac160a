"""Gathering: the right image in each lane, scaled, and changed as its own random numbers say."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.errors import ProgramError
from lanewise.kernels.gather import FLIP_PLACES, SHIFT_PLACES, Augment, gather
from lanewise.kernels.layout import Layout
from lanewise.kernels.random import bits_array
from tests.kernels.support import TARGETS, Arrays, border_of, buffer, from_lanes, run_everywhere

Kind = Literal["u8", "f32"]
DTYPES = {"u8": np.uint8, "f32": np.float32}
IMAGES = np.array([7, 0, 19, 19, 3, -1, 11, 5, 18, 2, 1, 4, 6, 8, 9, -1], np.int32)
KEY = np.array([3, 8], np.int32)

Array = npt.NDArray[np.float32]


def images(shape: tuple[int, int, int]) -> npt.NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, 256, (20, *shape))


def gathered(
    shape: tuple[int, int, int],
    kind: Kind,
    augment: Augment | None,
    border: tuple[int, int, int, int] = (0, 0, 0, 0),
    targets: tuple[str, ...] = TARGETS,
) -> Array:
    """(16, channels, rows, columns): images scaled by 1 / 2, 1, 3 / 2, ... with 0, 1, 2, ... added."""
    rows, columns, channels = shape
    y = Layout((channels, rows, columns), border)
    before = buffer(np.random.default_rng(1).integers(1, 9, y.scalars))
    arrays: Arrays = [buffer(images(shape), DTYPES[kind]), buffer(IMAGES, np.int32)]
    arrays += [buffer((1 + np.arange(channels)) / 2), buffer(np.arange(channels))]
    arrays += [buffer(KEY, np.int32)] if augment else []
    after = run_everywhere(gather(shape, kind, y, augment), [*arrays, before], targets)[-1]
    np.testing.assert_array_equal(border_of(after, y), border_of(before, y))
    return from_lanes(after, y)


def scaled(values: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """What `gathered` should give for (16, rows, columns, channels)."""
    channels = np.arange(values.shape[-1])
    return np.moveaxis(values * (1 + channels) / 2 + channels, -1, 1)


@pytest.mark.parametrize("kind", ["u8", "f32"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 1), (4, 3, 3), (2, 3, 6)])
def test_straight(shape: tuple[int, int, int], kind: Kind) -> None:
    came = gathered(shape, kind, None, (1, 0, 2, 1))
    np.testing.assert_array_equal(came, scaled(images(shape)[np.maximum(IMAGES, 0)]))


def changed(image: npt.NDArray[np.int64], number: int, augment: Augment) -> npt.NDArray[np.int64]:
    """The meaning of `augment`, by NumPy's own flips and by clipping."""
    seed, epoch = KEY.tolist()
    for axis, shift, flip in (
        (0, augment.shift_rows, augment.flip_rows),
        (1, augment.shift_columns, augment.flip_columns),
    ):
        drawn = int(bits_array(seed, epoch, number, SHIFT_PLACES[axis])[0])
        by = (drawn * (2 * shift + 1) >> 32) - shift
        mirrored = flip and int(bits_array(seed, epoch, number, FLIP_PLACES[axis])[0]) >= 2**31
        order = np.arange(image.shape[axis])
        order = np.clip((order[::-1] if mirrored else order) + by, 0, len(order) - 1)
        image = image.take(order, axis)
    return image


@pytest.mark.parametrize(
    "augment",
    [
        Augment(),
        Augment(shift_rows=1),
        Augment(shift_columns=2),
        Augment(flip_columns=True),
        Augment(flip_rows=True),
        Augment(2, 1, True, True),
        Augment(shift_rows=40, shift_columns=40),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("shape", "kind"), [((5, 7, 1), "u8"), ((4, 6, 3), "f32"), ((4, 6, 3), "u8"), ((3, 3, 5), "u8")]
)
def test_augmented(shape: tuple[int, int, int], kind: Kind, augment: Augment) -> None:
    targets = TARGETS if shape == (4, 6, 3) else ("host",)
    source = images(shape)
    expected = np.stack([changed(source[max(image, 0)], image, augment) for image in IMAGES.tolist()])
    np.testing.assert_array_equal(gathered(shape, kind, augment, targets=targets), scaled(expected))


def test_an_image_is_changed_alike_in_any_lane() -> None:
    came = gathered((5, 7, 1), "u8", Augment(2, 2, True, True), targets=("host",))
    np.testing.assert_array_equal(came[2], came[3])  # both are image 19


def test_shifts_and_flips_are_all_equally_likely() -> None:
    images = np.arange(60_000)
    shifts = (bits_array(1, 2, images, SHIFT_PLACES[1]).astype(np.uint64) * 5) >> 32
    np.testing.assert_allclose(np.bincount(shifts.astype(int)) / len(images), 0.2, atol=0.01)
    flips = bits_array(1, 2, images, FLIP_PLACES[1]) >> 31
    assert abs(flips.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(shifts, flips)[0, 1]) < 0.02


def test_layout_must_fit() -> None:
    with pytest.raises(ProgramError, match=r"\(4, 3, 1\) do not fit"):
        gather((4, 3, 1), "u8", Layout((1, 3, 4)))
