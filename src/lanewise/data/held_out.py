"""Which training images are held out to choose the weights by, so that no network was trained on one of them.

An image that the starting model was trained on is trained on again; one that was held out of its training stays
held out. New images are split by class. Where a held-out image has a copy among those to train on, both are trained on.
Groups stay whole: where one image of a group was trained on, all are; groups with copies of one image are one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Images
from lanewise.data.seen import HELD, NEW, TRAINED, Hashes, Seen, hashes_of
from lanewise.data.split import groups_in_order, joined, stratified_split

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Holding:
    """The images to train on, and those held out.

    Attributes
    ----------
    trained, held : positions, each sorted; perhaps none is held out
    before : Seen
        What the starting model has seen: nothing, if there is none or it does not say.
    hashes : one for each image at hand
    honest : bool
        Whether nobody was ever trained on those held out.
    """

    trained: Indices
    held: Indices
    before: Seen
    hashes: Hashes
    honest: bool = True

    def seen(self) -> Seen:
        """What the model will have seen."""
        return self.before.and_more(self.hashes[self.trained], self.hashes[self.held])


def hold_out(
    images: Images, chosen: Indices, fraction: float, seed: int, before: Seen | None, hashes: Hashes | None = None
) -> Holding:
    """Hold out a share of each class for validation, whole groups where images have groups.

    Parameters
    ----------
    images : Images
    chosen : (N,) int64
        Positions of the images to split.
    fraction : float
        Share that is held out, 0 to below 1; nothing is held out at 0, or if no class has two images.
    seed : int
    before : Seen or None
        Images of an earlier training, from which this one starts: those it was trained on are held out only if no
        others are left.
    hashes : (N,) array, optional
        Of all images, if they are known, in the form of `before`.

    Returns
    -------
    Holding
    """
    labels = images.labels
    assert labels is not None
    known = before or Seen.nothing(images.pixels)
    hashes = hashes_of(images.pixels, known.form) if hashes is None else hashes
    none = chosen[:0]
    if fraction == 0:
        return Holding(chosen, none, known, hashes)
    kinds = known.kinds_by(hashes[chosen])
    groups = None if images.groups is None else joined(images.groups.numbers, hashes)
    if groups is not None:
        kinds = of_groups(kinds, groups[chosen])
    held = np.concatenate([chosen[kinds == HELD], _part(labels, groups, chosen[kinds == NEW], fraction, seed)])
    honest = True
    if not len(held) and (kinds == TRAINED).any():
        held, honest = _part(labels, groups, chosen, fraction, seed), False
    trained = np.setdiff1d(chosen, held)
    if not len(trained):
        return Holding(chosen, none, known, hashes)
    copies = np.isin(hashes[held], hashes[trained])
    trained, held = np.union1d(trained, held[copies]), np.sort(held[~copies])
    return Holding(trained, held, known, hashes, honest)


def of_groups(kinds: NDArray[np.int8], groups: Indices) -> NDArray[np.int8]:
    """NEW, HELD or TRAINED for each image, as the most seen image of its group is."""
    group = groups_in_order(groups)
    most = np.full(int(group.max(initial=-1)) + 1, NEW, np.int8)
    np.maximum.at(most, group, kinds)
    return most[group]


def _part(labels: NDArray[np.int32], groups: Indices | None, chosen: Indices, fraction: float, seed: int) -> Indices:
    """A share of the images, of each class; none where no class has two images, or two groups."""
    if not len(chosen) or np.bincount(labels[chosen]).max() < 2:
        return chosen[:0]
    if groups is not None:
        pairs = np.unique(np.stack([labels[chosen], groups[chosen]]), axis=1)
        if np.bincount(pairs[0]).max() < 2:
            return chosen[:0]
    of_chosen = None if groups is None else groups[chosen]
    return chosen[stratified_split(labels[chosen], fraction, seed, of_chosen)[1]]
