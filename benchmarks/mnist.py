"""`python -m benchmarks mnist`: from the start of a fresh process to a trained network and its test accuracy.

Each run is a process of its own that reads the file, trains with all defaults and evaluates on the test images; the
clock starts before the process does and stops when it has ended. The first run has an empty cache, so its kernels are
compiled; all later ones find them there. The last row is the command `lanewise train` itself, which also saves the
model.

Run as a module, this file is that process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.process import SOURCE, run_module
from benchmarks.report import Report
from lanewise.bench.process import environment
from lanewise.bench.tables import Table, figure

PARTS = ("import", "read", "compile", "train", "evaluate")


def measure(
    data: Path, network: str, epochs: int | None, target: float, seeds: int, threads: int, say: Callable[[str], None]
) -> Report:
    """Run once for each seed, once more before them for the empty cache, and the command after them."""
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as cache:
        for seed in [0, *range(seeds)]:
            say(f"seed {seed}, {'the cache is full' if runs else 'the cache is empty'}")
            options = {"data": str(data), "network": network, "epochs": epochs, "threads": threads, "seed": seed}
            start = time.perf_counter()
            with run_module("benchmarks.mnist", json.dumps(options), threads=threads, LANEWISE_CACHE=cache) as process:
                output, _ = process.communicate()
            seconds = time.perf_counter() - start
            if process.returncode:
                raise click.ClickException(f"the process that trains ended with status {process.returncode}")
            name = f"seed {seed}, {'full' if runs else 'empty'} cache"
            runs.append({"name": name, "seed": seed, "seconds": seconds, **json.loads(output)})
        say("lanewise train")
        runs.append(_command(data, network, epochs, threads, Path(cache)))
    return report(runs, target)


def _command(data: Path, network: str, epochs: int | None, threads: int, cache: Path) -> dict[str, Any]:
    """The same by `lanewise train`; what it spends on what, it does not say."""
    command = [sys.executable, "-m", "lanewise", "train", str(data), "--json", "--quiet", "--force"]
    command += ["--output", str(cache / "model.onnx"), "--threads", str(threads)]
    command += ["--network", network] if network != "auto" else []
    command += ["--epochs", str(epochs)] if epochs else []
    variables = environment(threads, (SOURCE,)) | {"LANEWISE_CACHE": str(cache)}
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, env=variables)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise click.ClickException(f"lanewise train ended with status {done.returncode}; its own words are above")
    said = json.loads(done.stdout)
    return {"name": "lanewise train, seed 0", "seed": 0, "seconds": seconds, "accuracy": said["accuracy"]}


def report(runs: list[dict[str, Any]], target: float) -> Report:
    """One row for each run; the first has an empty cache, and the last is the command."""
    rows = tuple((run["name"], f"{100 * run['accuracy']:.2f} %", *_parts(run), f"{run['seconds']:.2f}") for run in runs)
    first, *warm, _ = runs
    reached = [run["accuracy"] >= target for run in runs]
    remarks = (
        f"{sum(reached)} of {len(runs)} runs reached {100 * target:.1f} % on the {first['test']:,} test images, "
        "which were not looked at before the end.",
        f"Whole process: {figure(first['seconds'])} s the first time, "
        f"{figure(median(run['seconds'] for run in warm))} s (median) after it.",
        f"{first['network']}; {first['epochs']} epochs of {first['images']:,} images.",
    )
    columns = ("seconds", "accuracy", *PARTS, "start and end", "whole process")
    title = "MNIST, from the start of the process to its end"
    return Report("mnist", (Table(title, columns, rows),), remarks, {"target": target, "runs": runs})


def _parts(run: dict[str, Any]) -> tuple[str, ...]:
    if "parts" not in run:
        return ("–",) * (len(PARTS) + 1)
    rest = run["seconds"] - sum(run["parts"].values())
    return (*(f"{run['parts'][part]:.2f}" for part in PARTS), f"{rest:.2f}")


def _main(options: dict[str, Any]) -> None:
    clock = _Clock()
    import numpy as np

    import lanewise
    from lanewise.data import images, load

    train = lanewise.train  # it is loaded when it is first named
    clock.stop("import")
    sets = load.load(options["data"])
    clock.stop("read")
    last = 0.0

    def remember(progress: lanewise.Progress) -> None:
        nonlocal last
        last = progress.seconds

    model = train(
        images.ImageSets(sets.train),
        network=options["network"],
        epochs=options["epochs"],
        threads=options["threads"],
        seed=options["seed"],
        progress=remember,
    )
    clock.stop("compile")
    clock.move(last, "compile", "train")
    assert sets.test is not None
    accuracy = float(np.mean(model.predict_proba(sets.test.pixels).argmax(axis=1) == sets.test.labels))
    clock.stop("evaluate")
    answer = {
        "accuracy": accuracy,
        "parts": clock.parts,
        "network": model.network,
        "epochs": model.provenance["epochs"],
        "images": model.provenance["images"],
        "test": len(sets.test),
        "images_per_second": model.provenance["images_per_second"],
    }
    print(json.dumps(answer))


class _Clock:
    """Seconds of each part, one after the other."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, part: str) -> None:
        """What has passed since the last stop belongs to `part`."""
        now = time.perf_counter()
        self.parts[part], self._last = now - self._last, now

    def move(self, seconds: float, source: str, destination: str) -> None:
        """Part of what was booked under `source` belongs to `destination`."""
        self.parts[source] -= seconds
        self.parts[destination] = seconds


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
