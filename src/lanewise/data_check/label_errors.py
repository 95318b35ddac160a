"""Images that look mislabelled to networks that were not trained on them.

Probabilities come from cross-validation: each fold is predicted by a network trained on the others. On small data the
cross-validation is repeated and the probabilities are averaged. Copies of an image stay in one fold, because otherwise
the network would know the label. Where there are features of a pretrained network, each fold is predicted by a linear
layer on the features instead.

Which to suspect follows confident learning (Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty
in dataset labels", Journal of Artificial Intelligence Research 70, 2021): the threshold of class j is the mean
probability of j over images labelled j; an image labelled i is suspect if another class reaches its threshold and is
more probable than i, and is then taken for the most probable of those. They are ranked by the probability of their
label, the least first.

Two figures say how far the list can be trusted: the share of labels that the networks agree with, and the share of
randomly wrong labels that they would find. For the latter, each image is tested under every label that it does not
have, with the same probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Images
from lanewise.data.split import grouped_folds
from lanewise.data_check.features import without_knowledge
from lanewise.data_check.findings import NOTE, WARNING, Case, Collection, Finding
from lanewise.data_check.groups import check_enough
from lanewise.data_check.known import Known
from lanewise.data_check.similarity import Floats, reduced
from lanewise.errors import DataError
from lanewise.model import Model
from lanewise.notes import unheard
from lanewise.training.augment import AS_THEY_ARE, PHOTOGRAPH
from lanewise.training.fit import train
from lanewise.training.new_head import RATE, STEPS, WEIGHT_DECAY
from lanewise.training.recipe import MANY, default_batch_size, plain_network
from lanewise.training.task import Progress
from lanewise.wording import counted

FOLDS = 4
LEAST = 5
"""Images of a class, below which its labels are not tested."""

WEAK = 0.85
"""Share of the labels that networks agree with, below which they cannot settle single labels."""

_LARGEST = 48
"""Largest side, in pixels, of the images that these networks see: more pixels take more time and add little."""

_ROUNDS = ((1000, 3), (5000, 2))  # up to so many images, the data is cut so often
_LISTED = 0.05  # share of the images, of suspects that are listed where the networks are weak
_ROUNDING = 1e-9  # of a mean of equal probabilities, which all must reach
_SEEN = 40_000  # images that each network learns from, counting repetitions
_FEW = 3_000  # images that it sees at least, in up to 60 epochs: a few epochs of few images teach little
_TEMPERATURES = np.geomspace(0.5, 8.0, 41)

Probabilities = NDArray[np.float64]
Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """Images whose labels look wrong, the worst first.

    Attributes
    ----------
    which : (n,) int64
    instead : (n,) int64
        The class that each looks like.
    own, other : (n,) float64
        Probabilities of the label and of that class.
    sensitivity : float
        Share of randomly changed labels that would be suspect.
    """

    which: NDArray[np.int64]
    instead: NDArray[np.int64]
    own: Probabilities
    other: Probabilities
    sensitivity: float


def mislabelled(
    collection: Collection,
    copies: Sequence[tuple[int, ...]],
    seed: int,
    threads: int | None,
    progress: Callable[[int, int], None] | None,
    known: Known | None = None,
    features: Floats | None = None,
) -> tuple[list[Finding], float]:
    """Test the labels of all images by cross-validation, or of those that are new to a model by that model.

    The method is confident learning (Northcutt, Jiang and Chuang 2021); see the head of this file.

    Parameters
    ----------
    collection : Collection
    copies : sequence of tuples of int
        Groups of positions of copies, which stay in one fold.
    seed : int
    threads : int, optional
        All processors by default.
    progress : callable, optional
        Called with the number of epochs that are done, and of all.
    known : Known, optional
        Test with this model instead of training networks.
    features : (N, F) float32, optional
        Train linear layers on these instead of networks on the images.

    Returns
    -------
    findings : list of Finding
        One or none.
    accuracy : float
        Share of the labels that the out-of-fold predictions agree with.

    Raises
    ------
    DataError
        When there are too few images.
    """
    given = collection.labels if known is None else np.where(known.new(copies), collection.labels, -1)
    counts = np.bincount(given[given >= 0], minlength=len(collection.classes))
    tested = np.flatnonzero(counts >= LEAST)
    if len(tested) < 2:
        which = "" if known is None else " that the model was not trained on"
        raise DataError(f"labels were not tested: that takes two classes with {LEAST} images each{which}")
    chosen = np.flatnonzero(np.isin(given, tested))
    labels = np.searchsorted(tested, collection.labels[chosen]).astype(np.int32)
    classes = tuple(collection.classes[k] for k in tested)
    if known is not None:
        probabilities = known.evaluated(chosen, classes)
    else:
        place = {int(n): k for k, n in enumerate(chosen)}
        together = [tuple(place[n] for n in group if n in place) for group in copies]
        if features is None:
            images = Images(reduced(collection.pixels[chosen], _LARGEST), labels, classes)
        else:
            images = Images(features[chosen][:, :, None, None], labels, classes)
        start = None if features is None else without_knowledge(images)
        images = replace(images, groups=None if collection.groups is None else collection.groups.take(chosen))
        check_enough(images.groups, FOLDS)
        probabilities = cross_validated(images, together, seed, threads, progress, start)
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    found = suspects(probabilities, labels)
    if not len(found.which):
        return [], accuracy
    cases = []
    for n, instead, own, other in zip(found.which, found.instead, found.own, found.other, strict=True):
        image, like = int(chosen[n]), classes[instead]
        detail = f"labelled {collection.label(image)!r} ({100 * own:.0f} %), looks like {like!r} ({100 * other:.0f} %)"
        cases.append(Case((image,), (collection.names[image],), detail, like))
    evaluate = None if known is None else "the model"
    return [_finding(cases, accuracy, found.sensitivity, len(labels), evaluate, features is not None)], accuracy


def _finding(
    cases: list[Case],
    accuracy: float,
    sensitivity: float,
    count: int,
    evaluate: str | None = None,
    linear: bool = False,
) -> Finding:
    """Say how far the list can be trusted; of a list that cannot be trusted, give only the head."""
    networks = "linear layers on features" if linear else "networks"
    if evaluate is None:
        found = (
            f"{networks.capitalize()} that were not trained on them agree with {100 * accuracy:.1f} % of all labels "
            f"and would find {100 * sensitivity:.0f} % of randomly changed ones."
        )
    else:
        found = (
            f"On the {count:,} images that {evaluate} was not trained on, it agrees with {100 * accuracy:.1f} % of the "
            f"labels and would find {100 * sensitivity:.0f} % of randomly changed ones."
        )
    if accuracy >= WEAK:
        message = f"{counted(len(cases), 'image', 'looks/look')} mislabelled. {found}"
        advice = "Go through them from the top and correct the wrong ones; stop when most are right."
        return Finding("mislabelled", WARNING, message, advice, tuple(cases))
    listed = cases[: max(10, round(_LISTED * count))]
    message = (
        f"{counted(len(listed), 'label', 'is/are')} the most doubtful, but "
        f"{f'the {networks} are' if evaluate is None else 'the model is'} too weak to decide on single labels: "
        f"most of these may be right. {found}"
    )
    advice = "Look at the first ones; more or larger images of each class would make the test more reliable."
    return Finding("mislabelled", NOTE, message, advice, tuple(listed))


def suspects(probabilities: Probabilities, labels: Labels) -> Suspects:
    """Choose and rank by confident learning; `probabilities` are (N, classes), of images not trained on."""
    probabilities = calibrated(probabilities, labels)
    count, classes = probabilities.shape
    every = np.arange(count)
    own = probabilities[every, labels]
    sums = np.bincount(labels, weights=own, minlength=classes)
    threshold = sums / np.maximum(np.bincount(labels, minlength=classes), 1) - _ROUNDING
    instead, other = _confident(probabilities, threshold, labels)
    which = np.flatnonzero(other > own)
    which = which[np.argsort(own[which], kind="stable")]
    swapped = 0
    for step in range(1, classes):
        wrong = (labels + step) % classes
        swapped += int((_confident(probabilities, threshold, wrong)[1] > probabilities[every, wrong]).sum())
    sensitivity = swapped / max(1, count * (classes - 1))
    return Suspects(which, instead[which], own[which], other[which], sensitivity)


def _confident(
    probabilities: Probabilities, threshold: Probabilities, labels: Labels
) -> tuple[NDArray[np.int64], Probabilities]:
    """The most probable class beside the label of those that reach their threshold, and its probability; or -1."""
    confident = np.where(probabilities >= threshold, probabilities, -1.0)
    every = np.arange(len(labels))
    confident[every, labels] = -1.0
    instead = confident.argmax(axis=1)
    return instead, confident[every, instead]


def calibrated(probabilities: Probabilities, labels: Labels) -> Probabilities:
    """Raise all to the power (one over a temperature) under which the labels are likeliest, and normalise."""
    logs = np.log(np.maximum(probabilities, 1e-12))
    best, least = probabilities, np.inf
    for temperature in _TEMPERATURES:
        scaled = logs / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        total = np.exp(scaled)
        total /= total.sum(axis=1, keepdims=True)
        loss = -np.log(np.maximum(total[np.arange(len(labels)), labels], 1e-12)).mean()
        if loss < least:
            best, least = total, loss
    return best


def epochs_for(count: int) -> int:
    """How often a network goes over so many images: fewer need more, as there are few steps in an epoch."""
    return max(4, min(30, round(_SEEN / count)), min(60, round(_FEW / count)))


def plain_options(images: Images, count: int) -> dict[str, Any]:
    """How to train a network on so many of the images: those of a class are to be told apart, in few epochs.

    The default for photographs needs many: its network is normalised, and it changes images in many ways.
    """
    options: dict[str, Any] = {"epochs": epochs_for(count)}
    if min(images.size) >= PHOTOGRAPH and len(images) < MANY:
        options |= {"network": plain_network((images.channels, *images.size), len(images.classes)), **AS_THEY_ARE}
    return options


def linear_options(count: int, start: Model) -> dict[str, Any]:
    """How to train a linear layer on the features of so many images."""
    steps = -(-count // min(default_batch_size(count), count))
    return {
        "start": start,
        "epochs": max(20, -(-STEPS // steps)),
        "learning_rate": RATE / start.preprocessing.rows,
        "weight_decay": WEIGHT_DECAY,
        "augment": "none",
    }


def cross_validated(
    images: Images,
    together: Sequence[tuple[int, ...]],
    seed: int,
    threads: int | None,
    progress: Callable[[int, int], None] | None = None,
    start: Model | None = None,
) -> Probabilities:
    """Predict each image by networks that were trained neither on it nor on its copies.

    Parameters
    ----------
    images : Images
    together : sequence of tuples of int
        Groups of positions of copies, which stay in one fold.
    seed : int
    threads : int, optional
        All processors by default.
    progress : callable, optional
        Called after every epoch with the number of epochs that are done, and of all.
    start : Model, optional
        A linear layer to start from, where the images are features.

    Returns
    -------
    (N, classes) float64
        Probabilities.
    """
    assert images.labels is not None
    rounds = next((rounds for most, rounds in _ROUNDS if len(images) <= most), 1)
    total = np.zeros((len(images), len(images.classes)))
    for repeat in range(rounds):
        fold = folds(images.labels, together, seed + repeat, dealt=images.groups is not None)
        for k in range(FOLDS):
            trained, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            options = plain_options(images, len(trained)) if start is None else linear_options(len(trained), start)
            epochs = options["epochs"]
            before, total_epochs = epochs * (repeat * FOLDS + k), epochs * rounds * FOLDS

            if progress is not None and before == 0:
                progress(0, total_epochs)

            def tell(now: Progress, before: int = before, most: int = total_epochs) -> None:
                if progress is not None and now.epoch_done:
                    progress(min(before + now.epoch, most), most)

            model = train(
                images.take(trained),
                **options,
                validation_fraction=0,
                folds=0,
                seed=seed + repeat,
                threads=threads,
                notes=unheard,
                verbose=0,
                progress=tell,
            )
            if len(held):
                total[held] += model.predict_proba(images.pixels[held])
    return total / rounds


def folds(labels: Labels, together: Sequence[tuple[int, ...]], seed: int, *, dealt: bool = False) -> NDArray[np.int64]:
    """Assign each image to a fold, stratified by class, with copies in one fold.

    Parameters
    ----------
    labels : (N,) int32
    together : sequence of tuples of int
        Groups of positions of copies.
    seed : int
    dealt : bool
        Whether all images are in groups, which are dealt whole so that folds are stratified as far as possible.

    Returns
    -------
    (N,) int64
        From 0 to `FOLDS` - 1.
    """
    if dealt:
        number = np.arange(len(labels))
        for group in together:
            number[list(group)] = group[0] if group else -1
        return grouped_folds(labels, number, FOLDS, seed)
    draws = np.random.Philox(key=seed).random_raw(len(labels))
    fold = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        fold[members[np.argsort(draws[members], kind="stable")]] = np.arange(len(members)) % FOLDS
    for group in together:
        if group:
            fold[list(group)] = fold[group[0]]
    return fold
