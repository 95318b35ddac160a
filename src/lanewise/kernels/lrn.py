"""Local response normalisation: each value divided by a power of the squares beside it, and the gradient.

At each position, with j running over the channels at most `half` from i:

    b[i] = k + share * sum of x[j]**2
    y[i] = x[i] b[i]**-beta
    dx[i] = dy[i] b[i]**-beta - 2 share beta x[i] * sum of dy[j] y[j] / b[j]

The power is exp(-beta log b). Channels at both ends, which have fewer beside them, are written out.
"""

from __future__ import annotations

from collections.abc import Iterator

from lanewise.kernels import functions
from lanewise.kernels.layout import Layout
from lanewise.kernels.pointwise import put
from lanewise.lanes.program import Index, Program, Recorder, Value, kernel


@kernel
def forward(x: Layout, y: Layout, half: int, share: float, beta: float, bias: float) -> Program:
    """Buffers: x, y."""
    k, channels = Recorder("lrn"), x.shape[0]
    xs, ys = x.buffer(k, "x"), y.buffer(k, "y")
    for r, c in _positions(k, x):
        for i, low, high in _channels(k, channels, half):
            values = [xs[i + d, r, c] for d in range(-low, high + 1)]
            base = _base(k, [value * value for value in values], share, bias)
            ys[i, r, c] = values[low] * _power(k, base, beta)
    return k.program()


@kernel
def backward(
    x: Layout,
    y: Layout,
    dy: Layout,
    dx: Layout,
    half: int,
    share: float,
    beta: float,
    bias: float,
    accumulate: bool,
) -> Program:
    """Buffers: x, y, dy, dx."""
    k, channels = Recorder("lrn_backward"), x.shape[0]
    xs, ys, dys, dxs = x.buffer(k, "x"), y.buffer(k, "y"), dy.buffer(k, "dy"), dx.buffer(k, "dx")
    for r, c in _positions(k, x):
        for i, low, high in _channels(k, channels, 2 * half):
            # `low` and `high` say how far there are channels, up to twice `half`: those beside the ones beside i
            values = {d: xs[i + d, r, c] for d in range(-low, high + 1)}
            squares = {d: value * value for d, value in values.items()}
            bases = {
                d: _base(k, [squares[e] for e in range(max(-low, d - half), min(high, d + half) + 1)], share, bias)
                for d in range(-min(low, half), min(high, half) + 1)
            }
            shared = k.constant(0.0)
            for d, base in bases.items():
                shared = k.apply("fma", dys[i + d, r, c], k.apply("div", ys[i + d, r, c], base), shared)
            whole = dys[i, r, c] * _power(k, bases[0], beta)
            put(dxs, (i, r, c), whole - values[0] * shared * (2 * share * beta), accumulate)
    return k.program()


def _positions(k: Recorder, layout: Layout) -> Iterator[tuple[Index, Index]]:
    _, rows, columns = layout.shape
    for r in k.loop(rows):
        for c in k.loop(columns):
            yield r, c


def _channels(k: Recorder, channels: int, reach: int) -> Iterator[tuple[Index, int, int]]:
    """All channels, each with how many of those at most `reach` before it and behind it there are."""
    ends = min(reach, channels)
    for i in range(ends):
        yield i, i, min(reach, channels - 1 - i)
    for inner in k.loop(channels - 2 * reach):
        yield inner + reach, reach, reach
    for last in range(max(ends, channels - reach), channels):
        yield last, min(reach, last), channels - 1 - last


def _base(k: Recorder, squares: list[Value], share: float, bias: float) -> Value:
    total, *others = squares
    for square in others:
        total = total + square
    return k.apply("fma", total, share, bias)


def _power(k: Recorder, base: Value, beta: float) -> Value:
    return functions.exp(k, functions.log(k, base) * -beta)
