"""`python -m benchmarks default`: what `lanewise train` reaches untouched, and PyTorch in the same processor time.

Images are of CIFAR-10, some of each class. Lanewise is the command that users have, in a process of its own, whose
processor time is counted from its start to its end. PyTorch trains the network that Lanewise chose, in the order of
memory that is fastest for it, with the same augmentation, label smoothing and mirrored answers; its imports and its
predictions of the test images are not counted. It does so twice, by SGD and by Muon.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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

OPTIMIZERS = ("sgd", "muon")


@dataclass(frozen=True, slots=True)
class Run:
    """One training here, and in PyTorch by each optimizer: accuracies from 0 to 1, seconds of processor and clock."""

    images: int
    seed: int
    accuracy: float
    epochs: int
    processor: float
    clock: float
    torch: Mapping[str, float]
    torch_epochs: Mapping[str, float]


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
                    found = {
                        name: _torch(network, file, run.processor, seed, threads, python_of(folder), name)
                        for name in OPTIMIZERS
                    }
                    run = replace(
                        run,
                        torch={name: accuracy for name, (accuracy, _) in found.items()},
                        torch_epochs={name: epochs for name, (_, epochs) in found.items()},
                    )
                runs.append(run)
                say(_told(run))
    return report(runs, options, threads)


def _told(run: Run) -> str:
    beside = "".join(
        f"; PyTorch, {name} {100 * accuracy:.1f} % after {run.torch_epochs[name]:.1f} epochs"
        for name, accuracy in run.torch.items()
    )
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
    return Run(images, seed, accuracy, epochs, processor, after.elapsed - before.elapsed, {}, {}), said["network"]


def _torch(
    network: str, file: Path, seconds: float, seed: int, threads: int, python: Path, optimizer: str
) -> tuple[float, float]:
    asked = {"network": network, "images": str(file), "seconds": seconds, "seed": seed, "threads": threads}
    asked["optimizer"] = optimizer
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
        rows.append(
            (
                f"{images:,}",
                _accuracies([run.accuracy for run in own]),
                figure(mean(run.processor for run in own)),
                figure(mean(run.clock for run in own)),
                f"{mean(run.epochs for run in own):.0f}",
                *(_accuracies([run.torch[name] for run in own if name in run.torch]) for name in OPTIMIZERS),
                ", ".join(f"{mean(run.torch_epochs[name] for run in own):.1f}" for name in own[0].torch_epochs) or "–",
            )
        )
    own_columns = ("images", "accuracy in %", "seconds of the processor", "of the clock", "epochs")
    columns = (*own_columns, "PyTorch, SGD", "PyTorch, Muon", "its epochs")
    said = " ".join(options) or "no options"
    title = f"lanewise train on CIFAR-10 with {said}, threads: {threads}; PyTorch in the same processor time"
    return Report("default", (Table(title, columns, tuple(rows)),), (), {"runs": [asdict(run) for run in runs]})


def _accuracies(all_of_them: Sequence[float]) -> str:
    if not all_of_them:
        return "–"
    each = ", ".join(f"{100 * accuracy:.1f}" for accuracy in all_of_them)
    return f"{100 * mean(all_of_them):.1f} ({each})"
