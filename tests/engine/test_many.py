"""Many images by the faster of two ways, with the same result on any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lanewise.engine.inference import Inference
from lanewise.engine.many import OneByOne, for_many, one_by_one
from lanewise.engine.parameters import Floats
from lanewise.engine.single import SingleInference
from tests.engine.support import images_for, network, parameters_for, raw_for

pytestmark = pytest.mark.usefixtures("all_processors")


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("conv 32@3 same groups 32, relu6, conv 64@1, relu6, global average, dense 10", 32, True),
        ("conv 32@3 same groups 32, relu6, conv 64@1, relu6, global average, dense 10", 8, False),
        ("conv 64@3 same, relu, conv 64@3 same, relu, global average, dense 10", 32, False),
    ],
)
def test_few_multiply_adds_for_large_maps_go_one_by_one(text: str, size: int, expected: bool) -> None:
    graph = network(text, (32, size, size))
    assert one_by_one(graph) == expected


def test_one_by_one_is_the_single_engine_on_any_threads() -> None:
    graph = network("conv 64@1, relu6, global average, dense 5", (3, 17, 17))
    assert one_by_one(graph)
    parameters, images, raw = parameters_for(graph), images_for(graph, 5), raw_for(graph)
    many, single = for_many(graph, parameters, raw, threads=2), SingleInference(graph, parameters, raw)
    assert isinstance(many, OneByOne)
    expected = np.array([single.run(image) for image in images])
    for threads in (None, 1, 2, 2, 7):
        np.testing.assert_array_equal(many.run(images, threads=threads), expected)
    assert many.run(images[:0]).shape == (0, 5)


def test_an_image_alone_gets_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network("conv 64@1, relu6, global average, dense 5", (3, 17, 17))
    many, images = OneByOne(graph, parameters_for(graph), raw_for(graph), threads=2), images_for(graph, 2)
    expected, used, run = many.run(images), [], SingleInference.run

    def counting(engine: SingleInference, image: NDArray[Any], *, threads: int | None = None) -> Floats:
        used.append(threads)
        return run(engine, image, threads=threads)

    monkeypatch.setattr(SingleInference, "run", counting)
    np.testing.assert_array_equal(many.run(images[:1]), expected[:1])
    np.testing.assert_array_equal(many.run(images), expected)
    np.testing.assert_array_equal(many.run(images[1:], threads=1), expected[1:])
    assert used == [2, 1, 1, 1]


def test_weights_are_shared_by_threads() -> None:
    graph = network("conv 64@1, relu6, global average, dense 5", (3, 17, 17))
    one = SingleInference(graph, parameters_for(graph), raw_for(graph))
    other = one.another()
    assert other._plan is one._plan
    assert not np.shares_memory(other._images, one._images)
    assert not np.shares_memory(other._outputs, one._outputs)


def test_small_networks_run_sixteen_at_once() -> None:
    graph = network("dense 5", (3, 2, 2))
    assert isinstance(for_many(graph, parameters_for(graph), raw_for(graph)), Inference)
