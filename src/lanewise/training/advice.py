"""One sentence of advice at the end of training, where its curves say clearly what would help.

    underfitting        accuracy in training is low, and hardly above that on unseen images: more epochs or filters
    overfitting         accuracy in training is far above that on unseen images: more augmentation, a pretrained start

Accuracy in training is that of the last epoch, on augmented images and with dropout, so rather too low; on images that
are zoomed, partly erased or mixed it says nothing of underfitting. Nothing is said in between, and where nothing that
helps was left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lanewise.data.images import Images
from lanewise.kernels.augmentation import Augment
from lanewise.notes import Note
from lanewise.training.augment import COLOURS, ERASE, PHOTOGRAPH, ROTATE
from lanewise.training.options import TrainOptions
from lanewise.training.recipe import features_would_help

ENOUGH = 50
"""Unseen images, below which curves say too little."""

LEARNED = 0.97
"""Accuracy in training from which on nothing is underfitted."""

CLOSE = 0.03
"""How far it is above that on unseen images at most, where the network underfits."""

APART = 0.08
"""How far it is above that on unseen images at least, where the network overfits; and `SURE` standard errors."""

SURE = 3.0
ZOOM = 1.3
"""That is advised: what most images bear."""


@dataclass(frozen=True, slots=True)
class Curves:
    """How training ended: accuracy in training and on `count` unseen images, and after how many epochs.

    `more` says that more epochs could be done: neither did it stop early, nor was a budget left over.
    """

    accuracy: float
    unseen: float
    count: int
    epochs: int
    more: bool = True


def curves_of(
    history: Sequence[Mapping[str, Any]],
    best_epoch: int | None,
    held: int,
    figures: Mapping[str, Any] | None,
    *,
    more: bool,
) -> Curves | None:
    """The end of the curves of a training; None where nothing was unseen.

    Parameters
    ----------
    history : sequence of mappings
        As the loop records it.
    best_epoch : int or None
        After which the weights are the best.
    held : int
        Number of validation images.
    figures : mapping or None
        Those of cross-validation, if there were folds.
    more : bool
        As in `Curves`.
    """
    if not history:
        return None
    accuracy, epochs = float(history[-1]["accuracy"]), len(history)
    if figures is not None:
        return Curves(accuracy, figures["accuracy"], figures["images"], epochs, more)
    unseen = history[best_epoch - 1]["validation_accuracy"] if best_epoch else None
    return None if unseen is None else Curves(accuracy, float(unseen), held, epochs, more)


def advice(curves: Curves, options: TrainOptions, augment: Augment | None, images: Images) -> Note | None:
    """What the curves advise to do; None where they do not say it, or all is well.

    Parameters
    ----------
    curves : Curves
    options : TrainOptions
        Those that were asked for.
    augment : Augment or None
        What was done to images.
    images : Images
    """
    if curves.count < ENOUGH:
        return None
    gap = curves.accuracy - curves.unseen
    error = (max(curves.unseen * (1 - curves.unseen), 0.01) / curves.count) ** 0.5
    told = (
        f"Accuracy in training was {100 * curves.accuracy:.1f} %, on images that it did not train on "
        f"{100 * curves.unseen:.1f} %"
    )
    if gap >= max(APART, SURE * error):
        ways = _against_overfitting(options, augment, images)
        return Note(f"{told}: the network overfits. Try {' or '.join(ways)}.") if ways else None
    harder = augment is not None and (augment.zoom > 1 or augment.erase > 0 or augment.mixes)
    if gap <= CLOSE and curves.accuracy < LEARNED and not harder:
        return Note(f"{told}: the network underfits. Try {' or '.join(_against_underfitting(curves, options))}.")
    return None


def _against_underfitting(curves: Curves, options: TrainOptions) -> list[str]:
    filters = "a --network with more filters (network= in Python)"
    if not curves.more:
        return [filters]
    if options.budget is not None:
        return [f"--budget {2 * options.budget:g}s (budget={2 * options.budget:g})", filters]
    return [f"--epochs {2 * curves.epochs} (epochs={2 * curves.epochs})", filters]


def _against_overfitting(options: TrainOptions, augment: Augment | None, images: Images) -> list[str]:
    """What was not done of what helps, with the options."""
    rows, columns, ways = *images.size, list[str]()
    if options.augment == "none":
        ways.append('--augment auto (augment="auto")')
    elif min(rows, columns) > 1 and not any(options.changes.values()):
        done = augment or Augment(0, 0)
        amounts = {"zoom": ZOOM, "rotate": ROTATE, "brightness": COLOURS["brightness"], "erase": ERASE}
        left = {name: amount for name, amount in amounts.items() if getattr(done, name) in (0, 1)}
        if left:
            command = " ".join(f"--{name} {amount:g}" for name, amount in left.items())
            python = ", ".join(f"{name}={amount:g}" for name, amount in left.items())
            ways.append(f"{command} ({python}), as far as images still look like their class then")
    said_before = options.network == "auto" and features_would_help(images)
    if options.start is None and images.channels == 3 and min(rows, columns) >= PHOTOGRAPH and not said_before:
        ways.append('a pretrained start, --start lite0 (start="lite0")')
    return ways
