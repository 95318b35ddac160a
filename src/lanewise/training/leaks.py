"""Near copies on both sides of a random split, told before training, with the option that keeps them together.

leaks_told(images, trained, held) -> a Caution, or nothing
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lanewise.data.grouping import FOLDER, SIMILAR, by_names
from lanewise.data.held_out import Holding
from lanewise.data.images import Groups, Images
from lanewise.data.near_copies import leak
from lanewise.errors import DataError
from lanewise.notes import Caution, Note
from lanewise.training.crossvalidation import fold_of_each
from lanewise.wording import quoted

NOTABLE, FEWEST = 0.1, 5
"""Share, and number, of the held-out images from which on near copies in training are told."""

SMALLEST = 8
"""Rows and columns of images, below which there is too little to compare; a row may also be features of any kind."""

COVERED = 0.8
"""Share of the pairs of near copies that a pattern must put into one group each to be proposed."""

LARGEST = 1 / 3
"""Of a class, in one group of such a pattern."""

PATTERNS = (
    FOLDER,
    "^[0-9]+",
    "^[A-Za-z]+[-_]?[0-9]+",
    "^.+(?=[-_])",
    "^.+[^0-9](?=[0-9])",
)
"""What is tried: the folder below that of the class, a number or word with a number that a file's name begins with, all
before its last part or its last number. The same name in two classes is one group, as of one patient."""

Indices = NDArray[np.int64]


def leaks_told(images: Images, trained: Indices, held: Indices) -> Iterator[Note]:
    """Say how many held-out images have near copies among those to train on, if they are a notable share.

    Where images have groups, whoever made them knows what belongs together.

    Parameters
    ----------
    images : Images
    trained, held : positions
    """
    if images.groups is not None or min(images.size) < SMALLEST or not len(trained) or not len(held):
        return
    found = leak(images, trained, held)
    count = len(found.pairs)
    if count < max(FEWEST, NOTABLE * found.asked):
        return
    one, other = (images.name(n) for n in found.pairs[0])
    looked = f"{count:,} of {found.asked:,} held-out images"
    if found.asked < len(held):
        looked += f" that were looked at (of {len(held):,})"
    yield Caution(
        f"{looked} have a near copy in training, like {one} and {other}: the accuracy on them will be too high for new "
        f"images. --group-by {quoted(proposed(images, found.pairs))} (group_by= in Python) keeps such images on one "
        "side."
    )


def split_of(images: Images, holding: Holding, folds: int, seed: int) -> tuple[Indices, Indices]:
    """Which images are trained on and which are held out; with folds, for the first of them.

    Parameters
    ----------
    images : Images
    holding : Holding
        Without folds, the split.
    folds, seed : int
    """
    if not folds:
        return holding.trained, holding.held
    assert images.labels is not None
    chosen = holding.trained
    fold = fold_of_each(images.labels[chosen], holding.hashes[chosen], folds, seed)
    return chosen[fold != 0], chosen[fold == 0]


def proposed(images: Images, pairs: Indices) -> str:
    """The value of `group_by` that keeps pairs of images together: one that goes by names, if there is one."""
    for by in PATTERNS if images.names else ():
        try:
            groups = by_names(images, by)
        except DataError:  # not all names match
            continue
        if _fits(images, groups, pairs):
            return by
    return SIMILAR


def _fits(images: Images, groups: Groups, pairs: Indices) -> bool:
    """Whether most pairs are in one group, and each class is in several, of which none is large."""
    assert images.labels is not None
    if (groups.numbers[pairs[:, 0]] == groups.numbers[pairs[:, 1]]).mean() < COVERED:
        return False
    both, count = np.unique(np.stack([images.labels, groups.numbers]), axis=1, return_counts=True)
    largest = np.zeros(len(images.classes), np.int64)
    np.maximum.at(largest, both[0], count)
    return bool((largest <= LARGEST * np.bincount(images.labels, minlength=len(images.classes))).all())
