"""Small models with random weights, to be explained."""

from __future__ import annotations

import numpy as np

from lanewise.model import Model
from tests.model_file.models import contents


def model(text: str, shape: tuple[int, int, int] = (3, 9, 7), dtype: str = "uint8", seed: int = 0) -> Model:
    """A network with random weights; `shape` is (channels, rows, columns)."""
    parts = contents(text, shape, dtype, seed)
    return Model(parts.graph, parts.parameters, parts.classes, parts.preprocessing, parts.network)


def image(of: Model, seed: int = 1) -> np.ndarray:
    """Raw pixels (rows, columns, channels) of the type that `of` takes."""
    rng = np.random.default_rng(seed)
    if of.preprocessing.dtype == "uint8":
        return rng.integers(0, 256, of.preprocessing.shape).astype(np.uint8)
    return rng.normal(size=of.preprocessing.shape).astype(np.float32)
