"""What a checkpoint costs: bytes, seconds of a write, and the share of training that writes take.

    python -m benchmarks.checkpoint

A small network, one of 25 million weights, and the digits, in which the share is measured: with checkpoints when they
are due, against none, in turn.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import lanewise
from lanewise.training import checkpoint
from lanewise.training.checkpoint import Keeper

NETWORKS = {
    "small": "conv 16@3x3 same, relu, max 2, dense 100, relu, dense 10",
    "25 million weights": "conv 32@3x3 same, relu, max 2, dense 3000, relu, dense 10",
}
ROUNDS = 3


def write_times(network: str) -> tuple[int, list[float]]:
    """Bytes of a checkpoint, and seconds of each write of a short training that writes whenever it can."""
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (512, 32, 32, 3), dtype=np.uint8), np.arange(512) % 10
    seconds: list[float] = []
    size = 0
    write = Keeper._write

    def timed(self: Keeper, *args: Any, **named: Any) -> None:
        nonlocal size
        assert self._facts is not None
        self._facts()
        began = time.perf_counter()
        write(self, *args, **named)
        seconds.append(time.perf_counter() - began)
        assert self.path is not None
        size = os.path.getsize(self.path)

    before = checkpoint.SHARE, checkpoint.SECONDS
    checkpoint.SHARE, checkpoint.SECONDS, Keeper._write = 1e9, 0.0, timed  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            lanewise.train(
                x, y, network=network, epochs=2, verbose=0, notes=lambda note: None, checkpoint=Path(folder, "c")
            )
    finally:
        checkpoint.SHARE, checkpoint.SECONDS = before
        Keeper._write = write  # type: ignore[method-assign]
    return size, seconds


def training_times() -> dict[str, list[float]]:
    """Processor seconds, those of the system too, of trainings without and with a checkpoint, in turn."""
    times: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(ROUNDS):
        for kind, found in times.items():
            with tempfile.TemporaryDirectory(dir=".") as folder:
                kept = None if kind == "without" else Path(folder, "c")
                began = sum(os.times()[:2])
                lanewise.train("digits", folds=0, epochs=60, verbose=0, notes=lambda note: None, checkpoint=kept)
                found.append(sum(os.times()[:2]) - began)
    return times


def run() -> None:
    """Measure and print."""
    for name, network in NETWORKS.items():
        size, seconds = write_times(network)
        typical = statistics.median(seconds)
        print(
            f"{name}: {size / 1e6:,.1f} MB, {1000 * typical:,.1f} ms a write (median of {len(seconds)}), "
            f"{100 * min(typical / checkpoint.SECONDS, checkpoint.SHARE):.2f} % of the time, one every "
            f"{max(checkpoint.SECONDS, typical / checkpoint.SHARE):.0f} s"
        )
    times = {kind: statistics.median(found) for kind, found in training_times().items()}
    print(
        f"digits, 60 epochs: {times['without']:.2f} s of processor time without, {times['with']:.2f} s with checkpoints"
    )


if __name__ == "__main__":
    run()
