"""`lanewise.compare`: what learned filters are worth, on the user's own images.

found = lanewise.compare("photos", seeds=(0, 1, 2))
print(found)                    # a table, learning curves, and what may be concluded
found.save_plot("compare.svg")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lanewise.brief import short
from lanewise.data.images import ImageSets
from lanewise.data.load import Source
from lanewise.experiments.conclusion import Difference, conclusion
from lanewise.experiments.grid import Candidate
from lanewise.experiments.intervals import CONFIDENCE, difference_interval
from lanewise.experiments.methods import CONVOLUTIONAL, methods_for
from lanewise.experiments.rows import MethodRow, figures, measured
from lanewise.experiments.series import Found, Series
from lanewise.experiments.tables import plain_table, sparkline
from lanewise.experiments.trial import Trial
from lanewise.network.summary import summary, totals
from lanewise.training.effort import effort_for
from lanewise.training.recipe import USUAL
from lanewise.training.task import Progress


@short
@dataclass(frozen=True, slots=True)
class Comparison(Found):
    """What `compare` found, beside what every experiment has (`Found`).

    Attributes
    ----------
    rows : tuple of MethodRow
        Fully connected, hand-made features, first layer fixed, harmonic, convolutional.
    differences : tuple of Difference
        The accuracy of the convolutional network less that of each other one; all hold together with 95 % confidence.
    """

    rows: tuple[MethodRow, ...]
    differences: tuple[Difference, ...]

    @property
    def sentence(self) -> str:
        """What may be concluded, by rule from the intervals of the differences."""
        return conclusion(self.differences, len(self.seeds))

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heads and rows as text."""
        heads = ["", "accuracy %", "95 %", "gap", "weights", "learned", "connections", "time", "training"]
        return heads, [
            [row.name, *quality, weights, f"{row.learned_weights:,}", connections, time, sparkline(row.curve())]
            for row in self.rows
            for *quality, weights, connections, time in [figures(row, self.count)]
        ]

    def __str__(self) -> str:
        """The table, the evaluation set, and the conclusion."""
        return "\n".join([*plain_table(*self.table()), "", self.evaluating.sentence, self.sentence])

    def to_json(self) -> dict[str, Any]:
        """The comparison as values that JSON can hold."""
        return {**Found.to_json(self), "sentence": self.sentence}

    def save_plot(self, path: str | os.PathLike[str]) -> None:
        """Draw learning curves and accuracies with their intervals, as SVG, PDF or PNG by the name of the file."""
        from lanewise.experiments.plots import draw_curves

        draw_curves(self.rows, self.count, path)


@dataclass(frozen=True, slots=True)
class CompareProgress:
    """How far `compare` is: `done` of `total` trainings, and the progress of the current one once it has begun."""

    done: int
    total: int
    name: str
    seed: int
    training: Progress | None
    accuracy: float | None
    """Once it is finished."""


def compare(
    source: Source | ImageSets,
    network: str = "auto",
    *,
    seeds: Sequence[int] = (0, 1, 2),
    bank: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    size: str | int | tuple[int, int] | None = None,
    channels: int | None = None,
    fit: str | None = None,
    group_by: str | None = None,
    progress: Callable[[CompareProgress], None] | None = None,
    **options: Any,
) -> Comparison:
    """Compare a convolutional network with a fully connected one, hand-made features, and itself with fixed filters.

    Fixed filters take the place of its first layer; fixed cosines, with learned 1x1 mixing, that of all convolutions.

    All are trained on the same images, for the same number of epochs (or the same time), with the same seeds. The best
    weights of each are chosen on the validation set and evaluated on the test set; without a test set, they are
    evaluated on the validation set, and without either, on a fifth of the training images, which is held out.

    Parameters
    ----------
    source : path, (images, labels), or ImageSets
        As for `lanewise.train`.
    network : str
        The convolutional network; by default chosen from the images.
    seeds : sequence of int
    bank : str, optional
        The fixed filters, like "sobel+laplacian+blur+sharpen", which is the default for colour.
    folder : path, optional
        Where a journal is kept: trainings that it holds are not repeated.
    size, channels, fit
        How images are read.
    group_by : str, optional
        Which images no split may part, as for `lanewise.train`.
    progress : callable, optional
        Given a `CompareProgress` during and after each training.
    **options
        Those of `lanewise.train`, such as `epochs` or `budget`.

    Returns
    -------
    Comparison

    Raises
    ------
    NetworkError
        The network does not begin with a convolution, or there is no such bank.
    OptionError
        The folder's journal is of other images or settings.
    """
    series = Series("compare", source, size, channels, fit, group_by, seeds, folder, options)
    train = series.sets.train
    known = {name: options[name] for name in ("preset", "budget", "threads") if name in options}
    effort = effort_for(train, **known) if network.strip() == "auto" else USUAL
    shape = (train.channels, *train.size)
    methods = methods_for(network, shape, len(train.classes), bank=bank, effort=effort)
    say = progress or (lambda step: None)
    trials: dict[str, list[Trial]] = {method.name: [] for method in methods}
    total, done = len(methods) * len(seeds), 0
    for seed in series.seeds:  # all methods of one seed before the next: what was stopped early is still a comparison
        for method in methods:

            def tell(now: Progress, name: str = method.name, at: int = done, seed: int = seed) -> None:
                say(CompareProgress(at, total, name, seed, now, None))

            trial = series.trial(method.network, seed, tell)
            trials[method.name].append(trial)
            done += 1
            say(CompareProgress(done, total, method.name, seed, None, trial.accuracy))
    rows = tuple(_row(method, trials[method.name]) for method in methods)
    return Comparison(**series.facts(), rows=rows, differences=_differences(trials))


def _row(method: Candidate, trials: Sequence[Trial]) -> MethodRow:
    return MethodRow(
        name=method.name,
        network=method.network,
        accuracies=tuple(trial.accuracy for trial in trials),
        train_accuracy=float(np.mean([trial.train_accuracy for trial in trials])),
        learned_weights=totals(summary(method.graph)).learned_weights,
        curves=tuple(trial.curve for trial in trials),
        **measured(method.graph, trials),
    )


def _differences(trials: dict[str, list[Trial]]) -> tuple[Difference, ...]:
    """All together hold with 95 % confidence (Bonferroni), so that any of them may be pointed out."""
    right = {name: np.array([trial.right for trial in found], np.float64) for name, found in trials.items()}
    own = right.pop(CONVOLUTIONAL)
    confidence = 1 - (1 - CONFIDENCE) / len(right)
    return tuple(
        Difference(name, float((own - other).mean()), difference_interval(own, other, confidence))
        for name, other in right.items()
    )
