"""Images that belong together, of one specimen, patient or track: in one fold, and in one set.

with_groups(collection, "^[0-9]+", None) -> Collection
across_sets(collection) -> findings             groups that are in two sets
with_copies(groups, copies) -> tuples           images that stay in one fold: those of a group, and copies
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from lanewise.data.grouping import SIMILAR, by_names, by_similarity, groups_given
from lanewise.data.images import Groups, Images
from lanewise.data.split import joined
from lanewise.data_check.findings import SERIOUS, SETS, Case, Collection, Finding
from lanewise.errors import DataError
from lanewise.wording import counted, listed


def with_groups(collection: Collection, by: str | None, given: ArrayLike | None) -> Collection:
    """Group all images of known classes; each of the others is a group of its own.

    Parameters
    ----------
    collection : Collection
    by : str, optional
        As for `lanewise.train`.
    given : (N,) array, optional
        The groups of images that came as an array.

    Raises
    ------
    DataError, OptionError
        As `lanewise.data.grouping.grouped` does.
    """
    if given is not None:
        return replace(collection, groups=groups_given(given, len(collection)))
    if by is None or (collection.groups is not None and collection.groups.by == by):
        return collection
    known = np.flatnonzero(collection.labels >= 0)
    names = tuple(collection.names[n] for n in known) if collection.sources else ()
    images = Images(collection.pixels[known], collection.labels[known], collection.classes, names)
    found = by_similarity(images) if by == SIMILAR else by_names(images, by)
    numbers = np.arange(len(collection)) + len(found.names)
    numbers[known] = found.numbers
    return replace(collection, groups=Groups(numbers, (*found.names, *collection.names), by))


def across_sets(collection: Collection) -> Iterator[Finding]:
    """Report the groups with images in two sets."""
    groups = collection.groups
    if groups is None or len(collection.part_names) < 2:
        return
    both = np.unique(np.stack([groups.numbers, collection.parts]), axis=1)
    shared = np.flatnonzero(np.bincount(both[0]) > 1)
    if not len(shared):
        return
    cases = []
    for number in shared.tolist():
        members = np.flatnonzero(groups.numbers == number)
        parts = [SETS.get(name, name) for n, name in enumerate(collection.part_names) if n in collection.parts[members]]
        names = tuple(collection.names[n] for n in members)
        cases.append(Case(tuple(members.tolist()), names, f"group {groups.names[number]!r}, in {listed(parts)}"))
    yield Finding(
        "groups-across-splits",
        SERIOUS,
        f"{counted(len(cases), 'group', 'is/are')} in two sets ({groups.told}).",
        "Keep each in one set only: a network that was trained on one image of a group knows the others better than "
        "new ones.",
        tuple(cases),
    )


def with_copies(groups: Groups | None, copies: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Images that stay together: copies, and with groups the whole groups in which there are copies.

    Parameters
    ----------
    groups : Groups or None
    copies : sequence of tuples of int
        Positions of images that are copies of one another.
    """
    if groups is None:
        return list(copies)
    image = np.arange(len(groups.numbers))
    for members in copies:
        image[list(members)] = members[0]
    number = joined(groups.numbers, image)
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order])) + 1
    return [tuple(members.tolist()) for members in np.split(order, starts)]


def check_enough(groups: Groups | None, folds: int) -> None:
    """Refuse fewer groups than folds, by a DataError."""
    if groups is not None and groups.count < folds:
        raise DataError(f"labels were not tested: that takes {folds} groups of images, and there are {groups.count}")
