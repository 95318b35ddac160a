"""One trial of a search: what a model came to, and how the database's record of it becomes a row."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from lanewise.errors import DataError
from lanewise.experiments.search_found import SearchRow
from lanewise.experiments.study import deaths, lost, root
from lanewise.model import Model
from lanewise.network.summary import summary, totals

TIMED = 30
"""Runs of which the median is the latency."""


def figures_of(model: Model, timed: bool) -> dict[str, Any]:
    """What a trained model came to on the validation images, and what it costs; its latency, if that is to be measured.

    Raises
    ------
    DataError
        It was not evaluated.
    """
    best = model.provenance["best_epoch"]
    found = totals(summary(model.graph))
    if best is None or not model.history:
        raise DataError("no images could be held out to evaluate by: give a validation set, or more images")
    start = model.provenance.get("start") or {}
    record = model.history[best - 1] if best else {**model.history[-1], **start}
    latency = {"latency": _latency(model)} if timed else {}
    return {
        "accuracy": record["validation_accuracy"],
        "loss": record["validation_loss"],
        "weights": found.weights,
        "multiply_adds": found.multiply_adds,
        "epochs": len(model.history),
        "seconds": model.history[-1]["seconds"],
        "fraction": 1.0,
        **latency,
    }


def _latency(model: Model) -> float:
    """Milliseconds for one image."""
    image = np.zeros(model.preprocessing.shape, np.uint8)
    seconds = []
    for _ in range(TIMED):
        began = time.perf_counter()
        model.predict_one(image)
        seconds.append(time.perf_counter() - began)
    return round(1000 * median(seconds), 4)


def row_of(trial: FrozenTrial) -> SearchRow:
    """A trial of the database as a row."""
    known = trial.user_attrs
    names = {"COMPLETE": "complete", "PRUNED": "stopped", "RUNNING": "running", "WAITING": "waiting"}
    state = "waiting" if lost(trial) else names.get(trial.state.name, "failed")
    params = trial.system_attrs.get("fixed_params", {}) | trial.params
    died = None if state != "failed" else f"its workers died {deaths(trial)} times"
    return SearchRow(
        number=root(trial),
        state=state,
        params=params,
        network=known.get("network"),
        options=known.get("options", {}),
        values=tuple(trial.values or ()) if state == "complete" else (),
        reason=known.get("reason", died),
        worker=known.get("worker", ""),
        deaths=deaths(trial),
        **known.get("figures", {}),
    )
