"""`lanewise.vary`: one text with braces, many networks, and which of them are worth their weights and time.

found = lanewise.vary("photos", "conv {8,16}@{3x3,5x5}, relu, {max,average} 2, dense 10", folder="grid")
print(found)
found.save_plot("grid.svg")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lanewise.brief import short
from lanewise.data.images import ImageSets
from lanewise.data.load import Source
from lanewise.errors import LanewiseError, OptionError, ProgramError
from lanewise.experiments.grid import Candidate, Impossible, candidates, expand
from lanewise.experiments.intervals import share_interval
from lanewise.experiments.journal import Journal
from lanewise.experiments.rows import COSTS, Row, best_of, figures, marks
from lanewise.experiments.tables import plain_table
from lanewise.experiments.trial import Roles, Trial, check_seeds, open_journal, prepared, trial_of
from lanewise.network.summary import summary, totals

JOURNAL = "vary.jsonl"


@short
@dataclass(frozen=True, slots=True)
class Grid:
    """What `vary` found.

    Attributes
    ----------
    rows : tuple of Row
        In the order of the grid.
    impossible : tuple of Impossible
        Combinations that are not valid networks or could not be trained, and why.
    count : int
        Size of the evaluation set.
    kept_back : bool
        Whether it was held out of the training set.
    seeds : tuple of int
    recalled : int
        Trainings taken from the journal.
    evaluating : Roles or None
        Which images evaluate, and which chose the best weights.
    """

    rows: tuple[Row, ...]
    impossible: tuple[Impossible, ...]
    count: int
    kept_back: bool
    seeds: tuple[int, ...]
    recalled: int
    evaluating: Roles | None = None

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
        best = [self.best(cost) for cost in COSTS]
        heads = ["accuracy %", "95 %", "gap", "weights", "connections", "time", "best for", "network"]
        ordered = sorted(self.rows, key=lambda one: (-one.accuracy, one.weights))
        return heads, [[*figures(row, self.count), marks(row, *best), row.text] for row in ordered]

    def __str__(self) -> str:
        """A table, the most accurate network first."""
        lines = plain_table(*self.table())
        lines += ["", self.evaluating.sentence] if self.evaluating else []
        lines += [f"impossible: {one.text}: {one.reason}" for one in self.impossible]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The grid as values that JSON can hold, with the networks that are the best trade-offs."""
        return {
            **asdict(self),
            **(self.evaluating.to_json() if self.evaluating else {}),
            "best": {cost: [row.network for row in self.best(cost)] for cost in COSTS},
        }

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
    size, channels
        How images are read.
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
    seeds = check_seeds(seeds)
    texts = expand(network)
    sets, evaluating = prepared(source, size, channels, options.get("validation_fraction"))
    train = sets.train
    possible, impossible = candidates(texts, (train.channels, *train.size), len(train.classes))
    journal = None if folder is None else open_journal(Path(folder) / JOURNAL, sets, options)
    run = _Run(sets, seeds, options, journal, len(possible) * len(seeds), progress or (lambda report: None))
    rows: list[Row] = []
    for candidate in possible:
        try:
            rows.append(run.row(candidate))
        except ProgramError:
            raise
        except LanewiseError as error:
            if not rows and len(possible) == 1:
                raise
            impossible.append(Impossible(candidate.text, str(error).splitlines()[0]))
    return Grid(tuple(rows), tuple(impossible), evaluating.count, evaluating.kept_back, seeds, run.recalled, evaluating)


class _Run:
    """The trainings of one grid, one after the other."""

    def __init__(
        self,
        sets: ImageSets,
        seeds: Sequence[int],
        options: dict[str, Any],
        journal: Journal | None,
        total: int,
        say: Callable[[VaryProgress], None],
    ) -> None:
        self.sets, self.seeds, self.options, self.journal = sets, seeds, options, journal
        self.total, self.say = total, say
        self.done = self.recalled = 0

    def row(self, candidate: Candidate) -> Row:
        trials, before = [], self.done
        try:
            for n, seed in enumerate(self.seeds):
                self.say(VaryProgress(before + n, self.total, candidate.text, seed, None))
                trial, known = trial_of(self.sets, candidate.network, seed, self.options, self.journal)
                trials.append(trial)
                self.recalled += known
        finally:
            self.done = before + len(self.seeds)
        row = _row(candidate, trials)
        self.say(VaryProgress(self.done, self.total, candidate.text, self.seeds[-1], row))
        return row


def _row(candidate: Candidate, trials: Sequence[Trial]) -> Row:
    accuracy = float(np.mean([trial.accuracy for trial in trials]))
    found = totals(summary(candidate.graph))
    return Row(
        text=candidate.text,
        network=candidate.network,
        accuracy=accuracy,
        interval=share_interval([trial.right for trial in trials]),
        gap=float(np.mean([trial.train_accuracy for trial in trials])) - accuracy,
        weights=found.weights,
        connections=found.connections,
        seconds=float(np.mean([trial.seconds for trial in trials])),
    )
