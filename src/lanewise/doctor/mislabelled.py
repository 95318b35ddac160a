"""Pictures that look mislabelled: what a network says of them that has not learned from them.

The pictures are cut into folds; each fold is judged by a network that learned the others. Small data is cut several
times, and the probabilities are averaged. Copies of a picture stay in one fold, or the network would know the label.

Which to suspect follows confident learning (Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty
in dataset labels", Journal of Artificial Intelligence Research 70, 2021): the threshold of class j is the mean
probability of j over pictures labelled j; a picture labelled i is suspect if another class reaches its threshold, and
is then taken for the most probable of those. They are ranked by the margin between that class and the label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.doctor.findings import WARNING, Case, Collection, Finding, counted
from lanewise.errors import DataError
from lanewise.fitting import train
from lanewise.learning.pictures import Pictures

FOLDS = 4
LEAST = 5
"""Pictures of a class, below which its labels are not tested."""

_SEVERAL = 2000  # pictures up to which the data is cut twice
_SEEN = 40_000  # pictures that each network learns from, counting repetitions
_TEMPERATURES = np.geomspace(0.5, 8.0, 41)

Probabilities = NDArray[np.float64]
Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """Pictures whose labels look wrong, the worst first.

    Attributes
    ----------
    which : (n,) int64
    instead : (n,) int64
        The class that each looks like.
    own, other : (n,) float64
        Probabilities of the label and of that class.
    by_chance : float
        How many there would be if all labels were right and the network were as unsure as it says.
    """

    which: NDArray[np.int64]
    instead: NDArray[np.int64]
    own: Probabilities
    other: Probabilities
    by_chance: float


def mislabelled(
    collection: Collection,
    copies: Sequence[tuple[int, ...]],
    seed: int,
    threads: int | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Finding], float]:
    """Test the labels of all pictures.

    Returns
    -------
    findings : list of Finding
        One or none.
    accuracy : float
        How often the network that had not seen a picture gave its label.

    Raises
    ------
    DataError
        When the pictures are too few.
    """
    counts = np.bincount(collection.labels[collection.labels >= 0], minlength=len(collection.classes))
    tested = np.flatnonzero(counts >= LEAST)
    if len(tested) < 2:
        raise DataError(f"labels were not tested: that takes two classes with {LEAST} pictures each")
    chosen = np.flatnonzero(np.isin(collection.labels, tested))
    labels = np.searchsorted(tested, collection.labels[chosen]).astype(np.int32)
    place = {int(n): k for k, n in enumerate(chosen)}
    together = [tuple(place[n] for n in group if n in place) for group in copies]
    pictures = Pictures(collection.pixels[chosen], labels, tuple(collection.classes[k] for k in tested))
    probabilities = cross_validated(pictures, together, seed, threads, progress)
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    found = suspects(probabilities, labels)
    if not len(found.which):
        return [], accuracy
    cases = []
    for n, instead, own, other in zip(found.which, found.instead, found.own, found.other, strict=True):
        picture, like = int(chosen[n]), pictures.classes[instead]
        detail = (
            f"labelled {collection.label(picture)!r} ({100 * own:.0f} %), looks like {like!r} ({100 * other:.0f} %)"
        )
        cases.append(Case((picture,), (collection.names[picture],), detail, like))
    message = (
        f"{counted(len(cases), 'picture', 'looks/look')} mislabelled to networks that had not seen them. They agree "
        f"{100 * accuracy:.1f} % of all labels, and would suspect some {found.by_chance:.0f} if every label were right."
    )
    advice = "Look at them from the top, and correct what is wrong; stop when most are right."
    return [Finding("mislabelled", WARNING, message, advice, tuple(cases))], accuracy


def suspects(probabilities: Probabilities, labels: Labels) -> Suspects:
    """Choose and rank by confident learning; `probabilities` are (N, classes), of pictures not learned from."""
    probabilities = calibrated(probabilities, labels)
    every = np.arange(len(labels))
    own = probabilities[every, labels]
    sums = np.bincount(labels, weights=own, minlength=probabilities.shape[1])
    threshold = sums / np.maximum(np.bincount(labels, minlength=probabilities.shape[1]), 1)
    confident = np.where(probabilities >= threshold, probabilities, -1.0)
    confident[every, labels] = -1.0
    instead = confident.argmax(axis=1)
    other = confident[every, instead]
    which = np.flatnonzero(other > own)
    which = which[np.argsort(own[which] - other[which], kind="stable")]
    # A label drawn from the probabilities themselves would be suspect so often, with nobody having made a mistake.
    most = np.where(probabilities >= threshold, probabilities, -1.0).max(axis=1, keepdims=True)
    by_chance = float(probabilities[probabilities < most].sum())
    return Suspects(which, instead[which], own[which], other[which], by_chance)


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


def cross_validated(
    pictures: Pictures,
    together: Sequence[tuple[int, ...]],
    seed: int,
    threads: int | None,
    progress: Callable[[int, int], None] | None = None,
) -> Probabilities:
    """Probabilities (N, classes) of each picture by networks that have not learned from it, nor from its copies."""
    assert pictures.labels is not None
    rounds = 2 if len(pictures) <= _SEVERAL else 1
    total = np.zeros((len(pictures), len(pictures.classes)))
    for repeat in range(rounds):
        fold = folds(pictures.labels, together, seed + repeat)
        for k in range(FOLDS):
            if progress is not None:
                progress(repeat * FOLDS + k, rounds * FOLDS)
            learned, judged = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            epochs = max(4, min(40, round(_SEEN / len(learned))))
            model = train(
                pictures.take(learned),
                epochs=epochs,
                validation_fraction=0,
                seed=seed + repeat,
                threads=threads,
            )
            if len(judged):
                total[judged] += model.predict_proba(pictures.pixels[judged])
    if progress is not None:
        progress(rounds * FOLDS, rounds * FOLDS)
    return total / rounds


def folds(labels: Labels, together: Sequence[tuple[int, ...]], seed: int) -> NDArray[np.int64]:
    """A fold for each picture, in equal share of each class, but copies into one."""
    draws = np.random.Philox(key=seed).random_raw(len(labels))
    fold = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        fold[members[np.argsort(draws[members], kind="stable")]] = np.arange(len(members)) % FOLDS
    for group in together:
        if group:
            fold[list(group)] = fold[group[0]]
    return fold
