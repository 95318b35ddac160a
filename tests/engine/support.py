"""What the tests of training share: networks with parameters, images and steps, all from one seed."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from lanewise.engine import single, single_parts
from lanewise.engine.parameters import Floats
from lanewise.engine.single import SingleInference
from lanewise.engine.trainer import Steps
from lanewise.network.graph import Graph, build
from lanewise.network.initial import initial_parameters
from lanewise.network.text import parse
from lanewise.preprocessing import Preprocessing

Array = npt.NDArray[np.float64]


def network(text: str, input_shape: tuple[int, int, int]) -> Graph:
    return build(parse(text), input_shape)


def parameters_for(graph: Graph, seed: int = 0) -> list[Floats]:
    """Initial ones, with something added so that biases matter."""
    rng = np.random.default_rng(seed)
    return [p + rng.integers(-64, 65, p.shape).astype(np.float32) / 512 for p in initial_parameters(graph, seed)]  # type: ignore[misc]


def raw_for(graph: Graph, dtype: str = "float32", scale: float = 1.0, offset: float = 0.0) -> Preprocessing:
    channels, rows, columns = graph.input_shape
    return Preprocessing(rows, columns, channels, dtype, (scale,) * channels, (offset,) * channels)


def images_for(graph: Graph, count: int, seed: int = 1) -> Floats:
    """(count, rows, columns, channels), of few bits, the same with every version of NumPy."""
    channels, rows, columns = graph.input_shape
    bits = np.random.Philox(key=[seed, 0]).random_raw(count * rows * columns * channels)
    return ((bits % 65).astype(np.float32) / 16 - 2).reshape(count, rows, columns, channels)


def sharing_all(
    graph: Graph, parameters: list[Floats], threads: int, *, tta: bool = False, **options: Any
) -> SingleInference:
    """One image through a network, each layer shared by so many threads, however small it is."""
    with (
        patch.object(single_parts, "ENOUGH", 1),
        patch.object(single_parts, "LEAST", 1),
        patch.object(single, "usable_threads", lambda threads: threads),
    ):
        return SingleInference(graph, parameters, raw_for(graph, **options), tta=tta, threads=threads)


def as_values(images: Floats) -> Array:
    """As the reference takes them: (n, channels, rows, columns)."""
    return images.transpose(0, 3, 1, 2).astype(np.float64)


def steps_of(
    images: npt.ArrayLike,
    classes: int,
    *,
    learning_rate: float = 0.0,
    weights: npt.ArrayLike | None = None,
    key: tuple[int, int] = (0, 0),
) -> Steps:
    """Steps over `images`, (steps, batch) with -1 for absent ones; image n is of class n * 7 % classes."""
    numbers = np.atleast_2d(np.asarray(images, np.int32))
    present = numbers >= 0
    share = np.where(present, 1 / np.maximum(present.sum(axis=1, keepdims=True), 1), 0)
    return Steps(
        numbers,
        np.where(present, numbers * 7 % classes, 0).astype(np.int32),
        np.asarray(share if weights is None else weights, np.float32).reshape(numbers.shape),
        np.full(len(numbers), learning_rate, np.float32),
        np.tile(np.array(key, np.int32), (len(numbers), 1)),
    )
