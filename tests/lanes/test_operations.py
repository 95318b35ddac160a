"""Every operation: its meaning in the interpreter, and the same bits in machine code for each target."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.errors import ProgramError
from lanewise.lanes.interpret import fused_multiply_add, interpret
from lanewise.lanes.ir import F32, I32, LANES, OPERATIONS, U8, Program
from lanewise.lanes.program import Recorder
from tests.kernels.support import TARGETS, aligned, buffer, run, run_native

Array = npt.NDArray[Any]
ROWS = 48
SIZE = ROWS * LANES


# Operands, hard ones among them


def any_floats(rng: np.random.Generator) -> Array:
    """All finite bit patterns alike, denormals too, then the special ones."""
    bits = rng.integers(0, 2**32, SIZE, dtype=np.uint32)
    values = bits.view(np.float32)
    values[~np.isfinite(values)] = 1.0
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, 1.0, -1.0, 1 + 2.0**-23]
    places = rng.choice(SIZE, 8 * len(special), replace=False)
    values[places] = np.tile(np.array(special, np.float32), 8)
    return values


def near_floats(rng: np.random.Generator) -> Array:
    """Few bits and close exponents: equal ones, zeros of both signs, ties and cancellations are common."""
    values = rng.integers(-3, 4, SIZE) * 2.0 ** rng.integers(-2, 3, SIZE)
    return np.where(values == 0, rng.choice([0.0, -0.0], SIZE), values).astype(np.float32)


def small_floats(rng: np.random.Generator) -> Array:
    """Floats that an int32 can hold when rounded."""
    return np.where(
        rng.random(SIZE) < 0.5, rng.uniform(-(2**31), 2147483520, SIZE), rng.integers(-7, 7, SIZE) / 2
    ).astype(np.float32)


def integers(rng: np.random.Generator) -> Array:
    values = rng.integers(-(2**31), 2**31, SIZE).astype(np.int32)
    values[:12] = [0, -1, 1, 2**31 - 1, -(2**31), 2, -2, 255, 256, 65535, 65536, 2**24 + 1]
    return rng.permutation(values)


def few_integers(rng: np.random.Generator) -> Array:
    return rng.integers(-2, 3, SIZE).astype(np.int32)


def shifts(rng: np.random.Generator) -> Array:
    return rng.integers(0, 32, SIZE).astype(np.int32)


Draw = Callable[[np.random.Generator], Array]

FLOATS: list[Draw] = [any_floats, near_floats]

OPERANDS: dict[str, list[list[Draw]]] = {
    **{op: [[draw] * 2 for draw in FLOATS] for op in ("add", "sub", "mul", "div", "max", "min")},
    "fma": [[draw] * 3 for draw in FLOATS],
    "sqrt": [[draw] for draw in FLOATS],
    **{op: [[draw] * 4 for draw in FLOATS] for op in ("where_gt", "where_eq")},
    **{op: [[integers] * 2] for op in ("iadd", "isub", "imul", "iand", "ixor", "high_product")},
    **{op: [[integers, shifts]] for op in ("shl", "shr")},
    "where_ult": [[integers, integers, any_floats, any_floats], [few_integers, few_integers, integers, integers]],
    "to_float": [[integers]],
    "to_int": [[small_floats]],
    "bits_of": [[any_floats]],
    "float_of_bits": [[integers]],
}
"""Operation -> how to draw its operands, one list for each round."""


def test_each_operation_is_tested() -> None:
    assert set(OPERANDS) == set(OPERATIONS)


def _program(op: str, types: list[str]) -> Program:
    k = Recorder(op)
    inputs = [k.scalars(f"x{n}", (ROWS, LANES), type) for n, type in enumerate(types)]
    result = OPERATIONS[op][1]
    y = k.scalars("y", (ROWS, LANES), types[-1] if result == "?" else result)
    for row in k.loop(ROWS):
        y.set_vector(k.apply(op, *(x.vector(row, 0) for x in inputs)), row, 0)
    return k.program()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("op", OPERATIONS)
def test_machine_code_agrees_with_the_interpreter(op: str, target: str) -> None:
    rng = np.random.default_rng(1)
    for draws in OPERANDS[op]:
        operands = [draw(rng) for draw in draws]
        program = _program(op, [F32 if o.dtype == np.float32 else I32 for o in operands])
        last = program.buffers[-1]
        arrays = [buffer(o, o.dtype) for o in operands]
        arrays.append(aligned(SIZE, np.float32 if last.type == F32 else np.int32))
        expected, came = run(program, arrays)[-1], run_native(program, arrays, target)[-1]
        if last.type == F32:  # a NaN is a NaN: processors differ in its sign and payload
            np.testing.assert_array_equal(np.isnan(came), np.isnan(expected))
            expected, came = np.nan_to_num(expected), np.nan_to_num(came)
        np.testing.assert_array_equal(came.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("target", TARGETS)
def test_loads_stores_gathers_and_shuffles(target: str) -> None:
    k = Recorder("memory")
    bytes, reals, wholes = k.scalars("bytes", (60,), U8), k.scalars("reals", (60,)), k.scalars("wholes", (60,), I32)
    images, y, n = k.scalars("images", (16,), I32), k.lanes("y", (7,)), k.scalars("n", (86,), I32)
    image, lane = images.vector(0), k.lane_number()
    n.set_vector(k.gather(bytes, image, 10, lane), 1)
    n.set_vector(k.gather(wholes, image, 5, lane), 17)
    y[0] = k.gather(reals, image, 3, lane)
    y[1] = reals.vector(7)
    y[2] = reals[59]
    n.set_vector(wholes[3], 33)
    y[3] = k.shuffle(y[0], y[1], [(7 * m + 3) % 32 for m in range(LANES)])
    y[4] = y.lane(11, 0)
    n.set_vector(k.gather(bytes, image, 10, lane, bytes=4), 70)
    n[0] = lane + 5  # the first lane alone
    n.set_vector(wholes.vector(44), 49)
    y[5] = y[0] * 1.0
    y[6] = 2.5
    rng = np.random.default_rng(3)
    arrays = [buffer(rng.integers(0, 256, 60), np.uint8), buffer(rng.standard_normal(60))]
    arrays += [buffer(rng.integers(-99, 99, 60), np.int32), buffer(rng.permutation(16) % 4, np.int32)]
    arrays += [aligned(7 * LANES), buffer(np.full(86, -1), np.int32)]
    program = k.program()
    bytes_, reals_, wholes_, images_, y_, n_ = run(program, arrays)
    lanes = np.arange(LANES)
    expected = [
        reals_[images_ * 3 + lanes],
        reals_[7:23],
        np.full(LANES, reals_[59]),
        np.concatenate([reals_[images_ * 3 + lanes], reals_[7:23]])[(7 * lanes + 3) % 32],
        np.full(LANES, reals_[images_ * 3 + lanes][11]),
        reals_[images_ * 3 + lanes],
        np.full(LANES, 2.5),
    ]
    np.testing.assert_array_equal(y_.reshape(7, LANES), expected)
    picked = [[5], bytes_[images_ * 10 + lanes], wholes_[images_ * 5 + lanes], [wholes_[3]] * 16, wholes_[44:60]]
    words = [
        int.from_bytes(bytes_[place : place + 4].tobytes(), "little", signed=True) for place in images_ * 10 + lanes
    ]
    np.testing.assert_array_equal(n_, [*np.concatenate(picked), *[-1] * 5, *words])
    for interpreted, came in zip(run(program, arrays), run_native(program, arrays, target), strict=True):
        np.testing.assert_array_equal(came, interpreted)


def test_interpreter_refuses_wrong_buffers() -> None:
    k = Recorder("probe")
    k.lanes("x", (2,))[0] = 1.0
    program = k.program()
    for wrong in (np.zeros(31, np.float32), np.zeros(32), np.zeros((2, 16), np.float32)):
        with pytest.raises(ProgramError, match="x takes 32 f32"):
            interpret(program, [wrong])


# The fused multiply-add against exact arithmetic


def _rounded(exact: Fraction) -> np.float32:
    """The float32 nearest to an exact number, ties to even."""
    if exact == 0:
        return np.float32(0)
    size, sign = abs(exact), 1 if exact > 0 else -1
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > size
    unit = Fraction(2) ** max(exponent - 23, -149)
    whole = round(size / unit)  # Python rounds fractions half to even
    value = whole * unit
    return np.float32(sign * np.inf if value >= 2**128 else sign * float(value))


def _triples() -> Array:
    rng = np.random.default_rng(5)
    count = 1500

    def drawn(exponents: int) -> Array:
        return (rng.uniform(1, 2, count) * 2.0 ** rng.integers(-exponents, exponents + 1, count)).astype(np.float32)

    a, b = drawn(2), drawn(2)
    product = (a.astype(np.float64) * b).astype(np.float32)
    tiny = np.float32(2.0**-70)
    few = rng.integers(1, 2**12, (2, count)).astype(np.float32)
    triples = [
        (a, b, drawn(30)),
        (a, b, -product),  # cancellation: what is left is the product's rounding error
        (a, b, -np.nextafter(product, np.float32(np.inf))),
        (few[0], few[1], rng.choice([-1, 1], count).astype(np.float32) * np.float32(2.0**24)),  # ties
        (few[0], few[1] / 2, np.float32(2.0**24) + 2 * few[0]),
        (a, b * np.float32(2.0**-60), drawn(3)),  # the product decides a tie or nothing
        (tiny * a, tiny * b, drawn(2) * np.float32(2.0**-140)),  # denormal results
        (a * np.float32(2.0**64), b * np.float32(2.0**63), drawn(3) * np.float32(2.0**100)),  # near overflow
    ]
    # Products a hair above or below half a unit of c, less than float64 can add to c, or just enough to be added up as
    # one unit of float64: rounding twice gets these wrong, and so does a rounding to odd that is not quite one.
    m = rng.integers(2**23 + 1, 2**24, 200 * count)
    n = (2**46 + m // 2) // m
    near = np.flatnonzero((m * n != 2**46) & (abs(m * n - 2**46) < 2**18))[:count]
    factors, c = (m[near] * 2.0**-35, n[near] * 2.0**-35), rng.integers(2**23, 2**24, len(near)) * 2.0**-23
    triples += [(np.float32(sign * factors[0]), np.float32(factors[1]), np.float32(c)) for sign in (1, -1)]
    tiny, c = np.float32(2.0**-63), rng.integers(2**22, 2**23, len(near)) * 2.0**-149  # the same among denormals
    triples += [
        (np.float32(sign * factors[0]) * tiny, np.float32(factors[1]) * tiny, np.float32(c)) for sign in (1, -1)
    ]
    return np.concatenate([np.array(np.broadcast_arrays(*t)) for t in triples], axis=1)


def test_fused_multiply_add_rounds_once() -> None:
    with np.errstate(all="ignore"):
        a, b, c = _triples()
    came = fused_multiply_add(a, b, c)
    with np.errstate(all="ignore"):
        expected = np.array(
            [
                _rounded(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)))
                for x, y, z in zip(a, b, c, strict=True)
            ]
        )
        twice = (a.astype(np.float64) * b + c).astype(np.float32)
        separately = a * b + c
    np.testing.assert_array_equal(came, expected)
    alone = np.concatenate(
        [fused_multiply_add(*triple) for triple in zip(*(x[:, None] for x in (a, b, c)), strict=True)]
    )
    np.testing.assert_array_equal(alone, expected, "whatever stands beside it")
    # the cases are hard: two other ways of computing it get many wrong
    assert (twice != expected).sum() > 100
    assert (separately != expected).sum() > 1000


def test_fused_multiply_add_of_special_numbers() -> None:
    inf, nan = np.inf, np.nan
    table = [(inf, 1, 1, inf), (inf, 0, 1, nan), (inf, 1, -inf, nan), (1, 1, -inf, -inf), (nan, 1, 1, nan)]
    table += [(0, -1, 0, 0), (1e38, 1e38, -inf, -inf), (1e38, 10, 0, inf), (2, 3, -6, 0)]
    a, b, c, expected = np.array(table, np.float32).T
    np.testing.assert_array_equal(fused_multiply_add(a, b, c), expected)
    zero = np.float32(-0.0) * np.ones(1, np.float32)
    assert np.signbit(fused_multiply_add(zero, -zero + 1, zero))[0]
