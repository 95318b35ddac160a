"""A table of image files and their classes, as people and spreadsheets write it.

    read_table(Path("labels.csv")) -> Table(head, rows)
    list_table(files, group_by) -> Records

UTF-8, with or without a mark of byte order, UTF-16 with one, else Windows-1252; commas, semicolons, tabs or bars;
with or without a head. Paths are relative to the table, or to the folder of images that was given with it.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lanewise.data.folders import SUFFIXES, UNLABELLED, class_named, part_named
from lanewise.data.records import Record, Records
from lanewise.data.source import ImageFiles
from lanewise.data.tree import ImageFile, printable, stamp_of
from lanewise.errors import DataError
from lanewise.notes import Caution, Note
from lanewise.wording import plural, shown, some

PATHS = (
    *("path", "file", "filename", "filepath", "fname", "image", "imagepath", "imagefile", "imagename", "img"),
    *("imgpath", "imgname", "imageid", "idcode", "id", "name"),
)
LABELS = (
    *("label", "labels", "class", "classname", "classlabel", "category", "target", "classid", "labelname", "y"),
    *("species", "breed", "diagnosis"),
)
SPLITS = ("split", "set", "subset", "part", "partition", "fold", "usage")
"""What columns are called, the first that there is counts; case, spaces, `_` and `-` do not matter."""

MOST_BYTES = 2**30
_SEPARATOR = re.compile("sep=([,;\t|])", re.IGNORECASE)  # a first line that spreadsheets write and read
_LOOKED_AT = 200  # rows that tell which column holds paths
_ENDS = (".jpg", ".png", ".jpeg", *(s for s in SUFFIXES if s not in (".jpg", ".png", ".jpeg")))


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a table, of as many cells each as its head has; `lines` are their numbers in the file."""

    path: Path
    head: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[Note, ...]

    def column(self, wanted: str | None, usual: Sequence[str], what: str, option: str) -> int | None:
        """The place of the column that is wanted, or of the first by a usual name; None if there is none of these.

        Parameters
        ----------
        wanted : str or None
            A name, or a number from 1.
        usual : sequence of str
        what, option : str
            For the message: what it holds, and the option that names it.

        Raises
        ------
        DataError
            There is no column like the one that is wanted.
        """
        if wanted is None:
            names = [_plain(name) for name in self.head]
            return next((names.index(word) for word in usual if word in names), None)
        if wanted in self.head:
            return self.head.index(wanted)
        alike = [n for n, name in enumerate(self.head) if _plain(name) == _plain(wanted)]
        if alike:
            return alike[0]
        if wanted.isdecimal() and 1 <= int(wanted) <= len(self.head):
            return int(wanted) - 1
        raise DataError(
            f"{shown(self.path)} has no column {wanted!r} of {what}; it has {some(map(repr, self.head), 10)}: give one "
            f"of them as {option}, or its number"
        )


def read_table(path: Path) -> Table:
    """Read a table.

    Raises
    ------
    DataError
        It is no table of text, or it is empty.
    """
    text, notes = _text(path)
    file = io.StringIO(text, newline="")
    first = io.StringIO(text, newline=None).readline().rstrip("\n")
    delimiter = max(",;\t|", key=lambda one: (len(_cells(first, one)), one == ","))
    if (said := _SEPARATOR.fullmatch(first)) is not None:
        delimiter = said[1]
        file.readline()
    # strict, as a stray quotation mark would else take the rows behind it into one cell
    reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
    above = 0 if said is None else 1
    try:
        numbered = [
            (above + reader.line_num, [cell.strip() for cell in row])
            for row in reader
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as problem:
        raise DataError(f"{shown(path)} cannot be read as a table: line {above + reader.line_num}: {problem}") from None
    if not numbered:
        raise DataError(f"{shown(path)} is empty: a table names image files and their classes, one a row")
    head = numbered[0][1]
    if any(_is_image(cell) for cell in head):  # there is none
        head = [str(n + 1) for n in range(len(head))]
        notes = (*notes, Note(f"{shown(path.name)} has no head: its columns are known by their numbers."))
    else:
        numbered = numbered[1:]
    wrong = [
        (line, row)
        for line, row in numbered
        if len(row) != len(head) and any(row[len(head) :] or [len(row) < len(head)])
    ]
    bad = {line for line, _ in wrong}
    skipped = tuple(
        (f"row {line}", f"it has {plural(len(row), 'cell')}, but the head {len(head)}") for line, row in wrong
    )
    good = [(line, row[: len(head)]) for line, row in numbered if line not in bad]
    if not good:
        raise DataError(f"{shown(path)} has a head but no rows that fit it")
    return Table(path, tuple(head), [row for _, row in good], [line for line, _ in good], skipped, notes)


def list_table(files: ImageFiles, group_by: str | None = None, *, labelled: bool = True) -> Records:
    """The image files that a table names.

    Parameters
    ----------
    files : ImageFiles
    group_by : str, optional
        A column whose values are groups; another word is no concern here.
    labelled : bool
        Whether each needs a class.

    Raises
    ------
    DataError
        The table cannot be read, says contrary things of one file, or none of its files is there.
    """
    path = files.table
    assert path is not None
    table = read_table(path)
    places = _path_column(table, files.path_column)
    labels = _label_column(table, files.label_column, places) if labelled else None
    parts = _split_column(table, files.split_column)
    groups = _group_column(table, group_by, (places, labels, parts))
    roots = [path.parent] if files.labels is None else [Path(files.images), path.parent]
    if files.labels is not None and not os.path.isdir(files.images):
        raise DataError(f"{shown(files.images)} is no folder: with a table of labels, it is that of the images")
    found: dict[Identity, tuple[int, Record]] = {}
    skipped = list(table.skipped)
    contrary: list[str] = []
    again, unlabelled, suffix = 0, 0, ""
    for line, row in zip(table.lines, table.rows, strict=True):
        name = row[places]
        label = "" if labels is None else class_named(row[labels])
        part = None if parts is None else part_named(row[parts])
        shown_name = printable(name.removeprefix("./")) or f"row {line}"
        if labels is not None and part == UNLABELLED:
            unlabelled += 1
            continue
        file, identity, suffix = _file(roots, name, suffix)
        if isinstance(file, str):
            skipped.append((shown_name, file))
        elif labels is not None and not label:
            skipped.append((shown_name, "it has no label"))
        elif parts is not None and part is None:
            skipped.append((shown_name, "it is of no set" if not row[parts] else f"{row[parts]!r} is no name of a set"))
        else:
            record = Record(file, label, part, None if groups is None else row[groups])
            before, known = found.setdefault(identity, (line, record))
            if known is record:
                continue
            if (known.label, known.part, known.group) == (label, part, record.group):
                again += 1
            else:
                contrary.append(f"{shown_name} in rows {before} and {line}")
    if contrary:
        raise DataError(
            f"{shown(path)} says two things of {plural(len(contrary), 'file')}, like {contrary[0]}: keep one row a file"
        )
    if not found:
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in skipped[:2])
        reasons = reasons or f"{plural(unlabelled, 'row')} are of the set 'unlabelled'"
        raise DataError(f"no image of {shown(path)} can be used ({reasons}); {_looked_in(roots)}")
    notes = table.notes
    if again:
        notes = (
            *notes,
            Caution(
                f"{plural(again, 'row')} of {shown(path.name)} {'repeats' if again == 1 else 'repeat'} "
                "another word by word and count once"
            ),
        )
    return Records(
        path,
        [record for _, record in found.values()],
        tuple(skipped),
        notes,
        group_by if group_by and groups is not None else "",
    )


def _looked_in(roots: Iterable[Path]) -> str:
    return f"paths are looked for below {' and '.join(dict.fromkeys(shown(root) for root in roots))}"


def _text(path: Path) -> tuple[str, tuple[Note, ...]]:
    """What the file says, and a note where its encoding had to be guessed."""
    try:
        if os.path.getsize(path) > MOST_BYTES:
            raise DataError(f"{shown(path)} is larger than 1 GB: split the table")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {(error.strerror or 'it is no file').lower()}") from None
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16"), ()
        if b"\0" in content:
            raise DataError(f"{shown(path)} is no table: it holds zero bytes; save it as CSV in UTF-8")
        return content.decode("utf-8-sig"), ()
    except UnicodeDecodeError:
        try:
            told = Caution(
                f"{shown(path.name)} is not in UTF-8 and is read as Windows-1252: save it as UTF-8 if names look wrong"
            )
            return content.decode("cp1252"), (told,)
        except UnicodeDecodeError:
            raise DataError(f"{shown(path)} is in no encoding that is known here: save it as CSV in UTF-8") from None


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _is_image(cell: str) -> bool:
    return cell.lower().endswith(SUFFIXES) and len(cell) > 4


def _path_column(table: Table, wanted: str | None) -> int:
    found = table.column(wanted, (), "paths", "--path-column (path_column=)")
    if found is not None:
        return found
    looked = table.rows[:_LOOKED_AT]
    counts = [sum(_is_image(row[n]) for row in looked) for n in range(len(table.head))]
    best = max(range(len(counts)), key=lambda n: counts[n])
    if counts[best] * 2 > len(looked):  # what looks like file names counts more than what a column is called
        return best
    found = table.column(None, PATHS, "", "")
    if found is None:
        raise DataError(
            f"{shown(table.path)} has the columns {some(map(repr, table.head), 10)}, none of which is known to hold "
            "image files: name it with --path-column (path_column=)"
        )
    return found


def _label_column(table: Table, wanted: str | None, paths: int) -> int:
    option = "--label-column (label_column=)"
    found = table.column(wanted, LABELS, "classes", option)
    if found is not None and (wanted is not None or found != paths):
        return found
    others = [n for n in range(len(table.head)) if n != paths]
    if len(others) != 1:
        raise DataError(
            f"{shown(table.path)} has the columns {some(map(repr, table.head), 10)}, none of which is known to hold "
            f"classes: name it with {option}"
        )
    return others[0]


def _split_column(table: Table, wanted: str | None) -> int | None:
    found = table.column(wanted, SPLITS, "sets", "--split-column (split_column=)")
    if found is None:
        return None
    values = {row[found] for row in table.rows} - {""}
    unknown = sorted(value for value in values if part_named(value) is None)
    if not unknown and values:
        return found
    if wanted is None:  # a fold, or anything else
        return None
    raise DataError(
        f"the column {table.head[found]!r} of {shown(table.path)} holds {some(map(repr, unknown)) or 'nothing'}: sets "
        "are called train, validation (or val) and test"
    )


def _group_column(table: Table, group_by: str | None, others: Sequence[int | None]) -> int | None:
    if group_by is None or group_by not in table.head:
        return None
    found = table.head.index(group_by)
    without = [line for line, row in zip(table.lines, table.rows, strict=True) if not row[found]]
    if without:
        raise DataError(
            f"group_by: {len(without):,} of {plural(len(table.rows), 'row')} of {shown(table.path)} have no "
            f"{group_by}, like row {without[0]}"
        )
    return found


Identity = tuple[int, int] | str
"""What tells files apart, however they are spelled or linked: their place on the disk, or a path."""


def _file(roots: Sequence[Path], name: str, suffix: str) -> tuple[ImageFile | str, Identity, str]:
    """The file of a name, or why there is none; its identity; and the suffix that it lacked, if it lacked one.

    Parameters
    ----------
    roots : sequence of Path
        Folders that it may be in.
    name : str
    suffix : str
        What the one before lacked.
    """
    if not name:
        return "it names no file", "", suffix
    if "://" in name:
        return "it is an address, not a file: fetch it first", "", suffix
    endings = [""] if _is_image(name) else ["", *([suffix] if suffix else []), *_ENDS]
    for root in roots:
        # a path of another system has other slashes
        for spelled in dict.fromkeys((name.removeprefix("./"), name.replace("\\", "/").removeprefix("./"))):
            for ending in endings:
                path = os.path.join(root, spelled + ending)
                try:
                    status = os.stat(path)
                except (OSError, ValueError):
                    continue
                if not stat.S_ISREG(status.st_mode):
                    if ending or not stat.S_ISDIR(status.st_mode):
                        continue
                    return "it is a folder", "", suffix
                identity = (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
                return ImageFile(path, printable(spelled + ending), -1, stamp_of(status)), identity, ending or suffix
    return "there is no such file", "", suffix
