"""`python -m benchmarks normalisation`: what networks with batch normalisation learn here and in PyTorch.

Both start from the same weights and see the same batches at the same learning rates. Here statistics are those of 16
images, in PyTorch those of the whole batch. Accuracy is that of images not trained on, after the last epoch.
"""

from __future__ import annotations

import io
import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.environment import python_of
from benchmarks.learners import LEARNERS, Recipe
from benchmarks.process import ROOT, SOURCE
from benchmarks.report import Report
from lanewise.bench import data
from lanewise.bench.nets import Net
from lanewise.bench.process import environment
from lanewise.bench.tables import Table
from lanewise.engine.inference import Inference
from lanewise.engine.trainer import Optimizer, Steps, Trainer
from lanewise.network.initial import initial_parameters
from lanewise.preprocessing import Preprocessing

Images = tuple[NDArray[np.uint8], NDArray[np.int32]]


def read(path: Path, part: str, per_class: int) -> Images:
    """The first `per_class` images of each class of a file of JPEGs.

    Parameters
    ----------
    path : Path
        An .npz file with jpeg_PART, all files one behind the other, off_PART, where each begins, and y_PART.
    part : {"train", "test"}
    per_class : int

    Returns
    -------
    (N, 32, 32, 3) array of uint8, (N,) array of int32
    """
    with np.load(path) as stored:
        blob, starts, labels = (stored[f"{name}_{part}"] for name in ("jpeg", "off", "y"))
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)]))
    pixels = [np.asarray(Image.open(io.BytesIO(blob[starts[n] : starts[n + 1]].tobytes()))) for n in chosen]
    return np.stack(pixels), labels[chosen].astype(np.int32)


def _lanewise(net: Net, recipe: Recipe, train: Images, test: Images, seed: int, threads: int) -> float:
    channels, rows, columns = net.shape
    scaling = Preprocessing(rows, columns, channels, "uint8", (data.SCALE,) * channels, (data.OFFSET,) * channels)
    pixels, labels = train
    trainer = Trainer(
        net.graph,
        tuple(initial_parameters(net.graph, seed)),
        scaling,
        batch_size=recipe.batch,
        optimizer=Optimizer("sgd", momentum=data.MOMENTUM, nesterov=False),
        threads=threads,
    )
    images = recipe.batches(len(pixels), seed)
    counts = np.full(images.shape, 1 / recipe.batch, np.float32)
    rates, keys = recipe.learning_rates(len(images)), np.zeros((len(images), 2), np.int32)
    trainer.run(pixels, Steps(images, labels[images], counts, rates, keys))
    outputs = Inference(net.graph, trainer.parameters, scaling, threads=threads).run(test[0])
    return float((outputs.reshape(len(outputs), -1).argmax(1) == test[1]).mean())


def _torch(net: Net, recipe: Recipe, images: Path, seed: int, threads: int, python: Path) -> float:
    asked = {"net": net.name, "recipe": asdict(recipe), "images": str(images), "seed": seed, "threads": threads}
    command = [str(python), "-m", "benchmarks.normalisation_torch", json.dumps(asked)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, env=environment(threads, (ROOT, SOURCE)), check=True
    )
    return float(json.loads(done.stdout)["accuracy"])


def measure(
    nets: Sequence[str],
    path: Path,
    per_class: int,
    recipe: Recipe,
    seeds: int,
    threads: int,
    folder: Path,
    say: Callable[[str], None],
) -> Report:
    """Train each network here and in PyTorch, once for each seed.

    Parameters
    ----------
    nets : sequence of str
        Names of `LEARNERS`.
    path : Path
        The file of images, see `read`.
    per_class : int
        Training images of each class.
    recipe : Recipe
    seeds : int
        How many, from 0 on.
    threads : int
    folder : Path
        The virtual environment in which PyTorch is.
    say : callable
        Given a line on each result as it comes.
    """
    train, test = read(path, "train", per_class), read(path, "test", 1000)
    found: dict[str, dict[str, list[float]]] = {name: {"lanewise": [], "torch": []} for name in nets}
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "images.npz"
        np.savez(file, train=train[0], train_labels=train[1], test=test[0], test_labels=test[1])
        for name in nets:
            for seed in range(seeds):
                ours = _lanewise(LEARNERS[name], recipe, train, test, seed, threads)
                say(f"{name}, seed {seed}: Lanewise {100 * ours:.1f} %")
                theirs = _torch(LEARNERS[name], recipe, file, seed, threads, python_of(folder))
                say(f"{name}, seed {seed}: PyTorch {100 * theirs:.1f} %")
                found[name]["lanewise"].append(ours)
                found[name]["torch"].append(theirs)
    return report(found, recipe, len(train[0]))


def report(found: dict[str, dict[str, list[float]]], recipe: Recipe, images: int) -> Report:
    """The table, a row for each network and framework."""

    def row(net: str, who: str, accuracies: list[float]) -> tuple[str, ...]:
        shown = [f"{100 * accuracy:.1f}" for accuracy in accuracies]
        return f"{net}, {who}", f"{100 * mean(accuracies):.1f}", ", ".join(shown)

    rows = tuple(row(net, who, accuracies) for net, both in found.items() for who, accuracies in both.items())
    title = f"accuracy in %, {images:,} training images, {recipe.epochs} epochs, learning rate up to {recipe.peak:g}"
    figures: dict[str, Any] = {"recipe": asdict(recipe), "images": images, "accuracies": found}
    remark = "Both start from the same weights and see the same batches; ours are statistics of 16 images."
    return Report("normalisation", (Table(title, ("", "mean", "each seed"), rows),), (remark,), figures)
