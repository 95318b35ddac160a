"""What a report says of the accuracy: figures, matrix, calibration, and the worst mistakes as pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lanewise.data.images import Pictures
from lanewise.evaluation.evaluate import cross_validated, wilson
from lanewise.evaluation.evaluate import judge as evaluate
from lanewise.evaluation.result import ClassFigures, Evaluation
from lanewise.evaluation.unseen import candidates_of, kinds_of
from lanewise.model import Model
from lanewise.proportions import over_folds
from lanewise.report.data import as_bytes
from lanewise.report.encode import Drawn, coloured, photograph
from lanewise.report.figures import Calibration, Roc, calibration, roc

MOST_MISTAKES = 24

MOST_CELLS = 30
"""Classes up to which the confusion matrix is a table; beyond, it is an image."""

MOST_CONFUSIONS = 10

MANY_HELD_OUT = 1000
"""Held-out pictures from which on choosing the weights by them makes little difference."""

WORTH = {
    "test": "These test pictures had no part in learning.",
    "validation": "These pictures were not learned from, but the best weights were chosen by them: new ones may do "
    "worse, and the interval allows for it.",
    "train": "The model learned from these very pictures: the figure says nothing about new ones.",
    "folds": "Cross-validation: no picture was evaluated by a network trained on it. The model itself is trained on "
    "all of them, and tends to be a little better.",
    "all": "If the model learned from some of these pictures, the figure is too good.",
}
"""What an accuracy is worth, by the pictures that gave it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One count of the confusion matrix; `share` of the true class's pictures, to shade it by."""

    count: int
    share: float
    right: bool


@dataclass(frozen=True, slots=True)
class ClassLine:
    """The figures of a class, with the interval of its recall where it has pictures."""

    figures: ClassFigures
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Wrong:
    """A picture that was judged wrong."""

    name: str
    true: str
    answer: str
    probability: float
    picture: Drawn


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """All figures of the accuracy section. `cells` is empty and `image` drawn where there are too many classes.

    `evaluation` is that of the folds where all pictures were trained on and folds evaluated them; `here` is the model's
    own on the pictures at hand, from which calibration, curve and mistakes come.
    """

    evaluation: Evaluation
    here: Evaluation
    probabilities: npt.NDArray[np.float32]
    worth: str
    wider: str
    classes: tuple[ClassLine, ...]
    cells: tuple[tuple[Cell, ...], ...]
    image: Drawn | None
    confusions: tuple[tuple[str, str, int], ...]
    calibration: Calibration
    roc: Roc | None
    wrong: tuple[Wrong, ...]


def judge(model: Model, pictures: Pictures, split: str) -> Judged:
    """Judge a model by labelled pictures, by all of them, and all that a report shows beside."""
    here = evaluate(model, pictures, split=split)
    evaluation = (cross_validated(model) if split == "train" else None) or here
    interval = _interval_of(model, pictures, evaluation)
    probabilities = model.predict_proba(pictures.pixels)
    assert pictures.labels is not None
    shares = evaluation.confusion / np.maximum(1, evaluation.confusion.sum(axis=1, keepdims=True))
    small = len(model.classes) <= MOST_CELLS
    return Judged(
        evaluation=evaluation,
        here=here,
        probabilities=probabilities,
        worth=_worth(evaluation),
        wider=_wider(evaluation),
        classes=tuple(
            ClassLine(one, interval(int(evaluation.confusion[n, n]), one.count) if one.count else None)
            for n, one in enumerate(evaluation.per_class)
        ),
        cells=_cells(evaluation.confusion, shares) if small else (),
        image=None if small else _image(shares),
        confusions=tuple(
            (str(true), str(taken), count) for true, taken, count in evaluation.confusions()[:MOST_CONFUSIONS]
        ),
        calibration=calibration(probabilities, pictures.labels),
        roc=roc(probabilities, pictures.labels),
        wrong=_wrong(pictures, probabilities),
    )


def weights_kept(model: Model) -> str:
    """Which epoch the weights are of, where held-out pictures chose them."""
    best = model.provenance.get("best_epoch")
    told = {
        one["epoch"]: one["validation_accuracy"]
        for one in model.history
        if isinstance(one.get("validation_accuracy"), int | float)
    }
    if best == 0 and told:
        return (
            "No epoch did better on the held out pictures than the model that training went on from: its weights are "
            "kept."
        )
    if best not in told:
        return ""
    last = "the last" if best == max(told) else "the best by a smoothed curve"
    share = f"{100 * told[best]:.1f}\u202f%"
    return f"The weights are those of epoch {best}, {last}: {share} of the held out pictures are right."


def _interval_of(model: Model, pictures: Pictures, evaluation: Evaluation) -> Callable[[int, int], tuple[float, float]]:
    """How the interval of a class is computed: as that of the whole, which allows for folds and for a choice."""
    if evaluation.split == "folds":
        folds = int(model.provenance["cross_validation"]["folds"])
        return lambda correct, count: over_folds(correct, count, folds)
    candidates = candidates_of(model, kinds_of(model, pictures))
    return lambda correct, count: wilson(correct, count, candidates)


def _wider(evaluation: Evaluation) -> str:
    """Why the interval is wider than that of so many new pictures; empty where it is not."""
    if evaluation.interval == wilson(evaluation.correct, evaluation.count):
        return ""
    if evaluation.split == "folds":
        return "The interval allows for what the networks of the folds have in common."
    return "The interval is widened, as the best weights were chosen by these pictures."


def _worth(evaluation: Evaluation) -> str:
    if evaluation.split == "validation" and evaluation.count >= MANY_HELD_OUT:
        return (
            "These pictures were not learned from, but the best weights were chosen by them: expect slightly less on "
            "new ones."
        )
    return WORTH[evaluation.split]


def _cells(confusion: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        tuple(Cell(int(count), float(share), n == m) for m, (count, share) in enumerate(zip(row, part, strict=True)))
        for n, (row, part) in enumerate(zip(confusion, shares, strict=True))
    )


def _image(shares: npt.NDArray[np.float64]) -> Drawn:
    """Right answers blue, wrong ones orange; square roots, so that rare mistakes are seen."""
    signs = np.where(np.eye(len(shares), dtype=bool), -1, 1)
    return coloured((signs * np.sqrt(shares))[None], 1)


def _wrong(pictures: Pictures, probabilities: npt.NDArray[np.float32]) -> tuple[Wrong, ...]:
    assert pictures.labels is not None
    answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    found = np.flatnonzero(answers != pictures.labels)
    worst = found[np.argsort(-confidence[found], kind="stable")[:MOST_MISTAKES]]
    shown = as_bytes(pictures.pixels[worst]) if len(worst) else ()
    return tuple(
        Wrong(
            name=pictures.names[n] if pictures.names else f"picture {n}",
            true=pictures.classes[pictures.labels[n]],
            answer=pictures.classes[answers[n]],
            probability=float(confidence[n]),
            picture=photograph(one),
        )
        for n, one in zip(worst, shown, strict=True)
    )
