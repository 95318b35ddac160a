"""Each position of an image, or all features, with the mean and variance of its channels taken out, and the gradient.

With n channels, for each position:

    m = sum of x / n,   v = sum of (x - m)**2 / n,   r = 1 / sqrt(v + epsilon)
    y = (x - m) r
    dx = r (dy - s / n - (x - m) r t / n),   s = sum of dy,   t = sum of dy (x - m) r

Sums run over the channels in their order; several columns are worked on side by side to hide the latency of additions.
"""

from __future__ import annotations

from collections.abc import Iterator

from lanewise.kernels.layout import Layout
from lanewise.kernels.pointwise import put
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import Buffer, Index, Program, Recorder, Value, kernel

COLUMNS = 4


def _positions(k: Recorder, layout: Layout) -> Iterator[list[tuple[Index, Index]]]:
    """All (row, column), a few columns at a time."""
    _, rows, columns = layout.shape
    for r in k.loop(rows):
        for first, width in blocks(k, columns, COLUMNS):
            yield [(r, first + q) for q in range(width)]


def _moments(
    k: Recorder, xs: Buffer, channels: int, at: list[tuple[Index, Index]], epsilon: float
) -> tuple[list[Value], list[Value]]:
    """The mean of each position, and 1 / its standard deviation."""
    share = 1 / channels
    totals = [k.register(0.0) for _ in at]
    for i in k.loop(channels):
        for total, place in zip(totals, at, strict=True):
            total.add(xs[i, *place])
    means = [total.get() * share for total in totals]
    squares = [k.register(0.0) for _ in at]
    for i in k.loop(channels):
        for square, mean, place in zip(squares, means, at, strict=True):
            difference = xs[i, *place] - mean
            square.accumulate(difference, difference)
    return means, [k.apply("div", 1.0, k.apply("sqrt", one.get() * share + epsilon)) for one in squares]


@kernel
def forward(x: Layout, y: Layout, epsilon: float) -> Program:
    """Buffers: x, y."""
    k, channels = Recorder("layernorm"), x.shape[0]
    xs, ys = x.buffer(k, "x"), y.buffer(k, "y")
    for at in _positions(k, x):
        means, inverses = _moments(k, xs, channels, at, epsilon)
        for i in k.loop(channels):
            for mean, inverse, place in zip(means, inverses, at, strict=True):
                ys[i, *place] = (xs[i, *place] - mean) * inverse
    return k.program()


@kernel
def backward(x: Layout, dy: Layout, dx: Layout, epsilon: float, accumulate: bool) -> Program:
    """Buffers: x, dy, dx."""
    k, channels = Recorder("layernorm_backward"), x.shape[0]
    xs, dys, dxs = x.buffer(k, "x"), dy.buffer(k, "dy"), dx.buffer(k, "dx")
    share = 1 / channels
    for at in _positions(k, x):
        means, inverses = _moments(k, xs, channels, at, epsilon)
        sums, products = ([k.register(0.0) for _ in at] for _ in range(2))
        for i in k.loop(channels):
            for p, place in enumerate(at):
                sums[p].add(dys[i, *place])
                products[p].accumulate(dys[i, *place], (xs[i, *place] - means[p]) * inverses[p])
        middles = [one.get() * share for one in sums]
        factors = [one.get() * share for one in products]
        for i in k.loop(channels):
            for p, place in enumerate(at):
                normal = (xs[i, *place] - means[p]) * inverses[p]
                put(dxs, (i, *place), (dys[i, *place] - middles[p] - normal * factors[p]) * inverses[p], accumulate)
    return k.program()
