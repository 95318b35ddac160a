"""Not naming images: the threshold is the one that is defined, and the promise holds where the truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.abstention import SHARES, summary, threshold
from lanewise.errors import OptionError

Array = npt.NDArray[np.float64]
GRID = (np.arange(2000) + 0.5) / 2000
"""Confidences are uniform: these stand for all."""


def by_definition(confidence: Array, right: npt.NDArray[np.bool_], share: float) -> float | None:
    """The smallest t with (1 + V(t)) / (1 + N(t)) <= share, among 0 and all confidences."""
    for t in sorted({0.0, *confidence.tolist()}):
        named = confidence > t
        if (1 + (named & ~right).sum()) / (1 + named.sum()) <= share:
            return t
    return None


@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_is_as_defined(seed: int) -> None:
    """Also with equal confidences, of which all are named or none."""
    rng = np.random.default_rng(seed)
    confidence = rng.integers(1, 30 + 1, 150) / 32 if seed % 2 else rng.random(150)
    right = rng.random(150) < 0.6 + 0.4 * confidence
    kept = summary(confidence, right)
    assert (kept["images"], kept["wrong"]) == (150, (~right).sum())
    for share in SHARES:
        wanted = by_definition(confidence, right, share)
        if wanted is None:
            with pytest.raises(OptionError):
                threshold(kept, share)
        else:
            found = threshold(kept, share)
            assert found.beyond == wanted
            probabilities = np.stack([confidence, 1 - confidence], axis=1)
            largest = probabilities.max(axis=1)
            np.testing.assert_array_equal(found.named(probabilities.astype(np.float32)), largest.astype("f4") > wanted)


def risks(
    error: Callable[[Array], Array], images: int, share: float, extra: int, times: int = 500
) -> tuple[float, float]:
    """Of rules found from many sets of held-out images: the mean share of wrong ones among those named, 0 if none is,
    and among all. `extra` is 1, as the rule is, or 0 without the image that comes."""
    rng = np.random.default_rng(7)
    errors = error(GRID)
    wrong_beyond = np.append(np.cumsum(errors[::-1])[::-1], 0.0)
    named, total = 0.0, 0.0
    for _ in range(times):
        confidence = rng.random(images)
        right = rng.random(images) >= error(confidence)
        order = np.argsort(confidence)
        if extra:
            try:
                beyond = threshold(summary(confidence, right), share).beyond
            except OptionError:
                continue
        else:
            left = images - np.arange(images + 1)
            wrong = (~right).sum() - np.append(0, np.cumsum(~right[order]))
            fits = np.flatnonzero(wrong[:-1] <= share * left[:-1])
            if not len(fits):
                continue
            beyond = 0.0 if fits[0] == 0 else confidence[order[fits[0] - 1]]
        place = int(np.searchsorted(GRID, beyond, side="right"))
        if place < len(GRID):
            named += wrong_beyond[place] / (len(GRID) - place)
            total += wrong_beyond[place] / len(GRID)
    return named / times, total / times


ERRORS: dict[str, Callable[[Array], Array]] = {
    "falling": lambda c: 0.5 * (1 - c),
    "two kinds": lambda c: np.where(c > 0.4, 0.03, 0.5),
    "confidence says nothing": lambda c: np.full_like(c, 0.06),
    "nor here": lambda c: np.full_like(c, 0.2),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("images", [30, 200])
def test_the_promise_holds(name: str, images: int) -> None:
    """Up to three standard errors of the simulation."""
    named, total = risks(ERRORS[name], images, 0.05, 1)
    assert total <= named <= 0.05 + 0.005


def test_the_promise_is_not_held_by_far_too_much() -> None:
    assert risks(ERRORS["two kinds"], 200, 0.05, 1)[0] > 0.04


def test_without_the_image_that_comes_it_would_be_broken() -> None:
    """What the simulation can see."""
    assert risks(ERRORS["falling"], 30, 0.05, 0)[0] > 0.08
    assert risks(ERRORS["nor here"], 200, 0.05, 0)[0] > 0.15


def test_of_all_images_it_holds_even_if_the_surest_are_the_worst() -> None:
    """Then no promise is possible for those named, which is why docs and docstrings say for what it is made."""
    for images in (30, 200):
        assert risks(lambda c: 0.1 * c**2, images, 0.05, 1)[1] <= 0.05


def test_what_cannot_be_promised_is_said() -> None:
    confidence = np.linspace(0.5, 0.9, 40)
    kept = summary(confidence, np.ones(40, bool))
    assert threshold(kept, 0.025).beyond == 0
    with pytest.raises(
        OptionError, match=r"the 40 images .* allow 2\.5 % at best \(abstain=0\.025\), and 1 % needs at least 99"
    ):
        threshold(kept, 0.01)
    kept = summary(confidence, np.arange(40) % 4 != 0)
    with pytest.raises(OptionError, match=r"allow 25 % at best \(abstain=0\.25\)$"):
        threshold(kept, 0.1)
    with pytest.raises(OptionError, match="allow no promise"):
        threshold(summary(confidence, np.zeros(40, bool)), 0.1)
    with pytest.raises(OptionError, match="this model has none"):
        threshold(None, 0.1)
    for wrong in (0, 0.6, -1, True, "1%", float("nan")):
        with pytest.raises(OptionError, match="abstain is the share"):
            threshold(kept, wrong)


def test_many_images_take_little_room() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(20_000)
    kept = summary(confidence, rng.random(20_000) < confidence)
    assert len(kept["thresholds"]) <= len(SHARES)
