"""Every figure of a summary against counting one by one, and the figures that a reader can check on paper."""

import numpy as np
import pytest

from lanewise.network.graph import build
from lanewise.network.reference import backward, forward
from lanewise.network.summary import summary, totals
from lanewise.network.text import parse
from tests.cases import LAYER_CASES, NETWORK_CASES


def summaries_of(text, shape):
    return summary(build(parse(text), shape))


def test_one_kernel_on_a_4x4_image_has_4_weights():
    conv = summaries_of("conv 1@2x2", (1, 4, 4))[1]
    assert (conv.weights, conv.biases, conv.output_shape) == (4, 1, (1, 3, 3))
    assert (conv.connections, conv.mean_sharing, conv.max_sharing) == (36, 9, 9)
    assert conv.density == 36 / (16 * 9)


def test_fully_connected_to_100_neurons_it_has_1600():
    dense = summaries_of("dense 100", (1, 4, 4))[-1]
    assert (dense.weights, dense.biases, dense.connections, dense.dense_weights) == (1_600, 100, 1_600, 1_600)
    assert (dense.density, dense.mean_sharing, dense.max_sharing) == (1.0, 1.0, 1)


def test_100_kernels_have_400():
    assert summaries_of("conv 100@2x2", (1, 4, 4))[1].weights == 400


def test_six_5x5_kernels_have_150_where_a_fully_connected_layer_has_4816896():
    conv = summaries_of("conv 6@5x5", (1, 32, 32))[1]
    assert conv.output_shape == (6, 28, 28)
    assert (conv.weights, conv.dense_weights, conv.biases) == (150, 4_816_896, 6)
    assert (conv.mean_sharing, conv.multiply_adds) == (28 * 28, 150 * 28 * 28)


def test_padding_is_no_connection():
    conv = summaries_of("conv 1@3 same", (1, 3, 3))[1]
    assert conv.connections == 4 * 4 + 4 * 6 + 9  # corners, edges, middle
    assert (conv.max_sharing, conv.mean_sharing) == (9, 49 / 9)


def test_pools_connect_without_weights():
    pool = summaries_of("max 3 same stride 2", (2, 5, 5))[1]
    assert (pool.weights, pool.biases, pool.mean_sharing, pool.multiply_adds) == (0, 0, 0.0, 0)
    assert pool.connections == 2 * 7 * 7
    assert summaries_of("global average", (3, 4, 5))[1].connections == 60


def uses_one_by_one(graph):
    """Uses of each weight of the only layer with weights: with ones everywhere, its gradient counts its connections."""
    ones = [np.ones(parameter.shape) for parameter in graph.parameters]
    values = forward(graph, ones, np.ones((1, *graph.input_shape)))
    gradients, _ = backward(graph, ones, values, np.ones((1, *graph.output_shape)))
    return gradients[0]


@pytest.mark.parametrize(
    "case", [case for case in LAYER_CASES if case.name.startswith(("conv", "dense_"))], ids=lambda case: case.name
)
def test_connections_are_counted_exactly(case):
    graph = build(parse(case.text.replace(" frozen", "")), case.input_shape)
    assert summary(graph)[-1].connections == summary(case.graph())[-1].connections
    uses, found = uses_one_by_one(graph), summary(graph)[-1]
    assert found.connections == found.multiply_adds == uses.sum()
    assert found.weights == uses.size
    assert found.max_sharing == uses.max()
    assert found.mean_sharing == pytest.approx(uses.mean())


@pytest.mark.parametrize(
    "case", [case for case in LAYER_CASES if case.name.startswith(("max", "average"))], ids=lambda case: case.name
)
def test_connections_of_pools_are_counted_exactly(case):
    graph = build(parse(case.text.replace("max", "average").replace(" count-padding", "")), case.input_shape)
    rows = forward(graph, [], np.ones((1, *graph.input_shape)))[-1]
    assert (rows == 1).all()
    connections = 0
    for channel, row, column in np.ndindex(graph.input_shape):
        x = np.zeros((1, *graph.input_shape))
        x[0, channel, row, column] = 1
        connections += np.count_nonzero(forward(graph, [], x)[-1])  # type: ignore[assignment]
    assert summary(graph)[1].connections == connections


@pytest.mark.parametrize(
    ("text", "field", "jump"),
    [
        ("conv 1@3", (3, 3), (1, 1)),
        ("conv 1@3, conv 1@3", (5, 5), (1, 1)),
        ("conv 1@3x1 stride 2x1, relu, max 1x2, conv 1@3", (7, 6), (2, 2)),
        ("conv 1@3 dilation 2x3 , conv 1@2 dilation 4", (9, 11), (1, 1)),
        ("residual(conv 1@3 same | conv 1@1)", (3, 3), (1, 1)),
        ("concat(conv 1@1 | conv 1@5 same), flatten", (5, 5), (1, 1)),
        ("conv 1@3 same, dense 2, relu", (40, 30), (40, 30)),
        ("global average", (40, 30), (40, 30)),
        ("max 8, conv 1@5x3", (40, 24), (8, 8)),
        ("4 * (max 2 same), conv 1@3 same", (40, 30), (16, 16)),
    ],
)
def test_receptive_field_and_jump(text, field, jump):
    last = summaries_of(text, (1, 40, 30))[-1]
    assert (last.receptive_field, last.jump) == (field, jump)


def test_what_nobody_learns_is_counted_apart():
    text = "fixed sobel+blur, relu, conv 4@3 frozen, dense 5 nobias frozen, dense 2"
    found = [one for one in summaries_of(text, (2, 6, 7)) if one.weights]
    assert [(one.name, one.weights, one.biases) for one in found] == [
        ("fixed1", 2 * 3 * 9, 0),  # each of three filters on each of two channels
        ("conv1", 4 * 6 * 9, 4),
        ("dense1", 5 * 80, 0),
        ("dense2", 10, 2),
    ]
    assert [(one.learned_weights, one.learned_biases) for one in found] == [(0, 0), (0, 0), (0, 0), (10, 2)]
    assert found[0].connections == 6 * (3 * 6 - 2) * (3 * 7 - 2)  # no more than 3x3 neighbours, less beyond the border
    total = totals(summaries_of(text, (2, 6, 7)))
    assert (total.weights, total.learned_weights, total.biases, total.learned_biases) == (54 + 216 + 400 + 10, 10, 6, 2)


def test_totals_of_a_network():
    graph = build(
        parse("conv 6@5 same, relu, max 2, conv 16@5, relu, max 2, dense 120, dense 84, dense 10"), (1, 28, 28)
    )
    found = totals(summary(graph))
    assert (found.weights, found.biases) == (61_470, 236)  # LeNet-5 with full connections between its convolutions
    assert found.weights + found.biases == graph.parameter_count
    assert found.connections > found.multiply_adds  # pools connect, but do not multiply
    assert found.dense_weights == 784 * 4704 + 1176 * 1600 + 400 * 120 + 120 * 84 + 84 * 10


@pytest.mark.parametrize("case", LAYER_CASES + NETWORK_CASES, ids=lambda case: case.name)
def test_every_node_has_an_summary(case):
    graph = case.graph()
    summaries = summary(graph)
    assert [one.name for one in summaries] == [node.name for node in graph.nodes]
    assert all(0 <= one.density <= 1 for one in summaries)


def test_statistics_of_a_batch_normalisation_are_not_learned():
    """Scale and variance multiply, shift and mean are added; each number is used once a position."""
    _, norm, frozen = summary(build(parse("batchnorm, batchnorm frozen"), (3, 4, 5)))
    assert (norm.weights, norm.biases, norm.learned_weights, norm.learned_biases) == (6, 6, 3, 3)
    assert (frozen.weights, frozen.biases, frozen.learned_weights, frozen.learned_biases) == (6, 6, 0, 0)
    assert (norm.connections, norm.multiply_adds, norm.receptive_field) == (0, 0, (1, 1))


def test_every_parameter_is_a_weight_or_a_bias():
    graph = build(parse("conv 2@3, batchnorm, scale, prelu frozen, flatten, prelu, dense 3"), (3, 4, 5))
    counts = summary(graph)
    assert sum(one.weights + one.biases for one in counts) == graph.parameter_count
    assert [one.learned_weights for one in counts if one.name.startswith("prelu")] == [0, 12]
