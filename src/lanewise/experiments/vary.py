"""`lanewise.vary`: one text with braces, many networks, and which of them are worth their weights and time.

found = lanewise.vary("photos", "conv {8,16}@{3x3,5x5}, relu, {max,average} 2, dense 10", folder="grid")
print(found)
found.save_plot("grid.svg")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lanewise.brief import short
from lanewise.data.images import ImageSets
from lanewise.data.load import Source
from lanewise.errors import LanewiseError, OptionError, ProgramError
from lanewise.experiments.grid import Impossible, candidates, expand
from lanewise.experiments.rows import COSTS, Row, best_of, figures, measured
from lanewise.experiments.series import Found, Series
from lanewise.experiments.tables import plain_table


@short
@dataclass(frozen=True, slots=True)
class Grid(Found):
    """What `vary` found, beside what every experiment has (`Found`).

    Attributes
    ----------
    rows : tuple of Row
        In the order of the grid.
    impossible : tuple of Impossible
        Combinations that are not valid networks or could not be trained, and why.
    """

    rows: tuple[Row, ...]
    impossible: tuple[Impossible, ...]

    def best(self, cost: str) -> tuple[Row, ...]:
        """The Pareto front: networks than which no other is as accurate for less `cost`, "weights" or "seconds".

        The cheapest first.

        Raises
        ------
        OptionError
            There is no such cost.
        """
        if cost not in COSTS:
            raise OptionError(f"cost: {cost!r} is unknown; known are {' and '.join(map(repr, COSTS))}")
        return best_of(self.rows, cost)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heads and rows as text, the most accurate network first."""
        fronts = {word: self.best(cost) for cost, word in COSTS.items()}
        heads = ["accuracy %", "95 %", "gap", "weights", "connections", "time", "best for", "network"]
        ordered = sorted(self.rows, key=lambda one: (-one.accuracy, one.weights))
        return heads, [
            [*figures(row, self.count), ", ".join(word for word, front in fronts.items() if row in front), row.text]
            for row in ordered
        ]

    def __str__(self) -> str:
        """A table, the most accurate network first."""
        lines = [*plain_table(*self.table()), "", self.evaluating.sentence]
        lines += [f"impossible: {one.text}: {one.reason}" for one in self.impossible]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The grid as values that JSON can hold, with the networks that are the best trade-offs."""
        best = {cost: [row.network for row in self.best(cost)] for cost in COSTS}
        return {**Found.to_json(self), "best": best}

    def save_plot(self, path: str | os.PathLike[str]) -> None:
        """Draw accuracy over weights and over time, as SVG, PDF or PNG by the name of the file."""
        from lanewise.experiments.plots import draw_grid

        draw_grid(self.rows, self.count, path)


@short
@dataclass(frozen=True, slots=True)
class VaryProgress:
    """How far `vary` is: `done` of `total` trainings, and `row`, the latest network, once it is finished."""

    done: int
    total: int
    text: str
    seed: int
    row: Row | None


def vary(
    source: Source | ImageSets,
    network: str,
    *,
    seeds: Sequence[int] = (0,),
    folder: str | os.PathLike[str] | None = None,
    size: str | int | tuple[int, int] | None = None,
    channels: int | None = None,
    fit: str | None = None,
    group_by: str | None = None,
    progress: Callable[[VaryProgress], None] | None = None,
    **options: Any,
) -> Grid:
    """Train every network that a text with braces stands for, each with every seed, on the same images.

    The best weights of each are chosen on the validation set and evaluated on the test set; without a test set, they
    are evaluated on the validation set, and without either, on a fifth of the training images, which is held out.

    Parameters
    ----------
    source : path, (images, labels), or ImageSets
        As for `lanewise.train`.
    network : str
        For example "conv {8,16,32}@{3x3,5x5} stride {1,2}, relu, {max,average} 2, dense 10".
    seeds : sequence of int
    folder : path, optional
        Where a journal is kept: trainings that it holds are not repeated.
    size, channels, fit
        How images are read.
    group_by : str, optional
        Which images no split may part, as for `lanewise.train`.
    progress : callable, optional
        Given a `VaryProgress` before each training and after each network.
    **options
        Those of `lanewise.train`, such as `epochs`.

    Returns
    -------
    Grid

    Raises
    ------
    NetworkError
        No combination is a valid network; the message gives the first reason.
    OptionError
        The folder's journal is of other images or settings.
    """
    texts = expand(network)
    series = Series("vary", source, size, channels, fit, group_by, seeds, folder, options)
    train = series.sets.train
    possible, impossible = candidates(texts, (train.channels, *train.size), len(train.classes))
    say = progress or (lambda report: None)
    total = len(possible) * len(seeds)
    rows: list[Row] = []
    for n, candidate in enumerate(possible):
        trials = []
        try:
            for done, seed in enumerate(series.seeds, n * len(seeds)):
                say(VaryProgress(done, total, candidate.name, seed, None))
                trials.append(series.trial(candidate.network, seed))
        except ProgramError:
            raise
        except LanewiseError as error:
            if len(possible) == 1:
                raise
            impossible.append(Impossible(candidate.name, str(error).splitlines()[0]))
        else:
            rows.append(Row(candidate.name, candidate.network, **measured(candidate.graph, trials)))
            say(VaryProgress((n + 1) * len(seeds), total, candidate.name, seeds[-1], rows[-1]))
    return Grid(**series.facts(), rows=tuple(rows), impossible=tuple(impossible))
