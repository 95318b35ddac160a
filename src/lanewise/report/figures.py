"""How far probabilities can be believed, and how well two classes are told apart, in figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 10
"""Of equal width, from 0 to 1, into which answers are sorted by their confidence."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """How often a model is right when it is so sure.

    Attributes
    ----------
    counts : (bins,) int64
        Images whose answer has a probability within the bin.
    confidence, accuracy : (bins,) float64
        Mean probability of those answers, and the share of them that are right; NaN in empty bins.
    error : float
        The expected calibration error: the mean distance between both, each bin by its count (Naeini, Cooper and
        Hauskrecht 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning").
    """

    counts: npt.NDArray[np.int64]
    confidence: Floats
    accuracy: Floats
    error: float


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """The share of one class that is found, over the share of the other that is taken for it, for every threshold.

    Attributes
    ----------
    false_positives, true_positives : (n,) float64
        Both from 0 to 1.
    area : float
        Under the curve: how often an image of the one class is ranked above one of the other.
    """

    false_positives: Floats
    true_positives: Floats
    area: float


def calibration(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> Calibration:
    """Compare how sure a model is with how often it is right: probabilities (N, classes), labels (N,)."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    empty = np.where(counts, counts, 1)
    means = np.bincount(place, confidence, BINS) / empty
    shares = np.bincount(place, right, BINS) / empty
    error = float((np.abs(means - shares) * counts).sum() / max(1, len(labels)))
    means[counts == 0], shares[counts == 0] = np.nan, np.nan
    return Calibration(counts, means, shares, error)


def roc(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> Roc | None:
    """The curve of two classes, the second being looked for; None if there are not two, or images of one only."""
    if probabilities.shape[1] != 2 or len(np.unique(labels)) != 2:
        return None
    order = np.argsort(-probabilities[:, 1], kind="stable")
    score, found = probabilities[order, 1], labels[order] == 1
    # one point for each threshold: images of the same probability are taken together
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    true, false = (np.append(0, np.cumsum(kind)[last] / np.count_nonzero(kind)) for kind in (found, ~found))
    return Roc(false, true, float(np.trapezoid(true, false)))
