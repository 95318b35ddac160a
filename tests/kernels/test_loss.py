"""Losses: against the reference, stable far out, and one image's result never another's business."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.kernels import loss
from lanewise.kernels.layout import Layout
from lanewise.lanes.program import Program
from lanewise.network import reference
from tests.kernels.support import TARGETS, aligned, buffer, from_lanes, into_lanes, run_everywhere

Array = npt.NDArray[np.float32]


def computed(
    program: Program,
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike,
    targets: tuple[str, ...] = ("host",),
    mix: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients (16, outputs), losses (16,) and who is right (16,); `mix` is the other labels and their shares."""
    layout = Layout.of((np.shape(logits)[1],))
    arrays = [into_lanes(logits, layout), buffer(labels, np.int32), buffer(weights)]
    arrays += [aligned(layout.scalars), aligned(16), aligned(16)]
    arrays += [buffer(mix[0], np.int32), buffer(mix[1])] if mix else []
    gradient, losses, correct = run_everywhere(program, arrays, targets)[3:6]
    return from_lanes(gradient, layout)[:, :, 0, 0], losses, correct


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("classes", [1, 2, 10, 37])
def test_softmax(classes: int, label_smoothing: float) -> None:
    rng = np.random.default_rng(classes)
    logits, labels = (4 * rng.normal(size=(16, classes))).astype(np.float32), rng.integers(0, classes, 16)
    weights = rng.choice([0, 0.25, 1 / 3, 1], 16)
    program = loss.softmax_cross_entropy(classes, label_smoothing)
    gradient, losses, correct = computed(program, logits, labels, weights, TARGETS)
    expected, _ = reference.softmax_cross_entropy(logits, labels, np.ones(16), label_smoothing)
    _, expected_gradient = reference.softmax_cross_entropy(logits, labels, weights, label_smoothing)
    np.testing.assert_allclose(losses, expected, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=5e-7)
    np.testing.assert_array_equal(correct, logits.argmax(axis=1) == labels)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_sigmoid(label_smoothing: float) -> None:
    rng = np.random.default_rng(0)
    logits, labels = (4 * rng.normal(size=(16, 1))).astype(np.float32), rng.integers(0, 2, 16)
    weights = rng.choice([0, 0.25, 1 / 3, 1], 16)
    gradient, losses, correct = computed(loss.sigmoid_cross_entropy(label_smoothing), logits, labels, weights, TARGETS)
    expected, _ = reference.sigmoid_cross_entropy(logits, labels, np.ones(16), label_smoothing)
    _, expected_gradient = reference.sigmoid_cross_entropy(logits, labels, weights, label_smoothing)
    np.testing.assert_allclose(losses, expected, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=3e-7)
    np.testing.assert_array_equal(correct, (logits[:, 0] > 0) == labels)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("classes", [2, 10, 37])
def test_softmax_of_mixed_images(classes: int, label_smoothing: float) -> None:
    rng = np.random.default_rng(classes)
    logits, weights = (4 * rng.normal(size=(16, classes))).astype(np.float32), rng.choice([0, 0.25, 1 / 3, 1], 16)
    (labels, others), shares = rng.integers(0, classes, (2, 16)), np.float32(rng.random(16))
    program = loss.softmax_cross_entropy(classes, label_smoothing, mixed=True)
    gradient, losses, correct = computed(program, logits, labels, weights, TARGETS, (others, shares))
    one_hot, t = np.eye(classes), shares[:, None]
    targets = (1 - t) * one_hot[labels] + t * one_hot[others]
    expected, _ = reference.softmax_cross_entropy(logits, targets, np.ones(16), label_smoothing)
    _, expected_gradient = reference.softmax_cross_entropy(logits, targets, weights, label_smoothing)
    np.testing.assert_allclose(losses, expected, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=5e-7)
    np.testing.assert_allclose(correct, targets[np.arange(16), logits.argmax(axis=1)], atol=1e-7)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_sigmoid_of_mixed_images(label_smoothing: float) -> None:
    rng = np.random.default_rng(0)
    logits, weights = (4 * rng.normal(size=(16, 1))).astype(np.float32), rng.choice([0, 0.25, 1 / 3, 1], 16)
    (labels, others), shares = rng.integers(0, 2, (2, 16)), np.float32(rng.random(16))
    program = loss.sigmoid_cross_entropy(label_smoothing, mixed=True)
    gradient, losses, correct = computed(program, logits, labels, weights, TARGETS, (others, shares))
    targets = (1 - shares) * labels + shares * others
    expected, _ = reference.sigmoid_cross_entropy(logits, targets, np.ones(16), label_smoothing)
    _, expected_gradient = reference.sigmoid_cross_entropy(logits, targets, weights, label_smoothing)
    np.testing.assert_allclose(losses, expected, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=3e-7)
    np.testing.assert_allclose(correct, np.where(logits[:, 0] > 0, targets, 1 - targets), atol=1e-7)


@pytest.mark.parametrize("mixed", [False, True])
def test_gradient_is_that_of_finite_differences(mixed: bool) -> None:
    rng = np.random.default_rng(1)
    for program, outputs in (
        (loss.softmax_cross_entropy(3, 0.1, mixed), 3),
        (loss.sigmoid_cross_entropy(0.1, mixed), 1),
    ):
        logits, labels = rng.normal(size=(16, outputs)), rng.integers(0, 2, 16)
        mix = (1 - labels, rng.random(16)) if mixed else None
        gradient, _, _ = computed(program, logits, labels, np.ones(16), mix=mix)
        for j in range(outputs):
            step = np.zeros((16, outputs))
            step[:, j] = 2.0**-6
            up, down = (
                computed(program, logits + s, labels, np.ones(16), mix=mix)[1].astype(float) for s in (step, -step)
            )
            np.testing.assert_allclose((up - down) * 32, gradient[:, j], atol=2e-4)


def test_ties_go_to_the_first_class() -> None:
    logits = np.tile([1.0, 3.0, 3.0, 2.0], (16, 1))
    _, _, correct = computed(loss.softmax_cross_entropy(4), logits, np.arange(16) % 4, np.ones(16))
    np.testing.assert_array_equal(correct, np.arange(16) % 4 == 1)


def test_logit_0_is_class_0() -> None:
    _, _, correct = computed(loss.sigmoid_cross_entropy(), np.zeros((16, 1)), np.arange(16) % 2, np.ones(16))
    np.testing.assert_array_equal(correct, np.arange(16) % 2 == 0)


def test_far_out_nothing_overflows_and_small_gradients_stay_exact() -> None:
    logits = np.resize([[1e4, -1e4], [-1e4, 1e4]], (16, 2))
    gradient, losses, _ = computed(loss.softmax_cross_entropy(2), logits, np.zeros(16), np.ones(16))
    np.testing.assert_array_equal(losses[:2], [0, 2e4])
    np.testing.assert_array_equal(gradient[:2], [[0, 0], [-1, 1]])
    logits, labels = np.resize([[1e4], [-1e4], [20.0], [-20.0]], (16, 1)), np.resize([0, 1, 1, 0], 16)
    gradient, losses, _ = computed(loss.sigmoid_cross_entropy(), logits, labels, np.ones(16))
    small = np.exp(-20.0)
    np.testing.assert_allclose(losses[:4], [1e4, 1e4, small, small], rtol=1e-6)
    np.testing.assert_allclose(gradient[:4, 0], [1, -1, -small, small], rtol=1e-6)


@pytest.mark.parametrize(
    "program", [loss.softmax_cross_entropy(5, 0.1), loss.sigmoid_cross_entropy()], ids=lambda p: p.name
)
def test_an_image_does_not_see_its_neighbours(program: Program) -> None:
    rng = np.random.default_rng(2)
    outputs = program.buffers[0].scalars // 16
    logits, labels, weights = rng.normal(size=(16, outputs)), rng.integers(0, 2, 16), rng.random(16)
    before = computed(program, logits, labels, weights)
    logits[1:], labels[1:], weights[1:] = np.nan, 0, 0
    after = computed(program, logits, labels, weights)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
