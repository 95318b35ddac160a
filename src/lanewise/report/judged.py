"""What a report says of the accuracy: figures, matrix, calibration, and the worst mistakes as pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lanewise.evaluate import judge as evaluate
from lanewise.evaluate import wilson
from lanewise.evaluation import ClassFigures, Evaluation
from lanewise.learning.pictures import Pictures
from lanewise.model import Model
from lanewise.report.data import as_bytes
from lanewise.report.encode import Drawn, coloured, photograph
from lanewise.report.figures import Calibration, Roc, calibration, roc

MOST_MISTAKES = 24

MOST_CELLS = 30
"""Classes up to which the confusion matrix is a table; beyond, it is an image."""

MOST_CONFUSIONS = 10

WORTH = {
    "test": "These test pictures had no part in learning.",
    "validation": "These pictures were not learned from, but the best weights were chosen by them: expect slightly "
    "less on new ones.",
    "train": "The model learned from these very pictures: the figure says nothing about new ones.",
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
    """All figures of the accuracy section. `cells` is empty and `image` drawn where there are too many classes."""

    evaluation: Evaluation
    probabilities: npt.NDArray[np.float32]
    worth: str
    classes: tuple[ClassLine, ...]
    cells: tuple[tuple[Cell, ...], ...]
    image: Drawn | None
    confusions: tuple[tuple[str, str, int], ...]
    calibration: Calibration
    roc: Roc | None
    wrong: tuple[Wrong, ...]


def judge(model: Model, pictures: Pictures, split: str) -> Judged:
    """Judge a model by labelled pictures, by all of them, and all that a report shows beside."""
    evaluation = evaluate(model, pictures, split=split)
    probabilities = model.predict_proba(pictures.pixels)
    assert pictures.labels is not None
    shares = evaluation.confusion / np.maximum(1, evaluation.confusion.sum(axis=1, keepdims=True))
    small = len(model.classes) <= MOST_CELLS
    return Judged(
        evaluation=evaluation,
        probabilities=probabilities,
        worth=WORTH[split],
        classes=tuple(
            ClassLine(one, wilson(int(evaluation.confusion[n, n]), one.count) if one.count else None)
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
