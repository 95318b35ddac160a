"""One network and how it did, and which of several are worth what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from lanewise.brief import short
from lanewise.experiments.intervals import share_interval
from lanewise.experiments.trial import Trial
from lanewise.network.graph import Graph
from lanewise.network.summary import summary, totals
from lanewise.wording import duration, percent

COSTS = {"weights": "weights", "seconds": "time"}
"""What a network costs: the fields of a row, and the words for them in a table."""

Curve = tuple[tuple[float, float | None], ...]


@short
@dataclass(frozen=True, slots=True)
class Row:
    """One network of the grid and how it did.

    Attributes
    ----------
    text, network : str
        As the grid gives it, and in full.
    accuracy : float
        On the test images, the mean over seeds.
    interval : (low, high)
        Holds the accuracy with 95 % confidence; see `lanewise.experiments.intervals`.
    gap : float
        Training accuracy minus accuracy; a large gap means overfitting.
    weights, connections : int
        Biases are not counted.
    seconds : float
        Of learning, the mean over seeds; compiling is left out.
    """

    text: str
    network: str
    accuracy: float
    interval: tuple[float, float]
    gap: float
    weights: int
    connections: int
    seconds: float


@short
@dataclass(frozen=True, slots=True)
class MethodRow:
    """The results of one method.

    Attributes
    ----------
    name, network : str
    accuracy : float
        On the test images, the mean over seeds.
    accuracies : tuple of float
        That of each seed.
    interval : (low, high)
        Holds the accuracy with 95 % confidence; see `lanewise.experiments.intervals`.
    train_accuracy, gap : float
        Accuracy on the training set, and how much higher it is than `accuracy`: a large gap means overfitting.
    weights, learned_weights, connections : int
        Biases are not counted.
    seconds : float
        Of training without compiling, the mean over seeds.
    curves : tuple of ((training, validation), ...)
        For each seed both accuracies after each epoch; None where the network was not evaluated.
    """

    name: str
    network: str
    accuracy: float
    accuracies: tuple[float, ...]
    interval: tuple[float, float]
    train_accuracy: float
    gap: float
    weights: int
    learned_weights: int
    connections: int
    seconds: float
    curves: tuple[Curve, ...]

    def curve(self) -> list[float]:
        """Accuracy after each epoch that every seed reached, the mean over seeds.

        On the validation set if it was evaluated after each epoch, else on the training set during training.
        """
        length = min(map(len, self.curves))
        evaluated = all(after is not None for one in self.curves for _, after in one[:length])
        return [
            float(np.mean([(one[n][1] or 0.0) if evaluated else one[n][0] for one in self.curves]))
            for n in range(length)
        ]


class Measured(Protocol):
    """What has an accuracy, and costs."""

    @property
    def accuracy(self) -> Any:
        """From 0 to 1."""


Weighed = TypeVar("Weighed", bound=Measured)


def best_of(rows: Sequence[Weighed], cost: str) -> tuple[Weighed, ...]:
    """The trade-offs that nothing beats, the cheapest first: no other row is as accurate for less `cost`."""
    found: list[Weighed] = []
    for row in sorted(rows, key=lambda one: (getattr(one, cost), -one.accuracy)):
        if not found or row.accuracy > found[-1].accuracy:
            found.append(row)
    return tuple(found)


def measured(graph: Graph, trials: Sequence[Trial]) -> dict[str, Any]:
    """What both kinds of rows say of a network: `accuracy`, `interval`, `gap`, `weights`, `connections`, `seconds`."""
    accuracy = float(np.mean([trial.accuracy for trial in trials]))
    found = totals(summary(graph))
    return {
        "accuracy": accuracy,
        "interval": share_interval([trial.right for trial in trials]),
        "gap": float(np.mean([trial.train_accuracy for trial in trials])) - accuracy,
        "weights": found.weights,
        "connections": found.connections,
        "seconds": float(np.mean([trial.seconds for trial in trials])),
    }


def figures(row: Row | MethodRow, count: int) -> list[str]:
    """The numbers of a row as text: accuracy, interval, gap, weights, connections, time."""
    low, high = row.interval
    return [
        percent(row.accuracy, count, ""),
        f"{percent(low, count, '')} to {percent(high, count, '')}",
        percent(row.gap, count, ""),
        f"{row.weights:,}",
        f"{row.connections:,}",
        duration(row.seconds),
    ]
