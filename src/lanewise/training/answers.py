"""How a trained model answers: whether it looks at mirror images, too, and what that gains and costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lanewise.data.images import Pixels
from lanewise.kernels.augmentation import Augment
from lanewise.model import Model
from lanewise.notes import Note, Say
from lanewise.training.task import Validation

TIMED, ROUNDS = 0.03, 3
"""Seconds that a measurement of speed takes at least, and how many there are."""


def looks_twice(asked: bool, augment: Augment | None) -> bool:
    """Whether the answer is that to an image and its mirror image: where training showed both, unless not wanted."""
    return asked and augment is not None and augment.flip_columns


def tell_tta(model: Model, pixels: Pixels, validation: Validation | None, threads: int | None, say: Say) -> None:
    """Say what test-time augmentation brings and costs, if the model does it.

    Parameters
    ----------
    model : Model
    pixels : (N, rows, columns, channels)
        Images to measure the speed by.
    validation : Validation or None
        Images to compare the accuracy by.
    threads : int, optional
    say : callable
        Given the note.
    """
    if model.tta is None:
        return
    plain = replace(model, tta=None)
    speeds = [f"{speed:,.0f}" for speed in _images_per_second((model, plain), pixels, threads)]
    gained = ""
    if validation is not None:
        shares = [100 * _accuracy(one, validation, threads) for one in (model, plain)]
        gained = (
            f" On the {len(validation.indices):,} validation images the accuracy is {shares[0]:.1f} %, "
            f"without it {shares[1]:.1f} %."
        )
    say(
        Note(
            "Test-time augmentation: the model answers by an image and its mirror image together, as training showed "
            f"it both.{gained} It predicts {speeds[0]} images a second, without it {speeds[1]} (--no-tta, tta=False in "
            "Python)."
        )
    )


def _accuracy(model: Model, validation: Validation, threads: int | None) -> float:
    answers = model.predict_proba(validation.pixels[validation.indices], threads=threads)
    return float(np.mean(answers.argmax(axis=1) == validation.targets))


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
