"""What a report says of the data: how many pictures of each class, what they look like, and what is odd about them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lanewise.learning.pictures import Pictures
from lanewise.report.encode import Drawn, contact_sheet

SHOWN, MOST_SHEETS = 10, 20
"""Pictures of a class that are shown, and classes of which some are."""

FEW, IMBALANCE = 30, 5
"""So few pictures of a class, and so many times as many of another one, are worth a word."""


NAMES = {"train": "training ", "validation": "validation ", "test": "test ", "all": ""}
"""What the pictures of a part are called before the word "pictures"."""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class: how many pictures of it each part has, and some of them."""

    label: str
    counts: tuple[int, ...]
    sheet: Drawn | None


@dataclass(frozen=True, slots=True)
class DataFigures:
    """The data section: `parts` names the columns of counts, like ("train", "test")."""

    parts: tuple[str, ...]
    totals: tuple[int, ...]
    rows: tuple[ClassRow, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def data_figures(parts: Mapping[str, Pictures]) -> DataFigures:
    """Count and look at labelled pictures, part by part; all parts have the same classes."""
    first = next(iter(parts.values()))
    counts = [part.counts() for part in parts.values()]
    rows = tuple(
        ClassRow(label, tuple(one[n] for one in counts), _examples(first, n) if n < MOST_SHEETS else None)
        for n, label in enumerate(first.classes)
    )
    notes = tuple(dict.fromkeys(note for part in parts.values() for note in part.notes if " skipped: " not in note))
    return DataFigures(
        parts=tuple(parts),
        totals=tuple(map(len, parts.values())),
        rows=rows,
        warnings=tuple(_warnings(parts)),
        notes=notes,
        skipped=tuple(pair for part in parts.values() for pair in part.skipped),
    )


def as_bytes(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Raw pixels (N, rows, columns, channels) to look at: bytes of 1 or 3 channels, all on the same scale.

    Real numbers go from the smallest to the largest; of other numbers of channels the mean is shown.
    """
    if pixels.shape[3] not in (1, 3):
        pixels = pixels.mean(axis=3, keepdims=True, dtype=np.float32)
    if pixels.dtype == np.uint8:
        return np.asarray(pixels)
    low, high = float(pixels.min()), float(pixels.max())
    return np.asarray(np.rint((pixels - low) * (255 / (high - low) if high > low else 0)), np.uint8)


def _examples(pictures: Pictures, label: int) -> Drawn | None:
    """Some pictures of a class, spread over all of them."""
    assert pictures.labels is not None
    found = np.flatnonzero(pictures.labels == label)
    if not len(found):
        return None
    chosen = found[np.unique(np.linspace(0, len(found) - 1, SHOWN).astype(int))]
    return contact_sheet(as_bytes(pictures.pixels[chosen]), SHOWN)


def _warnings(parts: Mapping[str, Pictures]) -> list[str]:
    found = []
    name, first = next(iter(parts.items()))
    for part, pictures in parts.items():
        if missing := pictures.without_pictures():
            found.append(f"The {NAMES[part]}pictures show none of: {', '.join(missing)}.")
    there = {label: count for label, count in zip(first.classes, first.counts(), strict=True) if count}
    rare, frequent = min(there, key=there.__getitem__), max(there, key=there.__getitem__)
    if there[frequent] >= IMBALANCE * there[rare]:
        found.append(
            f"“{frequent}” has {there[frequent] / there[rare]:.0f} times as many {NAMES[name]}pictures as “{rare}”: a "
            "model may learn to prefer it. Balanced class weights or more pictures help."
        )
    if there[rare] < FEW:
        found.append(f"“{rare}” has only {there[rare]} {NAMES[name]}pictures; figures about it are uncertain.")
    return found + _twins(parts)


def _twins(parts: Mapping[str, Pictures]) -> list[str]:
    """Say which pictures are the same pixel by pixel, within a part and across two."""
    seen = {part: [hashlib.blake2b(one, digest_size=16).digest() for one in p.pixels] for part, p in parts.items()}
    told = []
    for n, (part, own) in enumerate(seen.items()):
        if again := len(own) - len(set(own)):
            told.append(f"Exact copies of other {NAMES[part]}pictures: {again:,} of {len(own):,}.")
        for other in list(seen)[:n]:
            known = set(seen[other])
            if both := sum(one in known for one in own):
                told.append(
                    f"Of the {NAMES[part]}pictures, {both:,} are also among the {NAMES[other]}ones. What a model has "
                    "seen before, it knows: the accuracy is too good by that."
                )
    return told
