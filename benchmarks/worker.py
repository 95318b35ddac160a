"""A process that learns when it is told to, and waits on a pipe while others are timed.

    python -m benchmarks.worker FRAMEWORK

Requests and answers are JSON, one a line, on standard input and output:

    {"build": "lenet", "mode": "compile", "batch": 128, "threads": 2}  ->  {"ready": true}
    {"run": 20}                                                        ->  {"seconds": 0.21, "loss": 2.3}
    anything that fails                                                ->  {"error": "why, in one line"}

It ends when its input does.
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

from benchmarks.data import batches
from benchmarks.nets import NETS
from benchmarks.peers import Learner


def main(framework: str) -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    run: Callable[[int], dict[str, Any]] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "build" in request:
                run = _build(framework, request)
                answer: dict[str, Any] = {"ready": True}
            elif run is not None:
                answer = run(request["run"])
            else:
                answer = {"error": "nothing is built yet"}
        except Exception as error:  # whatever a framework raises is news for the table, and the others go on
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
        print(json.dumps(answer), file=answers, flush=True)


def _build(framework: str, request: dict[str, Any]) -> Callable[[int], dict[str, Any]]:
    module = importlib.import_module(f"benchmarks.peers.with_{framework}")
    batch = request["batch"]
    learn = cast(Learner, module.learner(NETS[request["build"]], batch, request["threads"], request["mode"]))
    endless = batches(batch)

    def run(count: int) -> dict[str, Any]:
        chosen = list(islice(endless, count))
        start = time.perf_counter()
        loss = learn(chosen)
        return {"seconds": time.perf_counter() - start, "loss": loss}

    return run


if __name__ == "__main__":
    main(sys.argv[1])
