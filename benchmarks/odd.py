"""`python -m benchmarks odd`: networks that no default was tuned for, at the default rate, and PyTorch at three rates.

Both start from the same weights and train for the same epochs, with the same momentum and schedule, no augmentation
and no label smoothing. Lanewise chooses the optimizer, the batch size, the learning rate and the weight decay: networks
of several convolutions are trained by Muon. PyTorch trains by SGD in batches of 64, with a weight decay of 0.0005, at
three learning rates, and the best of them on the test images counts. Accuracy is that of the last weights.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

import lanewise
from benchmarks.environment import python_of
from benchmarks.learners import ODD
from benchmarks.normalisation import Images, read
from benchmarks.process import ROOT, SOURCE
from benchmarks.report import Report
from lanewise.bench.process import environment
from lanewise.bench.tables import Table
from lanewise.data.images import Images as LabelledImages
from lanewise.notes import unheard
from lanewise.training.recipe import default_batch_size, output_layers

RATES = (0.01, 0.05, 0.2)
"""The three that PyTorch is given."""

TRAINED, MOST = 80_000, 12
"""Images that the epochs come to, if their number is not given, and the most epochs."""

MARGIN = 0.02
"""How far Lanewise may be below the best."""

DEAD = 0.05
"""An accuracy that is not above that of guessing by this much is that of a dead network."""


@dataclass(frozen=True, slots=True)
class Run:
    """A network trained for one seed: accuracies from 0 to 1, and Lanewise's rate and how often it went back.

    Attributes
    ----------
    images, network : str
        Names of both.
    seed : int
    guessing : float
        The share of the largest class.
    accuracy : float
    rate : float
        That it ended with.
    setbacks : int
    torch : dict of rate to accuracy
    """

    images: str
    network: str
    seed: int
    guessing: float
    accuracy: float
    rate: float
    setbacks: int
    torch: dict[float, float]


def measure(
    names: Sequence[str],
    files: Sequence[Path],
    epochs: int | None,
    seeds: int,
    threads: int,
    folder: Path | None,
    known: Path | None,
    say: Callable[[str], None],
) -> Report:
    """Train each network on each set of images, once for each seed.

    Parameters
    ----------
    names : sequence of str
        Of `ODD`.
    files : sequence of Path
        Files of images, see `images_of`.
    epochs : int, optional
        By default as `epochs_for` says.
    seeds : int
        How many, from 0 on.
    threads : int
    folder : Path, optional
        The virtual environment in which PyTorch is; without it, Lanewise is alone.
    known : Path, optional
        A file that PyTorch's accuracies are appended to, a line each. Those that it has are not measured again, and are
        there without PyTorch.
    say : callable
        Given a line on each result as it comes.
    """
    runs = []
    with tempfile.TemporaryDirectory() as temporary:
        for path in files:
            train, test = images_of(path, Path(temporary))
            kept = Path(temporary) / "images.npz"
            np.savez(kept, x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1])
            count = epochs or epochs_for(len(train[0]))
            for name in names:
                for seed in range(seeds):
                    run = _lanewise(path.name, name, train, test, count, seed, threads)
                    asked = _asked(name, train, count, seed)
                    torch = _remembered(known, asked | {"data": path.name})
                    if torch is None and folder is not None:
                        torch = _torch(asked | {"images": str(kept), "threads": threads}, python_of(folder))
                        _remember(known, asked | {"data": path.name}, torch)
                    run = Run(**asdict(run) | {"torch": torch or {}})
                    runs.append(run)
                    say(_told(run))
    return report(runs, epochs, threads)


def epochs_for(count: int) -> int:
    """How many epochs of so many images there are by default."""
    return max(1, min(MOST, round(TRAINED / count)))


def images_of(path: Path, folder: Path) -> tuple[Images, Images]:
    """Training and test images of a file: 1,000 of each class of one of JPEGs, or all of an archive of folders.

    Parameters
    ----------
    path : Path
        An .npz file as `normalisation.read` takes it, or a .tar.gz of a folder with train and test.
    folder : Path
        Where an archive is unpacked.
    """
    if path.suffix == ".npz":
        return read(path, "train", 1000), read(path, "test", 1000)
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    sets = lanewise.load(folder / path.name.partition(".")[0], notes=unheard)
    assert sets.test is not None
    train, test = (_of_bytes(part) for part in (sets.train, sets.test))
    return train, test


def _of_bytes(images: LabelledImages) -> Images:
    assert images.labels is not None
    return images.pixels.astype(np.uint8), images.labels


def _lanewise(images: str, name: str, train: Images, test: Images, epochs: int, seed: int, threads: int) -> Run:
    classes = int(train[1].max()) + 1
    model = lanewise.train(
        *train,
        network=f"{ODD[name]}, {output_layers(classes)}",
        epochs=epochs,
        augment="none",
        label_smoothing=0.0,
        validation_fraction=0,
        folds=0,
        seed=seed,
        threads=threads,
        verbose=0,
        notes=unheard,
    )
    accuracy = float((model.predict_proba(test[0], threads=threads).argmax(axis=1) == test[1]).mean())
    guessing = float(np.bincount(test[1]).max() / len(test[1]))
    known = model.provenance
    return Run(images, name, seed, guessing, accuracy, known["learning_rate"], len(known["setbacks"] or ()), {})


def _asked(name: str, train: Images, epochs: int, seed: int) -> dict[str, Any]:
    """What PyTorch is to train."""
    network = f"{ODD[name]}, {output_layers(int(train[1].max()) + 1)}"
    batch = default_batch_size(len(train[0]))
    return {"network": network, "rates": list(RATES), "epochs": epochs, "batch": batch, "seed": seed}


def _torch(asked: dict[str, Any], python: Path) -> dict[float, float]:
    command = [str(python), "-m", "benchmarks.odd_torch", json.dumps(asked)]
    surroundings = environment(asked["threads"], (ROOT, SOURCE))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=surroundings, check=True)
    return dict(zip(RATES, json.loads(done.stdout), strict=True))


def _remembered(known: Path | None, asked: dict[str, Any]) -> dict[float, float] | None:
    """What PyTorch was found to reach before, by rate."""
    for line in known.read_text().splitlines() if known is not None and known.exists() else ():
        found: dict[str, Any] = json.loads(line)
        if found.items() >= asked.items():
            return dict(zip(RATES, found["accuracies"], strict=True))
    return None


def _remember(known: Path | None, asked: dict[str, Any], found: dict[float, float]) -> None:
    if known is not None:
        with known.open("a") as file:
            file.write(json.dumps(asked | {"accuracies": list(found.values())}) + "\n")


def _told(run: Run) -> str:
    beside = "; ".join(f"{100 * accuracy:.1f} % at {rate:g}" for rate, accuracy in run.torch.items())
    return (
        f"{run.images}, {run.network}, seed {run.seed}: {100 * run.accuracy:.1f} % at {run.rate:.3g}"
        f"{f', {run.setbacks} times back' * (run.setbacks > 0)}{f'; PyTorch {beside}' * bool(beside)}"
    )


def report(runs: Sequence[Run], epochs: int | None, threads: int) -> Report:
    """A table for each set of images, a row for each network; what is wrong is marked."""
    tables = tuple(
        Table(
            f"{images}, epochs: {epochs or 'as many as 80,000 images make, at most 12'}, accuracy in %, "
            f"seeds: {len({run.seed for run in runs})}, threads: {threads}",
            (
                "network",
                "at the default rate",
                "the rate",
                *(f"PyTorch at {rate:g}" for rate in RATES),
                "less the best",
                "",
            ),
            tuple(_rows([run for run in runs if run.images == images])),
        )
        for images in dict.fromkeys(run.images for run in runs)
    )
    remarks = [f"{name}: {ODD[name]}" for name in dict.fromkeys(run.network for run in runs)]
    wrong = [
        f"{table.title.partition(',')[0]}, {row[0]}: {row[-1]}" for table in tables for row in table.rows if row[-1]
    ]
    fine = "None is dead or more than 2 points below the best." if any(run.torch for run in runs) else "None is dead."
    remarks.append("; ".join(wrong) + "." if wrong else fine)
    return Report("odd", tables, tuple(remarks), {"epochs": epochs, "runs": [asdict(run) for run in runs]})


def _rows(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    """A row for each network: means over the seeds. The best rate is the one whose mean is best."""
    for name in dict.fromkeys(run.network for run in runs):
        own = [run for run in runs if run.network == name]
        found = mean(run.accuracy for run in own)
        beside = all(run.torch for run in own)
        theirs = {rate: mean(run.torch[rate] for run in own) for rate in RATES} if beside else {}
        less = found - max(theirs.values()) if theirs else None
        rates = sorted({run.rate for run in own})
        yield (
            name,
            f"{100 * found:.1f}",
            ", ".join(f"{rate:.3g}" for rate in rates),
            *(f"{100 * theirs[rate]:.1f}" if theirs else "–" for rate in RATES),
            "–" if less is None else f"{100 * less:+.1f}",
            "dead"
            if min(run.accuracy - run.guessing for run in own) < DEAD
            else "below"
            if less is not None and less < -MARGIN
            else "",
        )
