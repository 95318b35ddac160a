import numpy as np
import pytest

from lanewise.data.load import load
from lanewise.errors import OptionError
from lanewise.kernels.augmentation import Augment
from lanewise.training.augment import choose
from tests.data.test_neighbours import ramps as arrows


def symmetric_images(count=200, seed=0):
    """Round blobs against bars across: both look the same in a mirror."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:16, 0:16]
    labels = np.arange(count, dtype=np.int32) % 2
    pixels = np.empty((count, 16, 16, 1), np.uint8)
    for n, label in enumerate(labels):
        r, c = random.uniform(5, 11, 2)
        shape = (rows - r) ** 2 + (columns - c) ** 2 < 16 if label else abs(rows - r) < 2
        pixels[n, :, :, 0] = 200 * shape + random.integers(0, 20, (16, 16))
    return pixels, labels


def test_images_that_look_alike_in_a_mirror_are_mirrored():
    pixels, labels = symmetric_images()
    choice = choose("auto", pixels, labels, np.arange(len(labels)))
    assert choice.augment == Augment(shift_rows=1, shift_columns=1, flip_columns=True)
    assert "mirrored at random" in choice.said


def test_arrows_are_not_mirrored():
    pixels, labels = arrows()
    choice = choose("auto", pixels, labels, np.arange(len(labels)))
    assert choice.augment is not None
    assert not choice.augment.flip_columns
    assert "less like their own class" in choice.said


def test_digits_are_shifted_and_not_mirrored():
    digits = load("digits").train
    choice = choose("auto", digits.pixels, digits.labels, np.arange(len(digits)))
    assert choice.augment == Augment(shift_rows=1, shift_columns=1)


def test_what_is_asked_for_is_done():
    pixels, labels = arrows()
    everything = np.arange(len(labels))
    assert choose("none", pixels, labels, everything).augment is None
    assert choose("flip", pixels, labels, everything).augment == Augment(flip_columns=True)
    assert choose("shift", pixels, labels, everything).augment == Augment(shift_rows=1, shift_columns=1)


def test_changes_that_are_asked_for_are_made_and_said():
    pixels, labels = symmetric_images()
    colour, everything = np.repeat(pixels, 3, axis=3), np.arange(len(labels))
    asked = {"zoom": 1.5, "rotate": 10, "brightness": 0.2, "contrast": 0.3, "saturation": 0.4, "erase": 0.25}
    choice = choose("none", colour, labels, everything, asked)
    assert choice.augment == Augment(**asked)
    assert choice.said == (
        "Augmentation: images are zoomed by up to 1.5, rotated by up to 10 degrees, changed in brightness by up to "
        "20 %, changed in contrast by up to 30 %, changed in saturation by up to 40 % and erased in "
        "a rectangle of up to 25 %."
    )
    choice = choose("none", colour, labels, everything, {"mixup": 0.5, "cutmix": 0.4})
    assert choice.augment == Augment(mixup=0.5, cutmix=0.4)
    assert choice.said == (
        "Augmentation: images are mixed with another by up to 50 % (mixup) and replaced by another in a rectangle of "
        "up to 40 % (CutMix)."
    )
    choice = choose("shift", colour, labels, everything, {"rotate": 5})
    assert choice.augment == Augment(shift_rows=1, shift_columns=1, rotate=5)
    assert choose("none", colour, labels, everything, {"zoom": 1, "erase": 0}).augment is None


def test_mirrors_alternate_where_there_are_any():
    pixels, labels = symmetric_images()
    everything = np.arange(len(labels))
    choice = choose("flip", pixels, labels, everything, None, "alternating")
    assert choice.augment == Augment(flip_columns=True, alternating=True)
    assert "mirrored in every other epoch" in choice.said
    assert choose("none", pixels, labels, everything, None, "alternating").augment is None


def photographs(count=200, *, size_tells=False, brightness_tells=False):
    """Discs in colour at random places, red or blue; or the classes differ in their size, or in brightness, alone."""
    random = np.random.default_rng(5)
    labels = np.arange(count, dtype=np.int32) % 2
    rows, columns = np.mgrid[0:48, 0:48]
    pixels = random.integers(0, 20, (count, 48, 48, 3)).astype(np.uint8)
    for n, label in enumerate(labels):
        r, c = (23, 23) if size_tells else random.uniform(12, 36, 2)
        disc = (rows - r) ** 2 + (columns - c) ** 2 < (16 + 4 * label if size_tells else 16) ** 2
        if brightness_tells:
            pixels[n] += np.uint8(150 + 30 * label + random.integers(0, 5))
        elif size_tells:
            pixels[n] += (200 * disc[:, :, None]).astype(np.uint8)
        else:
            pixels[n, :, :, 2 * label] += (200 * disc).astype(np.uint8)
    return pixels, labels


def test_few_photographs_are_changed_in_all_ways_that_leave_their_class_alone():
    pixels, labels = photographs()
    choice = choose("auto", pixels, labels, np.arange(200))
    colours = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3}
    assert choice.augment == Augment(3, 3, flip_columns=True, zoom=3.0, rotate=15.0, erase=0.25, **colours)
    asked = {"zoom": 1.0, "brightness": 0.0, "erase": 0.5}
    changed = choose("auto", pixels, labels, np.arange(200), asked).augment
    assert changed == Augment(3, 3, flip_columns=True, rotate=15.0, contrast=0.3, saturation=0.3, erase=0.5)


def test_photographs_told_apart_by_size_are_not_zoomed():
    pixels, labels = photographs(size_tells=True)
    choice = choose("auto", pixels, labels, np.arange(200))
    assert choice.augment is not None
    assert (choice.augment.zoom, choice.augment.rotate) == (1.0, 15.0)
    assert "zoomed images look less like it" in choice.said


def test_photographs_told_apart_by_brightness_keep_it():
    pixels, labels = photographs(brightness_tells=True)
    choice = choose("auto", pixels, labels, np.arange(200))
    assert choice.augment is not None
    assert choice.augment.brightness == 0
    assert choice.augment.saturation == 0.3
    assert "brighter or darker images look less like it" in choice.said


def test_photographs_told_apart_by_their_middle_are_not_erased():
    pixels = np.random.default_rng(7).integers(0, 20, (200, 48, 48, 3)).astype(np.uint8)
    labels = np.arange(200, dtype=np.int32) % 2
    pixels[labels == 1, 20:28, 20:28] += 200
    choice = choose("auto", pixels, labels, np.arange(200))
    assert choice.augment is not None
    assert (choice.augment.erase, choice.augment.rotate) == (0.0, 15.0)


def test_other_images_are_only_shifted_and_mirrored(monkeypatch):
    pixels, labels = photographs()
    plain = Augment(3, 3, flip_columns=True)
    assert choose("auto", pixels[..., :1], labels, np.arange(200)).augment == plain
    assert choose("shift+flip", pixels, labels, np.arange(200)).augment == plain
    assert choose("auto", pixels[:, :47], labels, np.arange(200)).augment == plain
    monkeypatch.setattr("lanewise.training.augment.FEW", 200)
    assert choose("auto", pixels, labels, np.arange(200)).augment == plain


def test_grey_images_have_no_saturation_to_change():
    pixels, labels = arrows()
    with pytest.raises(OptionError, match="these have 1 channel"):
        choose("none", pixels, labels, np.arange(len(labels)), {"saturation": 0.2})
    assert choose("none", pixels, labels, np.arange(len(labels)), {"saturation": 0}).augment is None


def test_a_single_row_is_left_alone():
    pixels = np.zeros((60, 1, 30, 1), np.float32)
    labels = np.arange(60, dtype=np.int32) % 2
    assert choose("auto", pixels, labels, np.arange(60)).augment is None
    assert choose("shift", pixels, labels, np.arange(60)).augment == Augment(shift_columns=2)


@pytest.mark.parametrize(
    ("count", "own", "mirrored", "flipped"),
    [
        (2000, 0.80, 0.77, True),
        (2000, 0.80, 0.75, False),
        (10**6, 0.80, 0.75, False),  # no more than 2,000 are compared
        (400, 0.30, 0.22, True),
        (400, 0.30, 0.19, False),
        (400, 1.00, 0.985, True),
        (400, 1.00, 0.97, False),
    ],
)
def test_a_difference_that_chance_explains_does_not_count(monkeypatch, count, own, mirrored, flipped):
    monkeypatch.setattr("lanewise.training.augment.mirror_agreement", lambda *images: (own, mirrored))
    choice = choose("auto", np.zeros((1, 16, 16, 1), np.uint8), np.zeros(1, np.int32), np.arange(count))
    assert choice.augment is not None
    assert choice.augment.flip_columns == flipped
