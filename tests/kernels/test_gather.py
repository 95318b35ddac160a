"""Gathering: the right image in each lane, scaled, and changed as its own random numbers say."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.errors import ProgramError
from lanewise.kernels import augmentation as aug
from lanewise.kernels.augmentation import FLIP_PLACES, SHIFT_PLACES, Augment
from lanewise.kernels.gather import gather
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
    mirror: bool = False,
) -> Array:
    """(16, channels, rows, columns): images scaled by 1 / 2, 1, 3 / 2, ... with 0, 1, 2, ... added."""
    rows, columns, channels = shape
    y = Layout((channels, rows, columns), border)
    before = buffer(np.random.default_rng(1).integers(1, 9, y.scalars))
    arrays: Arrays = [buffer(images(shape), DTYPES[kind]), buffer(IMAGES, np.int32)]
    arrays += [buffer((1 + np.arange(channels)) / 2), buffer(np.arange(channels))]
    arrays += [buffer(KEY, np.int32)] if augment else []
    after = run_everywhere(gather(shape, kind, y, augment, mirror=mirror), [*arrays, before], targets)[-1]
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


def is_mirrored(number: int, axis: int, augment: Augment) -> bool:
    """Each time by a coin, or by the coin of the first epoch and then in turn."""
    seed, epoch = KEY.tolist()
    if augment.alternating:
        return bool(bits_array(seed, 0, number, FLIP_PLACES[axis])[0] >= 2**31) != bool(epoch % 2)
    return bool(bits_array(seed, epoch, number, FLIP_PLACES[axis])[0] >= 2**31)


@pytest.mark.parametrize("kind", ["u8", "f32"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 1), (3, 8, 1), (4, 3, 3), (2, 3, 6)])
def test_mirrored(shape: tuple[int, int, int], kind: Kind) -> None:
    came = gathered(shape, kind, None, (1, 0, 2, 1), mirror=True)
    np.testing.assert_array_equal(came, scaled(images(shape)[np.maximum(IMAGES, 0)][:, :, ::-1]))


def changed(image: npt.NDArray[np.int64], number: int, augment: Augment) -> npt.NDArray[np.int64]:
    """The meaning of `augment`, by NumPy's own flips and by clipping."""
    seed, epoch = KEY.tolist()
    for axis, shift, flip in (
        (0, augment.shift_rows, augment.flip_rows),
        (1, augment.shift_columns, augment.flip_columns),
    ):
        drawn = int(bits_array(seed, epoch, number, SHIFT_PLACES[axis])[0])
        by = (drawn * (2 * shift + 1) >> 32) - shift
        mirrored = flip and is_mirrored(number, axis, augment)
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
        Augment(1, 1, True, True, alternating=True),
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


@pytest.mark.parametrize("epoch", [7, 8])
def test_with_alternating_mirrors_each_image_is_seen_both_ways_in_two_epochs(
    monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    seen = []
    for now in (epoch, epoch + 1):
        monkeypatch.setitem(globals(), "KEY", np.array([3, now], np.int32))
        seen.append(gathered((5, 7, 1), "u8", Augment(flip_columns=True, alternating=True), targets=("host",)))
    np.testing.assert_array_equal(seen[0], seen[1][..., ::-1])
    as_they_are = (seen[0] == scaled(images((5, 7, 1))[np.maximum(IMAGES, 0)])).all(axis=(1, 2, 3))
    assert 0 < as_they_are.sum() < len(IMAGES)


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


def drawn(number: int, place: int) -> int:
    seed, epoch = KEY.tolist()
    return int(bits_array(seed, epoch, number, place)[0])


def uniform(number: int, place: int) -> float:
    return (drawn(number, place) >> 8) / 2**24


def below(number: int, place: int, count: int) -> int:
    return drawn(number, place) * count >> 32


def mapped(image: npt.NDArray[np.float64], number: int, augment: Augment) -> npt.NDArray[np.float64]:
    """Zoom, rotation, shift and mirror: the part that is shown, turned about its centre, pixel by pixel."""
    size = np.array(image.shape[:2])
    shares = 1 - (1 - 1 / augment.zoom) * np.array([uniform(number, place) for place in aug.ZOOM_PLACES])
    shares = np.maximum(shares, 0.75 * shares[::-1])
    aside = np.array([uniform(number, place) - 0.5 for place in aug.CENTRE_PLACES])
    most, flips = (augment.shift_rows, augment.shift_columns), (augment.flip_rows, augment.flip_columns)
    shifts = [below(number, place, 2 * shift + 1) - shift for place, shift in zip(SHIFT_PLACES, most, strict=True)]
    mirrored = [flip and is_mirrored(number, axis, augment) for axis, flip in enumerate(flips)]
    centre = (size - 1) / 2 + (1 - shares) * size * aside + shifts
    angle = np.radians(augment.rotate) * (2 * uniform(number, aug.ROTATION_PLACE) - 1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    result = np.empty_like(image)
    for place in np.ndindex(*size):
        at = centre + turn @ ((place - (size - 1) / 2) * shares * np.where(mirrored, -1, 1))
        r, c = np.clip(at, 0, size - 1)
        (r0, r1), (c0, c1) = ((int(p), min(int(p) + 1, s - 1)) for p, s in zip((r, c), size, strict=True))
        upper, lower = (image[row, c0] * (1 - c % 1) + image[row, c1] * (c % 1) for row in (r0, r1))
        result[place] = upper * (1 - r % 1) + lower * (r % 1)
    return result


def factor(number: int, place: int, amount: float) -> float:
    return 1 + amount * (2 * uniform(number, place) - 1)


def recoloured(image: npt.NDArray[np.float64], number: int, augment: Augment) -> npt.NDArray[np.float64]:
    """Saturation about grey, brightness, then the scale of `gathered`, contrast, and a rectangle set to 0."""
    grey, channels = image.mean(axis=2, keepdims=True), np.arange(image.shape[2])
    image = grey + factor(number, aug.SATURATION_PLACE, augment.saturation) * (image - grey)
    image = image * factor(number, aug.BRIGHTNESS_PLACE, augment.brightness) * (1 + channels) / 2 + channels
    image = image * factor(number, aug.CONTRAST_PLACE, augment.contrast)
    most = [round(size * augment.erase**0.5) for size in image.shape[:2]]
    rows, columns = (below(number, aug.ERASED_SIZE_PLACES[n], most[n] + 1) for n in range(2))
    top = below(number, aug.ERASED_FIRST_PLACES[0], image.shape[0] - rows + 1)
    left = below(number, aug.ERASED_FIRST_PLACES[1], image.shape[1] - columns + 1)
    image[top : top + rows, left : left + columns] = 0
    return image


TOGETHER = Augment(1, 2, True, True, 1.5, 15.0, 0.2, 0.2, 0.0, 0.3)
APART = [
    Augment(zoom=3.0),
    Augment(rotate=180.0),
    Augment(brightness=0.4),
    Augment(contrast=0.4),
    Augment(saturation=1.0),
    Augment(erase=0.5),
    Augment(flip_columns=True, rotate=20.0, alternating=True),
    replace(TOGETHER, saturation=0.2),
]


@pytest.mark.parametrize(
    ("shape", "kind", "augment"),
    [
        *(((4, 6, 3), "u8", one) for one in APART),
        ((4, 6, 3), "f32", replace(TOGETHER, saturation=0.2)),
        ((5, 7, 1), "u8", TOGETHER),
        ((3, 4, 5), "u8", TOGETHER),
        ((1, 6, 2), "u8", TOGETHER),
        ((6, 1, 1), "f32", TOGETHER),
        ((1, 1, 3), "u8", TOGETHER),
    ],
)
def test_all_that_augmentation_does(shape: tuple[int, int, int], kind: Kind, augment: Augment) -> None:
    expected = []
    for image in IMAGES.tolist():
        source = images(shape)[max(image, 0)].astype(np.float64)
        expected.append(recoloured(mapped(source, image, augment), image, augment))
    came = gathered(shape, kind, augment, (1, 0, 2, 1), TARGETS if augment == APART[-1] else ("host",))
    np.testing.assert_allclose(came, np.moveaxis(np.stack(expected), -1, 1), atol=2e-3)


def test_an_image_of_one_colour_keeps_it_however_it_is_moved() -> None:
    """Nothing from outside the image gets into it: neither another image's pixels nor memory behind the last."""
    k = gather((4, 6, 3), "u8", Layout((3, 4, 6)), Augment(9, 9, True, True, 4.0, 180.0))
    arrays: Arrays = [buffer(np.full((20, 72), 77), np.uint8), buffer(IMAGES, np.int32), buffer(np.ones(3))]
    arrays += [buffer(np.zeros(3)), buffer(KEY, np.int32), buffer(np.zeros(72 * 16))]
    came = run_everywhere(k, arrays, ("host",))[-1]
    assert set(came.tolist()) == {77.0}


def test_only_three_channels_have_a_saturation() -> None:
    with pytest.raises(ProgramError, match="images of 1 channels have no saturation"):
        gather((4, 3, 1), "u8", Layout((1, 4, 3)), Augment(saturation=0.1))


def test_layout_must_fit() -> None:
    with pytest.raises(ProgramError, match=r"\(4, 3, 1\) do not fit"):
        gather((4, 3, 1), "u8", Layout((1, 3, 4)))
