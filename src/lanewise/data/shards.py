"""Shards: tar files of images and their classes, as WebDataset lays them out. Nothing is unpacked.

    000123.jpg  000123.cls          one sample: files of one name up to the first dot; its class as text
    000123.jpg  000123.json         or as a key of a JSON object: {"label": "oak"}

Tar files in which no image has a class of its own are taken as folders, if images lie in some (`tar_folders.py`).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lanewise.data.folders import SUFFIXES, UNLABELLED, class_named, part_named
from lanewise.data.records import Record, Records
from lanewise.data.source import ImageFiles, shards_of
from lanewise.data.table import LABELS
from lanewise.data.tar import Member, Tar, read_tar
from lanewise.data.tar_folders import TarFolder, folder_of
from lanewise.data.tree import printable
from lanewise.errors import DataError
from lanewise.notes import Caution, Note
from lanewise.wording import plural, shown

_LONGEST_LABEL = 2**20  # bytes of a class or of a JSON object


@dataclass(slots=True)
class _Sample:
    images: dict[str, Member]
    others: dict[str, Member]


def list_shards(files: ImageFiles, group_by: str | None = None, *, labelled: bool = True) -> Records | TarFolder:
    """The images in tar files: with classes of their own, or else the folders that they lie in.

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
    tars: list[tuple[Tar, str | None]] = []  # until one holds samples
    folders: set[str] = set()
    paired = files.label_column is not None
    for path, part in zip(shards, _parts(shards), strict=True):
        if labelled and part == UNLABELLED:
            continue
        before = len(records)
        tar = read_tar(path)
        samples, again = _samples(tar, skipped)
        folders.update(key.rpartition("/")[0] for key, sample in samples.items() if sample.images)
        _add(tar, samples, (files.label_column, group_by), labelled, part, records, skipped)
        notes += tar.notes(len(records) - before, again)
        paired = paired or bool(records if labelled else any(one.images and one.others for one in samples.values()))
        tars.append((tar, part))
        if paired:
            tars.clear()
    if not paired and any(folders):
        return folder_of(Path(files), tars)
    if not records:
        raise DataError(_nothing(shards, skipped, notes))
    if labelled and files.label_column is None and len(folders) > 1:
        name = shown(shards[0].name if len(shards) == 1 else Path(files).name)
        note = f"{name}: the classes are those of .cls and .json files, not those of folders"
        notes.append(Caution(note) if any(reason == _NO_CLASS for _, reason in skipped) else Note(note))
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
            f"no image in {name} has a class: it lies in no folder, and no file KEY.cls or KEY.json is beside KEY.jpg"
        )
    told = "; ".join(f"{one!r}: {reason}" for one, reason in skipped[:2])
    return f"there are no images in {name}" + (f" ({told})" if told else "")


_NO_CLASS = "it has no class: no .cls and no .json with one has its name"


def _samples(tar: Tar, skipped: list[tuple[str, str]]) -> tuple[dict[str, _Sample], int]:
    """The samples of a tar file by folder and key, and how many names repeat; adds to what is left aside."""
    samples: dict[str, _Sample] = {}
    again = 0
    for one in tar.members:
        folder, _, base = one.name.rpartition("/")
        if base.startswith(".") or not base or one.folder:
            continue
        stem, _, suffix = base.partition(".")
        if not one.ordinary:
            skipped.append((_called(tar, one), "it is not an ordinary file"))
            continue
        sample = samples.setdefault(f"{folder}/{stem}", _Sample({}, {}))
        suffix = suffix.lower()
        kind = sample.images if f".{suffix.rpartition('.')[2]}" in SUFFIXES else sample.others
        again += suffix in kind
        kind[suffix] = one
    return samples, again


def _add(
    tar: Tar,
    samples: dict[str, _Sample],
    wanted: tuple[str | None, str | None],
    labelled: bool,
    part: str | None,
    records: list[Record],
    skipped: list[tuple[str, str]],
) -> None:
    """Add the images of samples, and what is left aside."""
    with tar.opened() as file:
        for sample in samples.values():
            if (member := _image_of(sample)) is None:
                continue
            name = _called(tar, member)
            image = tar.image(member, name, -1)
            if isinstance(image, str):
                skipped.append((name, image))
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
            records.append(Record(image, class_named(label), part, group))


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
    if not known:
        return None, group
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


def _called(tar: Tar, member: Member) -> str:
    return printable(f"{tar.path.name}/{member.name}")
