"""Calibration: one number that divides all scores, so that probabilities are neither too sure nor too unsure.

    p = softmax(scores / T)          the temperature T has the smallest cross-entropy on the held-out images

(Guo et al. 2017, "On Calibration of Modern Neural Networks".) A temperature changes no order of the classes, so no
answer. It goes into the weights and the bias of the last layer that sums, divided by it: graph and file are as without.

The loss is convex in 1 / T, and T is one of a fixed row of numbers, which makes a search by halves exact and the result
the same where sums or logarithms differ in their last digits. It is used only if it is more than chance could bring: if
the likelihood ratio test at 5 % says so, with enough images and enough mistakes among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.engine.parameters import Floats
from lanewise.network.graph import Graph, is_frozen
from lanewise.network.layers import AvgPool2D, Conv2D, Dense, Dropout, Flatten, GlobalAvgPool2D

LEAST_IMAGES, LEAST_MISTAKES = 100, 10
"""Held-out images, and mistakes among them; without mistakes, the surer the better."""

STEPS_A_DOUBLING, DOUBLINGS = 64, 2
"""Temperatures are 2 ** (n / 64), from a quarter to 4."""

CHANCE = 3.841458820694124
"""The 95 % quantile of chi squared with one degree of freedom."""

SMALLEST = 1e-38
"""Probabilities below are taken for this one; float32 has hardly smaller ones."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A temperature, and the cross-entropy on the held-out images before and after."""

    temperature: float
    before: float
    after: float


def calibration(
    probabilities: NDArray[np.float32], labels: NDArray[np.int32], weights: Floats | None = None
) -> Calibration | None:
    """The temperature that the held-out images ask for; None if they ask for none, or are too few to tell.

    Parameters
    ----------
    probabilities : (N, classes) float32
    labels : (N,) int32
    weights : (N,) float, optional
        Of the images, as in the loss of training.
    """
    count = len(labels)
    if count < LEAST_IMAGES or int((probabilities.argmax(axis=1) != labels).sum()) < LEAST_MISTAKES:
        return None
    logs = np.log(np.maximum(probabilities, SMALLEST).astype(np.float64))
    shares = (
        np.full(count, 1 / count) if weights is None or not weights.any() else weights / np.sum(weights, dtype=float)
    )

    def loss(step: int) -> float:
        scaled: NDArray[np.float64] = logs / _temperature(step)
        most = scaled.max(axis=1)
        totals = np.log(np.exp(scaled - most[:, None]).sum(axis=1)) + most
        return float((shares * (totals - scaled[np.arange(count), labels])).sum())

    low, high = -STEPS_A_DOUBLING * DOUBLINGS, STEPS_A_DOUBLING * DOUBLINGS
    while low < high:  # the loss falls up to the best step, then rises
        middle = (low + high) // 2
        low, high = (low, middle) if loss(middle) <= loss(middle + 1) else (middle + 1, high)
    found = Calibration(_temperature(low), loss(0), loss(low))
    return found if 2 * count * (found.before - found.after) > CHANCE else None


def _temperature(step: int) -> float:
    return float(2.0 ** (step / STEPS_A_DOUBLING))


def last_sum(graph: Graph) -> int | None:
    """The node whose weights and bias the scores are proportional to; None where there is none, or it is frozen."""
    users = graph.users()
    place = graph.nodes[-1].inputs[0]
    while len(users[place]) == 1:
        layer = graph.nodes[place].layer
        if isinstance(layer, Conv2D | Dense):
            return None if is_frozen(layer) else place
        if not isinstance(layer, Flatten | GlobalAvgPool2D | AvgPool2D | Dropout):
            return None
        place = graph.nodes[place].inputs[0]
    return None


def divided(graph: Graph, parameters: tuple[Floats, ...], node: int, temperature: float) -> tuple[Floats, ...]:
    """The parameters with those of a node divided by a temperature.

    Parameters
    ----------
    graph : Graph
    parameters : tuple of arrays
    node : int
        As `last_sum` says.
    temperature : float
    """
    own = graph.parameters_of(node)
    return tuple(
        (array.astype(np.float64) / temperature).astype(np.float32) if place in own else array
        for place, array in enumerate(parameters)
    )
