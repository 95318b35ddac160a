"""Which images a model does not name, so that few of those that it names are wrong: selective classification.

    c(x)         confidence: the largest of its probabilities
    N(t), V(t)   held-out images with c > t, and those of them that are named wrong
    threshold for a share a: the smallest t with (1 + V(t)) / (1 + N(t)) <= a; x is named if c(x) > t

For new images that are drawn as the held-out ones were, on average over all images that might have been held out:

- at most the share a of all images is named wrong;
- at most the share a of the images that are *named* is wrong, where more confident images are not more often wrong.

The added ones are the new image, taken as named and wrong, so both hold however few images were held out;
docs/decisions/abstention.md has the proofs. Without any mistake, 1 / a - 1 held-out images must be named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import OptionError

SHARES = (*(n / 10**power for power in (5, 4, 3) for n in range(10, 100)), *(n / 100 for n in range(10, 51)))
"""The shares that can be promised, with two digits: they are settled before images are looked at."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """What is named for a promise.

    Attributes
    ----------
    share : the promise: at most this share of the images that are named is wrong
    beyond : images are named whose confidence is larger
    images : held-out images that it rests on
    """

    share: float
    beyond: float
    images: int

    def named(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which images are named, by their probabilities (N, classes)."""
        named: NDArray[np.bool_] = probabilities.max(axis=1, initial=0.0) > self.beyond
        return named

    def __str__(self) -> str:
        """What is promised."""
        return (
            f"on average at most {_percent(self.share)} of those named are wrong, if images are like the "
            f"{self.images:,} held out when the model was trained"
        )


def summary(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> dict[str, Any]:
    """What a model keeps of its held-out images, as values that JSON can hold.

    Parameters
    ----------
    confidence : (N,) float
        The largest probability of each.
    right : (N,) bool
        Whether the class that has it is that of the image.

    Returns
    -------
    dict
        The number of images, how many are named wrong, and under "thresholds", for the shares from each entry's up to
        the next one's: [share, beyond, number of images named].
    """
    order = np.argsort(confidence, kind="stable")
    sorted_, wrong = confidence[order].astype(np.float64), ~right[order]
    # dropped[i] images are dropped by the threshold number i: none, or all up to the last of equal ones
    ends = np.flatnonzero(np.diff(sorted_)) + 1
    dropped = np.concatenate([[0], ends]).astype(np.int64)
    beyond = np.concatenate([[0.0], sorted_[ends - 1]])
    named = len(sorted_) - dropped
    mistakes = int(wrong.sum()) - np.concatenate([[0], np.cumsum(wrong)])[dropped]
    best = np.minimum.accumulate((1 + mistakes) / (1 + named))
    thresholds: list[list[float | int]] = []
    for share in SHARES:
        place = int(np.searchsorted(-best, -share))  # the first that promises no more
        if place < len(best) and (not thresholds or beyond[place] < thresholds[-1][1]):
            thresholds.append([share, float(beyond[place]), int(named[place])])
    return {"images": len(sorted_), "wrong": int(wrong.sum()), "thresholds": thresholds}


def threshold(kept: Mapping[str, Any] | None, share: float) -> Threshold:
    """Which images are named, from what `summary` gave, so that at most a share of them is wrong.

    Parameters
    ----------
    kept : mapping or None
        None if a model has no held-out images.
    share : float

    Raises
    ------
    OptionError
        It is no share, or the held-out images do not allow to promise it; the message says what they do.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= SHARES[-1]:
        raise OptionError(
            f"abstain is the share of named images that may be wrong, above 0 and up to 0.5: not {share!r}"
        )
    if kept is None:
        raise OptionError(
            "abstain needs images that were held out when the model was trained, and this model has none of which that "
            "is sure: train it with a validation set, or without folds"
        )
    fits = [entry for entry in kept["thresholds"] if entry[0] <= share]
    if not fits:
        count = kept["images"]
        least = min((entry[0] for entry in kept["thresholds"]), default=None)
        needed = ceil(1 / share - 1)
        few = f", and {_percent(share)} needs at least {needed:,}" if count < needed else ""
        can = "no promise" if least is None else f"{_percent(least)} at best (abstain={least:g})"
        raise OptionError(
            f"abstain={share:g} cannot be promised: the {count:,} images held out when the model was trained allow "
            f"{can}{few}"
        )
    return Threshold(float(share), float(fits[-1][1]), kept["images"])


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
