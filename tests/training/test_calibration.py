"""A temperature is found where there is one to find, and goes into the last weights without a trace in the graph."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise.engine.inference import Inference
from lanewise.network.graph import build
from lanewise.network.text import parse
from lanewise.training.calibration import calibration, divided, last_sum
from tests.engine.support import images_for, parameters_for, raw_for


def drawn(count: int, temperature: float, classes: int = 5, seed: int = 0):
    """Probabilities of scores that should be divided by a temperature, and labels drawn accordingly."""
    rng = np.random.default_rng(seed)
    scores = 2 * rng.normal(size=(count, classes))
    truth = np.exp(scores / temperature)
    truth /= truth.sum(axis=1, keepdims=True)
    labels = (rng.random((count, 1)) > truth.cumsum(axis=1)[:, :-1]).sum(axis=1).astype(np.int32)
    said = np.exp(scores)
    return (said / said.sum(axis=1, keepdims=True)).astype(np.float32), labels, scores


@pytest.mark.parametrize("temperature", [0.5, 2.0, 3.0])
def test_the_temperature_is_found(temperature):
    probabilities, labels, scores = drawn(4000, temperature)
    found = calibration(probabilities, labels)
    assert found is not None
    assert found.temperature == pytest.approx(temperature, rel=0.1)

    def loss(t):
        logs = scores / t - np.log(np.exp(scores / t).sum(axis=1, keepdims=True))
        return -logs[np.arange(len(labels)), labels].mean()

    assert found.before == pytest.approx(loss(1.0), abs=1e-6)
    assert found.after == pytest.approx(loss(found.temperature), abs=1e-6)
    tried = [loss(2 ** (n / 64)) for n in range(-128, 129)]
    assert found.after == pytest.approx(min(tried), abs=1e-9)


def test_last_digits_change_nothing():
    """Sums and logarithms differ in them from machine to machine."""
    probabilities, labels, _ = drawn(500, 2.0)
    noise = 1 + 1e-7 * np.random.default_rng(1).normal(size=probabilities.shape)
    assert (
        calibration(probabilities, labels).temperature
        == calibration((probabilities * noise).astype("f4"), labels).temperature
    )


def test_none_where_nothing_is_to_be_gained_or_too_little_is_known():
    found = [calibration(*drawn(500, 1.0, seed=seed)[:2]) for seed in range(40)]
    assert 0 < len(found) - found.count(None) <= 6  # chance, in one of twenty
    assert calibration(*drawn(90, 3.0)[:2]) is None
    probabilities, _, _ = drawn(1000, 3.0)
    assert calibration(probabilities, probabilities.argmax(axis=1).astype(np.int32)) is None


def test_images_count_by_their_weights():
    one, two = drawn(2000, 3.0), drawn(2000, 0.5, seed=1)
    probabilities, labels = (np.concatenate([a, b]) for a, b in zip(one[:2], two[:2], strict=True))
    weights = np.repeat(np.array([1, 0], np.float32), 2000)
    assert calibration(probabilities, labels, weights).temperature == calibration(*one[:2]).temperature
    assert calibration(probabilities, labels, 0 * weights).temperature == calibration(probabilities, labels).temperature


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("conv 4@3, relu, dense 3, softmax", "dense1"),
        ("conv 4@3, relu, dropout 0.5, dense 1, dropout 0.5, sigmoid", "dense1"),
        ("conv 4@3, relu, conv 3@1, global average, softmax", "conv2"),
        ("conv 4@3, relu, conv 3@2 nobias, average 2, flatten, dense 3 frozen, softmax", None),
        ("conv 4@3, dense 3, batchnorm, softmax", None),
        ("conv 4@3, dense 3, relu, softmax", None),
        ("conv 4@3, concat(dense 1 | dense 2), softmax", None),
    ],
)
def test_where_it_goes(text, last):
    graph = build(parse(text), (2, 5, 5))
    node = last_sum(graph)
    assert (None if node is None else graph.nodes[node].name) == last
    if node is None:
        return
    parameters, raw, images = parameters_for(graph), raw_for(graph), images_for(graph, 20)
    cooled = divided(graph, tuple(parameters), node, 2.0)
    before, after = (Inference(graph, list(each), raw).run(images).astype(float) for each in (parameters, cooled))
    wanted = before**0.5
    wanted = wanted / (wanted + (1 - before) ** 0.5) if last == "dense1" and graph.output_shape == (1,) else wanted
    if graph.output_shape != (1,):
        wanted /= wanted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after, wanted, atol=1e-6)
