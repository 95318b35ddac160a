"""Image files that tables and shards name, each with its class, as sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lanewise.data.folders import TEST, TRAIN, VALIDATION, Listing
from lanewise.data.tree import ImageFile
from lanewise.errors import DataError
from lanewise.notes import Caution, Note
from lanewise.wording import shown, some


@dataclass(frozen=True, slots=True)
class Record:
    """An image file with the text of its class, the set that it is of, and its group, as far as they are known."""

    file: ImageFile
    label: str
    part: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """All of a table or of shards, what was left aside, and notes; groups are of the column `grouped_by`."""

    source: Path
    records: list[Record]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[Note, ...] = ()
    grouped_by: str = ""

    @property
    def parts(self) -> list[str]:
        """The sets that there are, in the order of their use; none where nothing says so."""
        found = {record.part for record in self.records}
        return [part for part in (TRAIN, VALIDATION, TEST) if part in found]

    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of their names; numbers in that of their values."""
        names = sorted({record.label for record in self.records})
        return tuple(sorted(names, key=int) if all(map(_is_number, names)) else names)

    def listing(self, part: str | None, classes: Sequence[str]) -> Listing:
        """One set as a listing; all records if there are no sets.

        Raises
        ------
        DataError
            One is of another class.
        """
        place = {name: n for n, name in enumerate(classes)}
        chosen = [record for record in self.records if part is None or record.part == part]
        other = next((record for record in chosen if record.label not in place), None)
        if other is not None:
            raise DataError(
                f"{shown(self.source)} calls {other.file.name!r} {other.label!r}, which is none of the classes "
                f"{some(map(repr, classes))}"
            )
        return Listing(
            self.source,
            tuple(replace(record.file, label=place[record.label]) for record in chosen),
            tuple(classes),
            self.skipped,
            self.notes,
            groups=tuple(record.group or "" for record in chosen) if self.grouped_by else None,
            grouped_by=self.grouped_by,
            part=part or "",
        )


def record_sets(found: Records) -> dict[str, Listing]:
    """The sets for training; `train` is always among them.

    Raises
    ------
    DataError
        There is no set to train on, or only one class.
    """
    parts = found.parts
    if parts and TRAIN not in parts:
        raise DataError(f"{shown(found.source)} holds {' and '.join(parts)} but no train set to train on")
    classes = found.classes()
    if len(classes) < 2:
        damage = "".join(f"; {note}" for note in found.notes if isinstance(note, Caution))
        raise DataError(
            f"{shown(found.source)} holds only one class, {''.join(classes)!r}, but training needs at least two{damage}"
        )
    if not parts:
        return {TRAIN: found.listing(None, classes)}
    sets = {part: found.listing(part, classes) for part in parts}
    present = {file.label for file in sets[TRAIN].files}
    without = next((name for n, name in enumerate(classes) if n not in present), None)
    if without is not None:
        raise DataError(f"the class {without!r} of {shown(found.source)} has no image in the train set")
    later = {part: replace(one, skipped=(), notes=()) for part, one in sets.items() if part != TRAIN}
    return {TRAIN: sets[TRAIN]} | later


def records_to_evaluate(found: Records, classes: Sequence[str], split: str | None = None) -> tuple[str, Listing]:
    """The images to evaluate a model with, as `folders.list_to_evaluate` finds them.

    Parameters
    ----------
    found : Records
    classes : sequence of str
        Those of the model.
    split : str, optional
        The set that is wanted.

    Raises
    ------
    DataError
        There is no such set, or an image of another class.
    """
    parts = found.parts
    if split in (TRAIN, VALIDATION, TEST) and parts:
        if split not in parts:
            raise DataError(f"{shown(found.source)} has no {split} set; it has {' and '.join(parts)}")
        return split, found.listing(split, classes)
    for part in (TEST, VALIDATION, TRAIN):
        if part in parts:
            return part, found.listing(part, classes)
    return "all", found.listing(None, classes)


def _is_number(name: str) -> bool:
    return name.isdecimal() and name.isascii() and len(name) < 20
