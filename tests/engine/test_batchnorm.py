"""Batch normalisation in training: running statistics, absent images, groups, weight decay, and folding."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise.engine.folding import Folding
from lanewise.engine.fuse import fuse
from lanewise.engine.inference import Inference
from lanewise.engine.parameters import FlatParameters, Floats
from lanewise.engine.trainer import Optimizer, Trainer
from lanewise.kernels.batchnorm import RATE
from lanewise.lanes.program import LANES
from lanewise.network import reference
from lanewise.network.graph import Graph
from lanewise.network.initial import initial_parameters
from lanewise.network.layers import BatchNorm
from tests.engine.support import as_values, images_for, network, parameters_for, raw_for, steps_of
from tests.engine.test_trainer import trainer_for

TEXT = "conv 5@3 same, batchnorm, relu, flatten, batchnorm, dense 3, softmax"
SHAPE = (2, 5, 4)


def statistics(graph: Graph, parameters: list[Floats]) -> list[Floats]:
    return [array for parameter, array in zip(graph.parameters, parameters, strict=True) if parameter.is_statistic]


@pytest.mark.parametrize(("batch", "present"), [(1, 1), (16, 16), (40, 37), (40, 33), (300, 300), (300, 150)])
def test_running_statistics_are_an_average_of_whole_batches(batch: int, present: int) -> None:
    """Recent ones count more, and the start nothing; one group a shard or several, and shards without an image."""
    graph = network(TEXT, SHAPE)
    parameters, images = parameters_for(graph), images_for(graph, batch)
    numbers = np.where(np.arange(batch) < present, np.arange(batch), -1)
    trainer = trainer_for(graph, parameters, batch)
    first, second = (statistics_of_batch(graph, parameters, x) for x in (images[:present], images[:1]))
    trainer.run(images, steps_of(numbers, 3, learning_rate=0.0))
    for came, batchs in zip(statistics(graph, trainer.parameters), first, strict=True):
        np.testing.assert_allclose(came, batchs, rtol=1e-5, atol=1e-5)
    trainer.run(images, steps_of(np.where(np.arange(batch) < 1, 0, -1), 3, learning_rate=0.0))
    old, new = 1 - RATE, 1
    for came, one, other in zip(statistics(graph, trainer.parameters), first, second, strict=True):
        np.testing.assert_allclose(came, (old * one + new * other) / (old + new), rtol=1e-5, atol=1e-5)


def statistics_of_batch(graph: Graph, parameters: list[Floats], images: Floats) -> list[Floats]:
    """The mean and variance of what each batch normalisation reads, over the whole batch."""
    values = reference.forward(graph, parameters, as_values(images), group=LANES)
    inputs = [values[node.inputs[0]] for node in graph.nodes if isinstance(node.layer, BatchNorm)]
    axes = [(0, *range(2, x.ndim)) for x in inputs]
    return [each for x, over in zip(inputs, axes, strict=True) for each in (x.mean(axis=over), x.var(axis=over))]


def test_values_far_from_zero_keep_their_variance() -> None:
    """Sums of squares are taken around the running mean, which comes near the values' own soon."""
    graph = network("batchnorm, dense 3, softmax", (1, 4, 4))
    images = images_for(graph, 32) + np.float32(1000)
    trainer = trainer_for(graph, initial_parameters(graph, 0), 32)
    for _ in range(150):
        trainer.run(images, steps_of(np.arange(32), 3))
    mean, variance = statistics(graph, trainer.parameters)
    assert mean == pytest.approx([images.mean()], rel=1e-6)
    assert variance == pytest.approx([images.astype(np.float64).var()], rel=1e-3)


def test_images_that_are_absent_change_nothing() -> None:
    """Not even a batch's other lanes: 5 images give the same in a batch of 5 and in one of 16."""
    graph = network(TEXT, SHAPE)
    images, found = images_for(graph, 16), []
    for batch in (5, 16):
        trainer = trainer_for(graph, parameters_for(graph), batch)
        numbers = np.where(np.arange(batch) < 5, np.arange(batch), -1)
        losses, _ = trainer.run(images, steps_of(numbers, 3, learning_rate=0.1))
        found.append((losses[0, :5].tobytes(), trainer.vector.tobytes()))
    assert found[0] == found[1]


def test_an_image_that_counts_for_nothing_is_there_all_the_same() -> None:
    """A weight of 0 takes an image out of the loss, not out of the statistics."""
    graph = network(TEXT, SHAPE)
    images, found = images_for(graph, 16), []
    for weight in (0.0, 0.1):
        trainer = trainer_for(graph, parameters_for(graph), 16)
        trainer.run(images, steps_of(np.arange(16), 3, weights=[weight] * 16))
        found.append(b"".join(array.tobytes() for array in statistics(graph, trainer.parameters)))
    assert found[0] == found[1]


def test_frozen_keeps_all_it_has() -> None:
    graph = network(TEXT.replace("batchnorm", "batchnorm frozen"), SHAPE)
    parameters = parameters_for(graph)
    trainer = trainer_for(graph, parameters, 16)
    trainer.run(images_for(graph, 16), steps_of(np.arange(16), 3, learning_rate=0.1))
    for parameter, came, before in zip(graph.parameters, trainer.parameters, parameters, strict=True):
        norm = isinstance(graph.nodes[parameter.node].layer, BatchNorm)
        assert (came == before).all() == norm, parameter


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weight_decay_spares_scale_and_shift(optimizer: str) -> None:
    graph = network(TEXT, SHAPE)
    images, steps, found = images_for(graph, 16), steps_of(np.arange(16), 3, learning_rate=0.1), []
    for decay in (0.0, 0.5):
        trainer = Trainer(
            graph,
            parameters_for(graph),
            raw_for(graph),
            batch_size=16,
            optimizer=Optimizer(optimizer, weight_decay=decay),
        )
        trainer.run(images, steps)
        found.append(trainer.parameters)
    for parameter, with_none, with_some in zip(graph.parameters, *found, strict=True):
        assert (with_none != with_some).any() == (parameter.role == "weight"), parameter


def test_training_goes_on_from_a_state() -> None:
    """Statistics are in the flat vector, so what is saved and restored has them."""
    graph = network(TEXT, SHAPE)
    images, steps = images_for(graph, 40), steps_of([np.arange(40)] * 2, 3, learning_rate=0.1)
    first = trainer_for(graph, parameters_for(graph), 40)
    first.run(images, steps)
    second = trainer_for(graph, initial_parameters(graph, 9), 40)
    second.restore(first.state())
    for trainer in (first, second):
        trainer.run(images, steps)
    assert first.vector.tobytes() == second.vector.tobytes()


def test_it_is_taken_into_the_layer_before() -> None:
    text = "conv 4@3 nobias, batchnorm, relu, batchnorm, fixed blur, batchnorm, dense 6, batchnorm, batchnorm, dense 3"
    graph = network(text, (2, 7, 6))
    folding = Folding.of(graph)
    kinds = [type(node.layer).__name__ for node in folding.graph.nodes]
    assert kinds == ["Input", "Conv2D", "ReLU", "BatchNorm", "Conv2D", "Flatten", "Dense", "BatchNorm", "Dense"]
    parameters, images = parameters_for(graph), images_for(graph, 3)
    values = reference.forward(graph, parameters, as_values(images))
    folded = reference.forward(folding.graph, folding.fold(parameters), as_values(images))
    np.testing.assert_allclose(folded[-1], values[-1], rtol=1e-5, atol=1e-5)


def test_it_stays_where_others_read_the_convolution() -> None:
    graph = network("conv 4@3 same, residual(batchnorm), dense 3", (2, 7, 6))
    assert Folding.of(graph).graph is graph


@pytest.mark.parametrize("training", [False, True])
def test_it_does_the_sum_of_a_residual_block_and_its_relu(training: bool) -> None:
    """In training; at inference it is gone, and the convolution does both."""
    graph = network("conv 4@3 same, residual(conv 4@3 same, batchnorm), relu, dense 3", (2, 7, 6))
    if not training:
        graph = Folding.of(graph).graph
    operations = {type(o.node.layer).__name__: o for o in fuse(graph, training=training).operations.values()}
    last = operations["BatchNorm" if training else "Conv2D"]
    assert last.plus is not None
    assert last.activation is not None
    assert operations["Add"].done_by == last.number


def test_inference_follows_a_live_vector() -> None:
    """As validation does while training goes on: the same bits as from a copy of the parameters."""
    graph = network(TEXT, SHAPE)
    images = images_for(graph, 20)
    vector = FlatParameters.of(graph).pack(initial_parameters(graph, 0))
    live = Inference(graph, vector, raw_for(graph))
    before = live.run(images)
    later = parameters_for(graph, 3)
    vector[:] = FlatParameters.of(graph).pack(later)
    after = live.run(images)
    assert (before != after).any()
    assert after.tobytes() == Inference(graph, later, raw_for(graph)).run(images).tobytes()
