"""`python -m benchmarks.parts IMAGES --seeds 3`: what each part of the recipe brings, alone, on one set of images.

IMAGES is what `lanewise train` takes, with a test or validation set. No weights are chosen by it: the last ones count.
Fewer than 1,000 images are split anew for each seed but 0, with as many of each class held out. Results are appended to
a file, a line each, as they come, and those that are there are not computed again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import click
import numpy as np

import lanewise
from lanewise.data.images import Images
from lanewise.notes import unheard

PARTS: dict[str, dict[str, Any]] = {
    "the recipe itself": {},
    "ema 0.99": {"ema": 0.99},
    "ema 0.999": {"ema": 0.999},
    "mixup 0.5": {"mixup": 0.5},
    "mixup 0.2": {"mixup": 0.2},
    "cutmix 0.5": {"cutmix": 0.5},
    "mixup 0.5, cutmix 0.5": {"mixup": 0.5, "cutmix": 0.5},
    "flip alternating": {"flip": "alternating"},
    "bias_scaler 8": {"bias_scaler": 8.0},
    "bias_scaler 64": {"bias_scaler": 64.0},
    "label_smoothing 0": {"label_smoothing": 0.0},
    "label_smoothing 0.1": {"label_smoothing": 0.1},
    "sgd": {"optimizer": "sgd"},
    "adamw": {"optimizer": "adamw"},
}
RESPLIT = 1000
"""Images from which on the test set stays as it is."""


def split(images: str, seed: int) -> tuple[Images, Images]:
    """What to train on, and what to test by."""
    sets = lanewise.load(images, notes=unheard)
    test = sets.test or sets.validation
    assert test is not None, "images to test by"
    if len(sets.train) + len(test) >= RESPLIT or seed == 0:
        return sets.train, test
    assert sets.train.labels is not None
    assert test.labels is not None
    every = replace(
        sets.train,
        pixels=np.concatenate([sets.train.pixels, test.pixels]),
        labels=np.concatenate([sets.train.labels, test.labels]),
        names=(*sets.train.names, *test.names),
    )
    random, counts = np.random.default_rng(seed), test.counts()
    held = np.concatenate(
        [random.permutation(np.flatnonzero(every.labels == label))[:count] for label, count in enumerate(counts)]
    )
    return every.take(np.setdiff1d(np.arange(len(every)), held)), every.take(np.sort(held))


def trained(train: Images, test: Images, seed: int, options: dict[str, Any]) -> dict[str, float]:
    """Accuracy and loss on the test set, and seconds of processor time."""
    began = time.process_time()
    model = lanewise.train(
        train, validation_fraction=0, folds=0, seed=seed, notes=unheard, verbose=0, **({"threads": 1} | options)
    )
    seconds = time.process_time() - began
    assert test.labels is not None
    outputs = model.predict_proba(test.pixels)
    own = outputs[np.arange(len(test)), test.labels]
    return {
        "accuracy": float((outputs.argmax(axis=1) == test.labels).mean()),
        "loss": float(-np.log(np.maximum(own, 1e-12)).mean()),
        "seconds": seconds,
        "trained": float(model.history[-1]["accuracy"] or 0),
    }


def rows(found: list[dict[str, Any]]) -> Iterator[str]:
    """A table of means over seeds, with the standard error of the difference to the first row, seed by seed."""
    yield "| | accuracy | difference | loss | accuracy on the training set | seconds |"
    yield "|---|---|---|---|---|---|"
    plain = {one["seed"]: one for one in found if one["part"] == next(iter(PARTS))}
    for part in dict.fromkeys(one["part"] for one in found):
        own = [one for one in found if one["part"] == part]
        gains = [100 * (one["accuracy"] - plain[one["seed"]]["accuracy"]) for one in own if one["seed"] in plain]
        error = f" ± {stdev(gains) / len(gains) ** 0.5:.1f}" if len(gains) > 1 else ""
        accuracy, loss, fitted, seconds = (
            mean(one[name] for one in own) for name in ("accuracy", "loss", "trained", "seconds")
        )
        gain = f"{mean(gains):+.1f}{error}" if gains else ""
        each = ", ".join(f"{100 * one['accuracy']:.1f}" for one in own)
        yield f"| {part} | {100 * accuracy:.1f} ({each}) | {gain} | {loss:.3f} | {100 * fitted:.1f} | {seconds:.0f} |"


@click.command()
@click.argument("images")
@click.option("--seeds", default=3, show_default=True)
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="Only these; all by default.")
@click.option("--options", default="{}", help="Further options of lanewise.train, as JSON.")
@click.option("--file", "path", type=click.Path(path_type=Path), default=Path("parts.jsonl"), show_default=True)
def main(images: str, seeds: int, parts: tuple[str, ...], options: str, path: Path) -> None:
    """Train with each part alone, with several seeds, and print a table."""
    known = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    about = {"images": images, "options": json.loads(options)}
    for seed in range(seeds):
        for part in parts or PARTS:
            key = {**about, "part": part, "seed": seed}
            if not any(one.items() >= key.items() for one in known):
                known.append(key | trained(*split(images, seed), seed, about["options"] | PARTS[part]))
                with path.open("a") as file:
                    file.write(json.dumps(known[-1]) + "\n")
    click.echo("\n".join(rows([one for one in known if one.items() >= about.items()])))


if __name__ == "__main__":
    main()
