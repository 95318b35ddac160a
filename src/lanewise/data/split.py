"""Holding out a stratified part of the training images, or dealing them into folds.

    stratified_split(labels, fraction, seed) -> (train, held_out)
    grouped_folds(labels, groups, folds, seed) -> the fold of each
    fingerprint(pixels, labels) -> str        by which the same images are known again

The random numbers are counter-based: image n draws the number that belongs to (seed, n), whatever else is drawn.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from lanewise.errors import DataError, OptionError

Indices = npt.NDArray[np.int64]

SAMPLED = 64
"""Images whose pixels a fingerprint depends on; it depends on all labels."""


def stratified_split(
    labels: npt.NDArray[np.int32], fraction: float, seed: int, groups: Indices | None = None
) -> tuple[Indices, Indices]:
    """Choose which images to hold out so that each class is held out in the same proportion.

    A class of two images or more keeps at least one on each side; the image of a class of one stays in training.
    With groups, whole ones are held out, so that proportions differ somewhat, and a class of one group stays in
    training.

    Parameters
    ----------
    labels : (N,) integers
        The class of each image.
    fraction : float
        The share to hold out, between 0 and 1.
    seed : int
        The same seed and labels give the same split, on every machine.
    groups : (N,) integers, optional
        Images of the same group stay on one side.

    Returns
    -------
    train, held_out : int64, each sorted
        Positions in `labels`; together they are all of them.

    Raises
    ------
    OptionError
        When `fraction` does not lie between 0 and 1.
    DataError
        When no class has two images, so that nothing can be held out.
    """
    if not 0.0 < fraction < 1.0:
        raise OptionError(f"a validation fraction of {fraction} makes no sense: give one between 0 and 1, like 0.1")
    if groups is not None:
        held = _held_groups(_Grouped(labels, groups), fraction, seed)[groups_in_order(groups)]
        if not held.any():
            raise DataError("no class has two groups, so none can be held out for validation: give a validation set")
        return np.flatnonzero(~held), np.flatnonzero(held)
    numbers = draws(seed, len(labels))
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        held_out[members[np.argsort(numbers[members], kind="stable")[:count]]] = True
    if not held_out.any():
        raise DataError("no class has two images, so none can be held out for validation: give a validation set")
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def grouped_folds(labels: npt.NDArray[np.int32], groups: Indices, folds: int, seed: int) -> Indices:
    """Deal whole groups, the largest first, each to the fold that has least of its classes so far.

    Parameters
    ----------
    labels, groups : (N,) integers
    folds : int
    seed : int
        The same seed, labels and groups give the same folds, on every machine.

    Returns
    -------
    (N,) int64
        From 0 to `folds` - 1.
    """
    known = _Grouped(labels, groups)
    count = [[0] * len(known.totals) for _ in range(folds)]
    size = [0] * folds
    fold = np.zeros(len(known.parts), np.int64)
    order = np.lexsort((draws(seed, len(known.parts)), -np.array(known.sizes)))
    for group in order.tolist():
        parts = known.parts[group]
        there = [sum(n * of_class[c] / known.totals[c] ** 2 for c, n in parts) for of_class in count]
        best = min(range(folds), key=lambda k: (there[k], size[k], k))
        fold[group] = best
        size[best] += known.sizes[group]
        for c, n in parts:
            count[best][c] += n
    return fold[groups_in_order(groups)]


def groups_in_order(groups: npt.NDArray[np.integer[Any]]) -> Indices:
    """The groups numbered from 0 on, in the order of their numbers."""
    return np.asarray(np.unique(groups, return_inverse=True)[1].reshape(-1), np.int64)


def joined(groups: Indices, images: npt.NDArray[np.integer[Any]]) -> Indices:
    """Groups, of which those that share an image are one, with the lowest of their numbers.

    Parameters
    ----------
    groups : (N,) int64
    images : (N,) integers
        Equal for copies of an image.
    """
    image = groups_in_order(images)
    own = groups_in_order(groups)
    found = groups
    while True:
        before = found
        for together in (image, own):
            least = np.full(int(together.max(initial=-1)) + 1, np.iinfo(np.int64).max)
            np.minimum.at(least, together, found)
            found = least[together]
        if np.array_equal(before, found):
            return found


class _Grouped:
    """How many images of which class each group has: `parts` [group] are (class, images), both in order."""

    def __init__(self, labels: npt.NDArray[np.int32], groups: Indices) -> None:
        label, group = groups_in_order(labels), groups_in_order(groups)
        classes = int(label.max()) + 1
        pairs, images = np.unique(group * classes + label, return_counts=True)
        self.totals: list[int] = np.bincount(label, minlength=classes).tolist()
        self.sizes: list[int] = np.bincount(group).tolist()
        self.parts: list[list[tuple[int, int]]] = [[] for _ in self.sizes]
        for pair, count in zip(pairs.tolist(), images.tolist(), strict=True):
            self.parts[pair // classes].append((pair % classes, count))


def _held_groups(known: _Grouped, fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Whether each group is held out: in random order, each that brings the classes nearer to their shares.

    Then, of each class of which nothing is held out, the group that takes the others the least way from theirs. The
    last group of a class is never held out.
    """
    totals = known.totals
    held = np.zeros(len(known.parts), bool)
    count, left = [0] * len(totals), [0] * len(totals)
    for c in (c for parts in known.parts for c, _ in parts):
        left[c] += 1

    def change(group: int) -> float:
        """Of the sum of squares of what the share of each class lacks, or has too much."""
        parts = known.parts[group]
        return sum(n * (2 * (count[c] - fraction * totals[c]) + n) / totals[c] ** 2 for c, n in parts)

    def free(group: int) -> bool:
        return not held[group] and all(left[c] > 1 for c, _ in known.parts[group])

    def hold(group: int) -> None:
        held[group] = True
        for c, n in known.parts[group]:
            count[c] += n
            left[c] -= 1

    order = np.argsort(draws(seed, len(known.parts)), kind="stable").tolist()
    for group in order:
        if free(group) and change(group) < 0:
            hold(group)
    for c in range(len(totals)):
        others = [] if count[c] else [g for g in order if free(g) and any(of == c for of, _ in known.parts[g])]
        if others:
            hold(min(others, key=change))
    return held


def draws(seed: int, count: int) -> npt.NDArray[np.uint64]:
    """One 64-bit number for each of the counters 0 .. count - 1: a Weyl sequence, mixed as in SplitMix64."""
    counters = np.arange(1, count + 1, dtype=np.uint64)
    start = _mixed(np.array([seed % 2**64], np.uint64))
    return _mixed(start + counters * np.uint64(0x9E3779B97F4A7C15))


def _mixed(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fingerprint(pixels: npt.NDArray[Any], labels: npt.NDArray[np.int32]) -> str:
    """A short text that is the same for the same images in the same order, and hardly ever for others."""
    found = hashlib.blake2b(f"{pixels.shape} {pixels.dtype}".encode(), digest_size=16)
    found.update(np.ascontiguousarray(labels, "<i4").tobytes())
    for number in np.unique(np.linspace(0, len(pixels) - 1, SAMPLED).astype(np.int64)):
        found.update(pixels[number].tobytes())
    return found.hexdigest()
