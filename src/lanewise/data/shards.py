"""Shards: tar files of images and their classes, as WebDataset lays them out. Nothing is unpacked.

    000123.jpg  000123.cls          one sample: files of one name up to the first dot; its class as text
    000123.jpg  000123.json         or as a key of a JSON object: {"label": "oak"}

A tar file is read by our own code, which follows no link, allocates nothing that a header claims, and says where a file
is damaged: `tarfile` ends silently there. Names in it are never paths of ours.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lanewise.data.folders import SUFFIXES, UNLABELLED, ImageFile, class_named, part_named, printable
from lanewise.data.records import Record, Records
from lanewise.data.source import ImageFiles, shards_of
from lanewise.data.table import LABELS
from lanewise.errors import DataError
from lanewise.notes import Caution, Note
from lanewise.wording import plural, shown

LARGEST = 2**28
"""Bytes of an image in a tar file: it is read as a whole."""

_BLOCK = 512
_LONGEST_NAME = 2**16  # bytes of a name, and of what an extended header says
_LONGEST_LABEL = 2**20  # bytes of a class or of a JSON object
_FILE, _FOLDER, _LONG_NAME, _EXTENDED, _SPARSE = (b"0", b"\0", b"7"), b"5", b"L", b"x", b"S"
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # gzip, bzip2, xz, zstandard
_FOR_ALL = (b"g", b"K")  # comments, long names of links


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a tar file: its name, its bytes as place and length, and whether it is an ordinary file."""

    name: str
    start: int
    size: int
    ordinary: bool


@dataclass(slots=True)
class _Sample:
    images: dict[str, Member]
    others: dict[str, Member]


class DamagedError(DataError):
    """A tar file that cannot be read from some place on; the message is the reason alone."""


def members(file: BinaryIO) -> Iterator[Member]:
    """The members of an open tar file (USTAR, GNU or PAX), in order.

    Raises
    ------
    DamagedError
        At the place from which on it is damaged or missing.
    """
    end = os.fstat(file.fileno()).st_size
    at, name, size = 0, "", -1
    while True:
        file.seek(at)
        block = file.read(_BLOCK)
        if not block.strip(b"\0") and (at > 0 or block):
            if not _all_zero(file):
                raise DamagedError(f"it goes on after its end at byte {at:,}, which is not read")
            return  # the end, as it should be, or at least at the end of a member
        if len(block) < _BLOCK or not _sound(block):
            if at > 0:
                raise DamagedError(f"it is damaged or cut short at byte {at:,}")
            packed = block.startswith(_PACKED)
            raise DamagedError("it is packed as a whole: unpack it to a .tar file" if packed else "it is no tar file")
        kind, length = block[156:157], _number(block[124:136])
        start = at + _BLOCK
        if length is None or length < 0:
            raise DamagedError(f"it is damaged at byte {at:,}: a size is no number")
        if kind in (_LONG_NAME, _EXTENDED):
            if length > _LONGEST_NAME or start + length > end:
                raise DamagedError(f"it is damaged at byte {at:,}: a name of {length:,} bytes")
            content = file.read(length)
            if kind == _LONG_NAME:
                name = _text(content)
            else:
                extended = _extended(content)
                name = extended.get("path", name)
                size = int(extended["size"]) if extended.get("size", "").isdecimal() else size
                if any(key.startswith("GNU.sparse") for key in extended):
                    size = -2  # the file is not as long as what is stored
        elif kind not in _FOR_ALL:
            more = kind == _SPARSE and block[482] != 0  # of GNU's, whose maps of holes go on in blocks of their own
            while more and start < end:
                file.seek(start)
                more = file.read(_BLOCK)[504:505] not in (b"", b"\0")
                start += _BLOCK
            sparse = size == -2
            length = size if size >= 0 else length
            known = name or _name(block)
            if start + length > end:
                raise DamagedError(f"it is cut short in {printable(known)[:80]!r}")
            ordinary = kind in _FILE and not sparse and not known.endswith("/")
            if kind != _FOLDER and not (kind in _FILE and known.endswith("/")):
                yield Member(known, start, length, ordinary)
            name, size = "", -1
        at = start + -(-length // _BLOCK) * _BLOCK


def _all_zero(file: BinaryIO) -> bool:
    """Whether there is nothing but zeros from here on: a few blocks, as a rule."""
    return not any(part.strip(b"\0") for part in iter(lambda: file.read(2**20), b""))


def list_shards(files: ImageFiles, group_by: str | None = None, *, labelled: bool = True) -> Records:
    """The images in tar files.

    Parameters
    ----------
    files : ImageFiles
    group_by : str, optional
        A key of the JSON objects whose values are groups; another word is no concern here.
    labelled : bool
        Whether each needs a class.

    Raises
    ------
    DataError
        There are no shards, no images, or no classes in them.
    """
    shards = shards_of(files)
    if files.path_column is not None or files.split_column is not None:
        raise DataError("path_column and split_column are for tables: shards have names")
    records: list[Record] = []
    skipped: list[tuple[str, str]] = []
    notes: list[Note] = []
    for path, part in zip(shards, _parts(shards), strict=True):
        if labelled and part == UNLABELLED:
            continue
        before = len(records)
        try:
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
                stamp = (status.st_mtime_ns, status.st_ctime_ns)
                damage, again = _read_shard(
                    file, path, (files.label_column, group_by), labelled, part, stamp, records, skipped
                )
        except OSError as error:
            raise DataError(f"{shown(path)} cannot be read: {(error.strerror or str(error)).lower()}") from None
        if damage:
            count = len(records) - before
            used = f"; {plural(count, 'image')} before that {'is' if count == 1 else 'are'} used" if count else ""
            notes.append(Caution(f"{shown(path.name)}: {damage}{used}"))
        if again:
            names = "1 member has the name" if again == 1 else f"{again:,} members have names"
            notes.append(Caution(f"{shown(path.name)}: {names} of others before; the last of a name counts"))
    if not records:
        raise DataError(_nothing(shards, skipped, notes))
    grouped_by = group_by if group_by and any(record.group is not None for record in records) else ""
    if grouped_by and (without := [record for record in records if record.group is None]):
        raise DataError(
            f"group_by: {len(without):,} of {plural(len(records), 'image')} have no {group_by} in their JSON, like "
            f"{without[0].file.name!r}"
        )
    return Records(Path(os.path.abspath(files)), records, tuple(skipped), tuple(notes), grouped_by)


def _nothing(shards: list[Path], skipped: list[tuple[str, str]], notes: list[Note]) -> str:
    """Why there are no images."""
    name = shown(shards[0]) + (f" and {len(shards) - 1:,} more" if len(shards) > 1 else "")
    if notes:
        return f"no image in {name} can be used: {notes[0]}"
    if all(reason == _NO_CLASS for _, reason in skipped) and skipped:
        return (
            f"no image in {name} has a class: beside KEY.jpg a file KEY.cls or KEY.json is expected; if folders in it "
            "are the classes, unpack it and give the folder"
        )
    told = "; ".join(f"{one!r}: {reason}" for one, reason in skipped[:2])
    return f"there are no images in {name}" + (f" ({told})" if told else "")


_NO_CLASS = "it has no class: no .cls and no .json with one has its name"


def _read_shard(
    file: BinaryIO,
    path: Path,
    wanted: tuple[str | None, str | None],
    labelled: bool,
    part: str | None,
    stamp: tuple[int, int],
    records: list[Record],
    skipped: list[tuple[str, str]],
) -> tuple[str, int]:
    """Add the images of one shard, and what is left aside; what is wrong with the file, and how many names repeat."""
    samples: dict[str, _Sample] = {}
    damage, again = "", 0
    try:
        for one in members(file):
            folder, _, base = one.name.rpartition("/")
            if base.startswith(".") or not base:
                continue
            stem, _, suffix = base.partition(".")
            if not one.ordinary:
                skipped.append((_called(path, one), "it is not an ordinary file"))
                continue
            sample = samples.setdefault(f"{folder}/{stem}", _Sample({}, {}))
            suffix = suffix.lower()
            kind = sample.images if f".{suffix.rpartition('.')[2]}" in SUFFIXES else sample.others
            again += suffix in kind
            kind[suffix] = one
    except DamagedError as reason:
        damage = str(reason)
    for sample in samples.values():
        if (member := _image_of(sample)) is None:
            continue
        name = _called(path, member)
        if member.size > LARGEST:
            skipped.append((name, f"it has {member.size:,} bytes, more than {LARGEST:,}"))
            continue
        label: str | None = ""
        group = None
        if labelled:
            try:
                label, group = _facts(file, sample, *wanted)
            except ValueError as reason:
                skipped.append((name, str(reason)))
                continue
        if label is None:
            skipped.append((name, _NO_CLASS))
            continue
        image = ImageFile(os.fspath(path), name, -1, (member.size, *stamp), (member.start, member.size))
        records.append(Record(image, class_named(label), part, group))
    return damage, again


def _image_of(sample: _Sample) -> Member | None:
    """The image of a sample: of several, the last with the plainest suffix, as `jpg` before `mask.png`."""
    if not sample.images:
        return None
    fewest = min(suffix.count(".") for suffix in sample.images)
    return [member for suffix, member in sample.images.items() if suffix.count(".") == fewest][-1]


def _facts(file: BinaryIO, sample: _Sample, wanted: str | None, group_by: str | None) -> tuple[str | None, str | None]:
    """The class and the group of a sample; ValueError with the reason if they cannot be read."""
    known = _json(file, sample.others["json"]) if "json" in sample.others else {}
    group = None if group_by is None else _word(known.get(group_by))
    if wanted is not None and wanted.lower() in sample.others:
        return _content(file, sample.others[wanted.lower()]).strip() or None, group
    if wanted is not None:
        return _word(known.get(wanted)), group
    if "cls" in sample.others:
        return _content(file, sample.others["cls"]).strip() or None, group
    plain = {"".join(filter(str.isalnum, key.casefold())): value for key, value in known.items()}
    return next((word for key in LABELS if (word := _word(plain.get(key))) is not None), None), group


def _json(file: BinaryIO, member: Member) -> dict[str, Any]:
    try:
        found = json.loads(_content(file, member))
    except RecursionError:
        raise ValueError("its .json is nested too deeply") from None
    except ValueError:
        raise ValueError("its .json is no JSON") from None
    return found if isinstance(found, dict) else {}


def _content(file: BinaryIO, member: Member) -> str:
    if member.size > _LONGEST_LABEL:
        raise ValueError(f"the file with its class has {member.size:,} bytes")
    file.seek(member.start)
    try:
        return file.read(member.size).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("its class is not in UTF-8") from None


def _word(value: object) -> str | None:
    """A class as text: text, or a whole number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None if isinstance(value, str | int) else None


def _parts(shards: list[Path]) -> list[str | None]:
    """The set of each shard by its name up to its number, like train-000.tar, or by its folder; none if all are one."""
    found = [part_named(re.sub(r"[-_.]*[0-9]*$", "", path.stem)) for path in shards]
    if not any(found):
        found = [part_named(path.parent.name) for path in shards]
    if len(set(found)) == 1:
        return [None] * len(shards)
    if None in found:
        named, without = (shards[n].name for n in (next(n for n, part in enumerate(found) if part), found.index(None)))
        raise DataError(
            f"{shown(named)} is named after a set, but {shown(without)} is not: name all of them so (train, validation "
            "or val, test), or give one set"
        )
    return found


def _called(path: Path, member: Member) -> str:
    return printable(f"{path.name}/{member.name}")


def _sound(block: bytes) -> bool:
    """Whether a header has the sum that it says."""
    told = _number(block[148:156])
    return told is not None and told == sum(block) - sum(block[148:156]) + 8 * 32


def _number(field: bytes) -> int | None:
    """A number as octal digits, or in binary if the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
    digits = field.strip(b" \0")
    return int(digits, 8) if re.fullmatch(rb"[0-7]+", digits) else None if digits else 0


def _name(block: bytes) -> str:
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _extended(content: bytes) -> dict[str, str]:
    """The records of an extended header: `LENGTH KEY=VALUE` and an end of line each."""
    found: dict[str, str] = {}
    while content:
        digits = content.partition(b" ")[0]
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        if not len(digits) + 1 < length <= len(content):
            return found
        key, _, value = content[len(digits) + 1 : length - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        content = content[length:]
    return found
