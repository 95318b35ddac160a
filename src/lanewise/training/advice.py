"""One sentence of advice at the end of training, where its curves say clearly what would help.

    underfitting        accuracy in training is low, and hardly above that on unseen images: more epochs or filters
    overfitting         accuracy in training is far above that on unseen images: augmentation, a pretrained start, or
                        harmonic blocks

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
from lanewise.network.harmonic import harmonic
from lanewise.network.text import parse, to_text
from lanewise.notes import Note
from lanewise.training.augment import PHOTOGRAPH
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
FEW = 2_000
"""Images, below which harmonic blocks are advised: measured on 50 to 1,000 (docs/experiments.md)."""

LONGEST = 400
"""Of a network's text that is advised, in characters."""


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


def advice(
    curves: Curves, options: TrainOptions, augment: Augment | None, images: Images, network: str | None
) -> Note | None:
    """What the curves advise to do; None where they do not say it, or all is well.

    Parameters
    ----------
    curves : Curves
    options : TrainOptions
        Those that were asked for.
    augment : Augment or None
        What was done to images.
    images : Images
    network : str or None
        Its text.
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
        ways = _against_overfitting(options, network, images)
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


def _against_overfitting(options: TrainOptions, network: str | None, images: Images) -> list[str]:
    """What was not done of what helps, with the options.

    Where augmentation is chosen by the images, more of it is not advised: 1,000 images of 32x32 lost by it.
    """
    if options.augment != "auto":
        return ['--augment auto (augment="auto")']
    ways = []
    said_before = options.network == "auto" and features_would_help(images)
    if options.start is None and images.channels == 3 and min(images.size) >= PHOTOGRAPH and not said_before:
        ways.append('a pretrained start, --start lite0 (start="lite0")')
    if options.start is None and network is not None and len(images) < FEW:
        blocks = to_text(harmonic(parse(network)))
        if blocks != network and "dct" not in network and len(blocks) <= LONGEST:
            ways.append(f'harmonic blocks, --network "{blocks}" (network= in Python)')
    return ways
