"""One network of a grid and how it did, and which of several are worth what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lanewise.brief import short
from lanewise.wording import duration, percent

COSTS = ("weights", "seconds")


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


def best_of(rows: Sequence[Row], cost: str) -> tuple[Row, ...]:
    """The trade-offs that nothing beats, the cheapest first: no other row is as accurate for less `cost`."""
    found: list[Row] = []
    for row in sorted(rows, key=lambda one: (getattr(one, cost), -one.accuracy)):
        if not found or row.accuracy > found[-1].accuracy:
            found.append(row)
    return tuple(found)


def figures(row: Row, count: int) -> list[str]:
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


def marks(row: Row, by_weights: Sequence[Row], by_seconds: Sequence[Row]) -> str:
    """Name the Pareto fronts that a row is on: "weights", "time", or both.

    Parameters
    ----------
    row : Row
    by_weights, by_seconds : sequences of Row
        The fronts.
    """
    return ", ".join(word for word, best in (("weights", by_weights), ("time", by_seconds)) if row in best)
