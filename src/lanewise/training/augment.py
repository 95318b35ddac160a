"""Which changes of an image leave its class alone, decided by looking at the data.

Shifting by a few pixels suits almost any image. Mirroring ruins digits, letters and arrows; it is used only if
mirrored images still look like their own class: their nearest neighbour among the other images is of that class. Few
photographs are changed in more ways, each of which is put to the same test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Pixels
from lanewise.data.neighbours import COMPARED, colour_agreement, mirror_agreement, moved_agreement
from lanewise.errors import OptionError
from lanewise.kernels.augmentation import Augment
from lanewise.wording import counted, listed

PHOTOGRAPH = 48
"""Rows and columns from which on images in colour are taken for photographs."""

FEW = 5_000
"""Images from which on each is seen too few times to be overfitted much."""

ZOOM = 3.0
ROTATE = 15.0
COLOURS = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3}
ERASE = 0.25

AS_THEY_ARE = {"zoom": 1.0, "rotate": 0.0, **dict.fromkeys(COLOURS, 0.0), "erase": 0.0, "label_smoothing": 0.0}
"""Options of training that leave out what few photographs get beside shifts and mirroring."""


def few_photographs(count: int, shape: tuple[int, ...]) -> bool:
    """Whether so many images of a shape (rows, columns, channels) seem to be photographs, and are few.

    They are in colour, not small, and seen so often that networks overfit them.
    """
    rows, columns, channels = shape
    return count < FEW and channels == 3 and min(rows, columns) >= PHOTOGRAPH


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and the sentence that says why."""

    augment: Augment | None
    said: str


def choose(
    name: str,
    pixels: Pixels,
    labels: NDArray[np.int32],
    indices: NDArray[np.int64],
    asked: Mapping[str, float] | None = None,
    mirroring: str = "random",
) -> Choice:
    """Settle the option `augment` for the training images at `indices`.

    Parameters
    ----------
    name : str
        The option, checked.
    pixels : (N, rows, columns, channels)
    labels : (N,) int32
    indices : (n,) int64
        Positions of the training images.
    asked : mapping, optional
        Amounts of other changes, by the name of their option, checked.
    mirroring : "random" or "alternating"
        How images are mirrored, if they are.

    Returns
    -------
    Choice

    Raises
    ------
    OptionError
        The images have no saturation.
    """
    rows, columns, channels = pixels.shape[1:]
    changes: dict[str, Any] = dict(asked or {})
    if changes.get("saturation") and channels != 3:
        raise OptionError(f"saturation is for images in colour; these have {counted(channels, 'channel')}")
    shifts = (_shift(rows), _shift(columns))
    images = min(rows, columns) > 1  # a single row may be features in any order
    shift = (name in ("shift", "shift+flip") or (name == "auto" and images)) and any(shifts)
    flip = name in ("flip", "shift+flip")
    why = ""
    if name == "auto" and images and len(indices) >= 50:
        own, mirrored = mirror_agreement(pixels, labels, indices)
        flip = _alike(own, mirrored, len(indices))
        why = (
            f"mirrored images look {'as much' if flip else 'less'} like their own class "
            f"(nearest neighbour right for {100 * mirrored:.0f} %, unmirrored for {100 * own:.0f} %)"
        )
        if few_photographs(len(indices), pixels.shape[1:]):
            looked = _looked_at(pixels, labels, indices)
            changes = {name: amount for name, (amount, alike) in looked.items() if alike} | changes
            lost = [DONE[name] for name, (_, alike) in looked.items() if not alike and name not in (asked or {})]
            why += f"; {listed(lost)} images look less like it" if lost else ""
    alternating = flip and mirroring == "alternating"
    augment = replace(
        Augment(*(shifts if shift else (0, 0)), flip_columns=flip, alternating=alternating),
        **changes,
    )
    done = _done(augment)
    if not done:
        return Choice(None, "No augmentation: images are taken as they are.")
    return Choice(augment, f"Augmentation: images are {listed(done)}" + (f"; {why}." if why else "."))


DONE = {
    "zoom": "zoomed",
    "rotate": "rotated",
    "brightness": "brighter or darker",
    "contrast": "higher or lower in contrast",
    "saturation": "more or less saturated",
    "erase": "partly erased",
}
"""What images are that were changed."""


def _done(augment: Augment) -> list[str]:
    """What is done to images, in words."""
    colours = {name: getattr(augment, name) for name in ("brightness", "contrast", "saturation")}
    rows, columns = augment.shift_rows, augment.shift_columns
    said = {
        f"shifted by up to {rows}x{columns} pixels": rows or columns,
        f"mirrored {'in every other epoch' if augment.alternating else 'at random'}": augment.flip_columns,
        f"zoomed by up to {augment.zoom:g}": augment.zoom > 1,
        f"rotated by up to {augment.rotate:g} degrees": augment.rotate,
        **{f"changed in {name} by up to {100 * amount:g} %": amount for name, amount in colours.items()},
        f"erased in a rectangle of up to {100 * augment.erase:g} %": augment.erase,
        f"mixed with another by up to {100 * augment.mixup:g} % (mixup)": augment.mixup,
        f"replaced by another in a rectangle of up to {100 * augment.cutmix:g} % (CutMix)": augment.cutmix,
    }
    return [what for what, whether in said.items() if whether]


def _looked_at(pixels: Pixels, labels: NDArray[np.int32], indices: NDArray[np.int64]) -> dict[str, tuple[float, bool]]:
    """How much of each change photographs get, and whether they still look like their own class then."""
    found = {
        "zoom": (ZOOM, moved_agreement(pixels, labels, indices, share=0.75)),  # a usual zoom
        "rotate": (ROTATE, moved_agreement(pixels, labels, indices, degrees=ROTATE)),
        **{
            name: (amount, colour_agreement(pixels, labels, indices, *_recolourings(name, amount)))
            for name, amount in COLOURS.items()
        },
        "erase": (ERASE, colour_agreement(pixels, labels, indices, _erased)),
    }
    return {name: (amount, _alike(*agreements, len(indices))) for name, (amount, agreements) in found.items()}


def _recolourings(name: str, amount: float) -> tuple[partial[NDArray[np.float32]], ...]:
    return tuple(partial(_recoloured, name, 1 + change) for change in (amount, -amount))


def _recoloured(name: str, factor: float, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (n, rows, columns, channels) with so many times as much of it."""
    middle = {
        "brightness": np.float32(0),
        "contrast": images.mean(axis=(0, 1, 2)),
        "saturation": images.mean(axis=3, keepdims=True),
    }[name]
    changed: NDArray[np.float32] = middle + np.float32(factor) * (images - middle)
    return changed


def _erased(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (n, rows, columns, channels) whose middle, a rectangle of a usual size, is the mean."""
    changed = images.copy()
    rows, columns = (slice(3 * size // 8, size - 3 * size // 8) for size in images.shape[1:3])
    changed[:, rows, columns] = images.mean(axis=(0, 1, 2))
    return changed


def _alike(own: float, changed: float, count: int) -> bool:
    """Whether changed images agree as often, or nearly: within three standard errors of a difference, or 0.02."""
    return changed >= own - max(0.02, 3.0 * sqrt(2.0 * own * (1.0 - own) / min(count, COMPARED)))


def _shift(size: int) -> int:
    """A fourteenth of the size: 2 pixels of 28; none of a single row or a very small image."""
    return 0 if size < 8 else max(1, round(size / 14))
