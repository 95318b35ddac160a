"""What a search found, as values: its trials, the best of them, and the command that repeats each."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from lanewise.brief import short
from lanewise.data.source import words_of
from lanewise.errors import OptionError
from lanewise.experiments.rows import best_of
from lanewise.experiments.tables import plain_table
from lanewise.model import Model
from lanewise.training.checkpoint import BEFORE, SUFFIX
from lanewise.training.options import TrainOptions
from lanewise.training.rules import about
from lanewise.wording import counted, duration, percent, plural, quoted

OBJECTIVES: dict[str, Literal["maximize", "minimize"]] = {
    "accuracy": "maximize",
    "loss": "minimize",
    "weights": "minimize",
    "multiply-adds": "minimize",
    "latency": "minimize",
}
"""What a search may aim at: on the validation images, the first two; size; work, and milliseconds, of one image."""

COSTS = ("weights", "multiply-adds", "latency")


@short
@dataclass(frozen=True, slots=True)
class SearchRow:
    """One trial: what was tried, and what came of it.

    Attributes
    ----------
    number : int
    state : "complete", "stopped", "failed", "running" or "waiting"
        Stopped early because others were better after as much training; failed, with the `reason`; or, by another
        worker, not finished yet.
    params : mapping
        The choices, by the names of the braces and options.
    network : str or None
        The text that was tried; None where training chose the network.
    options : mapping
        The options of training that were tried.
    values : tuple of float
        The objectives, of a complete trial.
    accuracy, loss : float or None
        On the validation images: after the best epoch, or the last one of a trial that was stopped.
    weights, multiply_adds : int or None
    latency : float or None
        Milliseconds for one image on the worker's machine, where it is an objective.
    epochs : int
    seconds : float
        Of training.
    fraction : float
        How much of the training was done, 0 to 1.
    reason : str or None
        Why it failed.
    worker : str
        The machine and process that trained it.
    deaths : int
        How often its worker died, so that it was begun again.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    network: str | None
    options: Mapping[str, Any]
    values: tuple[float, ...] = ()
    accuracy: float | None = None
    loss: float | None = None
    weights: int | None = None
    multiply_adds: int | None = None
    latency: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    fraction: float = 0.0
    reason: str | None = None
    worker: str = ""
    deaths: int = 0

    @property
    def choices(self) -> str:
        """What was chosen, in a line."""
        return ", ".join(f"{name} {_brief(value)}" for name, value in self.params.items())

    def cost(self, name: str) -> float | None:
        """One of `COSTS`."""
        found: float | None = getattr(self, name.replace("-", "_"))
        return found


def _brief(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@short
@dataclass(frozen=True, slots=True)
class SearchFound:
    """What `search` found, but for its page.

    Attributes
    ----------
    study, where : str
        The study and its database.
    objectives : tuple of str
    rows : tuple of SearchRow
        All trials, by number.
    trials : int
        How many there are to be.
    space, fixed : mapping
        What was searched, as it was written, and the options that all trials share.
    reading : mapping
        How images are read: `size`, `channels`, `fit`, `group_by`, where they were given.
    count : int
        Number of validation images, which choose.
    own_split : bool
        Whether the data had no validation set, so that a part of the training images, the same in all trials, is it.
    tested : bool
        Whether the data has a test set, which was not looked at.
    importances : mapping of str to mapping
        For each objective, the share of each choice in what makes trials better or worse; empty while too few are
        complete.
    folder : Path or None
        Where the models of the best trials lie that were trained there.
    """

    study: str
    where: str
    objectives: tuple[str, ...]
    rows: tuple[SearchRow, ...]
    trials: int
    space: Mapping[str, Any]
    fixed: Mapping[str, Any]
    reading: Mapping[str, Any]
    count: int
    own_split: bool
    tested: bool
    importances: Mapping[str, Mapping[str, float]]
    folder: Path | None = None
    models: Mapping[int, Model] = field(default_factory=dict, repr=False)

    @property
    def complete(self) -> tuple[SearchRow, ...]:
        """The trials that were trained to the end, the best first, by accuracy (or loss, if that is the objective)."""
        by_loss = self.objectives[0] == "loss"

        def rank(row: SearchRow) -> tuple[float, ...]:
            assert row.accuracy is not None and row.loss is not None  # noqa: PT018
            first = (row.loss, -row.accuracy) if by_loss else (-row.accuracy, row.loss)
            return (*first, row.weights or 0, row.number)

        return tuple(sorted((row for row in self.rows if row.state == "complete"), key=rank))

    @property
    def best(self) -> SearchRow | None:
        """The best trial: of several objectives, the most accurate of the front; None before one is complete."""
        return next(iter(self.front()), None)

    def front(self) -> tuple[SearchRow, ...]:
        """The trials than which no other is better in one objective and no worse in the others, the best first.

        With one objective it is the best trial alone.
        """
        return front(self.complete, self.objectives)

    def trade_off(self, cost: str = "weights") -> tuple[SearchRow, ...]:
        """The Pareto front of accuracy and one of "weights", "multiply-adds" and "latency", the cheapest first.

        Raises
        ------
        OptionError
            There is no such cost.
        """
        if cost not in COSTS:
            raise OptionError(f"cost: {cost!r} is unknown; known are {', '.join(COSTS)}")
        known = [row for row in self.complete if row.cost(cost) is not None and row.accuracy is not None]
        return best_of(known, cost.replace("-", "_"))

    def settings(self, row: SearchRow | None = None) -> dict[str, Any]:
        """The arguments of `lanewise.train` that repeat a trial, by default the best: `train("photos", **settings)`.

        Raises
        ------
        OptionError
            No trial is complete.
        """
        row = row or self.best
        if row is None:
            raise OptionError("no trial of this search is complete")
        network = {} if row.network is None else {"network": row.network}
        folds = {"folds": 0} if self.own_split and not self.tested else {}  # few images get them by default
        return {**network, **self.reading, **self.fixed, **row.options, **folds}

    def command(
        self, row: SearchRow | None = None, images: str | os.PathLike[str] = "IMAGES", output: str | None = None
    ) -> str:
        """The command that trains a trial again, by default the best one.

        Parameters
        ----------
        row : SearchRow, optional
        images : path
            What the command calls them.
        output : str, optional
            The file of the model.
        """
        words = ["lanewise", "train", words_of(images)]
        for name, value in self.settings(row).items():
            words += _words(name, value)
        return " ".join([*words, *([] if output is None else ["-o", quoted(output)])])

    def file(self, row: SearchRow) -> Path | None:
        """Where the model of a trial lies, if it is one of the best and was trained here."""
        path = None if self.folder is None else self.folder / model_file(self.study, row.number)
        return path if path is not None and path.exists() else None

    def model(self, row: SearchRow | None = None) -> Model | None:
        """The model of a trial, by default the best; None if it was trained elsewhere, or others are better.

        `lanewise.train(images, **found.settings(row))` trains it again.
        """
        row = row or self.best
        if row is None:
            return None
        path = self.file(row)
        return self.models.get(row.number) if path is None else Model.load(path)

    @property
    def evaluating(self) -> str:
        """Which images chose, and what their figures are worth."""
        images = plural(self.count, "image")
        where = f"{images} held out of the training set" if self.own_split else f"the {images} of the validation set"
        finished = len(self.complete)
        luck = f" The best of {finished} owes some of its accuracy there to luck." if finished > 1 else ""
        test = "; the test set was not looked at" if self.tested else ""
        return f"All were evaluated on {where}{test}.{luck}"

    @property
    def told(self) -> str:
        """How many trials ended how, in a line; and why there are no more."""
        by = {state: sum(row.state == state for row in self.rows) for state in STATES}
        exhausted = len(self.rows) < self.trials and not by["running"] and not by["waiting"]
        return (
            f"{counted(by.pop('complete'), 'trial')} complete"
            + "".join(f", {count} {state}" for state, count in by.items() if count)
            + (f"; all {counted(len(self.rows), 'combination')} were tried" if exhausted else "")
        )

    def table(self, most: int | None = None) -> tuple[list[str], list[list[str]]]:
        """Heads and rows as text, the best trial first, those that were stopped last; at most so many."""
        costs = [cost for cost in COSTS if cost in self.objectives or cost == "weights"]
        heads = ["trial", "accuracy %", *costs, "time", "ended", "choices"]
        others = [row for row in self.rows if row.state != "complete"]
        ordered = [*self.complete, *sorted(others, key=lambda row: (row.state, -row.fraction, -(row.accuracy or 0)))]
        return heads, [self._cells(row, costs) for row in ordered[:most]]

    def _cells(self, row: SearchRow, costs: Sequence[str]) -> list[str]:
        accuracy = "" if row.accuracy is None else percent(row.accuracy, self.count, "")
        return [
            str(row.number),
            accuracy,
            *(written(cost, row.cost(cost)) for cost in costs),
            duration(row.seconds) if row.seconds else "",
            ended(row),
            row.choices,
        ]

    def __str__(self) -> str:
        """A table, the best trial first, and the command that repeats it."""
        lines = [*plain_table(*self.table()), "", self.told, self.evaluating]
        return "\n".join([*lines, self.command()] if self.best else lines)

    def to_json(self) -> dict[str, Any]:
        """All as values that JSON can hold."""
        record = {name: getattr(self, name) for name in ("study", "where", "trials", "count", "evaluating")}
        plain = {name: dict(getattr(self, name)) for name in ("space", "fixed", "reading", "importances")}
        best = self.best
        return {
            **record,
            **plain,
            "objectives": list(self.objectives),
            "rows": [asdict(row) for row in self.rows],
            "best": None if best is None else best.number,
            "front": [row.number for row in self.front()],
        }


STATES = ("complete", "stopped", "failed", "running", "waiting")


def ended(row: SearchRow) -> str:
    """How a trial ended, in a word or two."""
    if row.state == "stopped":
        return f"stopped at {100 * row.fraction:.0f} %"
    return row.state


def written(cost: str, value: float | None) -> str:
    """A cost as text."""
    if value is None:
        return ""
    return f"{value:.3g} ms" if cost == "latency" else f"{value:,.0f}"


def front(rows: Sequence[SearchRow], objectives: Sequence[str]) -> tuple[SearchRow, ...]:
    """Those of complete trials, the best first, that are no worse in all objectives than any before them."""
    if len(objectives) == 1:
        return tuple(rows[:1])
    signs = [-1 if OBJECTIVES[name] == "maximize" else 1 for name in objectives]
    points = [tuple(sign * value for sign, value in zip(signs, row.values, strict=True)) for row in rows]
    return tuple(
        row
        for n, (row, point) in enumerate(zip(rows, points, strict=True))
        if not any(
            (other != point or m < n) and all(a <= b for a, b in zip(other, point, strict=True))
            for m, other in enumerate(points)
        )
    )


def model_file(study: str, number: int) -> str:
    """What the file of a trial's model is called."""
    return f"{file_name(study)}-{number}.onnx"


def checkpoint_file(study: str, number: int, training: str) -> str:
    """What the checkpoint of a trial is called.

    Parameters
    ----------
    study : str
    number : int
    training : str
        All that the training depends on, so that what an older study left under that number is not taken for its own.
    """
    return f"{file_name(study)}-{number}-{blake2b(training.encode(), digest_size=6).hexdigest()}{SUFFIX}"


def trial_of_checkpoint(study: str, name: str) -> int | None:
    """The number of the trial that a checkpoint is of; None for another file."""
    found = re.fullmatch(
        rf"{re.escape(file_name(study))}-(\d+)-[0-9a-f]{{12}}{re.escape(SUFFIX)}(?:{re.escape(BEFORE)})?", name
    )
    return None if found is None else int(found[1])


def file_name(study: str) -> str:
    """The name of a study as that of a file; one that is no such name gets some digits, so that no two are alike."""
    name = re.sub(r"[^\w.-]", "_", study).lstrip(".") or "search"
    return name if name == study else f"{name}-{blake2b(study.encode(), digest_size=3).hexdigest()}"


def _words(name: str, value: Any) -> list[str]:
    """An option as words of a command."""
    if name == "channels":
        return ["--grey" if value == 1 else "--colour"]
    word = "--" + name.replace("_", "-")
    rule = about(TrainOptions.__dataclass_fields__[name]).values
    if TrainOptions.__dataclass_fields__[name].default is True:
        return [word.replace("--", "--no-", 1)]
    if isinstance(value, tuple):
        value = "x".join(map(str, value))
    if rule is not None and rule.kind == "seconds":
        return [word, f"{value:g}s"]
    return [word, shlex.quote(repr(value) if isinstance(value, float) else str(value))]
