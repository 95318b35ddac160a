"""Calibration and ROC curves, as figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 10
"""Of equal width, from 0 to 1, into which answers are sorted by their confidence."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The share of correct predictions by their probability: a calibration curve.

    Attributes
    ----------
    bins : (n,) int64
        Those of the `BINS` that are not empty.
    counts : (n,) int64
        Images whose answer has a probability within the bin.
    confidence, accuracy : (n,) float64
        Mean probability of those answers, and the share of them that are right.
    error : float
        The expected calibration error: the mean distance between both, each bin by its count (Naeini, Cooper and
        Hauskrecht 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning").
    """

    bins: npt.NDArray[np.int64]
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
    """Compare the probabilities (N, classes) of predictions with the share that is correct, by labels (N,)."""
    from sklearn.calibration import calibration_curve

    sure = probabilities.max(axis=1).astype(np.float64).clip(0, 1)
    accuracy, confidence = calibration_curve(probabilities.argmax(axis=1) == labels, sure, n_bins=BINS)
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], sure)  # as the curve's
    filled, counts = np.unique(bins, return_counts=True)
    error = float(np.average(np.abs(accuracy - confidence), weights=counts))
    return Calibration(filled, counts, confidence, accuracy, error)


def roc(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> Roc | None:
    """The ROC curve of two classes, the second being positive; None if there are not two, or images of only one."""
    if probabilities.shape[1] != 2 or len(np.unique(labels)) != 2:
        return None
    from sklearn.metrics import auc, roc_curve

    false, true, _ = roc_curve(labels, probabilities[:, 1], drop_intermediate=False)
    return Roc(false, true, float(auc(false, true)))
