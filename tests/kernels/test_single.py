"""Kernels for one image against the reference, and their machine code against the interpreter, bit for bit.

Lanes past the last channel of a value are NaN here wherever a kernel reads: it must not look at them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.engine.fuse import conv_of
from lanewise.kernels.activations import Applied
from lanewise.kernels.layout import Sides
from lanewise.kernels.single import conv, dense, features, winograd
from lanewise.kernels.single.blocked import Blocked, blocks_of
from lanewise.lanes.interpret import fused_multiply_add
from lanewise.lanes.program import LANES, Program
from lanewise.network import reference
from lanewise.network.graph import Graph
from lanewise.network.layers import Conv2D
from tests.cases import LAYER_CASES, Case
from tests.engine.support import network
from tests.kernels.support import run, run_everywhere, run_native

Array = npt.NDArray[np.float32]

RELU: Applied = "relu", ()

TALL = (1, 2, 0, 3)
"""A border that no kernel asked for."""


def into_blocks(values: npt.ArrayLike, layout: Blocked) -> Array:
    """(channels, rows, columns) as `layout` has them: NaN in idle lanes, zeros in the border."""
    array = np.asarray(values, np.float32).reshape(layout.shape)
    top, left, bottom, right = layout.border
    channels, rows, columns = layout.shape
    filled = np.full((layout.blocks * layout.width, rows, columns), np.nan, np.float32)
    filled[:channels] = array
    whole = np.zeros((layout.blocks, top + rows + bottom, left + columns + right, layout.width), np.float32)
    parts = filled.reshape(layout.blocks, layout.width, rows, columns)
    whole[:, top : top + rows, left : left + columns] = parts.transpose(0, 2, 3, 1)
    return whole.ravel()


def from_blocks(data: Array, layout: Blocked) -> Array:
    """(channels, rows, columns), after checking that the border is still zero."""
    top, left, bottom, right = layout.border
    channels, rows, columns = layout.shape
    whole = data.reshape(layout.blocks, top + rows + bottom, left + columns + right, layout.width)
    inside = whole[:, top : top + rows, left : left + columns]
    assert np.count_nonzero(whole) == np.count_nonzero(inside), "the border was written"
    return inside.transpose(0, 3, 1, 2).reshape(-1, rows, columns)[:channels]


def whole_numbers(*shape: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def conv_cases() -> Iterator[Case]:
    """Convolutions that read the image itself."""
    graphs = [(case, case.graph().nodes) for case in LAYER_CASES]
    yield from (case for case, nodes in graphs if len(nodes) == 2 and isinstance(nodes[-1].layer, Conv2D))
    yield Case("blocks", "conv 35@3 same", (18, 2, 17))
    yield Case("groups_of_blocks", "conv 48@2 groups 3", (48, 2, 3))
    yield Case("depthwise_blocks", "conv 18@3 same stride 2 groups 18", (18, 3, 19))
    yield Case("depthwise_large", "conv 2@9x7 same groups 2 nobias", (2, 3, 9))


CONV_CASES = list(conv_cases())


def evaluated(graph: Graph) -> tuple[Array, list[Array], Array]:
    """An image, parameters and the last node's value, whole numbers all of them."""
    x = whole_numbers(*graph.input_shape)
    parameters = [whole_numbers(*p.shape, seed=n) for n, p in enumerate(graph.parameters)]
    return x, parameters, reference.forward(graph, parameters, x[None])[-1][0].astype(np.float32)


def convolution(
    graph: Graph, parameters: list[Array], x: Blocked, *, activation: Applied | None = None, registers: int = 32
) -> tuple[Program, Blocked, Blocked, list[Array]]:
    """The program of the last node, the layouts of x and y, and its parameters laid out."""
    geometry = conv_of(graph, graph.nodes[-1])
    y = Blocked.of(graph.output_shape).with_border(TALL)
    x = x.with_border(geometry.x_border(x, y))
    bias = conv.lay_bias(geometry.filters, parameters[1] if geometry.bias else None)
    laid = [conv.lay_weight(geometry, parameters[0]).ravel(), bias.ravel()]
    return conv.forward(geometry, x, y, activation=activation, registers=registers), x, y, laid


@pytest.mark.parametrize("case", CONV_CASES, ids=str)
def test_convolution_is_the_reference(case: Case) -> None:
    graph = case.graph()
    image, parameters, expected = evaluated(graph)
    program, x, y, laid = convolution(graph, parameters, Blocked(case.input_shape))
    results = run_everywhere(program, [into_blocks(image, x), *laid, np.zeros(y.scalars, np.float32)])
    np.testing.assert_array_equal(from_blocks(results[-1], y), expected)


COMPACT_CASES = [case for case in CONV_CASES if case.input_shape[0] in (2, 3) and case.name != "depthwise_large"]


@pytest.mark.parametrize("case", COMPACT_CASES, ids=str)
def test_convolution_of_a_compact_image(case: Case) -> None:
    """Few channels without idle lanes, and a ReLU on the way out."""
    graph = case.graph()
    image, parameters, expected = evaluated(graph)
    compact = Blocked(case.input_shape, width=case.input_shape[0])
    program, x, y, laid = convolution(graph, parameters, compact, activation=RELU)
    results = run(program, [into_blocks(image, x), *laid, np.zeros(y.scalars, np.float32)])
    np.testing.assert_array_equal(from_blocks(results[-1], y), np.maximum(expected, 0))


@pytest.mark.parametrize("border", [(0, 0, 0, 0), TALL], ids=["plain", "bordered"])
@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("conv 35@1", (18, 3, 5)),
        ("conv 80@1 nobias", (64, 5, 6)),
        ("conv 18@1 stride 2", (20, 5, 7)),
        ("conv 4@1 stride 1x2", (4, 5, 1)),
        ("conv 4@1 stride 2x3", (4, 1, 1)),
        ("conv 5@1 pad 1:0:2:1", (3, 2, 3)),
    ],
)
def test_pointwise_convolution(text: str, shape: tuple[int, int, int], border: Sides) -> None:
    """Rows one after the other and rows parted by a border, few weights and many: always the sum in its order."""
    rng = np.random.default_rng(0)
    graph = network(text, shape)
    parameters = [rng.standard_normal(p.shape).astype(np.float32) for p in graph.parameters]
    geometry, y = conv_of(graph, graph.nodes[-1]), Blocked.of(graph.output_shape).with_border(border)
    image, (filters, rows, columns) = rng.standard_normal(shape).astype(np.float32), y.shape
    x = Blocked(shape)
    x = x.with_border(geometry.x_border(x, y))
    top, left, bottom, right = geometry.padding
    wide = np.pad(image, [(0, 0), (top, bottom), (left, right)])[:, :: geometry.stride[0], :: geometry.stride[1]]
    expected = np.zeros(y.shape, np.float32) + (parameters[1][:, None, None] if geometry.bias else np.float32(0))
    for channel in range(shape[0]):
        weight, values = np.broadcast_arrays(parameters[0][:, channel], wide[channel, :rows, :columns][None])
        expected = fused_multiply_add(weight, values, expected)
    bias = conv.lay_bias(filters, parameters[1] if geometry.bias else None)
    buffers = [into_blocks(image, x), conv.lay_weight(geometry, parameters[0]).ravel(), bias.ravel()]
    for registers in (32, 8):
        program = conv.forward(geometry, x, y, activation=RELU, registers=registers)
        came = from_blocks(run(program, [*buffers, np.zeros(y.scalars, np.float32)])[-1], y)
        np.testing.assert_array_equal(came, np.maximum(expected, 0))


@pytest.mark.parametrize("registers", [4, 8])
def test_tiles_change_no_bit(registers: int) -> None:
    """Registers of a smaller machine: other tiles, the same sums."""
    rng = np.random.default_rng(0)
    graph = network("conv 35@3 same", (5, 2, 9))
    parameters = [rng.standard_normal(p.shape).astype(np.float32) for p in graph.parameters]
    x = Blocked((37, 1, 2))
    laid = [dense.lay_weight(x, rng.standard_normal((70, 74), np.float32)), rng.standard_normal(80, np.float32)]

    def results(registers: int) -> list[Array]:
        program, layout, y, weights = convolution(graph, parameters, Blocked(graph.input_shape), registers=registers)
        image = into_blocks(np.linspace(-1, 1, 90), layout)
        convolved = run(program, [image, *weights, np.zeros(y.scalars, np.float32)])[-1]
        inputs = into_blocks(np.linspace(-1, 1, 74), x)
        return [
            convolved,
            run(dense.forward(x, 70, registers=registers), [inputs, *laid, np.zeros(80, np.float32)])[-1],
        ]

    for expected, came in zip(results(32), results(registers), strict=True):
        np.testing.assert_array_equal(came.view(np.int32), expected.view(np.int32))


DENSE_CASES = [
    (Blocked((1, 1, 1)), 1),
    (Blocked((19, 2, 3)), 17),
    (Blocked((16, 1, 5), TALL), 40),
    (Blocked((7, 3, 2)), 100),
    (Blocked((33, 1, 1)), 10),
    (Blocked((3, 2, 4), TALL, 3), 20),
]


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("x", "units"), DENSE_CASES)
def test_dense_is_the_reference(x: Blocked, units: int, relu: bool) -> None:
    image = whole_numbers(*x.shape)
    weight, bias = whole_numbers(units, image.size, seed=4), whole_numbers(units, seed=5)
    expected = weight @ image.ravel() + bias
    program = dense.forward(x, units, activation=RELU if relu else None)
    laid = [dense.lay_weight(x, weight), conv.lay_bias(units, bias), np.zeros(blocks_of(units) * LANES, np.float32)]
    came = run_everywhere(program, [into_blocks(image, x), *laid])[-1][:units]
    np.testing.assert_array_equal(came, np.maximum(expected, 0) if relu else expected)


def test_dense_keeps_several_sums_under_way() -> None:
    """The definition of the sums' order: the fewer outputs, the more partial sums each."""
    assert [dense.chains(units) for units in (1, 16, 17, 32, 33, 80, 81, 400)] == [8, 8, 4, 4, 2, 2, 1, 1]


def test_dense_adds_in_its_order() -> None:
    """Number n of a pixel goes to chain n % chains, the bias to the first, and the chains are added in pairs."""
    rng = np.random.default_rng(2)
    x, units = Blocked((19, 1, 2)), 20
    image, weight = rng.standard_normal(x.shape, np.float32), rng.standard_normal((units, 38), np.float32)
    bias = rng.standard_normal(units, np.float32)
    parts = [bias, *(np.zeros(units, np.float32) for _ in range(3))]
    for block in (range(16), range(16, 19)):
        for c in range(2):
            for n, channel in enumerate(block):
                pixel = np.full(units, image[channel, 0, c])
                parts[n % 4] = fused_multiply_add(weight[:, channel * 2 + c], pixel, parts[n % 4])
    expected = (parts[0] + parts[1]) + (parts[2] + parts[3])
    laid = [dense.lay_weight(x, weight).ravel(), conv.lay_bias(units, bias).ravel(), np.zeros(32, np.float32)]
    came = run(dense.forward(x, units), [into_blocks(image, x), *laid])[-1][:units]
    np.testing.assert_array_equal(came.view(np.int32), expected.view(np.int32))


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize(
    ("shape", "filters", "padding", "together"),
    [
        ((17, 3, 5), 18, (1, 1, 1, 1), 1),
        ((2, 10, 9), 3, (1, 1, 1, 1), 1),
        ((2, 10, 9), 3, (1, 1, 1, 1), 2),
        ((1, 3, 3), 1, (1, 2, 0, 3), 2),
        ((1, 9, 10), 1, (0, 0, 0, 0), 1),
        ((3, 4, 2), 65, (1, 1, 1, 1), 1),
    ],
)
def test_winograd_is_convolution(
    m: int, shape: tuple[int, int, int], filters: int, padding: Sides, together: int
) -> None:
    """Whole numbers that the transforms of m = 2 keep exact, and those of m = 4 nearly."""
    graph = network(f"conv {filters}@3 pad {':'.join(map(str, padding))}", shape)
    image, parameters, expected = evaluated(graph)
    geometry, y = conv_of(graph, graph.nodes[1]), Blocked.of(graph.output_shape).with_border(TALL)
    tiles = winograd.Tiles(m, *y.shape[1:], together)
    x = Blocked(shape)
    x = x.with_border(winograd.x_border(geometry, tiles, x))
    laid = [winograd.lay_weight(tiles, parameters[0]).ravel(), conv.lay_bias(filters, parameters[1]).ravel()]
    work = [np.full(size, np.nan, np.float32) for size in (y.scalars, *winograd.scratch(geometry, tiles))]
    work[0][:] = 0
    buffers = [into_blocks(image, x), *laid, *work]
    results = run_everywhere(winograd.forward(geometry, tiles, x, y), buffers)
    tolerance = 0 if m == 2 else 3e-6 * np.abs(expected).max()
    np.testing.assert_allclose(from_blocks(results[3], y), expected, rtol=0, atol=tolerance)
    rectified = run_native(winograd.forward(geometry, tiles, x, y, activation=RELU, registers=8), buffers)
    np.testing.assert_array_equal(from_blocks(rectified[3], y), np.maximum(from_blocks(results[3], y), 0))


def test_winograd_where_it_pays() -> None:
    """By shape alone: small kernels at every pixel, with channels enough to fill the lanes."""

    def tiles(text: str, shape: tuple[int, int, int]) -> winograd.Tiles | None:
        node = network(text, shape).nodes[-1]
        return winograd.tiles_for(conv_of(network(text, shape), node), (node.shape[0], *node.shape[1:]))

    large, far = tiles("conv 64@3 same", (64, 16, 16)), tiles("conv 256@3 same", (256, 8, 8))
    assert large is not None
    assert large.m == 4
    assert far is not None
    assert far.m == 2, "weights of 4 x 4 tiles would take longer to read than to use"
    assert far.together == far.down, "weights that come from afar are read once"
    for text, channels in [
        ("conv 64@3 same", 3),
        ("conv 15@3 same", 64),
        ("conv 64@5 same", 64),
        ("conv 64@3 same stride 2", 64),
        ("conv 64@3 same dilation 2", 64),
        ("conv 64@3 same groups 2", 64),
    ]:
        assert tiles(text, (channels, 16, 16)) is None, text


def test_error_of_winograd() -> None:
    """Beside direct convolution's, both against float64: a few times larger."""
    rng = np.random.default_rng(1)
    graph = network("conv 16@3 same", (64, 12, 12))
    image = rng.standard_normal(graph.input_shape).astype(np.float32)
    parameters = [rng.standard_normal(p.shape).astype(np.float32) for p in graph.parameters]
    expected = reference.forward(graph, parameters, image[None])[-1][0]
    geometry, y = conv_of(graph, graph.nodes[1]), Blocked.of(graph.output_shape)
    program, layout, _, laid = convolution(graph, parameters, Blocked(graph.input_shape))
    y_direct = Blocked.of(graph.output_shape).with_border(TALL)
    came = run_native(program, [into_blocks(image, layout), *laid, np.zeros(y_direct.scalars, np.float32)])[-1]
    errors = {1: np.abs(from_blocks(came, y_direct) - expected).max()}
    for m in (2, 4):
        tiles = winograd.Tiles(m, 12, 12, 1)
        x = layout.with_border(winograd.x_border(geometry, tiles, layout))
        work = [np.zeros(size, np.float32) for size in (y.scalars, *winograd.scratch(geometry, tiles))]
        laid[0] = winograd.lay_weight(tiles, parameters[0]).ravel()
        came = run_native(winograd.forward(geometry, tiles, x, y), [into_blocks(image, x), *laid, *work])[3]
        errors[m] = np.abs(from_blocks(came, y) - expected).max()
    assert errors[2] < 2 * errors[1]
    assert errors[4] < 8 * errors[1]


@pytest.mark.parametrize("width", [None, 16])
@pytest.mark.parametrize("shape", [(1, 3, 5), (3, 2, 7), (2, 4, 8), (15, 2, 3)])
def test_prepare(shape: tuple[int, int, int], width: int | None) -> None:
    channels, rows, columns = shape
    y = Blocked(shape, TALL, width or channels)
    image = whole_numbers(rows, columns, channels)
    scale, offset = np.arange(1, channels + 1, dtype=np.float32), np.linspace(-1, 1, channels, dtype=np.float32)
    expected = image * scale + offset
    results = run_everywhere(features.prepare(y), prepared(y, image, scale, offset))
    np.testing.assert_array_equal(from_blocks(results[-1], y), expected.transpose(2, 0, 1))


def test_prepare_many_channels() -> None:
    y = Blocked((35, 2, 3), TALL)
    image = whole_numbers(2, 3, 35)
    scale, offset = np.full(35, 2, np.float32), np.arange(35, dtype=np.float32)
    results = run_everywhere(features.prepare(y), prepared(y, image, scale, offset))
    np.testing.assert_array_equal(from_blocks(results[-1], y), (image * scale + offset).transpose(2, 0, 1))


def prepared(y: Blocked, image: Array, scale: Array, offset: Array) -> list[Array]:
    """The buffers of `prepare`; what lies behind the image is NaN."""
    rows, columns, channels = image.shape
    staged = np.full(features.staged((rows, columns, channels)), np.nan, np.float32)
    staged[: image.size] = image.ravel()
    return [
        staged,
        features.lay_scale(y, scale),
        features.lay_scale(y, offset),
        np.zeros(y.scalars, np.float32),
    ]


@pytest.mark.parametrize("x", [Blocked((18, 2, 3), TALL), Blocked((3, 2, 5), TALL, 3), Blocked((16, 1, 2))])
def test_flatten(x: Blocked) -> None:
    values = whole_numbers(*x.shape)
    results = run_everywhere(features.flatten(x), [into_blocks(values, x), np.zeros(values.size, np.float32)])
    np.testing.assert_array_equal(results[-1], values.ravel())


@pytest.mark.parametrize("channels", [(3, 5, 18), (16, 32, 5), (20, 1), (16, 3, 2)])
def test_join(channels: tuple[int, ...]) -> None:
    inputs = [Blocked((n, 2, 5), TALL if n % 2 else (0, 0, 0, 0)) for n in channels]
    values = [whole_numbers(*x.shape, seed=n) for n, x in enumerate(inputs)]
    y = Blocked((sum(channels), 2, 5), TALL)
    sources = [into_blocks(v, x) for v, x in zip(values, inputs, strict=True)]
    results = run_everywhere(features.join(tuple(inputs), y), [*sources, np.zeros(y.scalars, np.float32)])
    np.testing.assert_array_equal(from_blocks(results[-1], y), np.concatenate(values))


@pytest.mark.parametrize("count", [1, 7, 16, 17, 32, 45])
def test_softmax(count: int) -> None:
    x = Blocked((count, 1, 1))
    for many in (np.linspace(-3, 3, count), np.linspace(80, 100, count)[::-1], np.full(count, -1000.0)):
        values = many.astype(np.float32).astype(np.float64)
        expected = np.exp(values - values.max()) / np.exp(values - values.max()).sum()
        results = run_everywhere(features.softmax(x), [into_blocks(values, x), np.zeros(x.scalars, np.float32)])
        np.testing.assert_allclose(results[-1][:count], expected, rtol=2e-6, atol=1e-12)


def test_softmax_of_nan_is_nan() -> None:
    x = Blocked((17, 1, 1))
    for place in range(17):
        values = np.zeros(17)
        values[place] = np.nan
        results = run(features.softmax(x), [into_blocks(values, x), np.zeros(x.scalars, np.float32)])
        assert np.isnan(results[-1][:17]).all()
