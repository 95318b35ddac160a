"""Activations, dropout, add, join and copy: against the reference, in any borders, written or added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.errors import ProgramError
from lanewise.kernels import pointwise
from lanewise.kernels.activations import EXPRESSIONS
from lanewise.kernels.layout import Layout
from lanewise.kernels.random import bits_array
from lanewise.lanes.program import Program
from lanewise.network import reference
from lanewise.network.activations import ACTIVATIONS
from lanewise.network.graph import build
from lanewise.network.layers import Activation, Flatten, Layer, LeakyReLU, ReLU, Softmax
from tests.kernels.support import TARGETS, Arrays, aligned, border_of, buffer, from_lanes, into_lanes, run_everywhere

Array = npt.NDArray[np.float32]
Backward = Callable[[Layout, Layout, Layout, bool], Program]

PLAIN, BORDERED = (0, 0, 0, 0), (1, 2, 0, 1)
SHAPE = (2, 3, 11)


@dataclass(frozen=True)
class Case:
    layer: Layer
    forward: Callable[[Layout, Layout], Program]
    backward: Backward
    exact: bool = False


def _case(activation: Activation, *, exact: bool = False) -> Case:
    word, options = activation.word, tuple(activation.options.values())

    def forward(x: Layout, y: Layout) -> Program:
        return pointwise.activation(word, options, x, y)

    def backward(known: Layout, dy: Layout, dx: Layout, accumulate: bool) -> Program:
        return pointwise.activation_backward(word, options, known, dy, dx, activation.derivative_from, accumulate)

    return Case(activation, forward, backward, exact)


CASES = [
    _case(ReLU(), exact=True),
    _case(LeakyReLU(0.25), exact=True),
    *(_case(kind()) for kind in ACTIVATIONS.values() if kind not in (ReLU, LeakyReLU)),
    Case(Softmax(), pointwise.softmax, pointwise.softmax_backward),
]


def test_every_activation_has_a_kernel() -> None:
    assert EXPRESSIONS.keys() == ACTIVATIONS.keys()


def name_of(case: Case) -> str:
    return type(case.layer).__name__


def from_x(case: Case) -> bool:
    """Whether the gradient is worked out from x, and not from y."""
    return isinstance(case.layer, Activation) and case.layer.derivative_from == "x"


def evaluated(case: Case) -> tuple[tuple[int, int, int], Array, Array, Array, Array]:
    """The shape, then x, y, dy and dx as the reference has them."""
    shape = (19, 1, 1) if isinstance(case.layer, Softmax) else SHAPE
    graph = build((Flatten(), case.layer) if isinstance(case.layer, Softmax) else (case.layer,), shape)
    rng = np.random.default_rng(0)
    x = rng.integers(-8, 9, (16, *shape)) / (1 if case.exact else 2)
    values = reference.forward(graph, [], x)
    dy = rng.integers(-8, 9, values[-1].shape).astype(float)
    dx = reference.backward(graph, [], values, dy)[1][0]
    return shape, x, values[-1].reshape(x.shape), dy.reshape(x.shape), dx


def compare(case: Case, came: Array, expected: Array) -> None:
    if case.exact:
        np.testing.assert_array_equal(came, expected)
    else:
        np.testing.assert_allclose(came, expected, rtol=1e-6, atol=2e-6)


def noise(layout: Layout) -> Array:
    """Something in every scalar, the border too."""
    return buffer(np.random.default_rng(1).integers(1, 9, layout.scalars))


@pytest.mark.parametrize("borders", [(PLAIN, PLAIN), (PLAIN, BORDERED), (BORDERED, PLAIN)])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_forward(case: Case, borders: tuple[tuple[int, int, int, int], tuple[int, int, int, int]]) -> None:
    shape, x_values, y_values, _, _ = evaluated(case)
    x, y = (Layout(shape, border) for border in borders)
    before = noise(y)
    targets = TARGETS if borders == (PLAIN, PLAIN) else ("host",)
    after = run_everywhere(case.forward(x, y), [into_lanes(x_values, x), before], targets)[1]
    compare(case, from_lanes(after, y), y_values)
    np.testing.assert_array_equal(border_of(after, y), border_of(before, y))


@pytest.mark.parametrize("accumulate", [False, True], ids=["write", "add"])
@pytest.mark.parametrize("borders", [(PLAIN, PLAIN, PLAIN), (PLAIN, BORDERED, PLAIN), (BORDERED, PLAIN, BORDERED)])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_backward(case: Case, borders: tuple[tuple[int, int, int, int], ...], accumulate: bool) -> None:
    shape, x_values, y_values, dy_values, dx_values = evaluated(case)
    known = x_values if from_x(case) else y_values
    y, dy, dx = (Layout(shape, border) for border in borders)
    before = noise(dx)
    program = case.backward(y, dy, dx, accumulate)
    targets = TARGETS if borders == (PLAIN, PLAIN, PLAIN) else ("host",)
    after = run_everywhere(program, [into_lanes(known, y), into_lanes(dy_values, dy), before], targets)[2]
    compare(case, from_lanes(after, dx), dx_values + (from_lanes(before, dx) if accumulate else 0))
    np.testing.assert_array_equal(border_of(after, dx), border_of(before, dx))


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_gradient_is_that_of_finite_differences(case: Case) -> None:
    rng = np.random.default_rng(2)
    layout = Layout((5, 1, 1))
    x, dy = rng.uniform(0.2, 1.5, (16, 5, 1, 1)) * rng.choice([-1, 1], (16, 5, 1, 1)), rng.normal(size=(16, 5, 1, 1))

    def value(x: npt.ArrayLike) -> Array:
        return run_everywhere(case.forward(layout, layout), [into_lanes(x, layout), noise(layout)], ("host",))[1]

    known = into_lanes(x, layout) if from_x(case) else value(x)
    program = case.backward(layout, layout, layout, False)
    gradient = from_lanes(run_everywhere(program, [known, into_lanes(dy, layout), noise(layout)], ("host",))[2], layout)
    for j in range(5):
        step = np.zeros((16, 5, 1, 1))
        step[:, j] = 2.0**-7
        difference = from_lanes(value(x + step), layout).astype(float) - from_lanes(value(x - step), layout)
        np.testing.assert_allclose((difference * dy).sum(axis=(1, 2, 3)) * 64, gradient[:, j, 0, 0], atol=3e-4)


def test_not_a_number_is_not_hidden_by_relu() -> None:
    layout = Layout((1, 1, 1))
    x = into_lanes(np.array([np.nan, np.inf, -np.inf, -1.0]), layout)
    y = from_lanes(run_everywhere(pointwise.activation("relu", (), layout, layout), [x, noise(layout)])[1], layout, 4)
    np.testing.assert_array_equal(y.ravel(), [np.nan, np.inf, 0, 0])


def test_softmax_of_large_numbers_does_not_overflow() -> None:
    layout = Layout((3, 1, 1))
    x = into_lanes(np.array([[1000.0, 1000.0, -1000.0], [-1e30, -1e30, -1e30]]), layout)
    y = from_lanes(run_everywhere(pointwise.softmax(layout, layout), [x, noise(layout)], ("host",))[1], layout, 2)
    np.testing.assert_allclose(y[:, :, 0, 0], [[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)


# Dropout

KEY = np.array([11, 5], np.int32)
IMAGES = np.array([*range(100, 115), -1], np.int32)


def kept(shape: tuple[int, int, int], rate: float, first: int) -> npt.NDArray[np.bool_]:
    places = first + np.arange(np.prod(shape)).reshape(shape)
    return bits_array(*KEY.tolist(), IMAGES[:, None, None, None], places) >= rate * 2**32  # type: ignore[call-arg]


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("border", [PLAIN, BORDERED])
def test_dropout(rate: float, border: tuple[int, int, int, int]) -> None:
    x, y = Layout(SHAPE, border), Layout(SHAPE)
    values = np.random.default_rng(0).normal(size=(16, *SHAPE)).astype(np.float32)
    before = noise(y)
    arrays = [into_lanes(values, x), before, buffer(IMAGES, np.int32), buffer(KEY, np.int32)]
    expected = np.where(kept(SHAPE, rate, 1000), values * np.float32(1 / (1 - rate)), 0)
    came = run_everywhere(pointwise.dropout(x, y, rate, 1000), arrays)[1]
    np.testing.assert_array_equal(from_lanes(came, y), expected)
    came = run_everywhere(pointwise.dropout_backward(x, y, rate, 1000, False), arrays, ("host",))[1]
    np.testing.assert_array_equal(from_lanes(came, y), expected)
    came = run_everywhere(pointwise.dropout_backward(x, y, rate, 1000, True), arrays, ("host",))[1]
    np.testing.assert_array_equal(from_lanes(came, y), from_lanes(before, y) + expected)


def test_dropout_of_nearly_everything_drops_nearly_everything() -> None:
    layout = Layout((8, 1, 1))
    arrays = [into_lanes(np.ones((16, 8)), layout), aligned(layout.scalars)]
    arrays += [buffer(IMAGES, np.int32), buffer(KEY, np.int32)]
    assert not run_everywhere(pointwise.dropout(layout, layout, 1 - 2.0**-40, 0), arrays, ("host",))[1].any()


# Add, join, copy


@pytest.mark.parametrize("count", [1, 2, 3])
def test_add(count: int) -> None:
    inputs = [Layout(SHAPE, border) for border in (PLAIN, BORDERED, PLAIN)][:count]
    y = Layout(SHAPE)
    values = np.random.default_rng(0).normal(size=(count, 16, *SHAPE)).astype(np.float32)
    arrays = [into_lanes(v, x) for v, x in zip(values, inputs, strict=True)]
    came = run_everywhere(pointwise.add(tuple(inputs), y), [*arrays, noise(y)], ("host",))[-1]
    total = values[0]
    for v in values[1:]:
        total = total + v
    np.testing.assert_array_equal(from_lanes(came, y), total)


def test_mean() -> None:
    x, y = Layout(SHAPE, BORDERED), Layout(SHAPE)
    first, second = np.random.default_rng(0).normal(size=(2, 16, *SHAPE)).astype(np.float32)
    came = [
        from_lanes(run_everywhere(pointwise.mean(x, y), [into_lanes(a, x), into_lanes(b, x), noise(y)])[-1], y)
        for a, b in ((first, second), (second, first))
    ]
    np.testing.assert_array_equal(came[0], (first + second) * np.float32(0.5))
    np.testing.assert_array_equal(came[0], came[1])


@pytest.mark.parametrize("accumulate", [False, True], ids=["write", "add"])
@pytest.mark.parametrize("border", [PLAIN, BORDERED])
def test_multiply_and_back(border: tuple[int, int, int, int], accumulate: bool) -> None:
    layout, small = Layout(SHAPE, border), Layout((SHAPE[0], 1, 1), border)
    rng = np.random.default_rng(0)
    x, dy = rng.integers(-8, 9, (2, 16, *SHAPE)).astype(np.float32)
    factors = rng.integers(-8, 9, (16, SHAPE[0], 1, 1)).astype(np.float32)
    programs = (
        (pointwise.multiply(layout, small, layout), layout, (x, layout), (factors, small), x * factors, False),
        (
            pointwise.multiply_backward(small, layout, layout, accumulate),
            layout,
            (dy, layout),
            (factors, small),
            dy * factors,
            accumulate,
        ),
        (
            pointwise.multiply_backward_factors(layout, layout, small, accumulate),
            small,
            (x, layout),
            (dy, layout),
            (x * dy).sum(axis=(2, 3), keepdims=True),
            accumulate,
        ),
    )
    for program, written, one, other, expected, adds in programs:
        before = noise(written)
        after = run_everywhere(program, [into_lanes(*one), into_lanes(*other), before])[2]
        np.testing.assert_array_equal(
            from_lanes(after, written), expected + (from_lanes(before, written) if adds else 0)
        )
        np.testing.assert_array_equal(border_of(after, written), border_of(before, written))


def test_join_and_back() -> None:
    inputs = [Layout((1, 3, 11), BORDERED), Layout((4, 3, 11)), Layout((2, 3, 11))]
    y = Layout((7, 3, 11), (0, 1, 1, 0))
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(16, *x.shape)).astype(np.float32) for x in inputs]
    arrays: Arrays = [into_lanes(v, x) for v, x in zip(values, inputs, strict=True)]
    before = noise(y)
    joined = run_everywhere(pointwise.join(tuple(inputs), y), [*arrays, before], ("host",))[-1]
    np.testing.assert_array_equal(from_lanes(joined, y), np.concatenate(values, axis=1))
    np.testing.assert_array_equal(border_of(joined, y), border_of(before, y))
    for x, v, first in zip(inputs, values, (0, 1, 5), strict=True):
        for accumulate in (False, True):
            before = noise(x)
            program = pointwise.join_backward(y, x, first, accumulate)
            after = run_everywhere(program, [joined, before], ("host",))[1]
            np.testing.assert_array_equal(from_lanes(after, x), v + (from_lanes(before, x) if accumulate else 0))
            np.testing.assert_array_equal(border_of(after, x), border_of(before, x))


@pytest.mark.parametrize("accumulate", [False, True], ids=["write", "add"])
def test_copy_flattens_and_back(accumulate: bool) -> None:
    image, features = Layout(SHAPE, BORDERED), Layout.of((66,))
    values = np.random.default_rng(0).normal(size=(16, 66)).astype(np.float32)
    for x, y in ((image, features), (features, image), (image, Layout(SHAPE, (0, 0, 1, 1)))):
        before = noise(y)
        after = run_everywhere(
            pointwise.copy_backward(x, y, True) if accumulate else pointwise.copy(x, y),
            [into_lanes(values, x), before],
            ("host",),
        )[1]
        expected = values.reshape(16, *y.shape) + (from_lanes(before, y) if accumulate else 0)
        np.testing.assert_array_equal(from_lanes(after, y), expected)
        np.testing.assert_array_equal(border_of(after, y), border_of(before, y))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (Layout((2, 3, 4)), Layout((5, 1, 1))),
        (Layout((2, 3, 4), BORDERED), Layout((4, 3, 2), BORDERED)),
    ],
)
def test_copy_refuses_what_does_not_fit(x: Layout, y: Layout) -> None:
    with pytest.raises(ProgramError, match="copy"):
        pointwise.copy(x, y)


def test_layouts_of_different_shapes_are_refused() -> None:
    with pytest.raises(ProgramError, match=r"x \(2, 3, 11\), y \(1, 3, 11\)"):
        pointwise.activation("relu", (), Layout(SHAPE), Layout((1, 3, 11)))
