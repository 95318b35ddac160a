"""What augmentation made of some training images: the output of the kernel that trains, as images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from lanewise.data.encode import Drawn, as_bytes, photograph
from lanewise.data.images import Images
from lanewise.engine.augmented import augmented
from lanewise.kernels.augmentation import Augment
from lanewise.model import Model

SHOWN, VARIANTS, LARGEST = 5, 6, 96
"""Images that are shown, in how many epochs, and their rows or columns at most."""


@dataclass(frozen=True, slots=True)
class ShownVariants:
    """An image as it is, and in some epochs."""

    label: str
    image: Drawn
    variants: tuple[Drawn, ...]


def augmented_images(model: Model, parts: Mapping[str, Images]) -> tuple[ShownVariants, ...]:
    """Some training images, of several classes, as training may have seen them; none without augmentation.

    Parameters
    ----------
    model : Model
    parts : mapping of name to Images
        All of the data.
    """
    augment, images = augment_of(model), parts.get("train")
    if augment is None or images is None or images.labels is None or not len(images):
        return ()
    by_class = np.argsort(images.labels, kind="stable")
    chosen = by_class[np.unique(np.linspace(0, len(images) - 1, min(SHOWN, len(images))).astype(int))]
    pixels, raw = images.pixels[chosen], model.preprocessing
    made = augmented(pixels, raw, augment, int(model.provenance.get("seed") or 0), VARIANTS)
    scale, offset = (np.array(values, np.float32) for values in (raw.scale, raw.offset))
    values = (np.moveaxis(made, 2, -1) - offset) / np.where(scale == 0, 1, scale)
    every = np.concatenate([pixels[None].astype(np.float32), values])
    if pixels.dtype == np.uint8:
        every = np.rint(np.clip(every, 0, 255)).astype(np.uint8)
    shown = as_bytes(every)
    return tuple(
        ShownVariants(images.classes[images.labels[number]], *_drawn(shown[:, n])) for n, number in enumerate(chosen)
    )


def augment_of(model: Model) -> Augment | None:
    """How training changed images, as far as the model tells."""
    told = model.provenance.get("augmentation") or {}
    rows, columns, _ = model.preprocessing.shape
    known = {one.name: told[one.name] for one in fields(Augment) if one.name in told}
    for name, most in (("shift_rows", rows), ("shift_columns", columns)):
        known[name] = min(known.get(name, 0), most)
    return Augment(**known) if told else None


def _drawn(shown: np.ndarray) -> tuple[Drawn, tuple[Drawn, ...]]:
    first, *others = (photograph(one, LARGEST) for one in shown)
    return first, tuple(others)
