"""The evaluate evaluated: by hand-made numbers, by finite differences, and by a fully connected twin."""

import math

import numpy as np
import pytest

from lanewise.network.graph import build
from lanewise.network.layers import Dropout
from lanewise.network.reference import (
    adamw,
    backward,
    forward,
    muon,
    sgd,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from lanewise.network.text import parse
from tests.cases import LAYER_CASES, NETWORK_CASES


def values_for(graph, seed, n=3):
    """Random parameters, images, output gradients and dropout masks."""
    rng = np.random.default_rng(seed)
    parameters = [rng.normal(size=parameter.shape) for parameter in graph.parameters]
    for parameter, array in zip(graph.parameters, parameters, strict=True):
        if parameter.role == "variance":
            array[...] = np.abs(array) + 0.1
    x, gradient = rng.normal(size=(n, *graph.input_shape)), rng.normal(size=(n, *graph.output_shape))
    masks = {
        position: rng.random((n, *node.shape)) >= node.layer.rate
        for position, node in enumerate(graph.nodes)
        if isinstance(node.layer, Dropout)
    }
    return parameters, x, gradient, masks


def has_statistics(case):
    return any(parameter.is_statistic for parameter in case.graph().parameters)


@pytest.mark.parametrize(
    ("case", "group"),
    [(case, None) for case in LAYER_CASES + NETWORK_CASES]
    + [(case, group) for case in LAYER_CASES + NETWORK_CASES if has_statistics(case) for group in (2, 3)],
    ids=str,
)
def test_gradients_are_finite_differences(case, group):
    """While training with batch normalisation, of groups that leave a rest, too."""
    graph = case.graph()
    parameters, x, gradient, masks = values_for(graph, 7)
    values = forward(graph, parameters, x, dropout_masks=masks, group=group)
    assert [value.shape[1:] for value in values] == [node.shape for node in graph.nodes]
    parameter_gradients, value_gradients = backward(
        graph, parameters, values, gradient, dropout_masks=masks, group=group
    )
    assert [s.shape for s in parameter_gradients] == [parameter.shape for parameter in graph.parameters]

    def loss(parameters, x):
        return (forward(graph, parameters, x, dropout_masks=masks, group=group)[-1] * gradient).sum()

    rng, e = np.random.default_rng(8), 1e-5  # less, and rounding in losses of 10,000 and more shows
    for k, (parameter, found) in enumerate(
        zip([*parameters, x], [*parameter_gradients, value_gradients[0]], strict=True)
    ):
        if k < len(parameters) and not graph.trainable[k]:
            assert not found.any()
            continue
        for _ in range(3):
            step = rng.normal(size=parameter.shape)
            ahead, behind = [*parameters, x], [*parameters, x]
            ahead[k], behind[k] = parameter + e * step, parameter - e * step
            difference = (loss(ahead[:-1], ahead[-1]) - loss(behind[:-1], behind[-1])) / (2 * e)
            assert difference == pytest.approx((found * step).sum(), rel=1e-5, abs=1e-6)


def test_batch_normalisation_by_hand():
    """Two images of two pixels: mean 3, variance 5; then another group of one, of mean 2 and variance 1."""
    graph = build(parse("batchnorm 0.0000000001"), (1, 1, 2))
    x = np.array([0.0, 2, 4, 6, 1, 3]).reshape(3, 1, 1, 2)
    *_, y = forward(graph, [[2.0], [1.0], [10.0], [4.0]], x, group=2)
    assert y.ravel() == pytest.approx([1 + 2 * d for d in np.array([-3, -1, 1, 3]) / math.sqrt(5)] + [-1, 3])
    *_, y = forward(graph, [[2.0], [1.0], [10.0], [4.0]], x)
    assert y.ravel() == pytest.approx(x.ravel() - 9), "running statistics"


@pytest.mark.parametrize("case", [case for case in LAYER_CASES if case.name.startswith("conv")], ids=str)
def test_convolution_is_its_formula(case):
    graph = case.graph()
    layer, (top, left, *_) = graph.nodes[1].layer, graph.nodes[1].padding
    rng = np.random.default_rng(3)
    parameters = [rng.integers(-9, 10, parameter.shape) for parameter in graph.parameters]
    x = rng.integers(-9, 10, (2, *graph.input_shape))
    channels, rows, columns = graph.input_shape
    per_group, y = channels // layer.groups, forward(graph, parameters, x)[-1]
    for n, o, r, c in np.ndindex(y.shape):
        total = parameters[1][o] if layer.bias else 0
        first = o // (layer.filters // layer.groups) * per_group
        for i, u, v in np.ndindex(per_group, *layer.kernel):
            row = r * layer.stride[0] + u * layer.dilation[0] - top
            column = c * layer.stride[1] + v * layer.dilation[1] - left
            if 0 <= row < rows and 0 <= column < columns:
                total += parameters[0][o, i, u, v] * x[n, first + i, row, column]
        assert y[n, o, r, c] == total


@pytest.mark.parametrize("case", [case for case in LAYER_CASES if case.name.startswith(("max", "average"))], ids=str)
def test_pooling_is_its_formula(case):
    graph = case.graph()
    node = graph.nodes[1]
    layer, (top, left, bottom, right) = node.layer, node.padding
    x = np.random.default_rng(3).normal(size=(2, *graph.input_shape))
    _, rows, columns = graph.input_shape
    stride = layer.stride or layer.window
    y = forward(graph, [], x)[-1]
    for n, o, r, c in np.ndindex(y.shape):
        inside, counted = [], 0
        for u, v in np.ndindex(layer.window):
            row, column = r * stride[0] + u - top, c * stride[1] + v - left
            if 0 <= row < rows and 0 <= column < columns:
                inside.append(x[n, o, row, column])
            counted += row < rows + bottom and column < columns + right
        if case.name.startswith("max"):
            assert y[n, o, r, c] == max(inside)
        else:
            assert y[n, o, r, c] == pytest.approx(sum(inside) / (counted if layer.count_padding else len(inside)))


def test_equal_values_in_a_window_give_the_gradient_to_the_first():
    graph = build(parse("max 2x3 stride 1"), (1, 2, 4))
    x = np.array([[[[0, 5, 5, 1], [5, 5, 5, 5]]]])
    values = forward(graph, [], x)
    _, gradients = backward(graph, [], values, np.array([[[[10.0, 1.0]]]]))
    np.testing.assert_array_equal(gradients[0], [[[[0, 11, 0, 0], [0, 0, 0, 0]]]])


def test_padding_never_wins_and_gets_no_gradient():
    graph = build(parse("max 3 same stride 1"), (1, 2, 2))
    x = np.array([[[[-4.0, -3.0], [-2.0, -9.0]]]])
    values = forward(graph, [], x)
    np.testing.assert_array_equal(values[-1], np.full((1, 1, 2, 2), -2.0))
    _, gradients = backward(graph, [], values, np.ones((1, 1, 2, 2)))
    np.testing.assert_array_equal(gradients[0], [[[[0, 0], [4, 0]]]])


def test_dropout_divides_what_it_keeps_and_passes_all_on_without_masks():
    graph = build(parse("dropout 0.75"), (1, 1, 3))
    x = np.array([[[[1.0, 2.0, 3.0]]]])
    np.testing.assert_array_equal(forward(graph, [], x)[-1], x)
    values = forward(graph, [], x, dropout_masks={1: [[[[1, 0, 1]]]]})
    np.testing.assert_array_equal(values[-1], [[[[4.0, 0.0, 12.0]]]])


def test_gradient_of_relu_at_zero_is_zero():
    for text, expected in (("relu", 0.0), ("leaky 0.25", 0.25)):
        graph = build(parse(text), (1, 1, 1))
        values = forward(graph, [], np.zeros((1, 1, 1, 1)))
        assert backward(graph, [], values, np.ones((1, 1, 1, 1)))[1][0].item() == expected


def test_large_values_do_not_overflow():
    x = np.array([[[[1e4, -1e4, 0.0]]]])
    np.testing.assert_array_equal(forward(build(parse("sigmoid"), (1, 1, 3)), [], x)[-1], [[[[1, 0, 0.5]]]])
    np.testing.assert_array_equal(forward(build(parse("flatten, softmax"), (1, 1, 3)), [], x)[-1], [[1, 0, 0]])


def test_wrong_images_are_refused():
    with pytest.raises(ValueError, match=r"x has the shape \(2, 1, 4, 5\), the graph takes \(n, \*\(1, 5, 4\)\)"):
        forward(build(parse("relu"), (1, 5, 4)), [], np.zeros((2, 1, 4, 5)))


def test_softmax_cross_entropy_by_hand():
    losses, gradient = softmax_cross_entropy([[0.0, math.log(3.0)], [5.0, 5.0]], [1, 0], [2.0, 0.0])
    np.testing.assert_allclose(losses, [-2 * math.log(0.75), 0])
    np.testing.assert_allclose(gradient, [[0.5, -0.5], [0, 0]])
    smoothed, _ = softmax_cross_entropy([[0.0, math.log(3.0)]], [1], [1.0], 0.2)
    np.testing.assert_allclose(smoothed, [-0.9 * math.log(0.75) - 0.1 * math.log(0.25)])


def test_sigmoid_cross_entropy_by_hand():
    losses, gradient = sigmoid_cross_entropy([[math.log(3.0)], [800.0], [-800.0]], [1, 0, 1], [2.0, 1.0, 1.0])
    np.testing.assert_allclose(losses, [-2 * math.log(0.75), 800, 800])
    np.testing.assert_allclose(gradient, [[-0.5], [1], [-1]])
    smoothed, _ = sigmoid_cross_entropy([[math.log(3.0)]], [1], [1.0], 0.2)
    np.testing.assert_allclose(smoothed, [-0.9 * math.log(0.75) - 0.1 * math.log(0.25)])


@pytest.mark.parametrize("loss", [softmax_cross_entropy, sigmoid_cross_entropy])
def test_loss_gradients_are_finite_differences(loss):
    rng, e = np.random.default_rng(0), 1e-6
    z, weights = rng.normal(size=(5, 4)), rng.random(5)
    targets = rng.integers(0, 4, 5) if loss is softmax_cross_entropy else rng.random((5, 4))
    gradient = loss(z, targets, weights, 0.1)[1]
    for place in np.ndindex(z.shape):
        step = np.zeros_like(z)
        step[place] = e
        difference = loss(z + step, targets, weights, 0.1)[0].sum() - loss(z - step, targets, weights, 0.1)[0].sum()
        assert difference / (2 * e) == pytest.approx(gradient[place], abs=1e-8)


def test_sgd_by_hand():
    w, v = sgd([2.0], [0.5], [1.0], learning_rate=0.1, momentum=0.9, weight_decay=0.25)
    assert (w.item(), v.item()) == (pytest.approx(2 - 0.1 * 1.9), pytest.approx(1.9))  # g = 1, v = 0.9 + 1
    w, v = sgd([2.0], [0.5], [1.0], learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.25)
    assert (w.item(), v.item()) == (pytest.approx(2 - 0.1 * (1 + 0.9 * 1.9)), pytest.approx(1.9))


def test_adamw_by_hand():
    w, mean, square = adamw([2.0], [-0.5], [0.0], [0.0], 1, learning_rate=0.1, weight_decay=0.25)
    assert w.item() == pytest.approx(2 - 0.1 * (-1 + 0.25 * 2))  # the first step has the size of the learning rate
    assert (mean.item(), square.item()) == (pytest.approx(-0.05), pytest.approx(0.00025))
    w, mean, square = adamw(w, [1.0], mean, square, 2, learning_rate=0.1)
    m, s = (-0.05 * 0.9 + 0.1) / (1 - 0.9**2), (0.00025 * 0.999 + 0.001) / (1 - 0.999**2)
    assert w.item() == pytest.approx(2.05 - 0.1 * m / (math.sqrt(s) + 1e-8))


def test_muon_moves_all_directions_alike():
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=(6, 2, 2, 3)) * np.array([1, 1, 10, 10, 0.1, 0.1])[:, None, None, None]
    w, v = muon(np.zeros(gradient.shape), gradient, np.zeros(gradient.shape), learning_rate=0.1)
    np.testing.assert_array_equal(v, gradient)
    sizes = np.linalg.svd(w.reshape(6, 12), compute_uv=False)
    assert 0.05 < sizes.min() < sizes.max() < 0.125
    came = np.linalg.svd(gradient.reshape(6, 12), compute_uv=False)
    assert came.max() > 50 * came.min()
    assert (w * gradient).sum() < 0
