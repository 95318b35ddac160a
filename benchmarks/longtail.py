"""`python -m benchmarks longtail`: classes of very different numbers of images, and what makes them count alike.

Of a data set with as many images of each class, class k of K keeps a share of 1 / ratio to the power of k / (K - 1):
the long tail of Cui and others 2019, "Class-balanced loss based on effective number of samples". All networks are the
default one of a preset with the default recipe, and are evaluated on the whole test set, in which classes are as
frequent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lanewise
from benchmarks.report import Report
from lanewise.bench.tables import Table


def long_tail(labels: NDArray[np.int32], ratio: float) -> NDArray[np.int64]:
    """Positions of the images that are kept: the first ones of each class."""
    classes = np.unique(labels)
    most = int(np.bincount(labels).max())
    kept = [
        np.flatnonzero(labels == label)[: round(most * ratio ** (-k / (len(classes) - 1)))]
        for k, label in enumerate(classes)
    ]
    return np.sort(np.concatenate(kept))


def oversampled(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Positions, so often that each class has as many as the largest."""
    most = int(np.bincount(labels).max())
    return np.concatenate([np.resize(np.flatnonzero(labels == label), most) for label in np.unique(labels)])


def options_of(way: str, labels: NDArray[np.int32], classes: Iterable[str]) -> dict[str, Any]:
    """What is given to `train`."""
    if way == "balanced":
        return {"class_weight": "balanced"}
    weights = 1 / np.maximum(np.bincount(labels), 1)
    weights /= weights[labels].mean()
    if way == "weights up to 10":
        weights = np.minimum(weights, 10)
    elif way == "square roots of weights":
        weights = np.sqrt(weights)
    elif way != "weights":
        return {}
    return {"class_weight": dict(zip(classes, weights.tolist(), strict=True))}


@dataclass(frozen=True, slots=True)
class Run:
    """One network: its accuracy on the test set, on the third of the classes with the fewest images, and seconds."""

    way: str
    accuracy: float
    rare: float
    seconds: float


def measure(
    data: Path,
    ratio: float,
    ways: Iterable[str],
    preset: str,
    epochs: int,
    seeds: int,
    threads: int,
    say: Callable[[str], None],
) -> Report:
    """Train each way with each seed; sampling makes longer epochs, so it has fewer."""
    sets = lanewise.load(data, notes=lambda note: None)
    train, test = sets.train, sets.test
    assert test is not None
    assert train.labels is not None
    assert test.labels is not None
    few = train.take(long_tail(train.labels, ratio))
    assert few.labels is not None
    counts = np.bincount(few.labels)
    rare = np.isin(test.labels, np.argsort(counts)[: len(counts) // 3])
    runs = []
    for seed in range(seeds):
        for way in ways:
            say(f"seed {seed}: {way}")
            images = few.take(oversampled(few.labels)) if way == "sampling" else few
            began = time.process_time()
            model = lanewise.train(
                images,
                seed=seed,
                threads=threads,
                folds=0,
                notes=lambda note: None,
                preset=preset,
                epochs=max(1, round(epochs * len(few) / len(images))),
                **options_of(way, few.labels, few.classes),
            )
            seconds = time.process_time() - began
            right = model.predict_proba(test.pixels).argmax(axis=1) == test.labels
            runs.append(Run(way, float(right.mean()), float(right[rare].mean()), seconds))
            say(f"  {100 * right.mean():.1f} %, rare classes {100 * right[rare].mean():.1f} %, {seconds:.0f} CPU-s")
    return report(runs, counts, len(test), ratio)


def report(runs: list[Run], counts: NDArray[np.int_], tested: int, ratio: float) -> Report:
    """One row for each way."""
    rows = []
    for way in dict.fromkeys(run.way for run in runs):
        own = [run for run in runs if run.way == way]
        accuracies = [100 * run.accuracy for run in own]
        spread = f"{stdev(accuracies):.1f}" if len(own) > 1 else "-"
        rows.append(
            (
                way,
                f"{fmean(accuracies):.1f} %",
                spread,
                f"{100 * fmean(run.rare for run in own):.1f} %",
                f"{fmean(run.seconds for run in own):.0f}",
            )
        )
    table = Table(
        f"{counts.sum():,} training images, {counts.max():,} to {counts.min():,} of a class ({ratio:g} to 1); "
        f"{tested:,} test images, as many of each",
        ("classes", "accuracy", "standard deviation", "rarest third", "CPU-s"),
        tuple(rows),
    )
    figures = {"runs": [{"way": r.way, "accuracy": r.accuracy, "rare": r.rare, "seconds": r.seconds} for r in runs]}
    return Report("longtail", (table,), (), figures)
