import numpy as np
import pytest

from lanewise.data.load import load
from lanewise.data.neighbours import agreement, colour_agreement, mirror_agreement, moved_agreement


def ramps(count=200):
    """Brighter to the right, or to the left: each class is the other in a mirror."""
    random = np.random.default_rng(1)
    labels = np.arange(count, dtype=np.int32) % 2
    pixels = random.integers(0, 20, (count, 16, 16, 1)).astype(np.uint8)
    ramp = np.linspace(0, 200, 16).astype(np.uint8)
    pixels[labels == 0] += ramp[None, None, :, None]
    pixels[labels == 1] += ramp[None, None, ::-1, None]
    return pixels, labels


def test_neighbours_of_ramps_run_the_same_way():
    pixels, labels = ramps()
    assert mirror_agreement(pixels, labels, np.arange(len(labels))) == (1.0, 0.0)


def test_images_that_are_not_changed_agree_as_before():
    pixels, labels = ramps()
    everything = np.arange(len(labels))
    assert moved_agreement(pixels, labels, everything) == (1.0, 1.0)
    assert colour_agreement(pixels, labels, everything, lambda images: images) == (1.0, 1.0)


def test_ramps_that_are_turned_around_run_the_other_way():
    pixels, labels = ramps()
    assert moved_agreement(pixels, labels, np.arange(200), degrees=180) == (1.0, 0.0)
    assert moved_agreement(pixels, labels, np.arange(200), share=0.5, degrees=10) == (1.0, 1.0)


def test_colours_that_are_exchanged_look_like_the_other_class():
    labels = np.arange(100, dtype=np.int32) % 2
    pixels = np.random.default_rng(0).integers(0, 20, (100, 16, 16, 3)).astype(np.uint8)
    pixels[np.arange(100), :, :, 2 * labels] += 100
    assert colour_agreement(pixels, labels, np.arange(100), lambda images: images[..., ::-1]) == (1.0, 0.0)


def test_labels_without_meaning_agree_as_often_as_chance_has_it():
    pixels, _ = ramps(2000)
    labels = np.random.default_rng(0).integers(0, 4, 2000).astype(np.int32)
    assert agreement(pixels, labels, np.arange(2000)) == pytest.approx(0.25, abs=0.04)


def test_only_the_images_asked_for_count():
    pixels, labels = ramps()
    labels[100:] = 1 - labels[100:]
    assert agreement(pixels, labels, np.arange(100)) == 1.0


def test_digits_are_known_by_their_neighbours():
    digits = load("digits").train
    everything = np.arange(len(digits))
    own, mirrored = mirror_agreement(digits.pixels, digits.labels, everything)
    assert own == agreement(digits.pixels, digits.labels, everything)
    assert own > 0.98
    assert mirrored < 0.5


@pytest.mark.parametrize("order", ["one class after the other", "in turns"])
def test_the_order_of_images_hides_no_class(order):
    pixels, labels = ramps(3999)
    if order == "one class after the other":
        place = np.argsort(labels, kind="stable")
        pixels, labels = pixels[place], labels[place]
    noise = np.random.default_rng(0).integers(0, 255, pixels.shape).astype(np.uint8)
    assert agreement(pixels, labels, np.arange(3999)) == 1.0
    assert agreement(noise, labels, np.arange(3999)) == pytest.approx(0.5, abs=0.05)
