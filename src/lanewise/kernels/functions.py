"""exp, log, tanh, sine and their like from elementary operations: every machine computes the same bits.

Each reduces its argument to a short interval and evaluates there a polynomial, by Horner's rule in fused multiply-adds.
The coefficients are our own fits by Remez's exchange algorithm, of least greatest relative error, rounded to float32;
tests hold each function to the error that its docstring claims. NaN gives NaN. Results below the smallest normal
float32 are zero, because native code flushes them anyway. (`sqrt` is an operation of the lane program, exact.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lanewise.lanes.program import Recorder, Value

LOG2_E = math.log2(math.e)
LN2_HIGH = 0.693359375  # nine bits of it, so that its product with a small whole number is exact
LN2_LOW = math.log(2.0) - LN2_HIGH
ROUNDING = 1.5 * 2.0**23  # added to a float32, it leaves no room for a fraction: the sum's lowest bits are the integer
SIGN = 1 << 31
SMALLEST_NORMAL = 2.0**-126

EXP_LARGEST, EXP_SMALLEST = 88.72284, -87.33  # beyond them the result is infinite, or no normal number
EXP = (0.4999999403953552, 0.1666651964187622, 0.04166839271783829, 0.008368780836462975, 0.0013814467238262296)
"""(exp(r) - 1 - r) / r**2 for |r| <= log(2) / 2, constant term first."""

LOG = (
    0.3333333134651184,
    -0.2500082552433014,
    0.20001235604286194,
    -0.1662314385175705,
    0.14201368391513824,
    -0.13162003457546234,
    0.1276542842388153,
    -0.07634390145540237,
)
"""(log(1 + f) - f + f**2 / 2) / f**3 for sqrt(1/2) <= 1 + f <= sqrt(2)."""

TANH_SMALL = 0.625
TANH = (-0.3333328366279602, 0.13331490755081177, -0.05374349653720856, 0.02065058797587985, -0.005717045161873102)
"""(tanh(x) / x - 1) / x**2 as a polynomial in x**2, for |x| <= TANH_SMALL."""


NORMAL_NEARNESS = 0.3
NORMAL = (
    6.850705631222809e-06,
    0.11949309706687927,
    0.1218818724155426,
    0.09483348578214645,
    0.14218437671661377,
    -0.07599944621324539,
    0.2282179594039917,
    -0.16895267367362976,
    0.03833450376987457,
)
"""Phi(-s) exp(s**2 / 2) as a polynomial in 1 / (1 + NORMAL_NEARNESS s) for 0 <= s <= 13.5, where exp(-s**2 / 2) ends.

By Lawson's iteration of weighted least squares, of nearly the least greatest relative error: 6e-8."""


def polynomial(k: Recorder, x: Value, coefficients: Sequence[float]) -> Value:
    """coefficients[0] + coefficients[1] * x + ..., by Horner's rule.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    x : Value
    coefficients : sequence of float
        Of x**0, x**1, ...; at least one.
    """
    result = k.constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = k.apply("fma", result, x, coefficient)
    return result


def negative(k: Recorder, x: Value) -> Value:
    """-x, by its sign bit."""
    return k.apply("float_of_bits", k.apply("ixor", k.apply("bits_of", x), k.integer(SIGN)))


def magnitude(k: Recorder, x: Value) -> Value:
    """|x|, by its sign bit."""
    return k.apply("float_of_bits", k.apply("iand", k.apply("bits_of", x), k.integer(SIGN - 1)))


def exp(k: Recorder, x: Value) -> Value:
    """e**x = 2**n e**r with n = round(x / log 2) and r = x - n log 2; within 1.1 units in the last place."""
    shifted = k.apply("fma", x, LOG2_E, ROUNDING)
    n = shifted - ROUNDING
    r = k.apply("fma", n, -LN2_LOW, k.apply("fma", n, -LN2_HIGH, x))
    e_r = k.apply("fma", k.apply("mul", r, r), polynomial(k, r, EXP), r) + 1.0
    # n is in the lowest bits of `shifted`: moved up, it is added to the exponent of e_r
    n_up = k.apply("shl", k.apply("bits_of", shifted), 23)
    scaled = k.apply("float_of_bits", k.apply("bits_of", e_r) + n_up)
    bounded = k.apply("where_gt", x, EXP_LARGEST, math.inf, k.apply("where_gt", EXP_SMALLEST, x, 0.0, scaled))
    return k.apply("where_eq", x, x, bounded, x)


def exp_minus_one(k: Recorder, x: Value) -> Value:
    """e**x - 1 for x <= 0, from the polynomial of `exp` where x is near 0; within 2.5 units in the last place."""
    near = k.apply("fma", k.apply("mul", x, x), polynomial(k, x, EXP), x)
    return k.apply("where_gt", x, -math.log(2.0) / 2, near, exp(k, x) - 1.0)


def log(k: Recorder, x: Value) -> Value:
    """log x = e log 2 + log(1 + f) with x = 2**e (1 + f); within 1.1 units in the last place.

    -infinity for zero (and for what flushes to zero), NaN for negative numbers.
    """
    bits = k.apply("bits_of", x)
    # 0x3F3504F3 is sqrt(1/2): so 1 + f lies between it and sqrt(2), and f is small on both sides of 1
    exponent = k.apply("shr", bits - 0x3F3504F3 + (127 << 23), 23) - 127
    f = k.apply("float_of_bits", bits - k.apply("shl", exponent, 23)) - 1.0
    e = k.apply("to_float", exponent)
    square = f * f
    tail = k.apply("fma", e, LN2_LOW, k.apply("mul", square * f, polynomial(k, f, LOG)))
    tail = k.apply("fma", square, -0.5, tail)
    result = k.apply("fma", e, LN2_HIGH, f + tail)
    result = k.apply("where_gt", SMALLEST_NORMAL, x, -math.inf, result)
    result = k.apply("where_gt", 0.0, x, math.nan, result)
    # infinity and NaN answer themselves
    return k.apply("where_gt", math.inf, x, result, x)


def softplus(k: Recorder, x: Value) -> Value:
    """log(1 + exp(x)) = max(x, 0) + log(1 + t) with t = exp(-|x|); within 2.5 units in the last place.

    What is lost of t when 1 is added to it is exact, and is added to the logarithm, divided by 1 + t well enough.
    """
    t = exp(k, negative(k, magnitude(k, x)))
    one_more = t + 1.0
    lost = t - (one_more - 1.0)
    tail = k.apply("fma", lost, k.apply("fma", t, -0.5, 1.0), log(k, one_more))
    return k.apply("max", 0.0, x) + tail


def sigmoid(k: Recorder, x: Value) -> Value:
    """1 / (1 + exp(-x)); within 2.5 units in the last place."""
    return k.apply("div", 1.0, exp(k, negative(k, x)) + 1.0)


def tanh(k: Recorder, x: Value) -> Value:
    """x + x**3 p(x**2) where |x| < 0.625, else sign(x) (1 - 2 / (exp(2 |x|) + 1)).

    Within 1.5 units in the last place.
    """
    size = magnitude(k, x)
    square = size * size
    small = k.apply("fma", k.apply("mul", square * size, polynomial(k, square, TANH)), 1.0, size)
    large = k.apply("sub", 1.0, k.apply("div", 2.0, exp(k, size + size) + 1.0))
    result = k.apply("where_gt", TANH_SMALL, size, small, large)
    sign = k.apply("iand", k.apply("bits_of", x), k.integer(SIGN))
    return k.apply("float_of_bits", k.apply("ixor", k.apply("bits_of", result), sign))


def normal(k: Recorder, x: Value) -> tuple[Value, Value]:
    """Phi(x) = (1 + erf(x / sqrt(2))) / 2, the share of a normal distribution below x, and exp(-x**2 / 2).

    Phi(-|x|) is exp(-x**2 / 2) times a polynomial, so that it keeps its digits far below 0, and Phi(|x|) is 1 less
    that. Within 2e-7 of the exact Phi, and within 4e-7 + 8e-8 x**2 of it relatively.
    """
    size = magnitude(k, x)
    e = exp(k, k.apply("mul", size * size, -0.5))
    near = k.apply("div", 1.0, k.apply("fma", size, NORMAL_NEARNESS, 1.0))
    tail = e * polynomial(k, near, NORMAL)
    return k.apply("where_gt", x, 0.0, k.apply("sub", 1.0, tail), tail), e


def sine_and_cosine(k: Recorder, x: Value) -> tuple[Value, Value]:
    """sin x and cos x for |x| <= pi, each to within 5e-7, by Taylor's series of half the angle.

    sin x = 2 sin(x / 2) cos(x / 2) and cos x = 1 - 2 sin(x / 2)**2.
    """
    half = x * 0.5
    square = half * half
    sine = half * polynomial(k, square, [(-1) ** n / math.factorial(2 * n + 1) for n in range(7)])
    cosine = polynomial(k, square, [(-1) ** n / math.factorial(2 * n) for n in range(8)])
    doubled = sine * 2.0
    return doubled * cosine, k.apply("fma", doubled, negative(k, sine), 1.0)
