"""Which weights are the best so far, by a smoothed validation curve.

    a_t = a_(t-1) + s (v_t - a_(t-1))        v_t what evaluation t says, a_0 = v_0, s = SMOOTHING

The best of many evaluations on a few images is luck as much as skill. So the weights kept are those after which the
running mean of accuracy, then of the loss, is best: one lucky evaluation moves it little. If training went to its end,
the last weights are taken unless the best mean beats the last by more than its standard error (`last_will_do`; after
Breiman and others 1984, "Classification and Regression Trees"): a schedule that ends at a rate of nothing leaves good
weights, and there is no luck in weights that nobody chose. Early stopping, too, lets the rate fall before the end.

How many candidates there were, is counted as if they were independent (`effective`): with r_ij the correlation of what
evaluations i and j say of the single images,

    k = m² / (sum over i and j of r_ij²)     1 if all m agree on every image, m if none has to do with another
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SMOOTHING = 0.3
MOST_IMAGES = 2000
"""Images at most by which evaluations are compared with each other."""

Verdict = tuple[float, float]
"""Accuracy, and minus the loss: the larger, the better."""


class Choice:
    """Keeps summary of evaluations, and of which one was best.

    Parameters
    ----------
    start : (accuracy, minus the loss), optional
        What the weights that training starts from get. They are the first candidate, and no weights that do worse on
        these images are chosen.
    """

    def __init__(self, start: Verdict | None = None) -> None:
        """Begin with the start, or with nothing."""
        self.start = start
        self.best: Verdict = (-1.0, -float("inf")) if start is None else start
        self.best_epoch = self.improved_epoch = 0
        self.mean: Verdict | None = None
        self.now: Verdict | None = None
        self.right: list[NDArray[np.bool_]] = []

    def add(self, epoch: int, accuracy: float, loss: float, right: NDArray[np.bool_]) -> bool:
        """Record an evaluation.

        Parameters
        ----------
        epoch : int
            From 1.
        accuracy : float
        loss : float
            Cross-entropy on the validation set.
        right : (N,) bool
            Whether each image was classified correctly.

        Returns
        -------
        bool
            Whether the weights are the best so far.
        """
        self.right.append(right[:: -(-len(right) // MOST_IMAGES)])
        now = self.now = (accuracy, -loss)
        if self.mean is None:
            self.mean = now
        else:
            one, two = ((1 - SMOOTHING) * old + SMOOTHING * new for old, new in zip(self.mean, now, strict=True))
            self.mean = one, two
        if self.mean[0] > self.best[0] or self.mean[1] > 0.999 * self.best[1]:  # more than noise, so worth waiting on
            self.improved_epoch = epoch
        if self.mean < self.best or (self.start is not None and now < self.start):
            return False
        self.best, self.best_epoch = self.mean, epoch
        return True

    def last_will_do(self, images: int) -> bool:
        """Whether the last evaluation is as good as the best, as far as so many images can tell."""
        if self.mean is None or self.now is None or (self.start is not None and self.now < self.start):
            return False
        share = min(max(self.best[0], 0.0), 1.0)
        return self.best[0] - self.mean[0] <= math.sqrt(share * (1 - share) / images)

    def effective(self) -> float:
        """How many independent candidates there were; 1 where there was no choice."""
        if len(self.right) < 2:
            return float(max(1, len(self.right)))
        centred = np.array(self.right, np.float64)
        centred -= centred.mean(axis=1, keepdims=True)
        norms = np.sqrt((centred**2).sum(axis=1))
        varied = norms > 0  # evaluations that get all images right, or none, are one candidate
        unit = centred[varied] / norms[varied, None]
        count = len(unit)
        independent = count**2 / float(((unit @ unit.T) ** 2).sum()) if count else 0.0
        return float(independent + (count < len(self.right)))
