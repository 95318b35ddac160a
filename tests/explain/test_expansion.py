"""The expansion gives the same outputs, and learns the same by the backpropagation of fully connected layers."""

import re
import sys

import numpy as np
import pytest

from lanewise.engine.trainer import Optimizer, Trainer
from lanewise.errors import DataError, MissingPackageError, NetworkError, OptionError, TooLargeError
from lanewise.explain import expand, feature_maps, matrices
from lanewise.network import layers
from lanewise.network.graph import build
from lanewise.network.initial import initial_parameters
from lanewise.network.layers import Activation, Affine, LayerNorm, Multiply, PReLU, Sigmoid, Softmax
from lanewise.network.reference import backward, forward, softmax_cross_entropy
from lanewise.network.summary import summary
from lanewise.network.text import parse
from tests.cases import LAYER_CASES, NETWORK_CASES
from tests.engine.support import as_values, images_for, parameters_for, raw_for, steps_of
from tests.explain.support import image, model

ARTICLE = build(parse("conv 1@2x2"), (1, 4, 4))


def some(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def weights_of(graph, seed=0):
    made = [some(parameter.shape, seed + number) for number, parameter in enumerate(graph.parameters)]
    return [
        np.abs(one) + 0.1 if parameter.role == "variance" else one
        for one, parameter in zip(made, graph.parameters, strict=True)
    ]


def test_the_example_of_one_kernel_on_a_4x4_image():
    conv = expand(ARTICLE, "conv1", parameters=[np.array([[[[1, 2], [3, 4]]]]), np.array([0.5])])
    assert conv.matrix.toarray().tolist() == [
        [1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4],
    ]
    assert conv.weight_index.tolist() == [0, 1, 2, 3] * 9
    assert (conv.bias.tolist(), conv.bias_index.tolist()) == ([0.5] * 9, [0] * 9)
    assert (conv.name, conv.input_shape, conv.output_shape) == ("conv1", (1, 4, 4), (1, 3, 3))
    assert (conv.connections, conv.dense_weights, conv.sparsity, conv.weight_shape) == (36, 144, 0.75, (1, 1, 2, 2))
    assert conv.uses.tolist() == [[[[9, 9], [9, 9]]]]


LINEAR = [(case, position) for case in [*LAYER_CASES, *NETWORK_CASES] for position in range(1, len(case.graph().nodes))]


@pytest.mark.parametrize(("case", "position"), LINEAR, ids=str)
def test_each_layer_gives_the_same_outputs(case, position):
    graph = case.graph()
    node, parameters, x = graph.nodes[position], weights_of(graph), some(graph.input_shape, 9)
    bends = isinstance(node.layer, Softmax | Multiply | LayerNorm | layers.LRN)
    if bends or (isinstance(node.layer, Activation) and node.layer.below is None):
        with pytest.raises(
            NetworkError, match=rf"^{node.name} \([\w. -]+\) is no weighted sum .* expand the layers before"
        ):
            expand(graph, position, x, parameters=parameters)
        return
    values = forward(graph, parameters, x[None])
    layer = expand(graph, node.name, x, parameters=parameters)
    given = np.concatenate([values[source].ravel() for source in node.inputs])
    assert layer.apply(given) == pytest.approx(values[position][0], rel=1e-12, abs=1e-12)
    assert layer.output_shape == node.shape
    assert layer.matrix.dtype == np.float64
    assert layer.matrix.has_canonical_format
    known = summary(graph)[position]
    if isinstance(node.layer, Affine):
        own = [parameters[k] for k in graph.parameters_of(position)]
        factor, offset = node.layer.factor_and_offset(own)
        assert np.array_equal(layer.matrix.data, factor[layer.weight_index])
        assert np.array_equal(layer.bias, offset[layer.bias_index])
        assert (layer.weight_shape, layer.uses.max()) == (node.shape[:1], np.prod(node.shape[1:]))
    elif graph.parameters_of(position) and not isinstance(node.layer, PReLU):
        weight = parameters[graph.parameters_of(position)[0]]
        assert layer.weight_shape == weight.shape
        assert np.array_equal(layer.matrix.data, weight.ravel()[layer.weight_index])
        assert (layer.connections, layer.uses.max()) == (known.connections, known.max_sharing)
    else:
        assert (layer.weight_index == -1).all()
        assert layer.weight_shape == (0,)
    if "average" in node.name:
        assert layer.connections == known.connections


def test_weights_of_zero_are_connections():
    conv = expand(ARTICLE, "conv1", parameters=[np.zeros((1, 1, 2, 2)), np.zeros(1)])
    assert conv.connections == 36


def test_relu_and_max_are_matrices_of_zeros_and_ones_for_a_image():
    graph = build(parse("max 2, relu"), (1, 2, 4))
    x = np.array([[[-3.0, -1, 5, 5], [-1, -2, 5, 4]]])
    pool, relu = expand(graph, "max1", x), expand(graph, "relu1", x)
    assert pool.matrix.toarray().tolist() == [[0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 0]]
    assert relu.matrix.toarray().tolist() == [[0, 0], [0, 1]]
    assert relu.connections == 1


def test_a_matrix_that_depends_on_the_image_needs_one():
    graph = build(parse("conv 2@3, relu, max 2, leaky, dense 3"), (1, 8, 8))
    for name, text in (("relu1", "relu"), ("max1", "max 2"), ("leaky1", "leaky 0.01")):
        told = rf"{name} \({text}\) depends on the image, and none was given; .*expand\(model, '{name}', image\)"
        with pytest.raises(OptionError, match=told):
            expand(graph, name)
    with pytest.raises(OptionError, match="relu1"):
        expand(graph)
    assert expand(graph, "dense1").matrix.shape == (3, 18)


@pytest.mark.parametrize(
    "case", [case for case in NETWORK_CASES if not re.search("gate|layernorm|lrn", case.text)], ids=str
)
def test_a_network_is_one_matrix_for_a_image(case):
    made = model(f"{case.text.replace('tanh', 'leaky')}, flatten, softmax", case.input_shape, dtype="float32")
    if isinstance(made.graph.nodes[-3].layer, Sigmoid | Softmax):
        made = model(case.text.replace("tanh", "leaky"), case.input_shape, dtype="float32")
    x = image(made)
    maps = feature_maps(made, x)
    whole = expand(made, image=x)
    assert whole.apply(maps[0].values) == pytest.approx(maps[-2].values.ravel(), rel=1e-9, abs=1e-9)
    assert (whole.name, whole.input_shape) == (maps[-2].name, case.input_shape)
    assert [layer.name for layer in whole.layers] == [one.name for one in maps[1:-1]]
    assert (whole.weight_index == -1).all()
    assert len(whole.weight_index) == whole.connections
    for number, layer in enumerate(whole.layers, 1):
        inputs = np.concatenate([maps[source].values.ravel() for source in made.graph.nodes[number].inputs])
        assert layer.apply(inputs) == pytest.approx(maps[number].values, rel=1e-9, abs=1e-9)


def test_its_matrix_is_the_gradient_of_the_scores():
    branches = "residual(conv 4@3 same, relu | conv 4@1), concat(conv 2@1 | conv 3@3 same)"
    text = f"conv 4@3 same, relu, max 2, {branches}, dense 3"
    graph = build(parse(text), (2, 6, 7))
    parameters, x = weights_of(graph), some(graph.input_shape, 9)
    values = forward(graph, parameters, x[None])
    rows = [backward(graph, parameters, values, gradient[None])[1][0].ravel() for gradient in np.eye(3)]
    assert expand(graph, None, x, parameters=parameters).matrix.toarray() == pytest.approx(np.array(rows), abs=1e-12)


def test_a_linear_network_is_one_matrix_for_all_images():
    graph = build(parse("conv 4@3 same, average 2, conv 2@2, dense 3"), (2, 6, 8))
    whole = expand(graph)
    for seed in range(3):
        x = some(graph.input_shape, seed)
        expected = forward(graph, [np.float64(one) for one in initial_parameters(graph, 0)], x[None])[-1][0]
        assert whole.apply(x) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "text",
    ["conv 3@3", "conv 4@3x2 same stride 2 groups 2", "conv 6@3x2 pad 1:2:0:1 stride 2x1 dilation 1x2 groups 2 nobias"],
)
def test_masked_backpropagation_is_that_of_the_convolution(text):
    """Five steps of a fully connected layer that forgets all gradients but those of its shared weights."""
    graph = build(parse(text), (2, 7, 8))
    parameters = weights_of(graph)
    layer = expand(graph, "conv1", parameters=parameters)
    x, target = some((6, *graph.input_shape), 1), some((6, *graph.output_shape), 2)
    flat, wanted = x.reshape(6, -1), target.reshape(6, -1)
    for _ in range(5):
        values = forward(graph, parameters, x)
        gradients, _ = backward(graph, parameters, values, values[-1] - target)
        parameters = [one - 0.01 * gradient for one, gradient in zip(parameters, gradients, strict=True)]

        matrix, bias = layer.matrix.toarray(), layer.bias
        dy = flat @ matrix.T + bias - wanted
        weight = matrix_weights(layer) - 0.01 * layer.weight_gradient(dy.T @ flat)
        if len(parameters) > 1:
            layer = layer.with_weights(weight, own_biases(layer) - 0.01 * layer.bias_gradient(dy.sum(axis=0)))
            assert own_biases(layer) == pytest.approx(parameters[1], rel=1e-10)
        else:
            layer = layer.with_weights(weight)
            assert layer.bias_gradient(dy.sum(axis=0)).size == 0
        assert matrix_weights(layer) == pytest.approx(parameters[0], rel=1e-10, abs=1e-12)


def matrix_weights(layer):
    """The shared weights, read back from the matrix, where each stands many times."""
    weights = np.zeros(layer.weight_shape)
    weights.flat[layer.weight_index] = layer.matrix.data
    return weights


def own_biases(layer):
    biases = np.zeros(layer.bias_index.max() + 1)
    biases[layer.bias_index] = layer.bias
    return biases


def test_a_whole_network_learns_the_same_as_the_engine():
    """Matrices with masked gradients, image by image, against the machine code that trains convolutions."""
    count, rate = 8, 0.05
    graph = build(parse("conv 4@3 same, relu, max 2, conv 3@2, relu, average 2, dense 3"), (1, 8, 8))
    images, parameters = images_for(graph, count), parameters_for(graph)
    steps = steps_of(np.tile(np.arange(count), (4, 1)), 3, learning_rate=rate)
    plain = Optimizer("sgd", momentum=0.0, nesterov=False)
    trainer = Trainer(graph, parameters, raw_for(graph), batch_size=count, optimizer=plain, threads=1)
    trainer.run(images, steps)

    learned = [np.float64(one) for one in parameters]
    for labels in steps.labels:
        gradients = [np.zeros_like(one) for one in learned]
        for x, label in zip(as_values(images), labels, strict=True):
            add_gradients(graph, learned, x, label, gradients)
        learned = [one - rate * gradient / count for one, gradient in zip(learned, gradients, strict=True)]  # type: ignore[misc]
    for found, expected, before in zip(trainer.parameters, learned, parameters, strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert np.abs(expected - before).max() > 1e-4


def add_gradients(graph, parameters, x, label, gradients):
    """One image through the matrices of all layers, forward and back."""
    layers = expand(graph, None, x, parameters=parameters).layers
    values = [x]
    for layer in layers:
        values.append(layer.apply(values[-1]))
    _, (dy,) = softmax_cross_entropy(values[-1][None], [label], [1.0])
    for position in range(len(layers), 0, -1):
        layer = layers[position - 1]
        flat = values[position - 1].ravel()
        own = graph.parameters_of(position)
        if own:
            gradients[own[0]] += layer.weight_gradient(np.outer(dy, flat))
            gradients[own[1]] += layer.bias_gradient(dy)
        dy = layer.matrix.T @ dy


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda layer: layer.apply(np.zeros(15)), r"conv1 takes inputs of shape \(1, 4, 4\), not \(15,\)"),
        (lambda layer: layer.with_weights(np.zeros((2, 2))), r"weights of shape \(1, 1, 2, 2\), not \(2, 2\)"),
        (lambda layer: layer.with_weights(np.zeros((1, 1, 2, 2)), np.zeros(2)), r"biases of shape \(1,\), not \(2,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change, problem):
    with pytest.raises(DataError, match=problem):
        change(expand(ARTICLE, "conv1"))


def test_layers_without_weights_have_none_to_change():
    flat = expand(build(parse("flatten"), (1, 2, 2)), "flatten1")
    with pytest.raises(DataError, match=r"flatten1 has weights of shape \(0,\), not \(\)"):
        flat.with_weights(np.zeros(()))
    assert flat.uses.size == 0
    assert flat.weight_gradient(np.ones((4, 4))).size == 0


def test_a_graph_starts_as_training_would():
    assert np.array_equal(expand(ARTICLE, "conv1").matrix.data[:4], initial_parameters(ARTICLE, 0)[0].ravel())


def test_what_cannot_be_expanded_is_named():
    made = model("conv 4@3 same, relu, dense 3, softmax")
    for asked, problem in (
        (("cnv1",), "did you mean 'conv1'"),
        (("input",), "input is the image itself, which is no layer: choose one after it"),
    ):
        with pytest.raises(OptionError, match=problem):
            expand(made, *asked)
    with pytest.raises(OptionError, match="a model has its own parameters"):
        expand(made, "conv1", parameters=made.parameters)
    with pytest.raises(DataError, match=r"takes an image \(channels, rows, columns\) of \(1, 4, 4\), not \(4, 4\)"):
        expand(ARTICLE, "conv1", np.zeros((4, 4)))
    with pytest.raises(NetworkError, match=r"tanh1 \(tanh\) is no weighted sum"):
        expand(build(parse("conv 1@2, tanh, dense 3"), (1, 4, 4)), None, np.zeros((1, 4, 4)))


@pytest.mark.parametrize(
    ("text", "layer", "entries"),
    [
        ("conv 8@3 same, dense 90, relu", "conv1", "10,368"),
        ("conv 8@3 same, dense 90, relu", "dense1", "103,680"),
        ("conv 8@3 same, dense 90, relu", None, "10,368"),
        ("conv 2@1, conv 90@12", None, "25,920"),
    ],
)
def test_too_large_matrices_are_refused_before_memory_is_taken(text, layer, entries, monkeypatch):
    graph = build(parse(text), (1, 12, 12))
    monkeypatch.setattr(matrices, "available_memory", lambda: 0.4e6)
    with pytest.raises(TooLargeError, match=rf"has {entries} entries, which take 0.0 GB .* expand a smaller layer"):
        expand(graph, layer, np.zeros(graph.input_shape))


def test_gradients_of_another_shape_are_refused():
    layer = expand(ARTICLE, "conv1")
    with pytest.raises(DataError, match=r"conv1 has a matrix of shape \(9, 16\), but its gradient has \(16, 9\)"):
        layer.weight_gradient(np.zeros((16, 9)))
    with pytest.raises(DataError, match="conv1 gives 9 outputs, but there are gradients of 3"):
        layer.bias_gradient(np.zeros(3))


def test_the_product_of_small_matrices_may_be_too_large(monkeypatch):
    graph = build(parse("global average, dense 40, relu"), (1, 40, 40))
    x = np.ones(graph.input_shape)
    assert expand(graph, None, x).matrix.shape == (40, 1600)
    monkeypatch.setattr(matrices, "available_memory", lambda: 1600 * matrices.BYTES)
    with pytest.raises(TooLargeError, match=r"the network from global1 on has .* entries"):
        expand(graph, None, x)


def test_a_large_layer_is_expanded_in_a_moment():
    graph = build(parse("conv 6@5x5"), (1, 32, 32))
    layer = expand(graph, 1)
    assert (layer.connections, layer.dense_weights) == (117_600, 4_816_896)
    assert (layer.uses == 784).all()


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingPackageError, match=r'needs scipy: pip install "lanewise\[report\]"'):
        expand(ARTICLE, "conv1")
