"""Muon in training: what it updates, and that it pays."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise.engine.muon import OTHERS, Matrix, matrices, scratch
from lanewise.engine.trainer import Optimizer
from tests.engine.support import images_for, network, parameters_for, steps_of
from tests.engine.test_trainer import trainer_for


def test_it_updates_the_weights_of_convolutions() -> None:
    text = (
        "fixed sobel, conv 4@3 same frozen, conv 8@3 same, batchnorm, relu, residual(conv 8@3 same groups 2, relu, "
        "conv 8@1), max 2, dense 9, relu, dense 3, softmax"
    )
    graph = network(text, (3, 8, 8))
    assert sorted((m.filters, m.rest) for m in matrices(graph)) == [(8, 8), (8, 36)]


def test_the_last_layer_is_not_one_of_them() -> None:
    graph = network("conv 4@3, relu, conv 3@1, global average, softmax", (2, 8, 8))
    assert [(m.filters, m.rest) for m in matrices(graph)] == [(4, 18)]


def test_the_largest_come_first() -> None:
    graph = network("conv 4@3, relu, conv 20@5, relu, conv 6@1, relu, dense 3, softmax", (2, 9, 9))
    found = matrices(graph)
    assert [m.filters for m in found] == [20, 6, 4]
    assert scratch(found) == sum(found[0].sizes)
    assert scratch([]) == 0


def test_areas_hold_what_lies_in_them() -> None:
    assert Matrix(0, 0, 20, 27).sizes == (20 * 32, 32 * 32, *[20 * 32] * 4)
    assert Matrix(0, 0, 27, 20).sizes == (27 * 32, 32 * 32, *[20 * 32] * 4)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_network_without_convolutions_is_updated_by_sgd(threads: int) -> None:
    graph = network("dense 9, relu, dense 3, softmax", (1, 5, 5))
    images, steps = images_for(graph, 40), steps_of(np.arange(40), 3, learning_rate=0.03)
    faster = steps_of(np.arange(40), 3, learning_rate=0.03 * OTHERS)
    came = []
    for optimizer, given in ((Optimizer("muon", weight_decay=0.1), steps), (Optimizer("sgd"), faster)):
        trainer = trainer_for(graph, parameters_for(graph), 40, optimizer=optimizer, threads=threads)
        trainer.run(images, given)
        came.append(trainer.vector)
    np.testing.assert_allclose(came[0], came[1], atol=1e-7)


def test_a_clipped_gradient_is_as_good() -> None:
    """Of the first step: what is divided by its norm does not depend on it."""
    graph, came = network("conv 6@3 nobias, relu, dense 3, softmax", (2, 8, 8)), []
    for limit in (1e-3, np.inf):
        trainer = trainer_for(graph, parameters_for(graph), 20, optimizer=Optimizer("muon", clip_norm=limit))
        trainer.run(images_for(graph, 20), steps_of(np.arange(20), 3, learning_rate=0.01))
        came.append(trainer.parameters[0])
    np.testing.assert_allclose(came[0], came[1], atol=1e-5)
    assert np.abs(came[0] - parameters_for(graph)[0]).max() > 1e-3
