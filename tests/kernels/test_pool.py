"""Pooling against the reference, for the shared table of cases and for what the engine asks of it besides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.kernels import pool
from lanewise.kernels.layout import Layout
from lanewise.lanes.ir import Loop, Program, Statement
from lanewise.network import reference
from lanewise.network.graph import build
from lanewise.network.layers import AvgPool2D, GlobalAvgPool2D, Layer, MaxPool2D, ReLU
from tests.cases import LAYER_CASES
from tests.kernels.support import TARGETS, Arrays, border_of, buffer, from_lanes, into_lanes, run_everywhere

Shape = tuple[int, int, int]
Array = npt.NDArray[np.float64]

BORDERS = [((0, 0, 0, 0), (0, 0, 0, 0)), ((1, 0, 2, 1), (0, 3, 1, 0))]


@dataclass(frozen=True)
class Case:
    name: str
    layer: MaxPool2D | AvgPool2D | GlobalAvgPool2D
    shape: Shape


def _table() -> list[Case]:
    cases = []
    for case in LAYER_CASES:
        node = case.graph().nodes[-1]
        if isinstance(node.layer, MaxPool2D | AvgPool2D | GlobalAvgPool2D):
            cases.append(Case(case.name, node.layer, case.input_shape))
    return cases


CASES = [
    *_table(),
    Case("max_hot_remainder", MaxPool2D((2, 2)), (2, 6, 19)),
    Case("max_large_window", MaxPool2D((9, 8), (4, 5), (2, 1, 3, 0)), (2, 12, 14)),
    Case("max_gap_in_one_axis", MaxPool2D((3, 2), (2, 3)), (2, 7, 9)),
    Case("max_gap_after_padding", MaxPool2D((2, 2), (3, 4), (1, 1, 0, 0)), (1, 8, 10)),
    Case("average_gaps", AvgPool2D((2, 1), (3, 2)), (2, 9, 8)),
    Case("average_large_window", AvgPool2D((9, 9), (9, 9)), (2, 19, 9)),
]


def evaluated(case: Case, mask: bool) -> tuple[Layout, Layout, Array, Array, Array, Array]:
    """Layouts of x and y, then x, y, dy and dx as the reference has them, for whole numbers with many ties."""
    rng = np.random.default_rng(7)
    layers: tuple[Layer, ...] = (ReLU(), case.layer) if mask else (case.layer,)
    graph = build(layers, case.shape)
    values = reference.forward(graph, [], rng.integers(-3, 4, (16, *case.shape)))
    dy = 12.0 * rng.integers(-3, 4, values[-1].shape)
    _, gradients = reference.backward(graph, [], values, dy)
    y_shape = graph.output_shape if len(graph.output_shape) == 3 else (*graph.output_shape, 1, 1)
    return Layout(case.shape), Layout.of(y_shape), values[-2], values[-1], dy, gradients[0]


def geometry(case: Case) -> pool.Pool:
    assert isinstance(case.layer, MaxPool2D | AvgPool2D)
    node = build((case.layer,), case.shape).nodes[-1]
    return pool.Pool(case.layer.window, case.layer.stride or case.layer.window, node.padding)


def forward_program(case: Case, x: Layout, y: Layout) -> Program:
    match case.layer:
        case MaxPool2D():
            return pool.max_forward(geometry(case), x, y)
        case AvgPool2D(count_padding=count_padding):
            return pool.average_forward(geometry(case), x, y, count_padding)
    return pool.global_average_forward(x, y)


def backward_program(case: Case, x: Layout, y: Layout, dx: Layout, accumulate: bool, mask: bool) -> Program:
    match case.layer:
        case MaxPool2D():
            return pool.max_backward(geometry(case), x, y, y, dx, accumulate, mask)
        case AvgPool2D(count_padding=count_padding):
            return pool.average_backward(geometry(case), x, y, dx, accumulate, mask, count_padding)
    return pool.global_average_backward(x, y, dx, accumulate, mask)


def same(case: Case, came: npt.NDArray[np.float32], expected: Array) -> None:
    """Whole numbers: maxima are exact, means round once at the division and once at the sum."""
    expected = expected.reshape(came.shape)
    if isinstance(case.layer, MaxPool2D):
        np.testing.assert_array_equal(came, expected)
    else:
        np.testing.assert_allclose(came, expected, rtol=3e-7, atol=3e-6)


def noise(layout: Layout) -> npt.NDArray[np.float32]:
    """Something in every scalar, the border too."""
    return buffer(np.random.default_rng(1).integers(1, 9, layout.scalars))


@pytest.mark.parametrize("borders", BORDERS, ids=["plain", "bordered"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_forward(case: Case, borders: tuple[tuple[int, ...], ...]) -> None:
    x, y, x_values, y_values, _, _ = evaluated(case, mask=False)
    x, y = x.with_border(borders[0]), y.with_border(borders[1])
    before = noise(y)
    _, after = run_everywhere(forward_program(case, x, y), [into_lanes(x_values, x), before], ("host",))
    same(case, from_lanes(after, y), y_values)
    np.testing.assert_array_equal(border_of(after, y), border_of(before, y))


@pytest.mark.parametrize("mask", [False, True], ids=["", "mask"])
@pytest.mark.parametrize("accumulate", [False, True], ids=["write", "add"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_backward(case: Case, accumulate: bool, mask: bool) -> None:
    x, y, x_values, y_values, dy, dx_values = evaluated(case, mask)
    x, dx = x.with_border((0, 1, 0, 0)), x.with_border((2, 1, 0, 1))
    before = noise(dx)
    buffers: Arrays = [into_lanes(x_values, x)]
    if isinstance(case.layer, MaxPool2D):
        buffers.append(into_lanes(y_values, y))
    buffers += [into_lanes(dy, y), before]
    after = run_everywhere(backward_program(case, x, y, dx, accumulate, mask), buffers, ("host",))[-1]
    same(case, from_lanes(after, dx), dx_values + (from_lanes(before, dx) if accumulate else 0))
    np.testing.assert_array_equal(border_of(after, dx), border_of(before, dx))


@pytest.mark.parametrize("name", ["max_2", "max_pad_1", "average_pad", "global_average"])
def test_same_bits_on_all_targets(name: str) -> None:
    (case,) = (case for case in CASES if case.name == name)
    x, y, _, _, _, _ = evaluated(case, mask=False)
    rng = np.random.default_rng(2)
    x_data, dy = into_lanes(rng.normal(size=(16, *x.shape)), x), into_lanes(rng.normal(size=(16, *y.shape)), y)
    _, y_data = run_everywhere(forward_program(case, x, y), [x_data, noise(y)], TARGETS)
    buffers = [x_data, y_data, dy, noise(x)] if isinstance(case.layer, MaxPool2D) else [x_data, dy, noise(x)]
    run_everywhere(backward_program(case, x, y, x, False, True), buffers, TARGETS)


def test_tiles_do_not_change_bits() -> None:
    case = Case("", MaxPool2D((3, 3), (2, 2), (1, 1, 1, 1)), (2, 7, 19))
    x, y, _, _, _, _ = evaluated(case, mask=False)
    rng = np.random.default_rng(3)
    x_data, dy = into_lanes(rng.normal(size=(16, *x.shape)), x), into_lanes(rng.normal(size=(16, *y.shape)), y)
    y_data = run_everywhere(pool.max_forward(geometry(case), x, y, tile=1), [x_data, noise(y)], ("host",))[1]
    results = []
    for tile in (1, 3, 16):
        forward = pool.max_forward(geometry(case), x, y, tile)
        np.testing.assert_array_equal(run_everywhere(forward, [x_data, noise(y)], ("host",))[1], y_data)
        backward = pool.max_backward(geometry(case), x, y, y, x, False, tile=tile)
        results.append(run_everywhere(backward, [x_data, y_data, dy, noise(x)], ("host",))[-1])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("layer", [MaxPool2D((3, 2), (2, 1), (1, 1, 0, 1)), AvgPool2D((2, 3), (1, 2), (0, 1, 1, 1))])
def test_gradient_is_that_of_finite_differences(layer: MaxPool2D | AvgPool2D) -> None:
    case = Case("", layer, (1, 4, 5))
    x, y, _, _, _, _ = evaluated(case, mask=False)
    rng = np.random.default_rng(4)
    values = rng.permuted(np.tile(np.arange(20.0), (16, 1)), axis=1).reshape(16, 1, 4, 5)  # no ties
    dy = rng.integers(-4, 5, (16, *y.shape)).astype(float)

    def loss(values: Array) -> Array:
        result = run_everywhere(forward_program(case, x, y), [into_lanes(values, x), noise(y)], ("host",))[1]
        return (from_lanes(result, y).astype(float) * dy).sum(axis=(1, 2, 3))

    y_data = run_everywhere(forward_program(case, x, y), [into_lanes(values, x), noise(y)], ("host",))[1]
    buffers = [into_lanes(values, x), y_data, into_lanes(dy, y), noise(x)]
    if isinstance(layer, AvgPool2D):
        del buffers[1]
    gradient = from_lanes(run_everywhere(backward_program(case, x, y, x, False, False), buffers, ("host",))[-1], x)
    for at in ((0, 0, 0), (0, 1, 3), (0, 3, 4)):
        step = np.zeros((16, 1, 4, 5))
        step[(slice(None), *at)] = 0.25
        np.testing.assert_allclose(
            (loss(values + step) - loss(values - step)) / 0.5, gradient[(slice(None), *at)], atol=1e-4
        )


def _statements(body: list[Statement]) -> int:
    return sum(1 + (_statements(s.body) if isinstance(s, Loop) else 0) for s in body)


def test_programs_stay_short_on_large_images_and_windows() -> None:
    large, out = Layout((64, 224, 224)), Layout((64, 112, 112))
    program = pool.max_backward(pool.Pool((3, 3), (2, 2), (1, 1, 1, 1)), large, out, out, large, False)
    assert _statements(program.body) < 2000
    whole = pool.average_forward(pool.Pool((112, 112), (112, 112)), large, Layout((64, 2, 2)))
    assert _statements(whole.body) < 50
