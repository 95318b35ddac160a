"""Test-time augmentation: the mean of the scores of an image and its mirror image, by every way through a network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.engine import many
from lanewise.engine.inference import Inference
from lanewise.engine.many import OneByOne, for_many
from lanewise.engine.single import SingleInference
from lanewise.engine.trainer import Optimizer, Trainer
from lanewise.network import reference
from lanewise.network.graph import Graph
from tests.engine.support import as_values, images_for, network, parameters_for, raw_for, sharing_all

pytestmark = pytest.mark.usefixtures("all_processors")

TEXTS = [
    "conv 5@3 same, relu, max 2, dropout 0.5, dense 6, relu, dense 4, softmax",
    "conv 20@3 same, batchnorm, relu, residual(conv 20@3 same, batchnorm), relu, global average, dense 18, softmax",
    "conv 7@3 same, relu, global average, softmax",
    "conv 3@3 same, conv 2@1x10, flatten, softmax",
    "conv 3@3, dropout 0.5, dense 1, sigmoid",
    "dense 3, batchnorm, softmax",
]


def cases() -> list[Graph]:
    return [network(text, (3, 9, 10)) for text in TEXTS]


def expected(graph: Graph, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    parameters = parameters_for(graph)
    both = [reference.forward(graph, parameters, as_values(each)) for each in (images, images[:, :, ::-1])]
    scores = sum(values[graph.nodes[-1].inputs[0]] for values in both) / 2
    if scores.shape[1:] == (1,):
        return 1 / (1 + np.exp(-scores))
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("graph", cases(), ids=TEXTS)
def test_agrees_with_the_reference(graph: Graph) -> None:
    images, parameters, raw = images_for(graph, 37), parameters_for(graph), raw_for(graph)
    wanted = expected(graph, images)
    assert np.abs(wanted - reference.forward(graph, parameters, as_values(images))[-1]).max() > 1e-3
    came = Inference(graph, parameters, raw, tta=True, threads=2).run(images)
    np.testing.assert_allclose(came, wanted, rtol=1e-5, atol=1e-6)
    single = SingleInference(graph, parameters, raw, tta=True)
    np.testing.assert_allclose([single.run(image) for image in images], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("graph", cases()[:2], ids=TEXTS[:2])
def test_same_bits_on_any_threads_and_for_the_mirror_image(graph: Graph) -> None:
    images, parameters, raw = images_for(graph, 37), parameters_for(graph), raw_for(graph)
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    whole = Inference(graph, parameters, raw, tta=True, threads=3)
    came = whole.run(images)
    for threads in (1, 2, 3):
        np.testing.assert_array_equal(whole.run(mirrored, threads=threads), came)
    np.testing.assert_array_equal(whole.run(images[:3]), came[:3])
    single = SingleInference(graph, parameters, raw, tta=True, threads=1)
    one = np.array([single.run(image) for image in images])
    assert single.threads == 1
    for threads in (2, 3, 4, 7):  # a thread a view, then threads that share each layer
        shared = sharing_all(graph, parameters, threads, tta=True)
        assert (shared.threads == 2) == (threads < 4)
        np.testing.assert_array_equal([shared.run(image) for image in images], one)
        np.testing.assert_array_equal([shared.run(image) for image in mirrored], one)


def test_two_threads_work_in_memory_of_their_own() -> None:
    graph = cases()[1]
    shared, alone = (sharing_all(graph, parameters_for(graph), threads, tta=True) for threads in (2, 1))
    assert (shared.threads, alone.threads) == (2, 1)
    assert shared._plan.arena == 2 * alone._plan.arena
    steps = {place.by_thread for call in shared._plan.calls for place in call.places if place.base == "arena"}
    assert steps == {alone._plan.arena}


def test_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "LARGE", 1)
    graph = network("conv 64@1, relu6, global average, dense 5, softmax", (3, 5, 6))
    images, parameters, raw = images_for(graph, 5), parameters_for(graph), raw_for(graph)
    engine = for_many(graph, parameters, raw, tta=True, threads=2)
    assert isinstance(engine, OneByOne)
    np.testing.assert_allclose(engine.run(images), expected(graph, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("text", TEXTS[:2])
def test_live_vector_of_a_trainer(text: str) -> None:
    """What evaluates while training sees the parameters as they are, folded anew or not."""
    graph = network(text, (3, 9, 10))
    trainer = Trainer(graph, parameters_for(graph), raw_for(graph), batch_size=16, optimizer=Optimizer("sgd"))
    live = Inference(graph, trainer.vector, raw_for(graph), tta=True)
    images = images_for(graph, 16)
    trainer.vector[:] *= np.float32(1.25)
    fresh = Inference(graph, trainer.flat.unpack(trainer.vector), raw_for(graph), tta=True)
    np.testing.assert_array_equal(live.run(images), fresh.run(images))
