"""How a trained model answers: by mirror images, too; how sure it says it is; and which images it had better not name.

looks_twice(...)      whether it looks at the mirror images
finished(model, ...)  the model with calibrated probabilities, and with what it needs to abstain
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lanewise.abstention import summary
from lanewise.data.images import Pixels, taken
from lanewise.engine.parameters import Floats
from lanewise.kernels.augmentation import Augment
from lanewise.model import Model
from lanewise.notes import Note, Say, unheard
from lanewise.training.calibration import calibration, divided, last_sum
from lanewise.training.task import Validation

TIMED, ROUNDS = 0.03, 3
"""Seconds that a measurement of speed takes at least, and how many there are."""


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """What the networks of cross-validation say of images that they were not trained on.

    Attributes
    ----------
    probabilities : (N, classes) float32
    targets : (N,) int32
    weights : (N,) float32
        Of the images, as in the loss of training.
    """

    probabilities: Floats
    targets: NDArray[np.int32]
    weights: Floats


def looks_twice(asked: bool, augment: Augment | None) -> bool:
    """Whether the answer is that to an image and its mirror image: where training showed both, unless not wanted."""
    return asked and augment is not None and augment.flip_columns


def finished(
    model: Model,
    pixels: Pixels,
    validation: Validation | None,
    threads: int | None,
    say: Say,
    folds: OutOfFold | None = None,
) -> Model:
    """A trained model as it is to answer, unless its training was interrupted: then it is wanted at once.

    Parameters
    ----------
    model : Model
    pixels : (N, rows, columns, channels)
        Images to measure its speed by, where there is something to say of that.
    validation : Validation or None
        The held-out images.
    threads : int, optional
    say : callable
        Given notes.
    folds : OutOfFold, optional
        Where there was cross-validation: the model is calibrated by it. It says nothing of which images to name.
    """
    if model.provenance["interrupted"]:
        return model
    if folds is not None:
        which = f"{len(folds.targets):,} images of cross-validation"
        model = _calibrated(model, folds.probabilities, folds.targets, folds.weights, which, say)
    answers = None
    if validation is not None and len(validation.indices):
        answers = _answers(model, validation, threads)
        if validation.unseen:
            model = _settled(model, validation, answers, threads, say)
    if model.tta is not None and say is not unheard:
        _tell_tta(model, pixels, validation, answers, threads, say)
    return model


def _answers(model: Model, validation: Validation, threads: int | None) -> NDArray[np.float32]:
    return model.predict_proba(taken(validation.pixels, validation.indices), threads=threads)


def _settled(
    model: Model, validation: Validation, answers: NDArray[np.float32], threads: int | None, say: Say
) -> Model:
    """Calibrate a model by the held-out images, and note what they allow it to promise where it abstains.

    Parameters
    ----------
    model : Model
    validation : Validation
        The held-out images, which the model was not trained on.
    answers : (N, classes) float32
        Its probabilities for them.
    threads : int, optional
    say : callable
        Given a note on the temperature.
    """
    targets = validation.targets
    which = f"{len(targets):,} validation images"
    settled = _calibrated(model, answers, targets, validation.sample_weights, which, say)
    if settled is not model:
        answers = _answers(settled, validation, threads)
    known = {"abstention": summary(answers.max(axis=1), answers.argmax(axis=1) == targets)}
    return replace(settled, provenance={**settled.provenance, **known})


def _calibrated(
    model: Model, answers: Floats, targets: NDArray[np.int32], weights: Floats | None, which: str, say: Say
) -> Model:
    """The model with its scores divided by the temperature that images ask for; itself if they ask for none.

    Parameters
    ----------
    model : Model
    answers : (N, classes) float32
        Probabilities for images that were not trained on.
    targets : (N,) int32
    weights : (N,) float32, optional
    which : str
        The images, in words.
    say : callable
        Given a note on the temperature.
    """
    node, found = last_sum(model.graph), calibration(answers, targets, weights)
    if found is None or node is None:
        return model
    temperature = {
        "value": found.temperature,
        "images": len(targets),
        "loss": [round(found.before, 6), round(found.after, 6)],
    }
    kind = "high" if found.temperature > 1 else "low"
    say(
        Note(
            f"The highest probabilities were too {kind}: scores are divided by a temperature of "
            f"{found.temperature:.2f}, which takes the loss on the {which} from {found.before:.3f} to "
            f"{found.after:.3f}."
        )
    )
    parameters = divided(model.graph, model.parameters, node, found.temperature)
    return replace(model, parameters=parameters, provenance={**model.provenance, "temperature": temperature})


def _tell_tta(
    model: Model,
    pixels: Pixels,
    validation: Validation | None,
    answers: NDArray[np.float32] | None,
    threads: int | None,
    say: Say,
) -> None:
    """Say what test-time augmentation brings and costs.

    Parameters
    ----------
    model : Model
    pixels : (N, rows, columns, channels)
        Images to measure the speed by.
    validation : Validation or None
        Images to compare the accuracy by.
    answers : (N, classes) float32 or None
        The model's probabilities for these.
    threads : int, optional
    say : callable
        Given the note.
    """
    plain = replace(model, tta=None)
    speeds = [f"{speed:,.0f}" for speed in _images_per_second((model, plain), pixels, threads)]
    gained = ""
    if validation is not None and answers is not None:
        both = (answers, _answers(plain, validation, threads))
        shares = [100 * float(np.mean(each.argmax(axis=1) == validation.targets)) for each in both]
        gained = (
            f" On the {len(validation.indices):,} validation images the accuracy is {shares[0]:.1f} %, "
            f"without it {shares[1]:.1f} %."
        )
    say(
        Note(
            "Test-time augmentation: the model answers by an image and its mirror image together, as training showed "
            f"it both.{gained} It predicts {speeds[0]} images/s, without it {speeds[1]} images/s (--no-tta; tta=False "
            "in Python)."
        )
    )


def _images_per_second(models: Sequence[Model], pixels: Pixels, threads: int | None) -> list[float]:
    """How many each predicts: the best of a few measurements in turn, of as many images as take long enough."""
    count, best = min(16, len(pixels)), [0.0] * len(models)
    for model in models:
        model.predict_proba(pixels[:count], threads=threads)  # kernels are compiled
    while (seconds := _seconds(models[0], pixels[:count], 1, threads)) < TIMED and count < len(pixels):
        count = min(len(pixels), count * max(2, int(1.5 * TIMED / max(seconds, 1e-6))))
    times = max(1, round(TIMED / max(seconds, 1e-6)))
    for _ in range(ROUNDS):
        for place, model in enumerate(models):
            taken = _seconds(model, pixels[:count], times, threads)
            best[place] = max(best[place], count * times / max(taken, 1e-9))
    return best


def _seconds(model: Model, pixels: Pixels, times: int, threads: int | None) -> float:
    began = time.perf_counter()
    for _ in range(times):
        model.predict_proba(pixels, threads=threads)
    return time.perf_counter() - began
