"""What was found in images: values, to be printed, written as JSON or shown on a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.brief import short
from lanewise.data.images import Groups, Pixels
from lanewise.data.tree import ImageFile

SERIOUS, WARNING, NOTE = "serious", "warning", "note"
SEVERITIES = (SERIOUS, WARNING, NOTE)
"""Worst first: accuracies would be wrong; training suffers; good to know."""

SETS = {"train": "training set", "validation": "validation set", "test": "test set"}
"""What sets are called in sentences."""


@short
@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """All images of all sets, decoded alike.

    Attributes
    ----------
    pixels : (N, rows, columns, channels) uint8 or float32
    labels : (N,) int32
        Positions in `classes`; -1 for a file outside the folders of the classes.
    classes : tuple of str
    parts : (N,) int32
        Positions in `part_names`.
    part_names : tuple of str
        "train", "validation" and "test", as far as there are such sets.
    names : tuple of str
        A file's name below the folder; for arrays the set and the position, "train 17".
    sizes : (N, 2) int32
        Rows and columns before resizing.
    grey, alpha : (N,) bool
        What files are: stored as grey; with transparent parts.
    files : tuple of bytes
        A digest of each file, empty for arrays.
    kinds : tuple of str
        The suffix that the first bytes of each file ask for, or "" where they say nothing certain; empty for arrays.
    unreadable : tuple of (name, reason)
    ignored : tuple of (name, reason)
        Files that are no images by their name.
    layout : str or None
        Why `lanewise.train` would not take the images as they lie.
    sources : tuple of ImageFile
        The files, to be read again in another size; empty for arrays.
    groups : Groups or None
        Images that belong together.
    """

    pixels: Pixels
    labels: NDArray[np.int32]
    classes: tuple[str, ...]
    parts: NDArray[np.int32]
    part_names: tuple[str, ...]
    names: tuple[str, ...]
    sizes: NDArray[np.int32]
    grey: NDArray[np.bool_]
    alpha: NDArray[np.bool_]
    files: tuple[bytes, ...] = ()
    kinds: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    layout: str | None = None
    sources: tuple[ImageFile, ...] = ()
    groups: Groups | None = None

    def __len__(self) -> int:
        """Count the images."""
        return len(self.pixels)

    def label(self, n: int) -> str | None:
        """The class that image `n` is given."""
        return self.classes[int(self.labels[n])] if self.labels[n] >= 0 else None

    def part(self, n: int) -> str:
        """The set that image `n` belongs to."""
        return self.part_names[int(self.parts[n])]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many images of each class are in each set."""
        return {
            part: {
                name: int(((self.parts == p) & (self.labels == label)).sum()) for label, name in enumerate(self.classes)
            }
            for p, part in enumerate(self.part_names)
        }


@short
@dataclass(frozen=True, slots=True)
class Case:
    """One instance of a finding.

    Attributes
    ----------
    images : tuple of int
        Positions in the collection; none for a file that cannot be read.
    names : tuple of str
    detail : str
        What is wrong with these.
    predicted : str or None
        The class that the network predicts, where labels were tested.
    """

    images: tuple[int, ...]
    names: tuple[str, ...]
    detail: str
    predicted: str | None = None


@short
@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of problem, with all its cases, the worst first.

    Attributes
    ----------
    kind : str
        One word for programs, like "across-splits".
    severity : "serious", "warning" or "note"
    message : str
        What was found, in a sentence.
    advice : str
        What to do about it.
    cases : tuple of Case
        Empty if the problem is not one of single images.
    images : int or None
        How many images the finding counts, where that is not one for each case.
    """

    kind: str
    severity: str
    message: str
    advice: str
    cases: tuple[Case, ...] = ()
    images: int | None = None

    @property
    def count(self) -> int:
        """How many there are, as the message says it; the cases stand for so many."""
        return len(self.cases) if self.images is None else self.images

    def to_json(self) -> dict[str, Any]:
        """As values that JSON knows."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "message": self.message,
            "advice": self.advice,
            "count": self.count,
            "cases": [
                {"images": list(case.names), "detail": case.detail, "predicted": case.predicted} for case in self.cases
            ],
        }


@short
@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """All that `lanewise.check` found, the most serious first.

    Attributes
    ----------
    source : str
        What was looked at.
    items : tuple of Finding
    collection : Collection
        The images, to which `Case.images` points.
    accuracy : float or None
        Share of the tested images whose label was given by networks that were not trained on them; None where labels
        were not tested.
    seconds : float
    not_done : tuple of str
        Sentences on what could not be tested.
    notes : tuple of str
        Sentences on how it was tested, where that is a choice.
    """

    source: str
    items: tuple[Finding, ...]
    collection: Collection = field(repr=False)
    accuracy: float | None
    seconds: float
    not_done: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def of(self, kind: str) -> Finding | None:
        """The finding of this kind, if there is one."""
        return next((one for one in self.items if one.kind == kind), None)

    def count(self, severity: str) -> int:
        """How many findings are of this severity."""
        return sum(one.severity == severity for one in self.items)

    def to_json(self) -> dict[str, Any]:
        """As values that JSON knows."""
        return {
            "source": self.source,
            "count": len(self.collection),
            "counts": self.collection.counts(),
            "findings": [one.to_json() for one in self.items],
            "accuracy": self.accuracy,
            "seconds": round(self.seconds, 3),
            "not_done": list(self.not_done),
            "notes": list(self.notes),
        }


def by_severity(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The most serious first, otherwise in the order given."""
    return tuple(sorted(findings, key=lambda one: SEVERITIES.index(one.severity)))
