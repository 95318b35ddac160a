"""A process that trains or predicts on request, and waits on a pipe while others are timed.

    python -m lanewise.bench.worker FRAMEWORK

Requests and answers are JSON, one a line, on standard input and output:

    {"build": {a task, as `Task.to_json` gives it}}  ->  {"ready": true}
    {"run": 20}                                      ->  {"seconds": 0.21, "loss": 2.3}
    anything that fails                              ->  {"error": "why, in one line"}

The loss is that of the last batch, of predictions too, so that everybody's can be compared. It ends with its input.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from itertools import islice
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lanewise.bench import data
from lanewise.bench.workload import Learner, Predictor, Task, Workload
from lanewise.errors import LanewiseError

Run = Callable[[int], dict[str, Any]]


def main(framework: str) -> None:
    """Answer requests until there are no more."""
    answers = answer_pipe()
    run: Run | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "build" in request:
                run = None  # what was built before is let go of first
                run = runner(framework, Workload.of(Task.from_json(request["build"])))
                answer: dict[str, Any] = {"ready": True}
            elif run is not None:
                answer = run(request["run"])
            else:
                answer = {"error": "nothing is built yet"}
        except Exception as error:  # whatever a framework raises is news for the table, and the others go on
            answer = {"error": in_one_line(error)}
        print(json.dumps(answer), file=answers, flush=True)


def answer_pipe() -> Any:
    """Standard output for answers alone: what libraries print goes elsewhere."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def in_one_line(error: Exception) -> str:
    """What went wrong. Our own errors speak for themselves; of others the kind helps."""
    kind = "" if isinstance(error, LanewiseError) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())


def runner(framework: str, workload: Workload) -> Run:
    """Build the network of `workload` with `framework`: a function that does so many steps, and says how long it
    took."""
    module = importlib.import_module(f"lanewise.bench.peers.with_{framework}")
    if workload.task.kind == "train":
        return _learning(module.learner(workload), workload)
    return _predicting(module.predictor(workload), workload)


def _learning(learn: Learner, workload: Workload) -> Run:
    endless = data.batches(workload.task.batch, len(workload.pixels))

    def run(count: int) -> dict[str, Any]:
        chosen = list(islice(endless, count))
        start = time.perf_counter()
        loss = learn(chosen)
        return {"seconds": time.perf_counter() - start, "loss": loss}

    return run


def _predicting(predict: Predictor, workload: Workload) -> Run:
    batch, count = workload.task.batch, len(workload.pixels)
    starts = range(0, count - batch + 1, batch)
    parts = [workload.pixels[first : first + batch] for first in starts]

    def run(count: int) -> dict[str, Any]:
        chosen = [parts[n % len(parts)] for n in range(count)]
        last = starts[(count - 1) % len(parts)]
        start = time.perf_counter()
        outputs = predict(chosen)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "loss": _loss(outputs, workload.labels[last : last + batch])}

    return run


def _loss(probabilities: NDArray[np.float32], labels: NDArray[np.int32]) -> float:
    outputs = cast(NDArray[np.float64], probabilities.astype(np.float64).reshape(len(labels), -1))
    if outputs.shape[1] == 1:
        outputs = np.hstack([1 - outputs, outputs])
    return float(-np.log(np.maximum(outputs[np.arange(len(labels)), labels], 1e-30)).mean())


if __name__ == "__main__":
    main(sys.argv[1])
