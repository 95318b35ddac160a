"""Kernels for one image that are not the same for all lanes: the image's way in, the values' way out, softmax, join.

prepare   y[i, r, c] = scale[i] * image[r, c, i] + offset[i]
flatten   y[n] = x[i, r, c] with n counting (i, r, c)
join      y = the channels of x0, then those of x1, ...
scale     y[i, r, c] = scale[i] * x[i, r, c] + offset[i]
prelu     y[i, r, c] = x[i, r, c] where that is above 0, else slope[i] * x[i, r, c]
layernorm y[i, r, c] = (x[i, r, c] - mean) / sqrt(variance + epsilon), both over i
lrn       y[i, r, c] = x[i, r, c] (k + share * sum of x[j, r, c]**2) ** -beta, over |i - j| <= half
softmax   y[j] = e[j] / sum of e, with e[j] = exp(x[j] - max x)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lanewise.kernels import functions
from lanewise.kernels.across import lane_sum
from lanewise.kernels.single.blocked import Blocked
from lanewise.kernels.single.conv import Floats
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import LANES, Buffer, Index, Program, Recorder, Value, kernel

UNROLL = 4


def staged(shape_of: tuple[int, int, int]) -> int:
    """Scalars of the array in which `prepare` takes an image: room for reading a whole vector at its last pixel."""
    rows, columns, channels = shape_of
    return rows * columns * channels + LANES


def lay_scale(y: Blocked, per_channel: Floats) -> Floats:
    """A scale or offset as `prepare` reads it: for each number of a row if y is compact, else in blocks."""
    channels, _, columns = y.shape
    if y.width != LANES:
        return np.tile(per_channel, columns)
    laid = np.zeros(y.blocks * LANES, np.float32)
    laid[:channels] = per_channel
    return laid


@kernel
def prepare(y: Blocked) -> Program:
    """Buffers: image ((rows, columns, channels) of float32, `staged` of them), scale and offset (`lay_scale`), y."""
    channels, rows, columns = y.shape
    k = Recorder("single prepare")
    image = k.scalars("image", (staged((rows, columns, channels)),))
    if y.width == LANES:
        scale, offset = k.lanes("scale", (y.blocks,)), k.lanes("offset", (y.blocks,))
        ys = y.lanes.buffer(k, "y")
        for b in k.loop(y.blocks):
            for r in k.loop(rows):
                for c in k.loop(columns):
                    raw = image.vector((r * columns + c) * channels + b * LANES)
                    ys[b, r, c] = k.apply("fma", raw, scale[b], offset[b])
        return k.program()
    row = columns * channels
    scales, offsets = k.scalars("scale", (row,)), k.scalars("offset", (row,))
    top, left, bottom, right = y.border
    border = [(top, bottom), (left * channels, right * channels)]
    out = k.scalars("y", (rows, row), border=border)
    for r in k.loop(rows):
        for n, step in _row(k, row):
            if step == LANES:
                value = k.apply("fma", image.vector(r * row + n), scales.vector(n), offsets.vector(n))
                out.set_vector(value, r, n)
            else:
                out[r, n] = k.apply("fma", image[r * row + n], scales[n], offsets[n])
    return k.program()


def _row(k: Recorder, count: int) -> list[tuple[Index, int]]:
    """Cover 0 .. count - 1 by vectors, the last of which overlaps; or number by number if there are fewer than 16."""
    if count < LANES:
        return [(n, 1) for n in range(count)]
    starts = [*range(0, count - LANES + 1, LANES), *([count - LANES] if count % LANES else [])]
    return [(n, LANES) for n in starts]


@kernel
def flatten(x: Blocked) -> Program:
    """Buffers: x, y (numbers in the order channel, row, column)."""
    channels, rows, columns = x.shape
    k = Recorder("single flatten")
    xs, y = x.buffer(k, "x"), k.scalars("y", (channels * rows * columns,))
    for b, lanes in x.parts(k):
        for i in k.loop(lanes):
            for r in k.loop(rows):
                for c in k.loop(columns):
                    y[((b * x.width + i) * rows + r) * columns + c] = xs[b, r, c, i]
    return k.program()


@kernel
def join(inputs: tuple[Blocked, ...], y: Blocked) -> Program:
    """Buffers: x0, x1, ..., y. Where channels do not start on a block, they are copied one by one."""
    k = Recorder("single join")
    buffers = [x.buffer(k, f"x{n}") for n, x in enumerate(inputs)]
    ys, first = y.buffer(k, "y"), 0
    for x, xs in zip(inputs, buffers, strict=True):
        if first % LANES == 0:
            _copy_blocks(k, x, xs, ys, first // LANES)
        else:
            _copy_channels(k, x, xs, ys, first)
        first += x.shape[0]
    return k.program()


def _copy_blocks(k: Recorder, x: Blocked, xs: Buffer, ys: Buffer, first: int) -> None:
    """Whole vectors; lanes past the last channel are written by whoever comes after."""
    _, rows, columns = x.shape
    for b in k.loop(x.blocks):
        for r in k.loop(rows):
            for c, width in blocks(k, columns, UNROLL):
                for q in range(width):
                    ys.set_vector(xs.vector(b, r, c + q, 0), first + b, r, c + q, 0)


def _copy_channels(k: Recorder, x: Blocked, xs: Buffer, ys: Buffer, first: int) -> None:
    channels, rows, columns = x.shape
    for i in range(channels):
        (from_block, from_lane), (to_block, to_lane) = divmod(i, LANES), divmod(first + i, LANES)
        for r in k.loop(rows):
            for c in k.loop(columns):
                ys[to_block, r, c, to_lane] = xs[from_block, r, c, from_lane]


@kernel
def scale_and_shift(x: Blocked, y: Blocked) -> Program:
    """Buffers: x, scale and offset (in blocks), y."""
    _, rows, columns = x.shape
    k = Recorder("single scale")
    xs = x.lanes.buffer(k, "x")
    scale, offset = k.lanes("scale", (x.blocks,)), k.lanes("offset", (x.blocks,))
    ys = y.lanes.buffer(k, "y")
    for b in k.loop(x.blocks):
        factor, shift = scale[b], offset[b]
        for r in k.loop(rows):
            for c, width in blocks(k, columns, UNROLL):
                for q in range(width):
                    ys[b, r, c + q] = k.apply("fma", xs[b, r, c + q], factor, shift)
    return k.program()


@kernel
def prelu(x: Blocked, y: Blocked) -> Program:
    """Buffers: x, slope (in blocks), y."""
    _, rows, columns = x.shape
    k = Recorder("single prelu")
    xs, slope, ys = x.lanes.buffer(k, "x"), k.lanes("slope", (x.blocks,)), y.lanes.buffer(k, "y")
    for b in k.loop(x.blocks):
        factor = slope[b]
        for r in k.loop(rows):
            for c, width in blocks(k, columns, UNROLL):
                for q in range(width):
                    value = xs[b, r, c + q]
                    ys[b, r, c + q] = k.apply("where_gt", value, 0.0, value, value * factor)
    return k.program()


@kernel
def layer_norm(x: Blocked, y: Blocked, epsilon: float) -> Program:
    """Each position less the mean of its channels, divided by their standard deviation. Buffers: x, y.

    Sums go block by block, then over the lanes by a tree.
    """
    channels, rows, columns = x.shape
    k = Recorder("single layernorm")
    xs, ys, inside = x.lanes.buffer(k, "x"), y.lanes.buffer(k, "y"), k.lane_number()
    full, rest = divmod(channels, LANES)

    def only_channels(value: Value) -> Value:
        """The value of the last block, with 0 in the lanes past the last channel."""
        return k.apply("where_ult", inside, k.integer(rest), value, 0.0)

    for r in k.loop(rows):
        for c in k.loop(columns):
            total = k.register(0.0)
            for b in k.loop(full):
                total.add(xs[b, r, c])
            if rest:
                total.add(only_channels(xs[full, r, c]))
            mean = lane_sum(k, total.get()) * (1 / channels)
            square = k.register(0.0)
            for b in k.loop(full):
                square.accumulate(xs[b, r, c] - mean, xs[b, r, c] - mean)
            if rest:
                difference = only_channels(xs[full, r, c] - mean)
                square.accumulate(difference, difference)
            variance = lane_sum(k, square.get()) * (1 / channels)
            inverse = k.apply("div", 1.0, k.apply("sqrt", variance + epsilon))
            for b in k.loop(x.blocks):
                ys[b, r, c] = (xs[b, r, c] - mean) * inverse
    return k.program()


@kernel
def lrn(x: Blocked, y: Blocked, half: int, share: float, beta: float, bias: float) -> Program:
    """Each value divided by a power of the squares beside it. Buffers: x, y.

    Neighbours in other blocks come by shuffles of two blocks side by side, so `half` is less than 16.

    Parameters
    ----------
    x, y : Blocked
    half : int
        How many channels on each side count.
    share, beta, bias : float
        As in the formula, where `bias` is k.
    """
    channels, rows, columns = x.shape
    k = Recorder("single lrn")
    xs, ys, inside = x.lanes.buffer(k, "x"), y.lanes.buffer(k, "y"), k.lane_number()
    last = x.blocks - 1
    rest = channels - last * LANES

    for r in k.loop(rows):
        for c in k.loop(columns):

            def squares(b: Index, near: int, at: tuple[Index, Index] = (r, c)) -> Value:
                """Those of a block, 0 past the last channel; `near` is b counted from the last block, if it is near."""
                value = xs[b, *at]
                square = value * value
                return k.apply("where_ult", inside, k.integer(rest), square, 0.0) if near == 0 else square

            def one(b: Index, near: int, first: bool, at: tuple[Index, Index] = (r, c)) -> None:
                before = k.constant(0.0) if first else squares(b - 1, 1)
                own = squares(b, near)
                after = k.constant(0.0) if near == 0 else squares(b + 1, near - 1)
                total = own
                for d in range(1, half + 1):
                    total = total + k.shuffle(before, own, [LANES + n - d for n in range(LANES)])
                    total = total + k.shuffle(own, after, [n + d for n in range(LANES)])
                base = k.apply("fma", total, share, bias)
                ys[b, *at] = xs[b, *at] * functions.exp(k, functions.log(k, base) * -beta)

            one(0, last, first=True)
            for b in k.loop(last - 2):
                one(b + 1, 2, first=False)
            for near in range(min(1, last - 1), -1, -1):
                one(last - near, near, first=False)
    return k.program()


@kernel
def softmax(x: Blocked) -> Program:
    """Over the features of one image. Sums go block by block, then over the lanes by a tree. Buffers: x, y."""
    features = x.shape[0]
    k = Recorder("single softmax")
    xs, ys = x.lanes.buffer(k, "x"), k.lanes("y", (x.blocks,))
    inside = k.lane_number()

    def only_features(b: int, value: Value, otherwise: float) -> Value:
        """The value, with `otherwise` in the lanes past the last feature."""
        rest = features - b * LANES
        return value if rest >= LANES else k.apply("where_ult", inside, k.integer(rest), value, otherwise)

    largest = k.register(float("-inf"))
    full, rest = divmod(features, LANES)
    for b in k.loop(full):
        largest.set(k.apply("max", largest, xs[b, 0, 0]))
    if rest:
        largest.set(k.apply("max", largest, only_features(full, xs[full, 0, 0], float("-inf"))))
    most = _over_lanes(k, largest.get(), lambda a, b: k.apply("max", a, b))
    total = k.register(0.0)
    for b in k.loop(full):
        ys[b] = e = functions.exp(k, xs[b, 0, 0] - most)
        total.add(e)
    if rest:
        ys[full] = e = functions.exp(k, xs[full, 0, 0] - most)
        total.add(only_features(full, e, 0.0))
    share = k.apply("div", 1.0, lane_sum(k, total.get()))
    for b in k.loop(x.blocks):
        ys[b] = ys[b] * share
    return k.program()


def _over_lanes(k: Recorder, value: Value, step: Callable[[Value, Value], Value]) -> Value:
    """All lanes folded into each of them, by halves."""
    for distance in (8, 4, 2, 1):
        value = step(value, k.shuffle(value, value, [(n + distance) % LANES for n in range(LANES)]))
    return value
