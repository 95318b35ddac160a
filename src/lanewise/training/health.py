"""Whether training is alive: it is dead where a network says the same of every image, or its loss or gradient explodes.

A network that learned nothing gives the frequencies of the classes, whatever the image. With f[k] the share of class k
in the weights of the training images, and label smoothing s, it then has

    t[k] = (1 - s) f[k] + s / K      loss = - sum over k of t[k] log t[k]      accuracy = max f

The end of an epoch counts, not its mean: what went wrong in its middle is seen at once, and what was wrong only at the
beginning of training is forgotten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

END = 10
"""Steps at the end of an epoch by which it is judged."""

NO_BETTER = 0.98
"""A loss above this share of that of guessing is no better than guessing."""

FAR_BETTER = 0.9
"""Training has begun once its loss was below this share of that of guessing; above, a bad step looks like death."""

MARGIN, SURE = 0.1, 3.0
"""Nor is an accuracy above that of guessing by less than this share of what is left, or fewer standard errors."""

FALLING = 0.995
"""A loss below this share of what it was half as many epochs ago is falling."""

EPOCHS, STEPS, FEWEST_STEPS = 2, 100, 50
"""How long a loss may stay at that of guessing before something is wrong; of a short training, half of it."""

ALMOST_ALL = 0.95
"""Where guessing is right so often, nobody can tell after two epochs whether a network will be better."""

EXPLODED = 100.0
"""A gradient so many times as long as in the best epoch, while the loss is no better than guessing, has exploded."""


@dataclass(slots=True)
class Epoch:
    """An epoch that is going on: sums over the images trained on in it, and what its steps were like.

    Of each step, `losses` and `corrects` are sums over its images by their weights, `weights` are the sums of these,
    and `norms` the norms of the gradient.
    """

    number: int
    loss: float = 0.0
    correct: float = 0.0
    images: int = 0
    losses: list[float] = field(default_factory=list)
    corrects: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    def judged(self, last: int = 0) -> tuple[float, float, float]:
        """Mean loss and accuracy, by weights, and about how many images these are of; of the last steps, or of all."""
        weight = max(math.fsum(self.weights[-last:]), 1e-30)
        share = len(self.weights[-last:]) / len(self.weights)
        return math.fsum(self.losses[-last:]) / weight, math.fsum(self.corrects[-last:]) / weight, self.images * share


@dataclass(frozen=True, slots=True)
class Guess:
    """What a network gets that says the same of every image: its loss, and its accuracy."""

    loss: float
    accuracy: float

    @staticmethod
    def of(labels: NDArray[np.int32], weights: NDArray[np.float32], classes: int, smoothing: float) -> Guess:
        """That of training images.

        Parameters
        ----------
        labels : (N,) int32
        weights : (N,) float32
            How much each counts in the loss.
        classes : int
        smoothing : float
            Label smoothing.
        """
        counts = np.bincount(labels, weights.astype(np.float64), classes)
        shares = counts / max(float(counts.sum()), 1e-30)
        target = (1 - smoothing) * shares + smoothing / classes
        return Guess(float(-(target * np.log(np.maximum(target, 1e-30))).sum()), float(shares.max()))

    def like(self, loss: float, accuracy: float, images: float) -> bool:
        """Whether figures are no better than guessing.

        Parameters
        ----------
        loss, accuracy : float
        images : float
            Of how many they are the mean.
        """
        return not loss <= NO_BETTER * self.loss and not self.beaten(accuracy, images)

    def beaten(self, accuracy: float, images: float) -> bool:
        """Whether an accuracy on so many images is clearly better than guessing."""
        error = math.sqrt(self.accuracy * (1 - self.accuracy) / images)
        return accuracy >= self.accuracy + max(MARGIN * (1 - self.accuracy), SURE * error)


@dataclass(slots=True)
class Health:
    """What is kept of past epochs to judge the next one by."""

    guess: Guess
    alive: bool = False
    """Whether an epoch ended far better than guessing, by loss, and clearly by accuracy."""
    best: float = math.inf
    """The least loss of an epoch that ended clearly better than guessing, by loss and accuracy."""
    norm: float = math.inf
    """The least of the medians that the norm of the gradient had in an epoch."""
    accuracy: float = 0.0
    """That of the best epoch."""
    guessed: int = 0
    """Steps of the last epochs that all ended no better than guessing."""
    ends: list[float] = field(default_factory=list)
    """The loss at the end of each epoch so far."""

    def trouble(self, epoch: Epoch, total: float, *, patient: bool = True) -> str | None:
        """What is wrong with training after an epoch, in a sentence; None if nothing is.

        Parameters
        ----------
        epoch : Epoch
        total : float
            Steps of the whole training, as far as one can tell.
        patient : bool
            Whether a loss is no trouble as long as it falls, even if it is above that of guessing.
        """
        loss, accuracy, images = epoch.judged(END)
        norm = float(np.median(epoch.norms[-END:]))
        if not np.isfinite(norm) or (norm > EXPLODED * self.norm and not loss <= NO_BETTER * self.guess.loss):
            return f"The gradient exploded in epoch {epoch.number + 1} (its norm is {norm:.3g})"
        self.norm = min(self.norm, float(np.median(epoch.norms)))
        self.ends.append(loss)
        falling = (patient or loss < self.guess.loss) and loss < FALLING * self.ends[(len(self.ends) - 1) // 2]
        self.guessed = self.guessed + len(epoch.losses) if self.guess.like(loss, accuracy, images) else 0
        if self.alive and self.guessed >= END:
            return (
                f"Training collapsed in epoch {epoch.number + 1}: the accuracy on the training images fell from "
                f"{100 * self.accuracy:.1f} % to that of guessing, {100 * accuracy:.1f} %"
            )
        long = epoch.number + 1 >= EPOCHS and self.guessed >= max(FEWEST_STEPS, min(STEPS, total / 2))
        if self.alive or falling or not long or self.guess.accuracy > ALMOST_ALL:
            return None
        return (
            f"Training did not begin: after {epoch.number + 1} epochs the loss is still that of guessing "
            f"({loss:.3g} of {self.guess.loss:.3g})"
        )

    def improved(self, epoch: Epoch) -> bool:
        """Whether an epoch without trouble was the best so far, and better than guessing: worth going back to."""
        loss, accuracy, _ = epoch.judged()
        end, right, images = epoch.judged(END)
        if end > NO_BETTER * self.guess.loss or not self.guess.beaten(right, images) or loss >= self.best:
            return False
        self.alive = self.alive or end <= FAR_BETTER * self.guess.loss
        self.best, self.accuracy = loss, accuracy
        return True
