"""What an evaluation found, as values: the accuracy and how sure it is, figures of each class, confusions, mistakes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.brief import short
from lanewise.model_file.contents import Label

TITLES = {
    "test": "Test accuracy",
    "validation": "Validation accuracy",
    "train": "Training accuracy",
    "all": "Accuracy",
    "folds": "Cross-validation accuracy",
}
"""What an accuracy is called, by the images that gave it."""


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """How well one class is told from the others. None: there is nothing to divide by.

    Attributes
    ----------
    label : the class
    count : int
        Images of it.
    precision : float or None
        Share of the images taken for it that are of it.
    recall : float or None
        Share of its images that are recognised.
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
    """One image evaluated wrong.

    Attributes
    ----------
    image : str or int
        Its file name, or its position in an array.
    true, predicted : labels
    probability : float
        Of the predicted class.
    rank : int
        Where the true class stands among all by probability: 2 is the second most probable one.
    """

    image: str | int
    true: Label
    predicted: Label
    probability: float
    rank: int = 2


@dataclass(frozen=True, slots=True)
class TopFigures:
    """Of how many images the true class is among the `n` most probable ones.

    Attributes
    ----------
    n : int
    correct : int
        Images whose true class is among the n.
    accuracy : float
        Their share.
    interval : (low, high)
        As for `Evaluation`.
    """

    n: int
    correct: int
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Abstention:
    """What became of the promise of a model that does not name all images.

    Attributes
    ----------
    promised : float
        At most this share of the images that are named is wrong, on average.
    named, wrong : int
        Images that are named, and those of them that are wrong.
    error : float
        Their share; 0 if none is named.
    interval : (low, high)
        The 95 % interval of that.
    """

    promised: float
    named: int
    wrong: int
    error: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the images, by what the model has seen of them: "trained on", "held out" or "new"."""

    name: str
    count: int
    correct: int
    accuracy: float
    interval: tuple[float, float]
    top: TopFigures | None = None


@short
@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a model makes of labelled images.

    Attributes
    ----------
    split : str
        Which images: "test", "validation", "train" or "all".
    count, correct : int
    accuracy : float
        correct / count.
    interval : (low, high)
        Holds the accuracy on endlessly many such images with 95 % confidence. Widened where some of these chose the
        weights.
    loss : float
        Mean cross-entropy, in nats.
    classes : tuple of labels
    per_class : tuple of ClassFigures
        In the order of `classes`.
    confusion : (classes, classes) int64
        Counts; a row for each true class, a column for each predicted one.
    mistakes : tuple of Mistake
        Those made with the greatest confidence, the worst first.
    groups : tuple of Group
        Images that the model was trained on, those held out and new ones apart, where there is more than one of these
        kinds.
    top : TopFigures or None
        The top-N accuracy, where it was asked for.
    abstention : Abstention or None
        How many are named and how many of those wrong, where it was asked for.
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
    groups: tuple[Group, ...] = ()
    top: TopFigures | None = None
    abstention: Abstention | None = None

    def confusions(self) -> list[tuple[Label, Label, int]]:
        """(true class, predicted class, count) of each kind of mistake, the most frequent first."""
        wrong = self.confusion * ~np.eye(len(self.classes), dtype=bool)
        order = np.argsort(-wrong, axis=None, kind="stable")[: np.count_nonzero(wrong)]
        pairs = (divmod(int(place), len(self.classes)) for place in order)
        return [(self.classes[true], self.classes[taken], int(wrong[true, taken])) for true, taken in pairs]

    def _repr_html_(self) -> str:
        from lanewise.card import evaluation_card

        return evaluation_card(self)

    def to_json(self) -> dict[str, Any]:
        """The evaluation as values that JSON can hold."""
        told = asdict(self)
        per_class = [{"class": figures.pop("label"), **figures} for figures in told["per_class"]]
        return told | {"per_class": per_class, "confusion": self.confusion.tolist()}
