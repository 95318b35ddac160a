"""How good a model is, and on what it fails: figures that say how sure they are.

    evaluate(model, pictures, split="test") -> Evaluation

With n pictures of which k are judged right, the 95 % interval of the accuracy is Wilson's, which stays sensible for few
pictures and near 0 and 100 %:

    (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n),     p = k / n,  z = 1.96
"""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import DataError
from lanewise.files.contents import Label
from lanewise.learning.arrays import from_arrays
from lanewise.learning.folders import part_named
from lanewise.learning.images import DIGITS, Source, load, load_to_judge
from lanewise.learning.pictures import STRETCH, Pictures, PictureSets
from lanewise.learning.reading import Progress
from lanewise.learning.split import fingerprint, stratified_split
from lanewise.model import Model

Z = 1.959963984540054
"""Half the width of the middle 95 % of a normal distribution, in standard deviations."""

PARTS = ("test", "validation", "train")
SPLITS = (*PARTS, "all")

LEAST_PROBABILITY = 2.0**-24
"""Losses take smaller probabilities for this one: float32 cannot tell 1 - p from 1 below it."""


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """How well one class is told from the others. None: there is nothing to divide by.

    Attributes
    ----------
    label : the class
    count : int
        Pictures of it.
    precision : float or None
        Share of the pictures taken for it that are of it.
    recall : float or None
        Share of its pictures that are recognised.
    f1 : float or None
        The harmonic mean of both.
    """

    label: Label
    count: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Mistake:
    """One picture judged wrong. `picture` is its file name, or its position in an array."""

    picture: str | int
    true: Label
    predicted: Label
    probability: float


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a model makes of labelled pictures.

    Attributes
    ----------
    split : str
        Which pictures: "test", "validation", "train" or "all".
    count, correct : int
    accuracy : float
        correct / count.
    interval : (low, high)
        Holds the accuracy on endlessly many such pictures with 95 % confidence.
    loss : float
        Mean cross-entropy, in nats.
    classes : tuple of labels
    per_class : tuple of ClassFigures
        In the order of `classes`.
    confusion : (classes, classes) int64
        Counts; a row for each true class, a column for each predicted one.
    mistakes : tuple of Mistake
        Those made with the greatest confidence, the worst first.
    """

    split: str
    count: int
    correct: int
    accuracy: float
    interval: tuple[float, float]
    loss: float
    classes: tuple[Label, ...]
    per_class: tuple[ClassFigures, ...]
    confusion: NDArray[np.int64]
    mistakes: tuple[Mistake, ...]

    def confusions(self) -> list[tuple[Label, Label, int]]:
        """(true class, predicted class, count) of each kind of mistake, the most frequent first."""
        wrong = self.confusion * ~np.eye(len(self.classes), dtype=bool)
        order = np.argsort(-wrong, axis=None, kind="stable")[: np.count_nonzero(wrong)]
        pairs = (divmod(int(place), len(self.classes)) for place in order)
        return [(self.classes[true], self.classes[taken], int(wrong[true, taken])) for true, taken in pairs]

    def to_json(self) -> dict[str, Any]:
        """The evaluation as values that JSON can hold."""
        return {
            "split": self.split,
            "count": self.count,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "loss": self.loss,
            "classes": list(self.classes),
            "per_class": [
                {"class": figures.label, **{key: value for key, value in asdict(figures).items() if key != "label"}}
                for figures in self.per_class
            ],
            "confusion": self.confusion.tolist(),
            "mistakes": [asdict(mistake) for mistake in self.mistakes],
        }


def evaluate(model: Model, pictures: Pictures, *, split: str = "all", most_mistakes: int = 10) -> Evaluation:
    """Judge a model by labelled pictures.

    Parameters
    ----------
    model : Model
    pictures : Pictures
        With the size, channels and classes that the model learned from.
    split : str
        What the pictures are: "test", "validation", "train" or "all".
    most_mistakes : int
        Mistakes that are listed.

    Raises
    ------
    DataError
        There are no pictures, they have no labels, or they are of other classes or another shape than the model's.
    """
    names = tuple(map(str, model.classes))
    if pictures.labels is None or not len(pictures):
        raise DataError("there are no labelled pictures to judge the model by")
    if tuple(map(str, pictures.classes)) != names:
        raise DataError(f"the pictures are of the classes {_some(pictures.classes)}, the model's are {_some(names)}")
    probabilities = model.predict_proba(pictures.pixels)
    labels, predicted = pictures.labels, probabilities.argmax(axis=1)
    right = labels == predicted
    count, correct = len(labels), int(np.count_nonzero(right))
    given = probabilities[np.arange(count), labels].astype(np.float64)
    size = len(model.classes)
    confusion = np.bincount(labels.astype(np.int64) * size + predicted, minlength=size * size).reshape(size, size)
    wrong = np.flatnonzero(~right)
    confidence = probabilities[wrong, predicted[wrong]]
    worst = wrong[np.argsort(-confidence, kind="stable")[:most_mistakes]]
    return Evaluation(
        split=split,
        count=count,
        correct=correct,
        accuracy=correct / count,
        interval=wilson(correct, count),
        loss=float(-np.log(np.maximum(given, LEAST_PROBABILITY)).mean()),
        classes=model.classes,
        per_class=_per_class(model.classes, confusion),
        confusion=confusion,
        mistakes=tuple(
            Mistake(
                picture=pictures.names[n] if pictures.names else int(n),
                true=model.classes[labels[n]],
                predicted=model.classes[predicted[n]],
                probability=float(probabilities[n, predicted[n]]),
            )
            for n in worst
        ),
    )


def wilson(correct: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `correct` of `count` were seen; the formula stands at the top."""
    p = correct / count
    middle = p + Z * Z / (2 * count)
    spread = Z * math.sqrt(p * (1 - p) / count + Z * Z / (4 * count * count))
    scale = 1 + Z * Z / count
    # At the ends the bound is 0 or 1 exactly; rounding must not push it past them.
    low = 0.0 if correct == 0 else (middle - spread) / scale
    high = 1.0 if correct == count else (middle + spread) / scale
    return low, high


def pictures_for(
    model: Model,
    source: Source,
    *,
    split: str | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> tuple[Pictures, str]:
    """Read labelled pictures as `model` takes them.

    Parameters
    ----------
    model : Model
    source : str, path or (x, y)
        As for `lanewise.train`.
    split : {"test", "validation", "train", "all"}, optional
        Which part; by default the first of these that there is. Pictures without parts have two if the model learned
        from them: those that were held out then, "validation", and the others. Arrays (x, y) are only called so.
    strict : bool
        Refuse a folder if one of its files cannot be used.
    progress : callable, optional
        Called with (pictures read, pictures in all).

    Returns
    -------
    pictures : Pictures
    split : str
        "test", "validation", "train", or "all" where there are no parts.

    Raises
    ------
    DataError
        The pictures cannot be used, or have no such part.
    """
    rows, columns, channels = model.preprocessing.shape
    # Networks from arrays, or from elsewhere, never saw a resized picture: files get the ordinary treatment.
    like_learning: dict[str, Any] = {
        "classes": tuple(map(str, model.classes)),
        "size": (rows, columns),
        "channels": channels,
        "resize": model.preprocessing.resize or STRETCH,
    }
    folder: Source | None = None
    if split in PARTS and not isinstance(source, tuple):
        if source == DIGITS or not os.path.isdir(source):
            sets = load(source, size=(rows, columns), channels=channels)
            return _relabelled(_part_of(sets, source, split), like_learning["classes"]), split
        folder = _folder_of(source, split)
    pictures, found = load_to_judge(folder or source, **like_learning, strict=strict, progress=progress)
    if split == "all" and found in ("test", "validation"):
        raise DataError(f"{source} has parts: choose one of them, test, validation or train, instead of all")
    if split == "all" or (split is not None and (folder or isinstance(source, tuple))):
        return pictures, split
    again = split_again(model, pictures) if found in ("all", "train") else None
    if again is None or split == "test":
        if split is not None:
            unknown = "" if again else ", nor is it what the model learned from"
            raise DataError(f"{source} holds no folder {split!r}{unknown}")
        return pictures, found
    assert again.validation is not None
    if split == "train":
        return again.train, split
    note = (
        f"The model learned from these {len(pictures):,} pictures but for {len(again.validation):,} that were held out:"
        " they judge; --split all judges by all."
    )
    return replace(again.validation, notes=(*pictures.notes, note)), "validation"


def judging_part(sets: PictureSets, validation_fraction: float, seed: int) -> tuple[Pictures, str]:
    """The pictures to judge a model by that `lanewise.train` has learned from `sets`, and what they are.

    The test pictures; without them the validation pictures; without those the part of the training pictures that
    `lanewise.train` holds out for the same fraction and seed; and if it holds out nothing, the training pictures.
    """
    labels = sets.train.labels
    assert labels is not None
    if sets.test is not None:
        return sets.test, "test"
    if sets.validation is not None:
        return sets.validation, "validation"
    if validation_fraction == 0 or np.bincount(labels).max() < 2:
        return sets.train, "train"
    _, held_out = stratified_split(labels, validation_fraction, seed)
    return _taken(sets.train, held_out), "validation"


def split_again(model: Model, pictures: Pictures) -> PictureSets | None:
    """Part the pictures a model learned from as then: `validation` was held out of learning from `train`.

    None if the model learned from other pictures, or none were held out.
    """
    known, seed = model.provenance.get("held_out"), model.provenance.get("seed")
    if not isinstance(known, dict) or not isinstance(seed, int) or pictures.labels is None or not len(pictures):
        return None
    fraction = known.get("fraction")
    if not isinstance(fraction, float) or not 0 < fraction < 1:
        return None
    if known.get("of") != fingerprint(pictures.pixels, pictures.labels):
        return None
    learned, held_out = stratified_split(pictures.labels, fraction, seed)
    return PictureSets(_taken(pictures, learned), _taken(pictures, held_out))


def _taken(pictures: Pictures, chosen: NDArray[np.int64]) -> Pictures:
    part = pictures.take(chosen)
    # Positions in a part would mislead: nobody else can see that array.
    return part if part.names else replace(part, names=tuple(f"training picture {n}" for n in chosen))


def _folder_of(source: str | os.PathLike[str], split: str) -> str | None:
    """The folder in `source` that holds the part `split`; None if it has no parts."""
    folders = [name for name in sorted(os.listdir(source)) if os.path.isdir(os.path.join(source, name))]
    for name in folders:
        if part_named(name) == split:
            return os.path.join(source, name)
    if not any(map(part_named, folders)):
        return None
    words = ("validation", "val") if split == "validation" else (split,)
    raise DataError(f"{os.fspath(source)} holds no folder {' or '.join(map(repr, words))}")


def _part_of(sets: PictureSets, source: str | os.PathLike[str], split: str) -> Pictures:
    part: Pictures | None = getattr(sets, split)
    if part is None:
        found = [name for name in PARTS if getattr(sets, name) is not None]
        raise DataError(f"{os.fspath(source)} has no {split} pictures; it has {' and '.join(found)}")
    return part


def _relabelled(pictures: Pictures, classes: tuple[str, ...]) -> Pictures:
    """The same pictures, with labels that are positions in `classes`."""
    assert pictures.labels is not None
    return from_arrays(pictures.pixels, np.array(pictures.classes)[pictures.labels], classes=classes)


def _per_class(classes: tuple[Label, ...], confusion: NDArray[np.int64]) -> tuple[ClassFigures, ...]:
    hits, taken, there = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    return tuple(
        ClassFigures(
            label=label,
            count=int(there[n]),
            precision=_share(hits[n], taken[n]),
            recall=_share(hits[n], there[n]),
            f1=_share(2 * hits[n], taken[n] + there[n]),
        )
        for n, label in enumerate(classes)
    )


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None


def _some(labels: tuple[Any, ...]) -> str:
    return ", ".join(map(str, labels[:6])) + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")
