"""The section on augmentation: what the kernel makes of training images, and nothing where there is nothing to tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lanewise.data.images import Images
from lanewise.engine.augmented import augmented
from lanewise.kernels.augmentation import FLIP_PLACES, MIX_PLACES, SHIFT_PLACES, Augment
from lanewise.kernels.random import bits_array
from lanewise.model import Model
from lanewise.model_file.checked import Augmentation
from lanewise.report.augmented import SHOWN, VARIANTS, augment_of, augmented_images
from lanewise.report.page import report_html
from tests.report import models


def augmenting(**changes: Any) -> Model:
    model = models.signboard()
    return replace(model, provenance={**model.provenance, "seed": 4, "augmentation": changes})


def images_of(model: Model, count: int = 12) -> Images:
    labels = (np.arange(count) % 2).astype(np.int32)
    return Images(models.raw_images(model, count), labels, ("no", "yes"), tuple(f"{n}.png" for n in range(count)))


def test_images_are_those_that_training_is_given() -> None:
    """Shifted and mirrored by the numbers of the seed, the epoch and the image, then scaled."""
    model = augmenting()
    pixels, raw = models.raw_images(model, 3), model.preprocessing
    came = augmented(pixels, raw, Augment(shift_columns=2, flip_columns=True), 4, 5)
    for epoch, image in np.ndindex(5, 3):
        shift, flip = (int(bits_array(4, epoch, image, places[1])[0]) for places in (SHIFT_PLACES, FLIP_PLACES))
        columns = np.arange(30)[:: -1 if flip >= 2**31 else 1] + (shift * 5 >> 32) - 2
        expected = raw.apply(pixels[image][None, :, np.clip(columns, 0, 29)])[0]
        np.testing.assert_allclose(came[epoch, image], expected, atol=1e-5)


def test_mixed_images_are_shown_mixed() -> None:
    """Each with the next, and the last with the first, which stands for those that are absent."""
    model = augmenting()
    pixels, raw = models.raw_images(model, 3), model.preprocessing
    came = augmented(pixels, raw, Augment(mixup=0.5), 4, 2)
    images = raw.apply(pixels)
    for epoch, image in np.ndindex(2, 3):
        share = 0.5 * (int(bits_array(4, epoch, image, MIX_PLACES[0])[0]) >> 8) / 2**24
        expected = (1 - share) * images[image] + share * images[(image + 1) % 3]
        np.testing.assert_allclose(came[epoch, image], expected, atol=1e-5)


def test_a_section_shows_images_of_all_classes() -> None:
    model = augmenting(zoom=1.5, rotate=10.0, brightness=0.2)
    images = images_of(model)
    shown = augmented_images(model, {"train": images})
    assert len(shown) == SHOWN
    assert {one.label for one in shown} == {"no", "yes"}
    for one in shown:
        assert len({one.image.uri, *(variant.uri for variant in one.variants)}) == 1 + VARIANTS
    page = report_html(model, images, "train", {"train": images})
    assert page.count('<figure class="variants">') == SHOWN
    assert 'href="#augmentation"' in page


@pytest.mark.parametrize(("model", "part"), [(models.signboard(), "train"), (augmenting(rotate=9.0), "test")])
def test_there_is_none_without_augmentation_or_training_images(model: Model, part: str) -> None:
    images = images_of(model)
    assert augmented_images(model, {part: images}) == ()


def test_a_record_holds_what_augmentation_is_made_of() -> None:
    """A file may say more, and larger shifts than there are pixels."""
    assert augment_of(augmenting(**Augment(2, 1, False, True, 1.5).record)) == Augment(2, 1, False, True, 1.5)
    assert augment_of(augmenting(shift_rows=2**40, colour="red")) == Augment(shift_rows=30)
    assert Augmentation.__annotations__.keys() == set(Augment.__slots__)
