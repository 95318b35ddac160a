"""One network trained once and evaluated: the unit of every experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.brief import short
from lanewise.data.grouping import check_groups, grouped, groups_given
from lanewise.data.images import Images, ImageSets
from lanewise.data.load import Source, load
from lanewise.data.split import stratified_split
from lanewise.errors import DataError
from lanewise.experiments.journal import fingerprint
from lanewise.model import Model
from lanewise.notes import Say, unheard
from lanewise.notes import say as tell_user
from lanewise.training.checkpoint import Keeper
from lanewise.training.crossvalidation import FEW_HELD_OUT
from lanewise.training.fit import train
from lanewise.training.leaks import leaks_told
from lanewise.training.task import Progress
from lanewise.version import __version__
from lanewise.wording import plural

TEST_FRACTION = 0.2
"""Share of the images that is held out for the evaluation where there is no test set."""

SPLIT_SEED = 0
"""Trainings vary in their seeds; the evaluation set does not."""


@short
@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What came of training one network once.

    Attributes
    ----------
    right : (N,) bool
        For each test image, whether it was classified correctly.
    train_accuracy : float
        On the training images as they are, without augmentation.
    seconds : float
        Of training, without compiling, which is done once for all networks with the same layers.
    curve : tuple of (training, validation)
        Both accuracies after each epoch; None where the network was not evaluated.
    """

    right: NDArray[np.bool_]
    train_accuracy: float
    seconds: float
    curve: tuple[tuple[float, float | None], ...]

    @property
    def accuracy(self) -> float:
        """Share of the test images that were classified correctly."""
        return float(self.right.mean())

    def to_entry(self) -> dict[str, Any]:
        """The trial as values that JSON can hold."""
        return {
            "accuracy": self.accuracy,
            "train_accuracy": self.train_accuracy,
            "seconds": round(self.seconds, 4),
            "right": np.packbits(self.right).tobytes().hex(),
            "curve": self.curve,
        }


def from_entry(entry: Mapping[str, Any], count: int) -> Trial | None:
    """The trial that `to_entry` wrote, on `count` test images; None if it is not whole."""
    try:
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(entry["right"]), np.uint8), count=count)
        curve = tuple((float(one), None if two is None else float(two)) for one, two in entry["curve"])
        return Trial(bits.astype(bool), float(entry["train_accuracy"]), float(entry["seconds"]), curve)
    except (KeyError, TypeError, ValueError):
        return None


def images_to_evaluate(sets: ImageSets) -> Images:
    """The test images: `sets` came from `prepared`."""
    assert sets.test is not None
    return sets.test


@dataclass(frozen=True, slots=True)
class Roles:
    """Which images evaluate the networks, and which choose the best weights of each training.

    Attributes
    ----------
    evaluated_by : "test", "validation" or "kept back"
        The test set; without one the validation set; without either, images held out of the training set.
    chosen_by : "validation", "held out" or "none"
        The validation set, unless it is the evaluation set; without one, images held out by `lanewise.train`, if any.
    count : int
        Size of the evaluation set.
    """

    evaluated_by: str
    chosen_by: str
    count: int

    @property
    def kept_back(self) -> bool:
        """Whether the evaluation set was held out of the training set."""
        return self.evaluated_by == "kept back"

    @property
    def sentence(self) -> str:
        """The same in words."""
        images = plural(self.count, "image")
        evaluated = {
            "test": f"All are evaluated on the {images} of the test set",
            "validation": f"There is no test set, so all are evaluated on the {images} of the validation set",
            "kept back": f"There is no test set, so all are evaluated on {images} held out of the training set",
        }[self.evaluated_by]
        chosen = {
            "validation": "; the best weights of each are chosen on the validation set",
            "held out": "; the best weights of each are chosen on other held-out images",
            "none": "",
        }[self.chosen_by]
        few = " So few images show only large differences." if self.count < FEW_HELD_OUT else ""
        return f"{evaluated}{chosen}.{few}"

    def to_json(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return {
            "count": self.count,
            "kept_back": self.kept_back,
            "evaluated_by": self.evaluated_by,
            "chosen_by": self.chosen_by,
            "evaluating": self.sentence,
        }


def prepared(
    source: Source | ImageSets,
    size: str | int | tuple[int, int] | None,
    channels: int | None,
    validation_fraction: float | None = None,
    fit: str | None = None,
    group_by: str | None = None,
    groups: ArrayLike | None = None,
    say: Say = tell_user,
) -> tuple[ImageSets, Roles]:
    """Read the images and choose the evaluation set: the test set, the validation set, or a fifth of the images.

    If there is a test set, the validation set chooses the best weights of each training. If there is none, the
    validation set is the evaluation set and chooses nothing, because weights chosen on a set cannot be evaluated
    fairly on it.

    Parameters
    ----------
    source, size, channels, fit, group_by
        As for `lanewise.load`.
    validation_fraction : float, optional
        The option of `lanewise.train`; 0 means that no images are held out to choose weights.
    groups : (N,) array, optional
        Of the training images: none is both trained on and held out.
    say : callable
        Given a note on near copies, where a part is held out.

    Returns
    -------
    sets : ImageSets
        With the evaluation set as the test set.
    roles : Roles

    Raises
    ------
    DataError
        The test images have no labels, or too few images are there to hold some out.
    """
    if isinstance(source, ImageSets):
        sets = source if group_by is None else grouped(source, group_by)
    else:
        sets = load(source, size=size, channels=channels, fit=fit, group_by=group_by)
    if groups is not None:
        sets = replace(sets, train=replace(sets.train, groups=groups_given(groups, len(sets.train))))
    if sets.test is not None:
        if sets.test.labels is None or not len(sets.test):
            raise DataError("the test images have no labels, so networks cannot be evaluated on them")
        evaluated_by = "test"
    elif sets.validation is not None and sets.validation.labels is not None and len(sets.validation):
        sets, evaluated_by = replace(sets, validation=None, test=sets.validation), "validation"
    else:
        labels = sets.train.labels
        if labels is None or np.bincount(labels).max() < 2:
            raise DataError("there are no test images, and no class has a second image that could be held out")
        check_groups(sets.train, np.arange(len(labels)))
        groups = None if sets.train.groups is None else sets.train.groups.numbers
        kept, held_out = stratified_split(labels, TEST_FRACTION, SPLIT_SEED, groups)
        for note in leaks_told(sets.train, kept, held_out):
            say(note)
        sets, evaluated_by = replace(sets, train=sets.train.take(kept), test=sets.train.take(held_out)), "kept back"
    held = "none" if validation_fraction == 0 else "held out"
    chosen_by = held if sets.validation is None else "validation"
    return sets, Roles(evaluated_by, chosen_by, len(images_to_evaluate(sets)))


def settings_of(sets: ImageSets, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything besides network and seed that determines the result of a training."""
    # threads change no result
    plain = {key: value for key, value in sorted(options.items()) if key != "threads" and value is not None}
    return {"images": fingerprint(sets), "version": __version__, "options": plain}


def trial_of(
    sets: ImageSets,
    network: str,
    seed: int,
    options: Mapping[str, Any],
    progress: Callable[[Progress], None] | None,
    keeper: Keeper | None = None,
) -> Trial:
    """Train a network on `sets` and evaluate it.

    Parameters
    ----------
    sets : ImageSets
        From `prepared`: the test set is the evaluation set.
    network : str
    seed : int
    options : mapping
        Those of `lanewise.train`.
    progress : callable, optional
        Given a `Progress` while training.
    keeper : Keeper, optional
        Has the checkpoint of this training.

    Returns
    -------
    Trial
    """
    told: dict[str, Any] = {"progress": progress, "notes": unheard, "verbose": 0, "checkpoint": keeper}
    model = train(sets, network=network, seed=seed, **told, **{"folds": 0, **options})
    if model.provenance["interrupted"]:
        raise KeyboardInterrupt
    return Trial(
        right=_right(model, images_to_evaluate(sets)),
        train_accuracy=float(_right(model, sets.train).mean()),
        seconds=float(model.history[-1]["seconds"] or 0.0),
        curve=tuple((float(epoch["accuracy"] or 0.0), epoch["validation_accuracy"]) for epoch in model.history),
    )


def _right(model: Model, images: Images) -> NDArray[np.bool_]:
    right: NDArray[np.bool_] = model.predict_proba(images.pixels).argmax(axis=1) == images.labels
    return right
