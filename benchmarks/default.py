"""`python -m benchmarks default`: what `lanewise train` reaches untouched, and PyTorch in the same processor time.

Images are of CIFAR-10, some of each class. Lanewise is the command that users have, in a process of its own, whose
processor time is counted from its start to its end. PyTorch trains the network that Lanewise chose, in the order of
memory that is fastest for it, with the same augmentation, label smoothing and mirrored answers; its imports and its
predictions of the test images are not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import click
import numpy as np

from benchmarks.environment import python_of
from benchmarks.normalisation import read
from benchmarks.process import ROOT, SOURCE
from benchmarks.report import Report
from lanewise.bench.process import environment
from lanewise.bench.tables import Table, figure


@dataclass(frozen=True, slots=True)
class Run:
    """One training here: accuracies from 0 to 1, seconds of the processor and of the clock; and PyTorch's accuracy."""

    images: int
    seed: int
    accuracy: float
    epochs: int
    processor: float
    clock: float
    torch: float | None
    torch_epochs: float


def measure(
    path: Path,
    per_class: Sequence[int],
    seeds: int,
    options: Sequence[str],
    threads: int,
    folder: Path | None,
    say: Callable[[str], None],
) -> Report:
    """Train on so many images of each class, once for each seed.

    Parameters
    ----------
    path : Path
        The file of images, see `normalisation.read`.
    per_class : sequence of int
    seeds : int
        How many, from 0 on.
    options : sequence of str
        More options for `lanewise train`.
    threads : int
    folder : Path, optional
        The virtual environment in which PyTorch is; without it, Lanewise is alone.
    say : callable
        Given a line on each result as it comes.
    """
    test, runs = read(path, "test", 1000), []
    with tempfile.TemporaryDirectory() as temporary:
        for count in per_class:
            train, file = read(path, "train", count), Path(temporary) / f"{count}.npz"
            np.savez(file, x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1])
            for seed in range(seeds):
                run, network = _lanewise(file, len(train[0]), seed, options, threads)
                if folder is not None:
                    accuracy, epochs = _torch(network, file, run.processor, seed, threads, python_of(folder))
                    run = Run(**asdict(run) | {"torch": accuracy, "torch_epochs": epochs})
                runs.append(run)
                say(_told(run))
    return report(runs, options, threads)


def _told(run: Run) -> str:
    beside = "" if run.torch is None else f"; PyTorch {100 * run.torch:.1f} % after {run.torch_epochs:.1f} epochs"
    return (
        f"{run.images} images, seed {run.seed}: {100 * run.accuracy:.1f} % after {run.epochs} epochs, "
        f"{run.processor:.0f} s of the processor, {run.clock:.0f} s{beside}"
    )


def _lanewise(file: Path, images: int, seed: int, options: Sequence[str], threads: int) -> tuple[Run, str]:
    saved = file.with_suffix(".onnx")
    command = [
        sys.executable,
        "-m",
        "lanewise",
        "train",
        str(file),
        "--json",
        "--quiet",
        "--force",
        "--output",
        str(saved),
    ]
    command += ["--seed", str(seed), "--threads", str(threads), *options]
    variables = environment(threads, (SOURCE,)) | dict.fromkeys(("LANEWISE_CACHE", "XDG_CACHE_HOME"), str(file.parent))
    before = os.times()
    done = subprocess.run(command, stdout=subprocess.PIPE, env=variables)
    after = os.times()
    if done.returncode:
        raise click.ClickException(f"lanewise train ended with status {done.returncode}; its own words are above")
    said = json.loads(done.stdout)
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    accuracy, epochs = said["accuracy"], said["epochs"]
    return Run(images, seed, accuracy, epochs, processor, after.elapsed - before.elapsed, None, 0.0), said["network"]


def _torch(network: str, file: Path, seconds: float, seed: int, threads: int, python: Path) -> tuple[float, float]:
    asked = {"network": network, "images": str(file), "seconds": seconds, "seed": seed, "threads": threads}
    command = [str(python), "-m", "benchmarks.default_torch", json.dumps(asked)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, env=environment(threads, (ROOT, SOURCE)), check=True
    )
    said = json.loads(done.stdout)
    return said["accuracy"], said["epochs"]


def report(runs: Sequence[Run], options: Sequence[str], threads: int) -> Report:
    """A row for each number of images."""
    rows = []
    for images in dict.fromkeys(run.images for run in runs):
        own = [run for run in runs if run.images == images]
        beside = [run.torch for run in own if run.torch is not None]
        rows.append(
            (
                f"{images:,}",
                _accuracies([run.accuracy for run in own]),
                figure(mean(run.processor for run in own)),
                figure(mean(run.clock for run in own)),
                f"{mean(run.epochs for run in own):.0f}",
                _accuracies(beside) if beside else "–",
                f"{mean(run.torch_epochs for run in own):.1f}" if beside else "–",
            )
        )
    columns = ("images", "accuracy in %", "seconds of the processor", "of the clock", "epochs", "PyTorch", "its epochs")
    said = " ".join(options) or "no options"
    title = f"lanewise train on CIFAR-10 with {said}, threads: {threads}; PyTorch in the same processor time"
    return Report("default", (Table(title, columns, tuple(rows)),), (), {"runs": [asdict(run) for run in runs]})


def _accuracies(all_of_them: Sequence[float]) -> str:
    each = ", ".join(f"{100 * accuracy:.1f}" for accuracy in all_of_them)
    return f"{100 * mean(all_of_them):.1f} ({each})"
