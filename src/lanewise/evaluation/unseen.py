"""Which of given images a model was trained on, so that they never count as new ones.

kinds_of(model, images)                      NEW, HELD or TRAINED for each image; None if unknown
fit_to_evaluate(model, images, split, found)    the evaluation set, and what it is
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lanewise.data.grouping import FOLDER, by_names
from lanewise.data.held_out import hold_out, of_groups
from lanewise.data.images import Images, ImageSets
from lanewise.data.seen import HELD, NEW, TRAINED
from lanewise.data.split import fingerprint, stratified_split
from lanewise.errors import DataError
from lanewise.foreign import scaled_by_labels
from lanewise.model import Model
from lanewise.notes import Caution, Note
from lanewise.pixel_scale import scaled
from lanewise.training.start import seen_by

Kinds = NDArray[np.int8]


GROUPS = {NEW: "new", HELD: "held out", TRAINED: "trained on"}
"""What images are called, by kind."""


def called(model: Model, images: Images, split: str) -> tuple[Images, str]:
    """Choose the evaluation set among images that the user says are of one set.

    Parameters
    ----------
    model : Model
    images : Images
    split : {"test", "validation", "train", "all"}
        What the images are.

    Returns
    -------
    images : Images
    split : str
        What is left of them is.
    """
    if split == "train":
        return _on_scale_of(model, images), split
    return (
        fit_to_evaluate(model, images, "all", "all") if split == "all" else fit_to_evaluate(model, images, None, split)
    )


def kinds_of(model: Model, images: Images) -> Kinds | None:
    """NEW, HELD or TRAINED for each image; None if the model does not record its training images.

    Where images have groups, an image of a group that was trained on was, too.
    """
    seen = seen_by(model)
    if seen is not None:
        kinds = seen.kinds(images.pixels)
        groups = _groups_of(model, images)
        return kinds if groups is None else of_groups(kinds, groups)
    provenance = getattr(model, "provenance", {})
    # models of version 0.1 know their training images as a whole only
    known, seed = provenance.get("held_out"), provenance.get("seed")
    if not isinstance(known, dict) or not isinstance(seed, int) or images.labels is None or not len(images):
        return None
    fraction = known.get("fraction")
    if not isinstance(fraction, float) or not 0 < fraction < 1:
        return None
    if known.get("of") != fingerprint(images.pixels, images.labels):
        return None
    kinds = np.full(len(images), TRAINED, np.int8)
    kinds[stratified_split(images.labels, fraction, seed)[1]] = HELD
    return kinds


def _groups_of(model: Model, images: Images) -> NDArray[np.int64] | None:
    """The groups of images: those that they have; by folder, if the training images had these.

    Other ways are not taken over from a model's file: a pattern may take for ever, and a table is a path out of it.
    """
    if images.groups is not None:
        return images.groups.numbers
    known = getattr(model, "provenance", {}).get("groups")
    if not isinstance(known, dict) or known.get("by") != FOLDER or not images.names or images.labels is None:
        return None
    try:
        return by_names(images, FOLDER).numbers
    except DataError:  # these have no such folders
        return None


def candidates_of(model: Model, kinds: Kinds | None) -> float:
    """The number of independent candidates among which these images chose the weights: 1 if none was held out."""
    found = getattr(model, "provenance", {}).get("candidates")
    if kinds is None or not (kinds == HELD).any() or not isinstance(found, int | float) or isinstance(found, bool):
        return 1.0
    return float(found) if 1 <= found <= 1e6 else 1.0


def split_again(model: Model, images: Images) -> ImageSets | None:
    """Part images that a model was trained on from the others: `train`, `validation`; None if all are of one kind."""
    kinds = kinds_of(model, images)
    if kinds is None or not 0 < np.count_nonzero(kinds == TRAINED) < len(kinds):
        return None
    return ImageSets(taken(images, kinds == TRAINED), taken(images, kinds != TRAINED))


def taken(images: Images, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Images:
    """Some of the images; where they have no names, with names that tell their old positions."""
    places = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else np.asarray(chosen, np.int64)
    part = images.take(places)
    # Positions in a part would mislead: nobody else can see that array.
    return part if part.names else replace(part, names=tuple(map(images.name, places)))


def evaluating_part(
    sets: ImageSets, validation_fraction: float, seed: int, start: Model | None = None
) -> tuple[Images, str]:
    """The evaluation set of a model that `lanewise.train` trains on `sets`.

    The test set; without one the validation set; without either, the part of the training set that `lanewise.train`
    holds out for the same fraction, seed and start; if it holds out nothing, the training set.

    Parameters
    ----------
    sets : ImageSets
    validation_fraction : float
        Share of the training images that is held out, 0 to below 1.
    seed : int
    start : Model, optional
        The model that training starts from; images that it was trained on are not held out.

    Returns
    -------
    images : Images
    split : str
        What they are: "test", "validation" or "train".
    """
    if sets.test is not None:
        return sets.test, "test"
    if sets.validation is not None:
        return sets.validation, "validation"
    held = hold_out(sets.train, np.arange(len(sets.train)), validation_fraction, seed, seen_by(start)).held
    if not len(held):
        return sets.train, "train"
    return taken(sets.train, held), "validation"


def fit_to_evaluate(model: Model, images: Images, split: str | None, found: str) -> tuple[Images, str]:
    """Choose the evaluation set.

    Parameters
    ----------
    model : Model
    images : Images
    split : {"test", "validation", "train", "all"}, optional
        What the user asked for. "train" and "all" take images as they are; otherwise those that the model was trained
        on are left out, unless that leaves none.
    found : str
        What the images are called where they came from.

    Returns
    -------
    images : Images
        On the model's scale, with notes on that and on what was left out, and why.
    split : str
        What they are.
    """
    kinds = kinds_of(model, images)
    images = _on_scale_of(model, images)
    if kinds is None:
        return images, split or found
    count, trained = len(kinds), int(np.count_nonzero(kinds == TRAINED))
    whole = found in ("all", "train")  # no part of anything, as far as its name tells
    if split == "train":
        if not trained:
            raise DataError("the model was trained on none of these images: there is no training set among them")
        return taken(images, kinds == TRAINED), "train"
    if split == "all":
        return (images if not trained else _with(images, _all_told(trained, count))), "all"
    if trained == count and count:
        return _with(
            images,
            Caution(
                f"The model was trained on all {count:,} images: this is the training accuracy, which says nothing "
                f"about new images.{_folds_told(model)}"
            ),
        ), "train"
    if split == "validation":
        if not (kinds == HELD).any():
            raise DataError("none of these images was held out of training: there is no validation set among them")
        return taken(images, kinds == HELD), "validation"
    left = kinds[kinds != TRAINED]
    held = int(np.count_nonzero(left == HELD))
    kind = "validation" if held and (whole or held == len(left)) else "all" if whole else found
    if not trained:
        return images, kind
    told = _left_out(trained, count, held, grouped=_groups_of(model, images) is not None)
    return _with(taken(images, kinds != TRAINED), told), kind


def _on_scale_of(model: Model, images: Images) -> Images:
    """The images on the model's scale, with notes on that; of a model that does not know its own, too."""
    said = scaled_by_labels(model, images)[1]
    images = scaled(images, model.preprocessing)
    return images if said is None else _with(images, said)


def _with(images: Images, note: Note) -> Images:
    return replace(images, notes=(*images.notes, note))


def _folds_told(model: Model) -> str:
    figures = model.provenance.get("cross_validation")
    if not isinstance(figures, dict):
        return ""
    return f" Its {figures['folds']}-fold cross-validation accuracy is {100 * figures['accuracy']:.1f} %."


def _all_told(trained: int, count: int) -> Note:
    return Caution(
        f"The model was trained on {trained:,} of these {count:,} images: the accuracy says little about new images."
    )


def _left_out(trained: int, count: int, held: int, *, grouped: bool) -> Note:
    left = count - trained
    others = f"the other {left:,}" if left > 1 else "the other one"
    which = ""
    if held:
        which = f", {held:,} held out of training" + (f" and {left - held:,} new" if left > held else "")
    return Note(
        f"The model was trained on {trained:,} of the {count:,} images{' or on others of their groups' * grouped} and "
        f"is evaluated on {others}{which}; "
        "--split all evaluates it on all."
    )
