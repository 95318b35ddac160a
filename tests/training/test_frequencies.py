"""Classes that count alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lanewise
from lanewise.data.images import Images
from lanewise.network.graph import build
from lanewise.network.text import parse
from lanewise.training.frequencies import Balanced, frequencies, on_top, output_bias, weighting
from lanewise.training.loop import Loop
from lanewise.training.options import TrainOptions


def graph_of(text: str) -> Any:
    return build(parse(text), (1, 4, 4))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("conv 2@3x3, dense 3, softmax", True),
        ("dense 1, sigmoid", True),
        ("dense 3", True),
        ("conv 3@1x1, global average, softmax", True),
        ("conv 3@4x4, flatten, softmax", True),
        ("dense 3 nobias, softmax", False),
        ("conv 3@1x1, relu, global average, softmax", False),
        ("conv 3@2x2, flatten, dense 3 nobias, softmax", False),
        ("dense 3, batchnorm, softmax", False),
    ],
)
def test_the_biases_that_are_added_to_the_logits(text: str, found: bool) -> None:
    graph = graph_of(text)
    number = output_bias(graph)
    assert (number is not None) == found
    if number is not None:
        assert graph.parameters[number].role == "bias"
        assert graph.parameters[number].node == max(parameter.node for parameter in graph.parameters)


def test_frequencies_of_weighted_images() -> None:
    labels, weights = np.int32([0, 0, 0, 1, 3]), np.float32([1, 1, 1, 2, 1])
    np.testing.assert_allclose(frequencies(labels, weights, 4), np.array([3, 2, 1, 1]) / 7, rtol=1e-6)


@pytest.mark.parametrize("outputs", [1, 3])
def test_evaluation_takes_away_what_training_puts_on_top(outputs: int) -> None:
    """Probabilities with log f on the logits, divided by f, are those without."""
    rng = np.random.default_rng(0)
    shares = np.float32([0.9, 0.1] if outputs == 1 else [0.7, 0.25, 0.05])
    logits = rng.normal(size=(20, outputs))

    class Fixed:
        def run(self, pixels: Any, images: Any, /) -> Any:
            return np.float32(outputs_of(logits + on_top(shares, outputs)))

    def outputs_of(z: Any) -> Any:
        return 1 / (1 + np.exp(-z)) if outputs == 1 else np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)

    came = Balanced(Fixed(), shares).run(np.zeros(0, np.uint8), np.zeros(0, np.int32))
    np.testing.assert_allclose(came, outputs_of(logits), rtol=1e-4, atol=1e-6)


def test_without_biases_weights_are_roots_of_balanced_ones() -> None:
    labels = np.int32([0] * 99 + [1])
    images = Images(np.zeros((100, 4, 4, 1), np.uint8), labels, ("a", "b"))
    weights, everything = np.float32([0.5] * 99 + [50]), np.arange(100)
    nobias, bias = graph_of("dense 1 nobias, sigmoid"), graph_of("dense 1, sigmoid")
    balanced = TrainOptions(class_weight="balanced")
    rooted, shares = weighting(nobias, images, everything, weights, balanced)
    assert shares is None
    assert rooted.mean() == pytest.approx(1)
    assert rooted[99] / rooted[0] == pytest.approx(10)
    same, shares = weighting(bias, images, everything, weights, balanced)
    assert (same == 1).all()
    assert shares is not None
    assert shares.tolist() == pytest.approx([0.99, 0.01])
    assert weighting(bias, images, everything, weights, TrainOptions())[0] is weights


def tailed(digits: Any) -> tuple[Any, Any]:
    """Digits, of which each class has less than the one before: 140 to 7."""
    labels = digits.train.labels
    chosen = [np.flatnonzero(labels == c)[: round(140 * 0.05 ** (c / 9))] for c in range(10)]
    few = digits.train.take(np.concatenate(chosen))
    return few.pixels, few.labels


def test_balanced_is_better_where_classes_are_as_frequent_afterwards(digits: Any) -> None:
    x, y = tailed(digits)
    options: dict[str, Any] = {"network": "conv 8@3x3 same, relu, max 2, dense 10", "folds": 0, "threads": 1}
    accuracy = []
    for weight in (None, "balanced"):
        models = [lanewise.train(x, y, class_weight=weight, seed=seed, epochs=30, **options) for seed in range(2)]
        accuracy.append(np.mean([(m.predict(digits.test.pixels) == digits.test.labels).mean() for m in models]))
    assert accuracy[1] > accuracy[0] + 0.02


def test_all_outputs_alike_are_as_probable(digits: Any) -> None:
    """A network that can say nothing but the frequencies says 1 / K of each class."""
    x, y = tailed(digits)
    network = "global average, dense 10"
    options: dict[str, Any] = {"network": network, "epochs": 60, "learning_rate": 0.2, "folds": 0, "threads": 1}
    model = lanewise.train(np.zeros_like(x) + x[0], y, class_weight="balanced", notes=lambda note: None, **options)
    np.testing.assert_allclose(model.predict_proba(x[:1]), 0.1, atol=0.02)


def test_going_on_with_no_better_epoch_keeps_the_start_to_the_bit(digits: Any) -> None:
    x, y = tailed(digits)
    options: dict[str, Any] = {"threads": 1, "folds": 0, "class_weight": "balanced", "notes": lambda note: None}
    start = lanewise.train(x, y, network="conv 8@3x3 same, relu, max 2, dense 10", epochs=40, **options)
    on = lanewise.train(x, y, start=start, epochs=1, learning_rate=3.0, **options)
    assert on.provenance["best_epoch"] == 0
    for one, other in zip(start.parameters, on.parameters, strict=True):
        assert one.tobytes() == other.tobytes()


def test_the_new_last_layer_of_a_start_is_balanced_too(start: Any, high: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = high.train.labels
    rare = np.concatenate([np.flatnonzero(labels == c)[: 100 if c < 2 else 5] for c in range(5)])
    seen: list[Any] = []

    def watched(trainer: Any, inference: Any, task: Any, *rest: Any) -> Any:
        seen.append(task.frequencies)
        return Loop(trainer, inference, task, *rest)

    monkeypatch.setattr("lanewise.training.run.Loop", watched)
    few, recall = high.train.take(rare), []
    for weight in ("balanced", None):
        model = lanewise.train(few.pixels, few.labels, start=start, class_weight=weight, notes=lambda note: None)
        recall.append(
            np.mean([(model.predict(high.test.pixels[high.test.labels == c]) == c).mean() for c in (2, 3, 4)])
        )
        if weight:
            assert all(shares is not None and shares[0] > 5 * shares[4] for shares in seen)
    assert recall[0] > recall[1] + 0.05
