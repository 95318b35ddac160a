"""`--learning-rate find`: the loss over rates that grow from step to step, and the rate that it speaks for.

    rate[n] = low * (high / low)**(n / (STEPS - 1))      of step n, from a copy of the first weights
    smooth[n] = mean of the losses until n, of which one step back counts SMOOTHING times as much

While the rate is too small, the loss stays; then it falls, and where the rate is too large, it rises. That of the least
loss is the edge. Training takes the default rate, but no more than that, and no less than a part of it. After Smith
2017, "Cyclical Learning Rates for Training Neural Networks".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from lanewise.engine.parameters import Floats
from lanewise.engine.trainer import Steps, Trainer
from lanewise.notes import Note, Say
from lanewise.training.optimizers import LEARNING_RATES
from lanewise.training.options import FitOptions
from lanewise.training.task import TrainingTask

FIND = "find"
"""The learning rate that says so."""

STEPS, CHUNK = 100, 10
"""Steps that are made, and how many in one native call."""

LOW, HIGH = 1 / 500, 100
"""First and last rate, in multiples of the default for networks without batch normalisation."""

SMOOTHING = 0.9
TOO_HIGH = 2.0
"""A loss so many times the least one is not followed any further."""

PART = 1 / 8
"""Of the rate at which the loss is least, that training takes at least."""

LEVELS = "▁▂▃▄▅▆▇█"


def given_rate(options: FitOptions) -> float | None:
    """The learning rate that was asked for as a number."""
    return None if options.learning_rate in (None, FIND) else float(options.learning_rate)


class MakesTrainers(Protocol):
    """What `run.Engine` does for the search."""

    def trainer(self, parameters: list[Floats], batch_size: int) -> Trainer:
        """Trains from these parameters on."""
        ...


@dataclass(frozen=True, slots=True)
class RateCurve:
    """The smoothed loss at each rate, and the rate that was picked."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    picked: float

    def told(self) -> Note:
        """The curve as a line of blocks, and the rate."""
        low, high = min(self.losses), min(max(self.losses), 2 * self.losses[0])
        share = [(loss - low) / max(high - low, 1e-12) for loss in self.losses[::3]]
        drawn = "".join(LEVELS[min(int(one * len(LEVELS)), len(LEVELS) - 1)] for one in share)
        return Note(
            f"Learning rate found: {self.picked:.3g}. Loss at rates from {self.rates[0]:.2g} to {self.rates[-1]:.2g}: "
            f"{drawn} ({low:.3g} at best)."
        )

    def to_json(self) -> list[list[float]]:
        """Pairs of rate and loss."""
        return [
            [float(f"{rate:.4g}"), float(f"{loss:.4g}")] for rate, loss in zip(self.rates, self.losses, strict=True)
        ]


def at_rate_found(
    options: FitOptions, engine: MakesTrainers, parameters: list[Floats], task: TrainingTask, say: Say
) -> tuple[TrainingTask, list[list[float]] | None]:
    """The task at the rate that is found, where that is asked for, and the curve; the user is told.

    Parameters
    ----------
    options : FitOptions
    engine : MakesTrainers
    parameters : list of arrays
    task : TrainingTask
    say : callable
    """
    if options.learning_rate != FIND:
        return task, None
    curve = find_rate(engine, parameters, task)
    say(curve.told())
    return replace(task, learning_rate=curve.picked), curve.to_json()


def find_rate(engine: MakesTrainers, parameters: list[Floats], task: TrainingTask) -> RateCurve:
    """Try rates from small to large; the same seed gives the same one.

    Parameters
    ----------
    engine : MakesTrainers
    parameters : list of arrays
        The weights that training starts from; they stay.
    task : TrainingTask
        Its images, batches, seed, and the default rate.
    """
    trainer = engine.trainer(parameters, task.batch_size)
    base = LEARNING_RATES[trainer.optimizer.name]
    growth = (HIGH / LOW) ** (1 / (STEPS - 1))
    rates = [base * LOW * growth**n for n in range(STEPS)]
    count = task.batch_size
    order = np.concatenate([task.order(epoch) for epoch in range(-(-STEPS * count // len(task.indices)))])
    smooth: list[float] = []
    total = weight = 0.0
    for first in range(0, STEPS, CHUNK):
        images = order[first * count : (first + CHUNK) * count].reshape(CHUNK, count).astype(np.int32)
        shares = task.weights[images] / np.float32(count)
        steps = Steps(
            images,
            task.labels[images].astype(np.int32),
            shares.astype(np.float32),
            np.array(rates[first : first + CHUNK], np.float32),
            np.tile(np.array([task.seed % 2**31, 0], np.int32), (CHUNK, 1)),
        )
        losses, _ = trainer.run(task.pixels, steps)
        for loss in ((losses * shares).sum(axis=1, dtype=np.float64) / shares.sum(axis=1, dtype=np.float64)).tolist():
            total, weight = SMOOTHING * total + loss, SMOOTHING * weight + 1
            if not math.isfinite(loss) or total / weight > TOO_HIGH * min([*smooth, math.inf]):
                return _curve(rates, smooth, task.learning_rate)
            smooth.append(total / weight)
    return _curve(rates, smooth, task.learning_rate)


def _curve(rates: list[float], smooth: list[float], default: float) -> RateCurve:
    """The rates that were tried, and the picked one."""
    if not smooth:
        return RateCurve((rates[0],), (math.inf,), rates[0])
    best = int(np.argmin(smooth))
    picked = min(max(default, PART * rates[best]), rates[best])
    return RateCurve(tuple(rates[: len(smooth)]), tuple(smooth), float(f"{picked:.3g}"))
