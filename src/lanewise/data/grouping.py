"""Which images belong together: of one specimen, patient or track, so that no split may part them.

    grouped(sets, "^[0-9]+") -> ImageSets        by file names; "folder", "similar", or a table work likewise
    groups_given(array, count) -> Groups          by an array
    check_groups(images, chosen)                  refuses groups that cannot be on both sides of a split

A pattern is searched for in the name of the file; one with a "/" in its path, which begins with the folder of its class
or of its set. The group is what the first pair of parentheses matched, or all of the match.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lanewise.data.images import Groups, Images, ImageSets, numbered
from lanewise.data.near_copies import similar
from lanewise.data.split import Indices
from lanewise.errors import DataError, OptionError
from lanewise.labels import plain
from lanewise.notes import Caution
from lanewise.wording import plural, some

FOLDER, SIMILAR, GIVEN = "folder", "similar", "groups"
"""Words that are no patterns: the folder below that of the class, near copies; and groups that came as an array."""

TABLE = ".csv"


def grouped(sets: ImageSets, by: str) -> ImageSets:
    """Group the training images, and those of the other sets where they can be.

    Parameters
    ----------
    sets : ImageSets
    by : str
        A regular pattern, "folder", "similar", or a table, "FILE.csv" or "FILE.csv:COLUMN".

    Returns
    -------
    ImageSets
        With a note on groups that are in two sets.

    Raises
    ------
    DataError, OptionError
        Not all training images have a group, or `by` makes no sense; the message names an image.
    """
    if sets.train.groups is not None and sets.train.groups.by == by:  # when they were read
        return with_shared_told(sets)
    if by == SIMILAR:
        return replace(sets, train=replace(sets.train, groups=by_similarity(sets.train)))
    found = {"train": replace(sets.train, groups=by_names(sets.train, by))}
    for name, part in sets.parts.items():
        if name not in found:
            try:
                found[name] = replace(part, groups=by_names(part, by))
            except DataError:  # a set of its own may be named otherwise
                found[name] = part
    return with_shared_told(ImageSets(**found))


def groups_given(values: npt.ArrayLike, count: int, by: str = GIVEN) -> Groups:
    """Groups that came as an array of labels of any type, one for each image.

    Parameters
    ----------
    values : (N,) array
    count : int
        Of the images.
    by : str
        What the array is called.
    """
    try:
        given = plain(values)[0]
    except DataError as problem:
        raise DataError(f"{by}: {problem}") from None
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim != 1 or len(given) != count:
        raise DataError(f"{by} has the shape {given.shape}, but there are {count:,} images: give one group per image")
    return numbered(given.tolist(), by)


def joint(parts: Sequence[Images]) -> Groups | None:
    """The groups of several sets put together, each known again by its name; None unless all have some."""
    groups = [part.groups for part in parts if part.groups is not None]
    if len(groups) < len(parts):
        return None
    names = tuple(dict.fromkeys(name for one in groups for name in one.names))
    place = {name: n for n, name in enumerate(names)}
    numbers = [np.array([place[name] for name in one.names], np.int64)[one.numbers] for one in groups]
    return Groups(np.concatenate(numbers), names, groups[0].by)


def check_groups(images: Images, chosen: Indices, folds: int = 0) -> None:
    """Refuse groups that no split can keep whole and have each class on both sides.

    Parameters
    ----------
    images : Images
    chosen : positions of the images to split
    folds : int
        Number of folds; 0 where a part is held out.

    Raises
    ------
    DataError
        All images of a class are in one group, or there are fewer groups than folds.
    """
    groups, labels = images.groups, images.labels
    if groups is None or labels is None:
        return
    numbers = groups.numbers[chosen]
    if len(np.unique(numbers)) < folds:
        count = len(np.unique(numbers))
        raise DataError(
            f"the images are of {plural(count, 'group')} ({groups.told}), too few for {folds} folds: give "
            f"folds={count} (--folds) at most, or smaller groups"
        )
    for label in np.unique(labels[chosen]):
        of_class = numbers[labels[chosen] == label]
        if len(of_class) > 1 and (of_class == of_class[0]).all():
            raise DataError(
                f"all {len(of_class):,} images of {images.classes[label]!r} are in one group, "
                f"{groups.names[of_class[0]]!r} ({groups.told}), which cannot be in training and held out: group them "
                "otherwise, or give a validation set"
            )


def with_shared_told(sets: ImageSets) -> ImageSets:
    """Add a note to each set with a group that is in the training set, too."""
    known = _group_names(sets.train)
    told = {"train": sets.train}
    for name, part in sets.parts.items():
        if name == "train":
            continue
        shared = sorted(known & _group_names(part))
        note = Caution(
            f"{plural(len(shared), 'group')} of the training set {'is' if len(shared) == 1 else 'are'} in the {name} "
            f"set, too: {some(map(repr, shared))}"
        )
        told[name] = replace(part, notes=(*part.notes, note)) if shared and note not in part.notes else part
    return ImageSets(**told)


def _group_names(images: Images) -> set[str]:
    return set() if images.groups is None else {images.groups.names[n] for n in np.unique(images.groups.numbers)}


def by_similarity(images: Images) -> Groups:
    """Group near copies of one class."""
    assert images.labels is not None
    numbers = similar(images.pixels, images.labels)
    return Groups(numbers, tuple(map(images.name, range(len(images)))), SIMILAR)


def by_names(images: Images, by: str) -> Groups:
    """Group images by the names of their files: by a pattern, "folder" or a table.

    Raises
    ------
    DataError, OptionError
        As `grouped` does.
    """
    if not images.names:
        raise DataError(
            f"group_by {by!r} looks at names of files, but these images came as arrays: give groups, an array of one "
            f"group per image, or {SIMILAR!r}"
        )
    if by == FOLDER:
        found, lacks = _folders(images), "lies in no folder below that of its class"
    elif TABLE in by.lower():
        found, lacks = _by_table(images.names, by), f"is not in {by}"
    else:
        found, lacks = _by_pattern(images.names, by), f"does not match {by!r}"
    without = [n for n, group in enumerate(found) if group is None]
    if without:
        count, example = len(found), images.names[without[0]]
        some_do = (
            f"{len(without):,} of {count:,} files have" if len(without) < count else f"none of {count:,} files has"
        )
        raise DataError(f"group_by: {some_do} {'no' if len(without) < count else 'a'} group: {example!r} {lacks}")
    return numbered([group for group in found if group is not None], by)


def _by_pattern(names: Sequence[str], by: str) -> list[str | None]:
    try:
        pattern = re.compile(by)
    except re.error as problem:
        raise OptionError(f"group_by: {by!r} is no regular pattern ({problem}): give one like '^[0-9]+'") from None
    places = names if "/" in by else [name.rpartition("/")[2] for name in names]
    return [None if (one := pattern.search(place)) is None else one[min(1, pattern.groups)] for place in places]


def _folders(images: Images) -> list[str | None]:
    """The folder right below that of the class. One of the same name in another class is the same group."""
    assert images.labels is not None
    found: list[str | None] = []
    for name, label in zip(images.names, images.labels, strict=True):
        parts = name.split("/")
        of_class = images.classes[label]
        below = parts[parts.index(of_class) + 1 : -1] if of_class in parts[:-1] else []
        found.append(below[0] if below else None)
    return found


def _by_table(names: Sequence[str], by: str) -> list[str | None]:
    """The column of a table for each name: that of the row whose first value is the end of the file's path."""
    end = by.lower().rindex(TABLE) + len(TABLE)
    path, column = by[:end], by[end:].removeprefix(":")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            head, *rows = [row for row in csv.reader(file) if row]
    except FileNotFoundError:
        raise DataError(f"group_by: no such file: {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as problem:
        raise DataError(f"group_by: {path} cannot be read as a table with a head ({problem})") from None
    if len(head) < 2 or (column and column not in head[1:]):
        raise DataError(
            f"group_by: {path} has the columns {some(map(repr, head), 10)}: the first holds names of files, another "
            f"{column or 'their groups'}"
        )
    place = head.index(column, 1) if column else 1
    of_file = {row[0].replace("\\", "/").removeprefix("./"): row[place] for row in rows if len(row) > place}
    found: list[str | None] = []
    for name in names:
        parts = name.split("/")
        ends = ("/".join(parts[n:]) for n in range(len(parts)))
        found.append(next((of_file[one] for one in ends if of_file.get(one)), None))
    return found
