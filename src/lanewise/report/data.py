"""What a report says of the data: how many images of each class, what they look like, and what is wrong with them.

What is wrong is found by `lanewise.data_check`, but for wrong labels: those need other networks than the report is
about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lanewise.data.encode import Drawn, as_bytes, photograph
from lanewise.data.images import Images
from lanewise.data.reading import FilesProgress
from lanewise.data_check.check import look
from lanewise.data_check.duplicates import leaked
from lanewise.data_check.findings import Case, Collection, Findings
from lanewise.errors import TooLargeError
from lanewise.report.sheets import contact_sheet

SHOWN, MOST_SHEETS = 10, 20
"""Images of a class that are shown, and classes of which some are."""

MOST_SHOWN, MOST_ALIKE = {"serious": 12, "warning": 6, "note": 6}, 3
"""Images of a finding that are shown, about so many, and images of a case."""

ROOM = 400_000
"""Bytes of images that findings show; from there on, names alone stand."""

CASE_SIZE = 96
"""Rows or columns of such an image at most."""

NAMES = {"train": "training ", "validation": "validation ", "test": "test ", "all": ""}
"""What the images of a part are called before the word "images"."""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class: how many images of it each part has, and some of them."""

    label: str
    counts: tuple[int, ...]
    sheet: Drawn | None


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image that a finding is about; `drawn` is None where there is no more room."""

    drawn: Drawn | None
    name: str
    label: str
    part: str


@dataclass(frozen=True, slots=True)
class ShownCase:
    """One case of a finding: some of its images, and how many there are besides."""

    images: tuple[ShownImage, ...]
    more: int
    detail: str


@dataclass(frozen=True, slots=True)
class ShownFinding:
    """What was found, what to do, some cases, and how many there are besides: groups of images, where `grouped`."""

    severity: str
    message: str
    advice: str
    cases: tuple[ShownCase, ...]
    more: int
    grouped: bool = False


@dataclass(frozen=True, slots=True)
class DataFigures:
    """The data section: `parts` names the columns of counts, like ("train", "test").

    `findings` is None where memory does not suffice to compare the images. `known` are positions among those that
    evaluate: of images that are among those to learn from, too, or nearly so.
    """

    parts: tuple[str, ...]
    totals: tuple[int, ...]
    rows: tuple[ClassRow, ...]
    findings: tuple[ShownFinding, ...] | None
    known: tuple[int, ...]
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def data_figures(parts: Mapping[str, Images], evaluated_by: str, progress: FilesProgress | None = None) -> DataFigures:
    """Count and check labelled images, set by set.

    Parameters
    ----------
    parts : mapping of str to Images
        The sets by name, all with the same classes.
    evaluated_by : str
        The evaluation set among them.
    progress : callable, optional
        Called with the number of images that are compared, and of all.

    Returns
    -------
    DataFigures
    """
    first = next(iter(parts.values()))
    counts = [part.counts() for part in parts.values()]
    rows = tuple(
        ClassRow(label, tuple(one[n] for one in counts), _examples(first, n) if n < MOST_SHEETS else None)
        for n, label in enumerate(first.classes)
    )
    try:
        found = look(parts, progress=progress and (lambda _, done, total: progress(done, total)))
    except TooLargeError:
        found = None
    notes = tuple(dict.fromkeys(note for part in parts.values() for note in part.notes if " skipped: " not in note))
    if len(rows) > MOST_SHEETS:
        notes = (f"Of {len(rows):,} classes the first {MOST_SHEETS} are shown with examples.", *notes)
    return DataFigures(
        parts=tuple(parts),
        totals=tuple(map(len, parts.values())),
        rows=rows,
        findings=None if found is None else _shown(found),
        known=() if found is None else _known(found, evaluated_by),
        notes=notes,
        skipped=tuple(dict.fromkeys(pair for part in parts.values() for pair in part.skipped)),
    )


def _examples(images: Images, label: int) -> Drawn | None:
    """Some images of a class, spread over all of them."""
    assert images.labels is not None
    found = np.flatnonzero(images.labels == label)
    if not len(found):
        return None
    chosen = found[np.unique(np.linspace(0, len(found) - 1, SHOWN).astype(int))]
    return contact_sheet(as_bytes(images.pixels[chosen]), SHOWN)


def _shown(found: Findings) -> tuple[ShownFinding, ...]:
    room = ROOM
    shown = []
    for finding in found.items:
        cases: list[ShownCase] = []
        for case in finding.cases:
            if sum(len(one.images) for one in cases) >= MOST_SHOWN[finding.severity]:
                break
            images = tuple(_image(found.collection, n, room > 0) for n in _one_of_each_part(case, found.collection))
            room -= sum(len(one.drawn.uri) for one in images if one.drawn is not None)
            cases.append(ShownCase(images, len(case.images) - len(images), case.detail))
        more = len(finding.cases) - len(cases)
        grouped = finding.images is not None
        shown.append(ShownFinding(finding.severity, finding.message, finding.advice, tuple(cases), more, grouped))
    return tuple(shown)


def _one_of_each_part(case: Case, collection: Collection) -> list[int]:
    """Some images of a case, those of parts that would else be missing first, in their own order."""
    first = {collection.part(n): n for n in reversed(case.images)}.values()
    others = [n for n in case.images if n not in first]
    return sorted([*first, *others][:MOST_ALIKE])


def _image(collection: Collection, number: int, drawn: bool) -> ShownImage:
    return ShownImage(
        drawn=photograph(collection.pixels[number], CASE_SIZE) if drawn else None,
        name=collection.names[number].rpartition("/")[2],
        label=collection.label(number) or "",
        part=NAMES[collection.part(number)].strip(),
    )


def _known(found: Findings, evaluated_by: str) -> tuple[int, ...]:
    collection, across = found.collection, found.of("across-splits")
    if across is None or "train" not in collection.part_names:
        return ()
    known = leaked(across.cases, collection).get((evaluated_by, "train"), ())
    return tuple(n - int(np.argmax(collection.parts == collection.parts[n])) for n in known)
