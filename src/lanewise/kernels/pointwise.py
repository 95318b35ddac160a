"""Kernels that look at one element at a time, or at one image's features: activations, dropout, add, join, copy.

    activation y = f(x)                          dx = dy f'(x), as `activations.py` has them
    softmax    y[j] = e[j] / sum of e            dx[j] = y[j] (dy[j] - sum over i of dy[i] y[i])
               with e[j] = exp(x[j] - max x)
    dropout    y = x / (1 - rate), or 0 for those dropped; dx from dy likewise
    add        y = x0 + x1 + ...                 dx = dy
    mean       y = (x0 + x1) / 2, whose bits are the same for x1 and x0 exchanged
    multiply   y[i] = x0[i] x1[i], by channel    dx0[i] = dy[i] x1[i], dx1[i] = sum over r, c of dy[i, r, c] x0[i, r, c]
    join       y = x0, then x1, ... by channel   dx = those channels of dy

With `accumulate` backward kernels add to dx, else they replace
it. Layouts may differ in their borders, which are never written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lanewise.errors import ProgramError
from lanewise.kernels import functions
from lanewise.kernels.activations import EXPRESSIONS
from lanewise.kernels.layout import Layout
from lanewise.kernels.random import bits, stream
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import I32, LANES, Buffer, Index, Program, Recorder, Value, kernel

Place = tuple[Index, ...]
"""Where an element is: (channel, row, column), or (number,) where all layouts are plain."""

UNROLL = 8
UNROLL_FUNCTIONS = 2  # exp and its like are long already


def declare(k: Recorder, **layouts: Layout) -> list[Buffer]:
    """Declare values of one shape for `elements`, in the order given."""
    if len({layout.shape for layout in layouts.values()}) != 1:
        shapes = ", ".join(f"{name} {layout.shape}" for name, layout in layouts.items())
        raise ProgramError(f"{k.name}: {shapes} should have one shape")
    flat = all(layout.plain for layout in layouts.values())
    return [layout.flat(k, name) if flat else layout.buffer(k, name) for name, layout in layouts.items()]


def elements(k: Recorder, *layouts: Layout, unroll: int = UNROLL) -> Iterator[Place]:
    """All elements of values that were declared with `declare`, in the order in which they lie in memory.

    Parameters
    ----------
    k : Recorder
    *layouts : Layout
        Of all the values; they have one shape.
    unroll : int
        How many elements are recorded side by side.
    """
    channels, rows, columns = layouts[0].shape
    if all(layout.plain for layout in layouts):
        for first, width in blocks(k, channels * rows * columns, unroll):
            for q in range(width):
                yield (first + q,)
        return
    for i in k.loop(channels):
        for r in k.loop(rows):
            for first, width in blocks(k, columns, unroll):
                for q in range(width):
                    yield (i, r, first + q)


def put(buffer: Buffer, at: Place, value: Value, accumulate: bool, mask: Buffer | None = None) -> None:
    """Store `value`, or add it to what is there; then make it zero where `mask` is.

    Parameters
    ----------
    buffer : Buffer
    at : Place
        The element.
    value : Value
    accumulate : bool
        Whether to add.
    mask : Buffer, optional
        What came out of a ReLU, whose gradient `value` is.
    """
    total = buffer[at] + value if accumulate else value
    buffer[at] = value.k.apply("where_gt", mask[at], 0.0, total, 0.0) if mask else total


@kernel
def activation(word: str, options: tuple[float, ...], x: Layout, y: Layout) -> Program:
    """y = f(x), with f the activation of that word and those options. Buffers: x, y."""
    k, expression = Recorder(word), EXPRESSIONS[word]
    xs, ys = declare(k, x=x, y=y)
    for at in elements(k, x, y, unroll=expression.unroll):
        ys[at] = expression.forward(k, xs[at], *options)
    return k.program()


@kernel
def activation_backward(
    word: str, options: tuple[float, ...], known: Layout, dy: Layout, dx: Layout, name: str, accumulate: bool
) -> Program:
    """dx = dy f'(x), with f as for `activation`, worked out from x or y.

    Buffers: x or y, whichever `name` says and lies as `known`, dy, dx.
    """
    k, expression = Recorder(f"{word}_backward"), EXPRESSIONS[word]
    values, dys, dxs = declare(k, **{name: known, "dy": dy, "dx": dx})
    for at in elements(k, known, dy, dx, unroll=expression.unroll_backward):
        put(dxs, at, expression.backward(k, values[at], dys[at], *options), accumulate)
    return k.program()


@kernel
def softmax(x: Layout, y: Layout) -> Program:
    """y[j] = exp(x[j] - max x) / sum of them, over the features of one image. Buffers: x, y."""
    k = Recorder("softmax")
    xs, ys = declare(k, x=x, y=y)
    largest, total = k.register(float("-inf")), k.register(0.0)
    for at in elements(k, x, y):
        largest.set(k.apply("max", largest, xs[at]))
    most = largest.get()
    for at in elements(k, x, y, unroll=UNROLL_FUNCTIONS):
        ys[at] = e = functions.exp(k, xs[at] - most)
        total.add(e)
    share = k.apply("div", 1.0, total)
    for at in elements(k, x, y):
        ys[at] = ys[at] * share
    return k.program()


@kernel
def softmax_backward(y: Layout, dy: Layout, dx: Layout, accumulate: bool) -> Program:
    """dx[j] = y[j] (dy[j] - sum over i of dy[i] y[i]). Buffers: y, dy, dx."""
    k = Recorder("softmax_backward")
    ys, dys, dxs = declare(k, y=y, dy=dy, dx=dx)
    total = k.register(0.0)
    for at in elements(k, y, dy, dx):
        total.accumulate(dys[at], ys[at])
    mean = total.get()
    for at in elements(k, y, dy, dx):
        put(dxs, at, ys[at] * (dys[at] - mean), accumulate)
    return k.program()


@kernel
def dropout(x: Layout, y: Layout, rate: float, first_place: int) -> Program:
    """y = x / (1 - rate), or 0 for the elements that are dropped, each with probability `rate`.

    Element number n (borders not counted) is dropped where the random bits of place `first_place` + n, as an unsigned
    number, are below rate * 2**32; give each dropout of a network places of its own.

    Buffers: x, y, images (i32, 16: the number of each lane's image), key (i32, 2: seed, epoch).
    """
    return _dropout("dropout", {"x": x, "y": y}, rate, first_place, False)


@kernel
def dropout_backward(dy: Layout, dx: Layout, rate: float, first_place: int, accumulate: bool) -> Program:
    """dx = dy / (1 - rate), or 0 for the elements that `dropout` dropped. Buffers: dy, dx, images, key."""
    return _dropout("dropout_backward", {"dy": dy, "dx": dx}, rate, first_place, accumulate)


def _dropout(name: str, layouts: dict[str, Layout], rate: float, first_place: int, accumulate: bool) -> Program:
    k = Recorder(name)
    source, result = declare(k, **layouts)
    images, key = k.scalars("images", (LANES,), I32), k.scalars("key", (2,), I32)
    numbers = stream(k, key, images.vector(0))
    dropped, scale = k.integer(min(round(rate * 2**32), 2**32 - 1)), 1 / (1 - rate)
    place = k.register(k.integer(first_place))
    for at in elements(k, *layouts.values(), unroll=UNROLL_FUNCTIONS):
        kept = k.apply("where_ult", bits(k, numbers, place.get()), dropped, 0.0, source[at] * scale)
        put(result, at, kept, accumulate)
        place.add(1)
    return k.program()


@kernel
def add(inputs: tuple[Layout, ...], y: Layout, *, relu: bool = False) -> Program:
    """y = x0 + x1 + ..., in that order, or with `relu` the larger of that and 0. Buffers: x0, x1, ..., y."""
    k = Recorder("add")
    *xs, ys = declare(k, **{f"x{n}": x for n, x in enumerate(inputs)}, y=y)
    for at in elements(k, *inputs, y):
        total = xs[0][at]
        for x in xs[1:]:
            total = total + x[at]
        ys[at] = k.apply("max", 0.0, total) if relu else total
    return k.program()


@kernel
def mean(x: Layout, y: Layout) -> Program:
    """y = (x0 + x1) / 2. Buffers: x0, x1, y."""
    k = Recorder("mean")
    first, second, ys = declare(k, x0=x, x1=x, y=y)
    for at in elements(k, x, y):
        ys[at] = (first[at] + second[at]) * 0.5
    return k.program()


@kernel
def multiply(x: Layout, factors: Layout, y: Layout) -> Program:
    """y[i, r, c] = x0[i, r, c] x1[i]. Buffers: x0, x1, y."""
    return _multiply(Recorder("multiply"), {"x0": x, "x1": factors, "y": y}, False)


@kernel
def multiply_backward(factors: Layout, dy: Layout, dx: Layout, accumulate: bool) -> Program:
    """dx0[i, r, c] = dy[i, r, c] x1[i]. Buffers: dy, x1, dx, which is that of x0."""
    return _multiply(Recorder("multiply_backward"), {"dy": dy, "x1": factors, "dx": dx}, accumulate)


def _multiply(k: Recorder, layouts: dict[str, Layout], accumulate: bool) -> Program:
    """The third = the first times one number of the second for each channel."""
    xs, factors, ys = (layout.buffer(k, name) for name, layout in layouts.items())
    channels, rows, columns = next(iter(layouts.values())).shape
    for i in k.loop(channels):
        factor = factors[i, 0, 0]
        for r in k.loop(rows):
            for first, width in blocks(k, columns, UNROLL):
                for q in range(width):
                    at = (i, r, first + q)
                    put(ys, at, xs[at] * factor, accumulate)
    return k.program()


@kernel
def multiply_backward_factors(x: Layout, dy: Layout, dx: Layout, accumulate: bool) -> Program:
    """dx1[i] = sum over r, c of dy[i, r, c] x0[i, r, c]. Buffers: x0, dy, dx, which is that of x1.

    Each sum is one chain; several channels are worked on at once to hide their latency.
    """
    k = Recorder("multiply_backward_factors")
    xs, dys, dxs = x.buffer(k, "x0"), dy.buffer(k, "dy"), dx.buffer(k, "dx")
    channels, rows, columns = x.shape
    for first, width in blocks(k, channels, UNROLL):
        totals = [k.register(0.0) for _ in range(width)]
        for r in k.loop(rows):
            for c in k.loop(columns):
                for p, total in enumerate(totals):
                    total.accumulate(dys[first + p, r, c], xs[first + p, r, c])
        for p, total in enumerate(totals):
            put(dxs, (first + p, 0, 0), total.get(), accumulate)
    return k.program()


@kernel
def copy(x: Layout, y: Layout) -> Program:
    """y = x, between borders or between shapes of as many elements (Flatten). Buffers: x, y."""
    return _copy("copy", {"x": x, "y": y}, False)


@kernel
def copy_backward(dy: Layout, dx: Layout, accumulate: bool) -> Program:
    """dx = dy, between borders or between shapes of as many elements. Buffers: dy, dx."""
    return _copy("copy_backward", {"dy": dy, "dx": dx}, accumulate)


def _copy(name: str, layouts: dict[str, Layout], accumulate: bool) -> Program:
    x, y = layouts.values()
    if x.shape != y.shape:
        if x.elements != y.elements or not (x.plain or y.plain):
            raise ProgramError(f"{name}: {x} and {y} hold different numbers of elements, or both have borders")
        # one that is plain lies in memory as the other would without its border
        x, y = (replace(x, shape=y.shape), y) if x.plain else (x, replace(y, shape=x.shape))
    k = Recorder(name)
    xs, ys = declare(k, **dict(zip(layouts, (x, y), strict=True)))
    for at in elements(k, x, y):
        put(ys, at, xs[at], accumulate)
    return k.program()


@kernel
def join(inputs: tuple[Layout, ...], y: Layout) -> Program:
    """y = the channels of x0, then those of x1, ... Buffers: x0, x1, ..., y."""
    k = Recorder("join")
    buffers = [x.buffer(k, f"x{n}") for n, x in enumerate(inputs)]
    ys, first = y.buffer(k, "y"), 0
    for x, xs in zip(inputs, buffers, strict=True):
        _copy_channels(k, xs, 0, ys, first, x.shape, False)
        first += x.shape[0]
    return k.program()


@kernel
def join_backward(dy: Layout, dx: Layout, first_channel: int, accumulate: bool) -> Program:
    """dx = the channels of dy from `first_channel` on. Buffers: dy, dx."""
    k = Recorder("join_backward")
    dys, dxs = dy.buffer(k, "dy"), dx.buffer(k, "dx")
    _copy_channels(k, dys, first_channel, dxs, 0, dx.shape, accumulate)
    return k.program()


def _copy_channels(
    k: Recorder, source: Buffer, first: int, result: Buffer, second: int, shape: tuple[int, int, int], accumulate: bool
) -> None:
    """result[second + i] = source[first + i] for the channels i of `shape`."""
    channels, rows, columns = shape
    for i in k.loop(channels):
        for r in k.loop(rows):
            for start, width in blocks(k, columns, UNROLL):
                for q in range(width):
                    put(result, (second + i, r, start + q), source[first + i, r, start + q], accumulate)
