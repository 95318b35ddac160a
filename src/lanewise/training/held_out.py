"""Which images training holds out, and the notes that say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from lanewise.data.held_out import Holding, hold_out
from lanewise.data.images import Images, ImageSets
from lanewise.data.sample_weights import class_weights
from lanewise.data.seen import TRAINED, Hashes, Seen, hashes_of
from lanewise.engine.parameters import Floats
from lanewise.model import Model
from lanewise.notes import Caution, Note, Say
from lanewise.training.start import seen_by
from lanewise.training.task import Validation


def hashes_by_set(sets: ImageSets, start: Model | None) -> Callable[[str], Hashes]:
    """What gives the hashes of the images of a set by its name, each worked out once, and only if it is asked for."""
    known = seen_by(start) or Seen.nothing(sets.train.pixels)
    return cache(lambda name: hashes_of(sets.parts[name].pixels, known.form))


def held_out(
    sets: ImageSets,
    hashes: Callable[[str], Hashes],
    weights: Floats,
    fraction: float,
    seed: int,
    start: Model | None,
    say: Say,
) -> tuple[Holding, Validation | None, Seen]:
    """Choose the images to train on and those that choose the weights.

    Parameters
    ----------
    sets : ImageSets
    hashes : callable
        Of `hashes_by_set`.
    weights : (N,) float
        Of the training images; those with weight 0 are left out.
    fraction : float
        Share held out if there is no validation set.
    seed : int
    start : Model or None
        The model that training starts from; images that it was trained on are not held out.
    say : callable
        Given each note.

    Returns
    -------
    holding : Holding
    validation : Validation or None
        The images that choose the weights.
    seen : Seen
        What the model will have seen.
    """
    images, labels = sets.train, sets.train.labels
    assert labels is not None
    chosen = np.flatnonzero(weights > 0)
    before = seen_by(start)
    if sets.validation is None:
        holding = hold_out(images, chosen, fraction, seed, before, hashes("train"))
        for note in _told(images, holding, len(chosen), start):
            say(note)
        unseen = holding.honest and _tells(start)
        validation = Validation(images.pixels, labels, holding.held, weights, unseen) if len(holding.held) else None
        return holding, validation, holding.seen()
    assert sets.validation.labels is not None
    holding = hold_out(images, chosen, 0, seed, before, hashes("train"))
    of_validation = hashes("validation")
    known = int(np.count_nonzero(holding.before.kinds_by(of_validation) == TRAINED))
    if known:
        say(Caution(f"The starting model was trained on {known:,} of the {len(of_validation):,} validation images."))
    validation = Validation(
        sets.validation.pixels,
        sets.validation.labels,
        np.arange(len(sets.validation)),
        class_weights(labels, weights, len(images.classes))[sets.validation.labels],
        unseen=not known and _tells(start),
    )
    return holding, validation, holding.seen().and_more(of_validation[:0], of_validation)


def _tells(start: Model | None) -> bool:
    """Whether it is known which of these images the starting model was trained on; pretrained networks on none."""
    return start is None or seen_by(start) is not None or "pretrained" in start.provenance


def _told(images: Images, holding: Holding, count: int, start: Model | None) -> Iterator[Note]:
    """Notes on the images that are held out."""
    if not len(holding.held):
        return
    if not holding.honest:
        yield Caution(
            f"The starting model was trained on all {count:,} images. {len(holding.held):,} are held out to choose "
            "the best weights, but the accuracy on them says nothing about new images."
        )
        return
    again = int(np.isin(holding.hashes[holding.held], holding.before.held).sum())
    if again:
        yield Note(f"{again:,} images that were held out when the starting model was trained stay held out.")
    groups = images.groups
    if groups is None:
        yield Note(
            f"{len(holding.held):,} of {count:,} training images are held out as a validation set, stratified by "
            "class, which chooses the best weights."
        )
    else:
        yield Note(
            f"{len(holding.held):,} of {count:,} training images, {groups.take(holding.held).count:,} of "
            f"{groups.count:,} groups ({groups.told}), are held out as a validation set, stratified by class as far as "
            "whole groups allow, which chooses the best weights."
        )
    if start is not None and seen_by(start) is None:
        yield Note(
            "The starting model does not say which images it was trained on; some of them may be among those held out."
        )
