"""Photographs made up: each is smooth noise of its own, in the colour of its class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.report.conftest import open_page, tab, telephone

__all__ = ["open_page", "tab", "telephone"]

COLOURS = {"apple": (200, 60, 60), "leaf": (60, 190, 60)}


def photograph(seed: int, colour: tuple[int, int, int], size: int = 64) -> Image.Image:
    noise = np.random.default_rng(seed).integers(-50, 50, (8, 8, 1)) + np.array(colour)
    small = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """24 photographs of each of two classes to learn from, and 8 to test by; none is there twice."""
    root = tmp_path / "photos"
    for part, count in (("train", 24), ("test", 8)):
        for k, (name, colour) in enumerate(COLOURS.items()):
            (root / part / name).mkdir(parents=True)
            for n in range(count):
                photograph(1000 * k + 100 * len(part) + n, colour).save(root / part / name / f"{n:02}.png")
    return root


Painter = Callable[..., Image.Image]


@pytest.fixture
def image() -> Painter:
    return photograph
