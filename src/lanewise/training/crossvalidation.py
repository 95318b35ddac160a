"""Cross-validation: each image is evaluated once, by a network that was not trained on it.

    for each of K folds:
        train on the other folds, as many steps as the final model, and keep the weights of the last step
        evaluate on the fold

Nothing is chosen by the fold: no weights, no early stop. So the K networks' answers together are an honest figure for
the recipe, from all images; the final model is trained by it on all of them, and tends to be a little better.
Copies of an image are in one fold, and so are all images of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Images, ImageSets
from lanewise.data.seen import TRAINED, Hashes
from lanewise.data.split import draws, grouped_folds, joined
from lanewise.errors import OptionError
from lanewise.model import Model
from lanewise.network.layers import Layer
from lanewise.network.summary import summary, totals
from lanewise.notes import Note, Say
from lanewise.proportions import over_folds
from lanewise.training import recipe
from lanewise.training.augment import few_photographs
from lanewise.training.effort import effort_for
from lanewise.training.progress import fold_of
from lanewise.training.start import seen_by
from lanewise.training.task import Indices

FOLDS = 5
FEW_A_CLASS = 30
"""Images of the rarest class below which folds are the default, if they take seconds."""
FEW_HELD_OUT = 100
"""Held-out images below which folds are offered."""
SECONDS = 20.0
SPEED = 20e9
"""Multiply-adds a second that the estimate reckons with. A constant, so that what is done depends on no machine."""


class InterruptedFoldError(Exception):
    """Ctrl-C came during a fold; `model` is what was trained until then."""

    def __init__(self, model: Model) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model


def fold_of_each(
    labels: NDArray[np.int32], hashes: Hashes, folds: int, seed: int, groups: Indices | None = None
) -> Indices:
    """Assign each image to a fold, stratified by class, with copies in one fold, and with groups whole.

    Parameters
    ----------
    labels : (N,) int32
    hashes : (N, ...) array
        Equal for copies.
    folds : int
    seed : int
    groups : (N,) int64, optional
        The group of each image.

    Returns
    -------
    (N,) int64
        From 0 to `folds` - 1.
    """
    if groups is not None:
        return grouped_folds(labels, joined(groups, hashes), folds, seed)
    fold = np.empty(len(labels), np.int64)
    order, taken = draws(seed, len(labels)), 0
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        places = members[np.argsort(order[members], kind="stable")]
        fold[places] = (np.arange(len(places)) + taken) % folds
        taken += len(places)  # the next class begins where this one ended, so that folds are of one size
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    together: Indices = fold[first][inverse.reshape(-1)]
    return together


def cross_validate(
    images: Images,
    chosen: Indices,
    hashes: Hashes,
    folds: int,
    seed: int,
    fit: Callable[[Indices], Model],
    say: Say,
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Train on all folds but one, for each in turn, and evaluate on that one.

    Parameters
    ----------
    images, chosen : the images, and which of them are to be used
    hashes : one for each image at hand
    folds, seed : int
    fit : callable
        Trains a model on the images at some positions.
    say : callable
        Told of each fold.

    Returns
    -------
    figures : dict
        Those of all folds together, as values that JSON can hold.
    probabilities : (N, classes) float32
        What was said of each image by the network that was not trained on it.
    """
    assert images.labels is not None
    labels = images.labels[chosen]
    groups = None if images.groups is None else images.groups.numbers[chosen]
    fold = fold_of_each(labels, hashes[chosen], folds, seed, groups)
    probabilities = np.zeros((len(chosen), len(images.classes)), np.float32)
    accuracies = []
    last: Model | None = None
    for number in range(folds):
        out = np.flatnonzero(fold == number)
        if not len(out):
            continue
        try:
            with fold_of(number + 1, folds):
                last = fit(chosen[fold != number])
        except KeyboardInterrupt:
            if last is None:
                raise
            raise InterruptedFoldError(last) from None
        if last.provenance["interrupted"]:
            raise InterruptedFoldError(last)
        probabilities[out] = last.predict_proba(images.take(chosen[out]).pixels)
        right = float((probabilities[out].argmax(axis=1) == labels[out]).mean())
        accuracies.append(right)
        say(Note(f"Fold {number + 1} of {folds}: accuracy {100 * right:.1f} % on {len(out):,} images."))
    given = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    predicted, size = probabilities.argmax(axis=1), len(images.classes)
    count, correct = len(labels), int((labels == predicted).sum())
    confusion = np.bincount(labels.astype(np.int64) * size + predicted, minlength=size * size)
    figures = {
        "folds": folds,
        "images": count,
        "correct": correct,
        "accuracy": correct / count,
        "interval": list(over_folds(correct, count, folds)),
        "loss": float(-np.log(np.maximum(given, 2.0**-24)).mean()),
        "accuracies": accuracies,
        "confusion": confusion.reshape(size, size).tolist(),
    }
    return figures, probabilities


def offered(held: int, count: int) -> Iterator[Note]:
    """What to say where few images are held out."""
    if held < FEW_HELD_OUT:
        yield Note(
            f"An accuracy on {held:,} validation images is a rough estimate. Cross-validation evaluates on all "
            f"{count:,}: --folds {FOLDS} (folds={FOLDS} in Python)."
        )


def default_folds(
    network: str | tuple[Layer, ...], images: Images, batch_size: int | None, preset: str, say: Say
) -> int:
    """Choose the number of folds from the images and the time that they would take.

    Parameters
    ----------
    network : str or tuple of Layer
    images : Images
    batch_size : int, optional
        By default chosen by the number of images.
    preset : {"quick", "good", "best"}
    say : callable
        Given a sentence on the choice.

    Returns
    -------
    int
        0 for none, or as many as each class has images for, up to `FOLDS`.
    """
    count, fewest = len(images), min((count for count in images.counts() if count), default=0)
    folds = min(FOLDS, fewest if images.groups is None else _fewest_groups(images))
    if fewest >= FEW_A_CLASS or folds < 2:
        return 0
    effort = effort_for(images, preset=preset)
    shape = (images.channels, *images.size)
    graph, _ = recipe.network_for(network, shape, len(images.classes), effort=effort)
    batch_size = min(batch_size or recipe.default_batch_size(count), count)
    photographs = few_photographs(count, images.pixels.shape[1:])
    epochs = recipe.default_epochs(count, batch_size, effort=effort, photographs=photographs)
    # a step takes its multiply-adds forward, and twice that backward
    seconds = 3.0 * totals(summary(graph)).multiply_adds * count * epochs * (folds - 1) / SPEED
    if seconds > SECONDS:
        return 0
    say(
        Note(
            f"The smallest class has {fewest} images, too few to hold any out, so the accuracy is found by "
            f"{folds}-fold cross-validation (about {max(1, round(seconds))} s); folds=0 holds images out instead."
        )
    )
    return folds


def _fewest_groups(images: Images) -> int:
    """Groups of the class that has images in the fewest."""
    assert images.labels is not None
    assert images.groups is not None
    pairs = np.unique(np.stack([images.labels, images.groups.numbers]), axis=1)
    counts: list[int] = np.bincount(pairs[0]).tolist()
    return min(count for count in counts if count)


def check_folds(sets: ImageSets, start: Model | None) -> None:
    """Refuse folds where they would say nothing."""
    if sets.validation is not None:
        raise OptionError("there is a validation set already: leave out folds, or put all images into the training set")
    before = seen_by(start)
    if start is None:
        return
    if before is None or (before.kinds(sets.train.pixels) == TRAINED).any():
        raise OptionError(
            "the starting model was trained on these images, or does not say on which, so no fold would be new to it: "
            "leave out folds"
        )


def figures_told(figures: Mapping[str, Any]) -> Note:
    """The figure, in a sentence."""
    low, high = figures["interval"]
    return Note(
        f"{figures['folds']}-fold cross-validation accuracy: {100 * figures['accuracy']:.1f} % on "
        f"{figures['images']:,} images (95 % interval {100 * low:.1f} to {100 * high:.1f} %). No image was evaluated "
        "by a network trained on it; the final model is trained on all of them."
    )
