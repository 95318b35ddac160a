"""Receptive fields against gradients, which are zero wherever a value does not depend on a pixel."""

import re

import numpy as np
import pytest

from lanewise.errors import OptionError
from lanewise.explain import receptive_field
from lanewise.explain.subject import up_to
from lanewise.network.graph import assemble, build
from lanewise.network.layers import AvgPool2D, MaxPool2D
from lanewise.network.reference import backward, forward
from lanewise.network.summary import summary
from lanewise.network.text import parse
from tests.cases import LAYER_CASES, NETWORK_CASES
from tests.explain.support import model


def graph_of(text, shape):
    return build(parse(text), shape)


def pixels_seen(graph, row, column):
    """By which pixels the last values at (row, column) have a gradient. All weights and pixels are small and above
    0."""
    parameters = [np.full(parameter.shape, 0.01) for parameter in graph.parameters]
    values = forward(graph, parameters, np.ones((1, *graph.input_shape)))
    gradient = np.zeros_like(values[-1])
    gradient[:, :, row, column] = np.random.default_rng(0).uniform(0.5, 1, gradient.shape[1])
    return backward(graph, parameters, values, gradient)[1][0][0].any(axis=0)


def _averaging(graph):
    """The graph with means for maxima: these hand their gradient to one value, but any of them could have been it."""

    def mean(layer):
        return AvgPool2D(layer.window, layer.stride, layer.padding) if isinstance(layer, MaxPool2D) else layer

    return assemble([(mean(node.layer), node.inputs) for node in graph.nodes[1:]], graph.input_shape)


PARTS = [
    (case, position)
    for case in [*LAYER_CASES, *NETWORK_CASES]
    for position, node in enumerate(case.graph().nodes)
    if len(node.shape) == 3
]


@pytest.mark.parametrize(("case", "position"), PARTS, ids=str)
def test_it_is_what_has_a_gradient(case, position):
    text = re.sub(r"layernorm( [0-9.e-]+)?", "leaky", case.text)  # of channels that are alike it has no gradient
    graph = _averaging(graph_of(text.replace("softmax", "relu"), case.input_shape))
    _, rows, columns = graph.nodes[position].shape
    rng = np.random.default_rng(0)
    for row, column in [(0, 0), (rows - 1, columns - 1), (rng.integers(rows), rng.integers(columns))]:
        seen = pixels_seen(up_to(graph, position), row, column)
        field = receptive_field(graph, position, row, column)
        expected = np.zeros_like(seen)
        if seen.any():
            r, c = np.nonzero(seen)
            expected[r.min() : r.max() + 1, c.min() : c.max() + 1] = True
        found = np.zeros_like(seen)
        found[field.slices] = True
        assert np.array_equal(found, expected), (row, column, field)


DEEP = "conv 4@3 same, relu, conv 4@5x3 pad 2:1:2:1 stride 2, relu, max 2, conv 2@3 same dilation 1x2, leaky"


@pytest.mark.parametrize("text", [DEEP, DEEP.replace(" same", ""), "average 3 pad 1 stride 2, max 3 same stride 1"])
def test_with_what_was_clipped_it_has_the_size_that_is_accounted_for(text):
    graph = graph_of(text, (1, 60, 61))
    for number, (node, one) in enumerate(zip(graph.nodes, summary(graph), strict=True)):
        _, rows, columns = node.shape
        for row, column in [(0, 0), (rows - 1, columns - 1), (rows // 2, 0)]:
            field = receptive_field(graph, number, row, column)
            top, left, bottom, right = field.clipped
            whole = (field.shape[0] + top + bottom, field.shape[1] + left + right)
            assert whole == one.receptive_field


def test_padding_is_clipped_and_told():
    graph = graph_of("conv 4@3x5 same, max 2, conv 4@3 same", (3, 8, 9))
    corner = receptive_field(graph, "conv1", 0, 8)
    assert (corner.top, corner.left, corner.bottom, corner.right, corner.clipped) == (0, 6, 2, 9, (1, 0, 0, 2))
    inner = receptive_field(graph, "conv1", 3, 4)
    assert (inner.top, inner.left, inner.bottom, inner.right, inner.clipped) == (2, 2, 5, 7, (0, 0, 0, 0))
    pooled = receptive_field(graph, "max1", 3, 0)
    assert (pooled.top, pooled.left, pooled.bottom, pooled.right, pooled.clipped) == (5, 0, 8, 4, (0, 2, 1, 0))
    # rows 2..3 and the padding below row 3 of the pool; each pooled row is two rows and one more on each side
    last = receptive_field(graph, "conv2", 3, 0)
    assert (last.top, last.left, last.bottom, last.right, last.clipped) == (3, 0, 8, 6, (0, 4, 3, 0))


def test_branches_see_what_any_of_them_sees():
    text = "concat(conv 2@1 | conv 2@1x5 same | conv 2@3x1 same)"
    field = receptive_field(graph_of(text, (1, 9, 9)), "join1", 4, 4)
    assert (field.top, field.left, field.bottom, field.right) == (3, 2, 6, 7)
    for text in ("concat(conv 2@3 same | conv 2@5 same)", "concat(conv 2@5 same | conv 2@3 same)"):
        assert receptive_field(graph_of(text, (1, 9, 9)), "join1", 0, 8).clipped == (2, 0, 0, 2)
    residual = graph_of("residual(conv 1@3 same, relu, conv 1@3 same)", (1, 9, 9))
    assert receptive_field(residual, "add1", 4, 4).shape == (5, 5)


def test_what_reads_only_padding_sees_nothing():
    field = receptive_field(graph_of("conv 2@2 pad 3:2:0:4", (2, 3, 4)), "conv1", 0, 0)
    assert field.shape == (0, 0)
    assert field.clipped == (3, 2, 0, 0)


def test_rows_that_no_kernel_reaches_are_not_seen():
    graph = graph_of("conv 2@2 stride 3, dense 4, relu", (1, 9, 7))
    field = receptive_field(graph, "relu1")
    assert (field.top, field.left, field.bottom, field.right, field.clipped) == (0, 0, 8, 5, (0, 0, 0, 0))
    assert receptive_field(graph, "flatten1") == receptive_field(graph, "conv1") == field


def test_a_model_will_do():
    made = model("conv 4@3 same, global average, dense 3, softmax")
    assert receptive_field(made, "conv1", 0, 0) == receptive_field(made.graph, 1, 0, 0)
    assert receptive_field(made, "softmax1").shape == (9, 7)
    assert receptive_field(made, "input", 2, 3).slices == (slice(2, 3), slice(3, 4))


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (("cnv1", 0, 0), "no layer 'cnv1'; did you mean 'conv1'"),
        (("zzz", 0, 0), "no layer 'zzz'; it has input, conv1, relu1, flatten1, dense1, softmax1"),
        ((9,), "no layer 9: give a name, or a position from 0 to 5"),
        ((-1,), "no layer -1"),
        ((None,), "no layer None"),
        (("conv1", 9, 0), r"conv1 has no \(row, column\) \(9, 0\): they go from \(0, 0\) to \(8, 6\)"),
        (("conv1", -1, 0), r"conv1 has no"),
        (("conv1", 3), r"conv1 has no \(row, column\) \(3, None\)"),
        (("conv1", 1.0, 2), "conv1 has no"),
        (("dense1", 0, 0), "dense1 gives 3 features, which have no row and column: leave them out"),
    ],
)
def test_what_is_not_there_is_named(asked, problem):
    with pytest.raises(OptionError, match=problem):
        receptive_field(model("conv 4@3 same, relu, dense 3, softmax"), *asked)
