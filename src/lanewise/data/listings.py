"""Which image files a source holds, whatever it is: a folder, a table or shards."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lanewise.data.folders import Listing, list_sets, list_to_evaluate, list_tree
from lanewise.data.records import Records, record_sets, records_to_evaluate
from lanewise.data.shards import list_shards
from lanewise.data.source import FOLDER, SHARDS, files_of, kind_of
from lanewise.data.table import list_table
from lanewise.errors import DataError
from lanewise.wording import shown

Source = str | os.PathLike[str]


def records_of(source: Source, group_by: str | None = None, *, labelled: bool = True) -> Records | None:
    """What a table or shards say of each image; None for a folder.

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
        return None
    return (list_shards if kind == SHARDS else list_table)(files, group_by, labelled=labelled)


def sets_in(source: Source, group_by: str | None = None) -> dict[str, Listing]:
    """The sets of images for training; `train` is always among them. Parameters are those of `records_of`."""
    found = records_of(source, group_by)
    return list_sets(Path(source)) if found is None else record_sets(found)


def to_evaluate_in(
    source: Source, classes: Sequence[str], split: str | None = None, group_by: str | None = None
) -> tuple[str, Listing]:
    """The images to evaluate a model with, and which set they are.

    Parameters
    ----------
    source : path
    classes : sequence of str
    split : str, optional
        The set that is wanted of a table or shards; of a folder, the folder of the set is given.
    group_by : str, optional
        As in `records_of`.
    """
    found = records_of(source, group_by)
    return list_to_evaluate(Path(source), classes) if found is None else records_to_evaluate(found, classes, split)


def images_in(source: Source) -> Listing:
    """All images of a source, without their classes."""
    found = records_of(source, labelled=False)
    if found is None:
        return list_tree(Path(source))
    return Listing(found.source, tuple(record.file for record in found.records), (), found.skipped, found.notes)
