"""How large the default network is: by the images, the preset, and the time that there is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lanewise.data.images import Images
from lanewise.training import effort as effort_of_training
from lanewise.training.checkpoint import Keeper
from lanewise.training.effort import effort_for, effort_kept, images_per_second
from lanewise.training.recipe import Difficulty, Effort, default_network, network_for, reason

HARD = Effort(Difficulty.HARD)
MANY_HARD = Effort(Difficulty.HARD, dropout=False)


def noise(count: int, size: int = 16) -> Images:
    """Images that say nothing of their class."""
    random = np.random.default_rng(0)
    labels = (np.arange(count) % 4).astype(np.int32)
    return Images(random.integers(0, 255, (count, size, size, 1)).astype(np.uint8), labels, tuple("abcd"))


@pytest.mark.parametrize(
    ("count", "size", "preset", "expected"),
    [
        (200, 16, "quick", Effort(Difficulty.USUAL, length=0.5)),
        (200, 16, "good", HARD),
        (200, 16, "best", Effort(Difficulty.HARD, length=3.0)),
        (5000, 16, "best", Effort(Difficulty.HARD, width=2, length=3.0, dropout=False)),
        (200, 8, "best", Effort(Difficulty.USUAL, length=3.0)),
        (200, 50, "best", Effort(Difficulty.USUAL, length=3.0)),
    ],
)
def test_presets(count: int, size: int, preset: str, expected: Effort) -> None:
    assert effort_for(noise(count, size), preset=preset) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    # 5,000 hard images get 22 epochs, or 110,000 images
    [
        (10, Effort()),
        (30, Effort()),
        (60, MANY_HARD),
        (200, MANY_HARD),
        (1000, replace(MANY_HARD, width=2)),
    ],
)
def test_a_budget_chooses_the_largest_network_that_it_is_enough_for(
    seconds: float, expected: Effort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effort_of_training, "images_per_second", lambda *_: 1000.0)
    assert effort_for(noise(5000), budget=seconds) == expected
    assert effort_for(noise(5000, 8), budget=seconds) == Effort()


def test_few_images_get_no_wider_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort_of_training, "images_per_second", lambda *_: 1e6)
    assert effort_for(noise(200), budget=1e6) == HARD


def test_speed_is_measured_by_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort_of_training, "MEASURED_SECONDS", 0.001)
    images = noise(200)
    graph, _ = network_for("conv 4@3x3, max 2, dense 4", (1, 16, 16), 4)
    assert images_per_second(images, graph, 64, 1) > 100


@pytest.mark.parametrize(
    ("seconds", "width"),
    # 30,000 hard images get 9 epochs; the wider networks have 2.2, 3.9, 8.6 and 15 times the multiply-adds
    [(80, None), (100, 1), (850, 1), (950, 1.5), (1700, 2), (3700, 3), (6500, 4)],
)
def test_the_longer_the_budget_the_wider_the_network(
    seconds: float, width: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effort_of_training, "images_per_second", lambda *_: 1000.0)
    found = effort_for(noise(30_000), budget=seconds)
    assert (found.width if found.hard else None) == width


def test_many_hard_images_need_no_dropout() -> None:
    assert effort_for(noise(200)).dropout
    assert not effort_for(noise(5000)).dropout
    assert effort_for(noise(5000, 8)).dropout, "these are not called hard"
    text = default_network((3, 32, 32), 10, effort=Effort(Difficulty.HARD, dropout=False))
    assert text == default_network((3, 32, 32), 10, effort=HARD).replace("dropout 0.25, ", "")


def test_images_are_called_hard_only_if_they_are() -> None:
    """A preset takes the network for hard images, whatever they are."""
    labels = (np.arange(200) % 4).astype(np.int32)
    templates = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 1))
    plain = Images(templates[labels].astype(np.uint8), labels, tuple("abcd"))
    easy, hard = effort_for(plain, preset="best"), effort_for(noise(200), preset="best")
    assert easy.hard
    assert reason(easy, network=True, epochs=True) is None
    assert "hard to tell apart" in str(reason(hard, network=True, epochs=True))


@pytest.mark.parametrize("options", [{"preset": "best"}, {"preset": "good", "budget": 900.0}, {"preset": "quick"}])
def test_what_is_kept_of_an_effort_is_all_of_it(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Training takes the network that was chosen, be it resumed or not."""
    monkeypatch.setattr(effort_of_training, "images_per_second", lambda *_: 1000.0)
    images, asked = noise(30_000), {"budget": None, "threads": None} | options
    keeper = Keeper()
    assert effort_kept(keeper, images, **asked) == effort_for(images, **asked)
    monkeypatch.setattr(effort_of_training, "images_per_second", lambda *_: 1.0)
    again = effort_kept(keeper, images, **asked)
    assert again.hard == (asked["budget"] is not None or asked["preset"] == "best")
