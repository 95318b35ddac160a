"""The elementary functions: their error against float64, their limits, and the same bits everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.kernels import functions
from lanewise.kernels.activations import EXPRESSIONS
from lanewise.lanes.program import LANES, Program, Recorder, Value
from tests.kernels.support import TARGETS, aligned, buffer, run_everywhere, run_native

Function = Callable[[Recorder, Value], Value]
Array = npt.NDArray[np.float32]


def program_of(function: Function, elements: int) -> Program:
    k = Recorder("function")
    x, y = k.lanes("x", (elements,)), k.lanes("y", (elements,))
    for n in k.loop(elements):
        y[n] = function(k, x[n])
    return k.program()


def computed(function: Function, x: Array) -> Array:
    """By machine code, which other tests compare with the interpreter."""
    padded = np.resize(x, -(-x.size // LANES) * LANES)
    program = program_of(function, padded.size // LANES)
    return run_native(program, [buffer(padded), aligned(padded.size)])[1][: x.size]


def ulps(came: Array, exact: npt.NDArray[np.float64]) -> float:
    """The greatest error, in units in the last place of the exact result."""
    with np.errstate(all="ignore"):
        unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
        return float(np.max(np.abs(came.astype(np.float64) - exact) / unit))


def normal_bits(low: float, high: float, count: int = 200_000) -> Array:
    """Positive numbers whose bits, and so whose exponents, are spread evenly."""
    bits = np.array([low, high], np.float32).view(np.int32)
    return np.random.default_rng(0).integers(bits[0], bits[1], count, dtype=np.int32).view(np.float32)


mish = EXPRESSIONS["mish"].forward


def both_signs(x: Array) -> Array:
    return np.concatenate([x, -x])


def exact_sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize(("which", "exact"), [(0, np.sin), (1, np.cos)])
def test_sine_and_cosine_are_near_over_the_whole_circle(which: int, exact: Callable[[Array], Array]) -> None:
    x = np.linspace(-np.pi, np.pi, 200_000).astype(np.float32)
    came = computed(lambda k, value: functions.sine_and_cosine(k, value)[which], x)
    assert np.abs(came - exact(x.astype(np.float64))).max() < 5e-7


@pytest.mark.parametrize(
    ("function", "exact", "x", "bound"),
    [
        (functions.exp, np.exp, np.linspace(-87.3, 88.7, 400_000, dtype=np.float32), 1.1),
        (functions.exp, np.exp, both_signs(normal_bits(1e-30, 80.0)), 1.1),
        (functions.exp_minus_one, np.expm1, -normal_bits(1e-30, 87.0), 2.5),
        (functions.exp_minus_one, np.expm1, np.linspace(-2, 0, 400_000, dtype=np.float32), 2.5),
        (functions.log, np.log, normal_bits(1.2e-38, 3.4e38), 1.1),
        (functions.log, np.log, np.linspace(0.5, 2.0, 400_000, dtype=np.float32), 1.1),
        (functions.tanh, np.tanh, both_signs(normal_bits(1e-30, 30.0)), 1.5),
        (functions.tanh, np.tanh, np.linspace(-2, 2, 400_000, dtype=np.float32), 1.5),
        (functions.sigmoid, exact_sigmoid, np.linspace(-87.0, 87.0, 400_000, dtype=np.float32), 2.5),
        (functions.softplus, partial(np.logaddexp, 0.0), np.linspace(-87.0, 87.0, 400_000, dtype=np.float32), 2.5),
        (functions.softplus, partial(np.logaddexp, 0.0), np.linspace(-3.0, 3.0, 400_000, dtype=np.float32), 2.5),
    ],
    ids=[
        "exp",
        "exp_small",
        "exp_minus_one",
        "exp_minus_one_near_0",
        "log",
        "log_near_1",
        "tanh",
        "tanh_near_0",
        "sigmoid",
        "softplus",
        "softplus_near_0",
    ],
)
def test_error(function: Function, exact: Callable[..., npt.NDArray[np.float64]], x: Array, bound: float) -> None:
    assert ulps(computed(function, x), exact(x.astype(np.float64))) <= bound


def test_error_of_the_normal_distribution() -> None:
    """Of Phi, and of x Phi(x) as ONNX Runtime has it."""
    x = np.linspace(-13, 13, 400_000, dtype=np.float32)
    came = computed(lambda k, x: functions.normal(k, x)[0], x).astype(np.float64)
    exact = np.vectorize(math.erfc)(-x.astype(np.float64) / math.sqrt(2)) / 2
    assert np.abs(came - exact).max() <= 2e-7
    assert (np.abs(came - exact) <= (4e-7 + 8e-8 * x.astype(np.float64) ** 2) * exact).all()


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (functions.exp, [0.0, -0.0, INF, -INF, 88.8, 1e30, -104.0, -1e30], [1, 1, INF, 0, INF, INF, 0, 0]),
        (functions.log, [1.0, INF, 0.0, -0.0, 1e-45, -1.0, -INF], [0, INF, -INF, -INF, -INF, NAN, NAN]),
        (functions.tanh, [0.0, INF, -INF, 20.0, -1e30], [0, 1, -1, 1, -1]),
        (lambda k, x: functions.normal(k, x)[0], [INF, -INF, 40.0, -40.0], [1, 0, 1, 0]),
        (functions.sigmoid, [0.0, INF, -INF, 1e30, -1e30], [0.5, 1, 0, 1, 0]),
        (functions.softplus, [INF, -INF, 2.0**99, -1e30], [INF, 0, 2.0**99, 0]),
        (mish, [0.0, INF, 2.0**99, -1e30], [0, INF, 2.0**99, 0]),
    ],
    ids=["exp", "log", "tanh", "normal", "sigmoid", "softplus", "mish"],
)
def test_limits(function: Function, x: list[float], expected: list[float]) -> None:
    assert np.array_equal(computed(function, np.array([*x, NAN], np.float32)), [*expected, NAN], equal_nan=True)


def test_tanh_keeps_the_sign_of_zero() -> None:
    assert np.signbit(computed(functions.tanh, np.array([-0.0], np.float32)))[0]


@pytest.mark.parametrize("function", [functions.exp, functions.log, functions.tanh, functions.sigmoid])
def test_same_bits_everywhere(function: Function) -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=500) * 30, [0.0, -0.0, INF, -INF, 1e30, -1e30, 88.723, -87.336, 1.0, 0.625]])
    x = np.abs(x) if function is functions.log else x  # NaN may have any bits
    x = np.resize(x, 32 * LANES)
    run_everywhere(program_of(function, 32), [buffer(x), aligned(x.size)], TARGETS)


@pytest.mark.parametrize("function", [functions.exp, functions.log, functions.tanh, functions.sigmoid])
def test_not_a_number_of_any_bits_stays_one(function: Function) -> None:
    x = np.array([0x7FC00001, 0x7FFFFFFF, -1, -0x3FFFFF], np.int32).view(np.float32)
    assert np.isnan(computed(function, x)).all()
