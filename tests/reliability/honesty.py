"""What is reported of a model, against images that it never saw.

    python -m tests.reliability.honesty FOLDER [--count 10] [--seed 0] [--mode best|folds] [--size 64] [--epochs N]

Of the images of all parts of FOLDER, 100 are kept back in each of `count` random splits. A model is trained on the
others, with a tenth held out that chooses the weights (best), or with five folds. Right is a split whose reported
interval holds the accuracy on the images kept back, noisy as that is, being of 100 images.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import lanewise
from lanewise.data.images import Images, ImageSets
from lanewise.evaluation.evaluate import cross_validated, evaluate, evaluate_images, wilson
from lanewise.model import Model

KEPT_BACK = 100


@dataclass(frozen=True)
class Result:
    """One split: what was reported, with its interval, and what the unseen images say."""

    reported: float
    interval: tuple[float, float]
    unseen: float

    @property
    def covered(self) -> bool:
        return self.interval[0] <= self.unseen <= self.interval[1]


def all_images(sets: ImageSets) -> Images:
    """The images of all parts, as one set."""
    parts = [part for part in (sets.train, sets.validation, sets.test) if part is not None]
    pixels = np.concatenate([part.pixels for part in parts])
    labels = np.concatenate([part.labels for part in parts if part.labels is not None])
    return Images(pixels, labels, sets.train.classes)


def one(images: Images, seed: int, mode: str, kept_back: int = KEPT_BACK, **options: object) -> Result:
    """Train on all images but some, and compare."""
    order = np.random.default_rng([17, seed]).permutation(len(images))
    known, unseen = images.take(np.sort(order[kept_back:])), images.take(np.sort(order[:kept_back]))
    folds = 5 if mode == "folds" else 0
    model: Model = lanewise.train(known, folds=folds, seed=seed, notes=lambda note: None, **options)  # type: ignore[arg-type]
    reported = cross_validated(model) if folds else evaluate(model, known)
    assert reported is not None
    return Result(reported.accuracy, reported.interval, evaluate_images(model, unseen, split="test").accuracy)


def tried(images: Images, count: int, seed: int, mode: str, **options: object) -> list[Result]:
    """Many splits, each said when it is done."""
    results = []
    for number in range(seed, seed + count):
        result = one(images, number, mode, **options)  # type: ignore[arg-type]
        low, high = (100 * bound for bound in result.interval)
        print(
            f"  {mode} {number}: reported {100 * result.reported:.1f} ({low:.1f} to {high:.1f}), "
            f"unseen {100 * result.unseen:.1f}{'' if result.covered else '  NOT COVERED'}",
            file=sys.stderr,
            flush=True,
        )
        results.append(result)
    return results


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--count", type=int, default=10)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--mode", choices=["best", "folds"], default="best")
    options.add_argument("--size", type=int, default=64)
    options.add_argument("--epochs", type=int)
    options.add_argument("--budget", type=float)
    options.add_argument("--threads", type=int)
    given = options.parse_args()
    images = all_images(lanewise.load(given.folder, size=given.size))
    chosen = {"epochs": given.epochs, "budget": given.budget, "threads": given.threads}
    results = tried(images, given.count, given.seed, given.mode, **chosen)
    right = sum(result.covered for result in results)
    gaps = np.array([100 * (result.reported - result.unseen) for result in results])
    error = gaps.std(ddof=1) / len(gaps) ** 0.5 if len(gaps) > 1 else float("nan")
    noise = 100 * np.mean([np.diff(wilson(round(100 * result.unseen), 100))[0] / 3.92 for result in results])
    print(
        f"reported figures ({given.mode}): tried {len(results)}, right {right}; mean difference "
        f"{gaps.mean():+.1f} points (standard error {error:.1f}; deviation of one unseen figure {noise:.1f})"
    )
    sys.exit(right < len(results))


if __name__ == "__main__":
    main()
