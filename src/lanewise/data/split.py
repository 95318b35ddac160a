"""Holding out a stratified part of the training images.

    stratified_split(labels, fraction, seed) -> (train, held_out)
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


def stratified_split(labels: npt.NDArray[np.int32], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Choose which images to hold out so that each class is held out in the same proportion.

    A class of two images or more keeps at least one on each side; the image of a class of one stays in training.

    Parameters
    ----------
    labels : (N,) integers
        The class of each image.
    fraction : float
        The share to hold out, between 0 and 1.
    seed : int
        The same seed and labels give the same split, on every machine.

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
    numbers = draws(seed, len(labels))
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        held_out[members[np.argsort(numbers[members], kind="stable")[:count]]] = True
    if not held_out.any():
        raise DataError("no class has two images, so none can be held out for validation: give a validation set")
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


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
