"""What a report says of the accuracy: figures, matrix, calibration, and the worst mistakes as images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lanewise.data.encode import Drawn, as_bytes, photograph
from lanewise.data.images import Images
from lanewise.evaluation.evaluate import cross_validated, evaluate_images, wilson, worst_mistakes
from lanewise.evaluation.result import ClassFigures, Evaluation
from lanewise.evaluation.unseen import candidates_of, kinds_of
from lanewise.model import Model
from lanewise.proportions import over_folds
from lanewise.report.figures import Calibration, Roc, calibration, roc
from lanewise.report.sheets import coloured
from lanewise.report.similar import Neighbour, nearest

MOST_MISTAKES = 24

MOST_CELLS = 30
"""Classes up to which the confusion matrix is a table; beyond, it is an image."""

MOST_CONFUSIONS = 10

MANY_HELD_OUT = 1000
"""Held-out images from which on choosing the weights by them makes little difference."""

WORTH = {
    "test": "The test set had no part in training.",
    "validation": "The model was not trained on these images, but they chose the best weights: the accuracy on new "
    "images may be lower, and the interval allows for it.",
    "train": "The model was trained on these images: the accuracy says nothing about new ones.",
    "folds": "Cross-validation: no image was evaluated by a network trained on it. The model itself is trained on "
    "all of them, and tends to be slightly better.",
    "all": "If the model was trained on some of these images, the accuracy is too high.",
}
"""What an accuracy is worth, by the images that gave it."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """An image that was evaluated wrong, and the training images nearest to it."""

    name: str
    true: str
    answer: str
    probability: float
    image: Drawn
    near: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """All figures of the accuracy section; the confusion matrix is drawn as `image` where there are too many classes.

    `evaluation` is that of the folds where all images were trained on and folds evaluated them; `here` is the model's
    own on the images at hand, from which calibration, curve and mistakes come. `shares` is the confusion matrix as
    shares of the true classes' images. Each of the `classes` has the interval of its recall, where it has images.
    """

    evaluation: Evaluation
    here: Evaluation
    probabilities: npt.NDArray[np.float32]
    worth: str
    wider: str
    classes: tuple[tuple[ClassFigures, tuple[float, float] | None], ...]
    shares: npt.NDArray[np.float64]
    image: Drawn | None
    confusions: tuple[tuple[str, str, int], ...]
    calibration: Calibration
    roc: Roc | None
    wrong: tuple[Wrong, ...]


def accuracy_of(model: Model, images: Images, split: str, trained: Images | None = None) -> Evaluated:
    """Evaluate a model on labelled images, with all figures that a report shows.

    Parameters
    ----------
    model : Model
    images : Images
    split : str
        What the images are: "test", "validation", "train" or "all".
    trained : Images, optional
        Training images, to show those nearest to each mistake.

    Returns
    -------
    Evaluated
    """
    here = evaluate_images(model, images, split=split)
    evaluation = (cross_validated(model) if split == "train" else None) or here
    interval = _interval_of(model, images, evaluation)
    probabilities = model.predict_proba(images.pixels)
    assert images.labels is not None
    shares = evaluation.confusion / np.maximum(1, evaluation.confusion.sum(axis=1, keepdims=True))
    return Evaluated(
        evaluation=evaluation,
        here=here,
        probabilities=probabilities,
        worth=_worth(evaluation),
        wider=_wider(evaluation),
        classes=tuple(
            (one, interval(int(evaluation.confusion[n, n]), one.count) if one.count else None)
            for n, one in enumerate(evaluation.per_class)
        ),
        shares=shares,
        image=_image(shares) if len(model.classes) > MOST_CELLS else None,
        confusions=tuple(
            (str(true), str(taken), count) for true, taken, count in evaluation.confusions()[:MOST_CONFUSIONS]
        ),
        calibration=calibration(probabilities, images.labels),
        roc=roc(probabilities, images.labels),
        wrong=_wrong(model, images, probabilities, trained),
    )


def weights_kept(model: Model) -> str:
    """Which epoch the weights are of, where held-out images chose them."""
    best = model.provenance.get("best_epoch")
    told = {
        one["epoch"]: one["validation_accuracy"]
        for one in model.history
        if isinstance(one.get("validation_accuracy"), int | float)
    }
    if best == 0 and told:
        return "No epoch was better on the validation set than the starting model: its weights are kept."
    if best not in told:
        return ""
    last = "the last" if best == max(told) else "the best by a smoothed curve"
    share = f"{100 * told[best]:.1f}\u202f%"
    return f"The weights are those of epoch {best}, {last}: {share} of the validation images are predicted correctly."


def _interval_of(model: Model, images: Images, evaluation: Evaluation) -> Callable[[int, int], tuple[float, float]]:
    """How the interval of a class is computed: as that of the whole, which allows for folds and for a choice."""
    if evaluation.split == "folds":
        folds = int(model.provenance["cross_validation"]["folds"])
        return lambda correct, count: over_folds(correct, count, folds)
    candidates = candidates_of(model, kinds_of(model, images))
    return lambda correct, count: wilson(correct, count, candidates)


def _wider(evaluation: Evaluation) -> str:
    """Why the interval is wider than that of so many new images; empty where it is not."""
    if evaluation.interval == wilson(evaluation.correct, evaluation.count):
        return ""
    if evaluation.split == "folds":
        return "The interval allows for the correlation between the networks of the folds."
    return "The interval is widened, because these images chose the best weights."


def _worth(evaluation: Evaluation) -> str:
    if evaluation.split == "validation" and evaluation.count >= MANY_HELD_OUT:
        return (
            "The model was not trained on these images, but they chose the best weights: expect a slightly lower "
            "accuracy on new ones."
        )
    return WORTH[evaluation.split]


def _image(shares: npt.NDArray[np.float64]) -> Drawn:
    """Right answers blue, wrong ones orange; square roots, so that rare mistakes are seen."""
    signs = np.where(np.eye(len(shares), dtype=bool), -1, 1)
    return coloured((signs * np.sqrt(shares))[None], 1)


def _wrong(
    model: Model, images: Images, probabilities: npt.NDArray[np.float32], trained: Images | None
) -> tuple[Wrong, ...]:
    assert images.labels is not None
    answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    worst = worst_mistakes(probabilities, images.labels, MOST_MISTAKES)
    shown = as_bytes(images.pixels[worst]) if len(worst) else ()
    none: tuple[Neighbour, ...] = ()
    near = nearest(model, images.pixels[worst], trained) if trained is not None and len(worst) else (none,) * len(worst)
    return tuple(
        Wrong(
            name=images.name(n),
            true=images.classes[images.labels[n]],
            answer=images.classes[answers[n]],
            probability=float(confidence[n]),
            image=photograph(one),
            near=neighbours,
        )
        for n, one, neighbours in zip(worst, shown, near, strict=True)
    )
