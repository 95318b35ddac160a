"""Run by `mpiexec`: `lanewise.train` in each rank. Prints what it came to as a line of JSON, or where it has failed.

python -m tests.training.ranks_worker whole | short | raises | waits | others | reads | starts
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from typing import Any

import numpy as np

import lanewise
from lanewise import processors
from lanewise.data import decode, reading
from lanewise.engine.trainer import Trainer
from lanewise.launch import number
from lanewise.ranks import together
from lanewise.training.features import Backbone

processors.processors = lambda: 2
NETWORK = "conv 4@3 same nobias, batchnorm, relu, max 2, dense 5, softmax"
KNOWN: dict[str, Any] = {"network": NETWORK, "batch_size": 70, "verbose": 0, "seed": 3, "folds": 0}


def images() -> tuple[np.ndarray, np.ndarray]:
    """230 of them, which is no whole number of batches."""
    rng = np.random.default_rng(0)
    labels = np.arange(230) % 5
    return (rng.integers(0, 120, (230, 6, 6)) + 25 * labels[:, None, None]).astype(np.uint8), labels


def say(**record: Any) -> None:
    """Print one line at once, so that those of ranks do not mix."""
    os.write(1, (json.dumps(record) + "\n").encode())


def hash_of(model: lanewise.Model) -> str:
    """Of the weights, and of what is told of training but for times."""
    history = [
        {name: value for name, value in epoch.items() if name not in ("seconds", "images")} for epoch in model.history
    ]
    content = (
        b"".join(np.ascontiguousarray(array).tobytes() for array in model.parameters) + json.dumps(history).encode()
    )
    return hashlib.sha256(content).hexdigest()


def main(what: str) -> None:
    """Train as the test asks for."""
    pixels, labels = images()
    if what == "whole":
        for threads in (1, 2):
            model = lanewise.train(pixels, labels, epochs=3, threads=threads, gradient_clipping=0.5, **KNOWN)
            say(threads=threads, hash=hash_of(model))
    elif what == "starts":
        computed: list[int] = []
        compute = Backbone._compute

        def noted(self: Backbone, pixels: Any, places: Any, *known: Any) -> None:
            computed.append(len(places))
            compute(self, pixels, places, *known)

        setattr(Backbone, "_compute", noted)  # noqa: B010
        start = lanewise.train(pixels, labels, epochs=1, **KNOWN)
        for _ in range(2):
            model = lanewise.train(pixels, labels % 3, epochs=2, start=start, seed=3, verbose=0)
            say(hash=hash_of(model), computed=computed)
    elif what == "short":
        model = lanewise.train(pixels, labels, budget=1.0, **KNOWN)
        say(hash=hash_of(model), epochs=len(model.history))
    elif what == "waits":
        say(rank=number(), process=os.getpid())
        lanewise.train(pixels, labels, epochs=100_000, early_stopping=False, **KNOWN)
    elif what == "raises":
        run = Trainer.run

        def broken(self: Trainer, pixels: Any, steps: Any) -> Any:
            if number() == 1 and self._steps > 20:
                raise ZeroDivisionError("a fault of rank 1")
            return run(self, pixels, steps)

        Trainer.run = broken  # type: ignore[method-assign]
        began = time.perf_counter()
        try:
            lanewise.train(pixels, labels, epochs=100_000, early_stopping=False, **KNOWN)
        except Exception as error:
            say(rank=number(), kind=type(error).__name__, text=str(error), seconds=time.perf_counter() - began)
    elif what == "reads":
        decoded: list[str] = []
        read = decode.read_pixels

        def counted(path: Any, *known: Any) -> Any:
            decoded.append(path)
            return read(path, *known)

        vars(reading)["read_pixels"] = counted
        for _ in range(2):
            with together():
                found = lanewise.load("photos", notes=lambda note: None).train
            content = hashlib.sha256(found.pixels.tobytes()).hexdigest()
            say(decoded=len(decoded), pixels=content, names=found.names, skipped=found.skipped, bits=found.bits)
    elif what == "others":
        pixels[7 * number()] = 0
        try:
            lanewise.train(pixels, np.roll(labels, number()), epochs=1, **KNOWN)
        except lanewise.LanewiseError as error:
            say(rank=number(), text=str(error))


if __name__ == "__main__":
    main(sys.argv[1])
