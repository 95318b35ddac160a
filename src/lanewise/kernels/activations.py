"""Each activation on 16 lanes: y = f(x), and dx from dy and from x or y, whichever `network/activations.py` says.

    relu       y = max(x, 0)                     dx = dy where y > 0, else 0
    leaky      y = x where x > 0, else s x       dx = dy where y > 0, else s dy, for s from 0 to 1
    sigmoid    y = 1 / (1 + exp(-x))             dx = dy y (1 - y)
    tanh       y = tanh x                        dx = dy (1 - y**2), as dy (1 - y) (1 + y)
    gelu       y = x Phi(x)                      dx = dy (Phi(x) + x exp(-x**2 / 2) / sqrt(2 pi))
    relu6      y = min(max(x, 0), 6)             dx = dy where 0 < y < 6, else 0
    silu       y = x s, s = 1 / (1 + exp(-x))    dx = dy s (1 + x (1 - s))
    hardswish  y = x min(max(x / 6 + 1/2, 0), 1) dx = dy (x / 3 + 1/2) where -3 < x < 3, 0 below, dy above
    hardsigmoid  y = min(max(x / 6 + 1/2, 0), 1) dx = dy / 6 where 0 < y < 1, else 0
    elu        y = x where x > 0, else a (exp(x) - 1); dx = dy where y > 0, else dy (y + a)
    softplus   y = log(1 + exp(x))               dx = dy (1 - exp(-y))
    mish       y = x w, w = tanh(softplus(x))    dx = dy (w + x w'), w' = (1 - w**2) / (1 + exp(-x))

With e = exp(x), mish's w is (e**2 + 2 e) / d and its w' is 4 e (e + 1) / d**2, where d = e**2 + 2 e + 2. For x > 0 they
are worked out with exp(-x), which does not overflow: numerator and denominator both divided by e**2.

NaN stays NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from lanewise.kernels import functions
from lanewise.lanes.program import Recorder, Value

SHORT = 8
"""Elements side by side, where an expression is short."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An activation and its gradient, recorded on values of 16 lanes.

    Attributes
    ----------
    forward : callable
        (recorder, x, *options) to y.
    backward : callable
        (recorder, what the derivative is worked out from, dy, *options) to dx.
    unroll, unroll_backward : int
        How many elements are recorded side by side; few of those that are long already.
    """

    forward: Callable[..., Value]
    backward: Callable[..., Value]
    unroll: int = SHORT
    unroll_backward: int = SHORT


Applied = tuple[str, tuple[float, ...]]
"""The word and the options of an activation that a kernel applies to what it has computed."""


def applied(k: Recorder, x: Value, activation: Applied | None) -> Value:
    """f(x), or x where there is no activation.

    Parameters
    ----------
    k : Recorder
    x : Value
    activation : Applied, optional
    """
    if activation is None:
        return x
    word, options = activation
    return EXPRESSIONS[word].forward(k, x, *options)


def is_short(word: str) -> bool:
    """Whether an activation takes a few operations, so that a kernel that makes many values applies it to each."""
    return EXPRESSIONS[word].unroll == SHORT


def _relu(k: Recorder, x: Value) -> Value:
    return k.apply("max", 0.0, x)


def _relu_backward(k: Recorder, y: Value, dy: Value) -> Value:
    return k.apply("where_gt", y, 0.0, dy, 0.0)


def _leaky(k: Recorder, x: Value, slope: float) -> Value:
    return k.apply("where_gt", x, 0.0, x, x * slope)


def _leaky_backward(k: Recorder, y: Value, dy: Value, slope: float) -> Value:
    return k.apply("where_gt", y, 0.0, dy, dy * slope)


def _sigmoid_backward(k: Recorder, y: Value, dy: Value) -> Value:
    return dy * (y * k.apply("sub", 1.0, y))


def _tanh_backward(k: Recorder, y: Value, dy: Value) -> Value:
    return dy * (k.apply("sub", 1.0, y) * (y + 1.0))


def _gelu(k: Recorder, x: Value) -> Value:
    below, _ = functions.normal(k, x)
    return x * below


def _gelu_backward(k: Recorder, x: Value, dy: Value) -> Value:
    below, e = functions.normal(k, x)
    return dy * k.apply("fma", x, e * (1 / math.sqrt(2 * math.pi)), below)


def _relu6(k: Recorder, x: Value) -> Value:
    return k.apply("min", 6.0, k.apply("max", 0.0, x))


def _relu6_backward(k: Recorder, y: Value, dy: Value) -> Value:
    return k.apply("where_gt", y, 0.0, k.apply("where_gt", 6.0, y, dy, 0.0), 0.0)


def _silu(k: Recorder, x: Value) -> Value:
    return x * functions.sigmoid(k, x)


def _silu_backward(k: Recorder, x: Value, dy: Value) -> Value:
    share = functions.sigmoid(k, x)
    return dy * k.apply("fma", x * share, k.apply("sub", 1.0, share), share)


def _hard_share(k: Recorder, x: Value) -> Value:
    return k.apply("min", 1.0, k.apply("max", 0.0, k.apply("fma", x, 1 / 6, 0.5)))


def _hardswish(k: Recorder, x: Value) -> Value:
    return x * _hard_share(k, x)


def _hardswish_backward(k: Recorder, x: Value, dy: Value) -> Value:
    rising = k.apply("fma", x, 1 / 3, 0.5)
    return dy * k.apply("where_gt", x, -3.0, k.apply("where_gt", 3.0, x, rising, 1.0), 0.0)


def _hardsigmoid_backward(k: Recorder, y: Value, dy: Value) -> Value:
    return k.apply("where_gt", y, 0.0, k.apply("where_gt", 1.0, y, dy * (1 / 6), 0.0), 0.0)


def _elu(k: Recorder, x: Value, alpha: float) -> Value:
    return k.apply("where_gt", x, 0.0, x, functions.exp_minus_one(k, x) * alpha)


def _elu_backward(k: Recorder, y: Value, dy: Value, alpha: float) -> Value:
    return k.apply("where_gt", y, 0.0, dy, dy * (y + alpha))


def _softplus_backward(k: Recorder, y: Value, dy: Value) -> Value:
    return dy * functions.negative(k, functions.exp_minus_one(k, functions.negative(k, y)))


def _mish_share(k: Recorder, x: Value) -> tuple[Value, Value, Value]:
    """w, exp(-|x|) and 1 / d."""
    t = functions.exp(k, functions.negative(k, functions.magnitude(k, x)))
    above, below = k.apply("fma", t, 2.0, 1.0), t * (t + 2.0)
    d = k.apply("where_gt", x, 0.0, k.apply("fma", t * t, 2.0, above), below + 2.0)
    part = k.apply("div", 1.0, d)
    return k.apply("where_gt", x, 0.0, above, below) * part, t, part


def _mish(k: Recorder, x: Value) -> Value:
    share, _, _ = _mish_share(k, x)
    return x * share


def _mish_backward(k: Recorder, x: Value, dy: Value) -> Value:
    share, t, part = _mish_share(k, x)
    rise = (t * (t + 1.0)) * (part * part) * k.apply("where_gt", x, 0.0, t * 4.0, 4.0)
    return dy * k.apply("fma", x, rise, share)


EXPRESSIONS: dict[str, Expression] = {
    "relu": Expression(_relu, _relu_backward),
    "leaky": Expression(_leaky, _leaky_backward),
    "sigmoid": Expression(functions.sigmoid, _sigmoid_backward, unroll=2),
    "tanh": Expression(functions.tanh, _tanh_backward, unroll=2),
    "gelu": Expression(_gelu, _gelu_backward, unroll=2, unroll_backward=2),
    "relu6": Expression(_relu6, _relu6_backward),
    "silu": Expression(_silu, _silu_backward, unroll=2, unroll_backward=2),
    "hardswish": Expression(_hardswish, _hardswish_backward),
    "hardsigmoid": Expression(_hard_share, _hardsigmoid_backward),
    "elu": Expression(_elu, _elu_backward, unroll=2),
    "softplus": Expression(functions.softplus, _softplus_backward, unroll=2, unroll_backward=2),
    "mish": Expression(_mish, _mish_backward, unroll=2, unroll_backward=2),
}
"""By the words of `network/activations.py`."""
