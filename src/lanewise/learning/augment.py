"""Which changes of a picture leave its class alone, decided by looking at the data.

Shifting by a few pixels suits almost any picture. Mirroring ruins digits, letters and arrows; it is used only if
mirrored pictures still look like their own class, judged by their nearest neighbour among the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import OptionError
from lanewise.kernels.gather import Augment
from lanewise.learning.pictures import Pixels

CHOICES = ("auto", "none", "shift", "flip", "shift+flip")

_NEIGHBOURS = 2000  # pictures compared at most
_SIDE = 12  # rows and columns that pictures are averaged down to before they are compared


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and the sentence that says why."""

    augment: Augment | None
    said: str


def choose(name: str, pixels: Pixels, labels: NDArray[np.int32], indices: NDArray[np.int64]) -> Choice:
    """Settle the option `augment` for the training pictures at `indices`."""
    if name not in CHOICES:
        raise OptionError(f'unknown augmentation "{name}"; there are {", ".join(CHOICES)}')
    rows, columns = pixels.shape[1:3]
    shifts = (_shift(rows), _shift(columns))
    pictures = min(rows, columns) > 1  # a single row may be features in any order
    shift = (name in ("shift", "shift+flip") or (name == "auto" and pictures)) and any(shifts)
    flip = name in ("flip", "shift+flip")
    why = ""
    if name == "auto" and pictures and len(indices) >= 50:
        own, mirrored = mirror_agreement(pixels, labels, indices)
        flip = mirrored >= own - 0.02
        why = (
            f"mirrored pictures look {'as much' if flip else 'less'} like their own class "
            f"(nearest neighbour {mirrored:.0%}, unmirrored {own:.0%})"
        )
    augment = Augment(shift_rows=shifts[0] if shift else 0, shift_columns=shifts[1] if shift else 0, flip_columns=flip)
    if not (shift or flip):
        return Choice(None, "Pictures are learned as they are, without shifts or mirroring.")
    done = " and ".join([f"shifted by up to {shifts[0]}x{shifts[1]} pixels"] * shift + ["mirrored at random"] * flip)
    return Choice(augment, f"While learning, pictures are {done}" + (f"; {why}." if why else "."))


def _shift(size: int) -> int:
    """A fourteenth of the size: 2 pixels of 28; none of a single row or a very small picture."""
    return 0 if size < 8 else max(1, round(size / 14))


def mirror_agreement(pixels: Pixels, labels: NDArray[np.int32], indices: NDArray[np.int64]) -> tuple[float, float]:
    """How often a picture's nearest neighbour has its class: for pictures as they are, and for mirrored ones.

    A picture's own original is never its neighbour, nor is the mirrored picture's.
    """
    chosen = indices[:: max(1, len(indices) // _NEIGHBOURS)][:_NEIGHBOURS]
    small = _averaged(pixels, chosen)
    own = labels[chosen]
    flat = small.reshape(len(small), -1)
    mirrored = small[:, :, ::-1].reshape(len(small), -1)
    return _agreement(flat, flat, own), _agreement(mirrored, flat, own)


def _agreement(questions: NDArray[np.float32], known: NDArray[np.float32], labels: NDArray[np.int32]) -> float:
    # Squared distances without the question's own norm, which is the same for all neighbours.
    distances = (known * known).sum(axis=1)[None, :] - 2 * questions @ known.T
    np.fill_diagonal(distances, np.inf)
    return float((labels[distances.argmin(axis=1)] == labels).mean())


def _averaged(pixels: Pixels, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    rows, columns = pixels.shape[1:3]
    row_edges = np.linspace(0, rows, min(rows, _SIDE) + 1).astype(int)[:-1]
    column_edges = np.linspace(0, columns, min(columns, _SIDE) + 1).astype(int)[:-1]
    # A mirrored picture must be averaged over mirrored blocks, or the comparison would be unfair.
    picture = pixels[chosen].astype(np.float32).mean(axis=3)
    picture -= picture.mean(axis=(1, 2), keepdims=True)
    there = np.add.reduceat(np.add.reduceat(picture, row_edges, axis=1), column_edges, axis=2)
    back = np.add.reduceat(np.add.reduceat(picture[:, :, ::-1], row_edges, axis=1), column_edges, axis=2)[:, :, ::-1]
    mean: NDArray[np.float32] = there + back
    return mean
