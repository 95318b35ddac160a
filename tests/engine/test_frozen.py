"""Frozen layers and fixed filters: no bit of them changes, nothing is computed for them, and others learn as ever."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise.engine import gradients
from lanewise.engine.gradients import Gradients
from lanewise.engine.inference import Inference
from lanewise.engine.parameters import Floats
from lanewise.engine.single import SingleInference
from lanewise.engine.trainer import Optimizer, Trainer
from lanewise.errors import NetworkError
from lanewise.network import reference
from lanewise.network.graph import Graph
from lanewise.network.initial import initial_parameters
from tests.engine.support import as_values, images_for, network, parameters_for, raw_for, steps_of

SHAPE = (3, 12, 11)
NETWORKS = {
    "fixed first": "fixed sobel+laplacian+blur+sharpen, relu, max 2, dense 20, relu, dense 3, softmax",
    "fixed in the middle": "conv 4@3 same, relu, fixed gabor stride 2, max 2, dense 3, softmax",
    "frozen first": "conv 8@3 same frozen, relu, max 2, conv 6@3, relu, dense 3, softmax",
    "pooled by its own kernel": "conv 8@3 same frozen, max 2, relu, conv 6@3, relu, dense 3, softmax",
    "frozen in the middle": "conv 8@3 same, relu, max 2, conv 6@3 frozen, relu, dense 9 frozen, dense 3, softmax",
    "frozen last": "conv 8@3 same, relu, max 2, dense 3 frozen, softmax",
    "frozen on both sides": "conv 8@5 same frozen, dense 16, relu, dense 3 nobias frozen, softmax",
    "branches": "residual(conv 3@3 same, relu | fixed blur, conv 3@1 frozen), relu, dense 1, sigmoid",
}
OPTIMIZERS = {name: Optimizer(name, weight_decay=0.1) for name in ("sgd", "adamw", "muon")}


def trained(graph: Graph, parameters: list[Floats], optimizer: Optimizer, batch: int = 40, threads: int = 2) -> Trainer:
    trainer = Trainer(graph, parameters, raw_for(graph), batch_size=batch, optimizer=optimizer, threads=threads)
    images = np.arange(3 * batch).reshape(3, batch) % 50
    images[1, 5:] = -1
    trainer.run(images_for(graph, 50), steps_of(images, max(2, graph.output_shape[0]), learning_rate=0.05))
    return trainer


@pytest.mark.parametrize("batch", [10, 40, 200])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_no_bit_of_frozen_parameters_changes(name: str, optimizer: str, batch: int) -> None:
    graph = network(NETWORKS[name], SHAPE)
    start = parameters_for(graph)
    trainer = trained(graph, start, OPTIMIZERS[optimizer], batch)
    pairs = zip(graph.trainable, start, trainer.parameters, trainer.gradients, strict=True)
    for learns, before, after, gradient in pairs:
        assert (before.tobytes() != after.tobytes()) == learns
        assert gradient.any() == learns
    assert not all(graph.trainable)


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_others_learn_bit_by_bit_as_if_nothing_were_frozen(
    name: str, deferred: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one step: afterwards the frozen layers would differ."""
    monkeypatch.setattr(gradients, "_pays", lambda *_: deferred)
    graph, free = network(NETWORKS[name], SHAPE), thawed(NETWORKS[name])
    start, steps = parameters_for(graph), steps_of(np.arange(40), max(2, graph.output_shape[0]), learning_rate=0.05)
    came = []
    for one in (graph, free):
        trainer = Trainer(one, start, raw_for(one), batch_size=40, threads=1)
        trainer.run(images_for(one, 50), steps)
        came.append(trainer.parameters)
    for learns, frozen, other in zip(graph.trainable, *came, strict=True):
        assert np.array_equal(frozen, other) == learns


def thawed(text: str) -> Graph:
    """The same shapes with every layer learning."""
    text = text.replace("fixed sobel+laplacian+blur+sharpen", "conv 15@3 same groups 3 nobias")
    text = text.replace("fixed gabor stride 2", "conv 16@5 same stride 2 groups 4 nobias")
    return network(text.replace("fixed blur", "conv 3@3 same groups 3 nobias").replace(" frozen", ""), SHAPE)


@pytest.mark.parametrize("name", NETWORKS)
def test_threads_change_no_bits(name: str) -> None:
    graph = network(NETWORKS[name], SHAPE)
    one, three = (trained(graph, parameters_for(graph), OPTIMIZERS["sgd"], threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one.vector, three.vector)


def test_nothing_is_computed_backward_below_the_lowest_layer_that_learns() -> None:
    def backward(text: str) -> list[str]:
        graph = network(text, SHAPE)
        plan = Trainer(graph, parameters_for(graph), raw_for(graph))._plan(winograd=False)
        return [call.program.name for call in plan.calls if "backward" in call.program.name]

    assert backward("conv 8@3 frozen, relu, max 2, fixed blur, dense 3, softmax") == ["dense backward weight"]
    below = backward("conv 8@3, relu, max 2, fixed blur, dense 3, softmax")
    assert [name for name in below if name.startswith("conv backward")] == [
        "conv backward input",
        "conv backward weight, pooled",
    ]


def test_frozen_parameters_take_no_room_among_the_gradients() -> None:
    text = "conv 8@3 same{}, max 2, dense 100, dense 3, softmax"
    some, none = (Gradients.of(network(text.format(word), SHAPE), 8, 4) for word in (" frozen", ""))
    assert none.shared - some.shared == 8 * 3 * 9 + 8 + 16  # weights and biases are padded to 16
    assert sum(segment.scalars for segment in some.segments) == some.flat.total - 8 * 3 * 9 - 8 - 16


@pytest.mark.parametrize("text", ["fixed sobel, global average, softmax", "conv 2@3 frozen, dense 2 frozen, softmax"])
def test_nothing_to_learn_is_refused(text: str) -> None:
    graph = network(text, SHAPE)
    with pytest.raises(NetworkError, match="nothing to learn: no layer has weights that are not frozen or fixed"):
        Trainer(graph, parameters_for(graph), raw_for(graph))


def test_all_ways_to_predict_agree_on_fixed_filters() -> None:
    graph = network("fixed gabor+sharpen+sobel, relu, max 2, fixed blur valid stride 2, dense 3, softmax", SHAPE)
    parameters, images = initial_parameters(graph, 0), images_for(graph, 20)
    expected = reference.forward(graph, parameters, as_values(images))[-1]
    np.testing.assert_allclose(Inference(graph, parameters, raw_for(graph)).run(images), expected, atol=2e-5)
    single = SingleInference(graph, parameters, raw_for(graph))
    np.testing.assert_allclose([single.run(image) for image in images[:3]], expected[:3], atol=2e-5)
