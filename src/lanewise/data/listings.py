"""Which image files a source holds, whatever it is: a folder, a table or shards."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lanewise.data.folders import Listing, Tree, list_sets, list_to_evaluate, list_tree
from lanewise.data.records import Records, record_sets, records_to_evaluate
from lanewise.data.shards import list_shards
from lanewise.data.source import FOLDER, SHARDS, files_of, kind_of
from lanewise.data.table import list_table
from lanewise.data.tree import Disk, printable
from lanewise.errors import DataError
from lanewise.notes import Caution
from lanewise.wording import shown

Source = str | os.PathLike[str]


def contents_of(source: Source, group_by: str | None = None, *, labelled: bool = True) -> Records | Tree:
    """What a table or shards say of each image; or a folder, on the disk or in tar files.

    Parameters
    ----------
    source : path
    group_by : str, optional
        A column whose values are groups; another word is no concern here.
    labelled : bool
        Whether each image needs a class.
    """
    files, kind = files_of(source), kind_of(source)
    if kind == FOLDER:
        if given := [name for name in ("path_column", "label_column", "split_column") if getattr(files, name)]:
            if not os.path.isdir(files):
                raise DataError(f"{shown(files)} is no table of image files, so there is no {given[0]}")
            raise DataError(f"{shown(files)} is a folder of class folders, so there is no {given[0]}: give labels, too")
        return Disk(Path(source))
    return (list_shards if kind == SHARDS else list_table)(files, group_by, labelled=labelled)


def sets_in(source: Source, group_by: str | None = None) -> dict[str, Listing]:
    """The sets of images for training; `train` is always among them. Parameters are those of `contents_of`."""
    found = contents_of(source, group_by)
    if isinstance(found, Records):
        return record_sets(found)
    try:
        return list_sets(found)
    except DataError as error:  # what is damaged may be why
        damage = "".join(f"; {note}" for note in found.notes if isinstance(note, Caution))
        raise DataError(f"{error}{damage}") from None


def to_evaluate_in(
    source: Source, classes: Sequence[str], split: str | None = None, group_by: str | None = None
) -> tuple[str, Listing]:
    """The images to evaluate a model with, and which set they are.

    Parameters
    ----------
    source : path
    classes : sequence of str
    split : str, optional
        The set that is wanted.
    group_by : str, optional
        As in `contents_of`.
    """
    found = contents_of(source, group_by)
    if isinstance(found, Records):
        return records_to_evaluate(found, classes, split)
    return list_to_evaluate(found, classes, split)


def images_in(source: Source) -> Listing:
    """All images of a source, without their classes."""
    found = contents_of(source, labelled=False)
    if not isinstance(found, Records):
        return list_tree(found, printable(found.path.name if found.packed else str(found)))
    return Listing(found.source, tuple(record.file for record in found.records), (), found.skipped, found.notes)
