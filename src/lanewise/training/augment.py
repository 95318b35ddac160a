"""Which changes of an image leave its class alone, decided by looking at the data.

Shifting by a few pixels suits almost any image. Mirroring ruins digits, letters and arrows; it is used only if
mirrored images still look like their own class: their nearest neighbour among the other images is of that class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Pixels
from lanewise.data.neighbours import COMPARED, mirror_agreement
from lanewise.errors import OptionError
from lanewise.kernels.augmentation import Augment
from lanewise.wording import counted, listed


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
        flip = mirrored >= own - _by_chance(own, len(indices))
        why = (
            f"mirrored images look {'as much' if flip else 'less'} like their own class "
            f"(nearest neighbour right for {100 * mirrored:.0f} %, unmirrored for {100 * own:.0f} %)"
        )
    augment = replace(Augment(*(shifts if shift else (0, 0)), flip_columns=flip), **changes)
    done = _done(augment)
    if not done:
        return Choice(None, "No augmentation: images are taken as they are.")
    return Choice(augment, f"Augmentation: images are {listed(done)}" + (f"; {why}." if why else "."))


def _done(augment: Augment) -> list[str]:
    """What is done to images, in words."""
    colours = {name: getattr(augment, name) for name in ("brightness", "contrast", "saturation")}
    rows, columns = augment.shift_rows, augment.shift_columns
    said = {
        f"shifted by up to {rows}x{columns} pixels": rows or columns,
        "mirrored at random": augment.flip_columns,
        f"zoomed by up to {augment.zoom:g}": augment.zoom > 1,
        f"rotated by up to {augment.rotate:g} degrees": augment.rotate,
        **{f"changed in {name} by up to {100 * amount:g} %": amount for name, amount in colours.items()},
        f"erased in a rectangle of up to {100 * augment.erase:g} %": augment.erase,
    }
    return [what for what, whether in said.items() if whether]


def _by_chance(agreement: float, count: int) -> float:
    """How much less mirrored images may agree for no reason: three standard errors of a difference, or 0.02."""
    compared = min(count, COMPARED)
    return max(0.02, 3.0 * sqrt(2.0 * agreement * (1.0 - agreement) / compared))


def _shift(size: int) -> int:
    """A fourteenth of the size: 2 pixels of 28; none of a single row or a very small image."""
    return 0 if size < 8 else max(1, round(size / 14))
