"""Which changes of an image leave its class alone, decided by looking at the data.

Shifting by a few pixels suits almost any image. Mirroring ruins digits, letters and arrows; it is used only if
mirrored images still look like their own class: their nearest neighbour among the other images is of that class.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Pixels
from lanewise.data.neighbours import COMPARED, mirror_agreement
from lanewise.kernels.gather import Augment


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and the sentence that says why."""

    augment: Augment | None
    said: str


def choose(name: str, pixels: Pixels, labels: NDArray[np.int32], indices: NDArray[np.int64]) -> Choice:
    """Settle the option `augment` for the training images at `indices`.

    Parameters
    ----------
    name : str
        The option, checked.
    pixels : (N, rows, columns, channels)
    labels : (N,) int32
    indices : (n,) int64
        Positions of the training images.

    Returns
    -------
    Choice
    """
    rows, columns = pixels.shape[1:3]
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
    augment = Augment(shift_rows=shifts[0] if shift else 0, shift_columns=shifts[1] if shift else 0, flip_columns=flip)
    if not (shift or flip):
        return Choice(None, "No augmentation: images are neither shifted nor mirrored.")
    done = " and ".join([f"shifted by up to {shifts[0]}x{shifts[1]} pixels"] * shift + ["mirrored at random"] * flip)
    return Choice(augment, f"Augmentation: images are {done}" + (f"; {why}." if why else "."))


def _by_chance(agreement: float, count: int) -> float:
    """How much less mirrored images may agree for no reason: three standard errors of a difference, or 0.02."""
    compared = min(count, COMPARED)
    return max(0.02, 3.0 * sqrt(2.0 * agreement * (1.0 - agreement) / compared))


def _shift(size: int) -> int:
    """A fourteenth of the size: 2 pixels of 28; none of a single row or a very small image."""
    return 0 if size < 8 else max(1, round(size / 14))
