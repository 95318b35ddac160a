"""Batch normalisation of a group of 16 images, its gradients, and the update of its running statistics.

While training, with n the values that a channel has in the images that are there, over all rows and columns, and k the
running mean, by which values are shifted so that their squares do not cancel:

    s = sum of (x - k),   q = sum of (x - k)**2
    m = k + s / n,   v = q / n - (s / n)**2,   r = 1 / sqrt(v + epsilon)
    y = scale (x - m) r + shift
    dshift = sum of dy,   dscale = sum of dy (x - m) r
    dx = scale r (dy - dshift / n - (x - m) r dscale / n)

Each lane adds up the columns of each row in their order, and then the rows in theirs. Then lanes without an image are
left out, and the others are added by the tree of `across.lane_sum`. s and q go where gradients of mean and variance
would, from which `update_statistics` works out those of the whole batch. `moments` keeps m and r for the backward pass,
and there dshift / n and r dscale / n. A few channels at a time are summed and then, while they are in the cache,
normalised.

At inference, and if frozen, m and v are the running ones, and dx = scale r dy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lanewise.kernels.across import lane_sum
from lanewise.kernels.channelwise import Place, channels_together, positions, summed
from lanewise.kernels.layout import Layout
from lanewise.kernels.optimizers import HYPER
from lanewise.kernels.pointwise import put
from lanewise.kernels.pool import finisher
from lanewise.lanes.program import LANES, Buffer, Index, Program, Recorder, Value, kernel

Finish = Callable[[Place, list[Value]], None]
"""What a kernel does with a value at a place: add, ReLU, store."""

MOMENTS = 4
"""What is kept of a channel from the forward pass to the backward passes."""

RATE = 0.1
"""Share of a batch in the running statistics after it, once there have been many."""


def _moments(k: Recorder, layout: Layout) -> Buffer:
    return k.lanes("moments", (layout.shape[0], MOMENTS))


class _Present:
    """Which lanes hold an image (`present` is 1 there, else 0), and how many values of a channel that makes."""

    def __init__(self, k: Recorder, buffer: Buffer, layout: Layout) -> None:
        self._k, self.lanes = k, buffer.vector(0)
        _, rows, columns = layout.shape
        self.share = k.apply("div", 1.0, lane_sum(k, self.lanes) * float(rows * columns))

    def masked(self, value: Value) -> Value:
        """The value, with 0 in lanes without an image."""
        return self._k.apply("where_gt", self.lanes, 0.0, value, 0.0)

    def total(self, value: Value) -> Value:
        """The sum over lanes with an image, in all lanes."""
        return lane_sum(self._k, self.masked(value))


def _again(k: Recorder, each: list[Index]) -> Iterator[Index]:
    """A few channels, one after the other, while what was read of them is in the cache."""
    for p in k.loop(len(each)):
        yield each[0] + p


def _inverse(k: Recorder, variance: Value, epsilon: float) -> Value:
    return k.apply("div", 1.0, k.apply("sqrt", variance + epsilon))


@kernel
def forward(
    x: Layout, y: Layout, epsilon: float, accumulate: bool, relu: bool = False, plus: Layout | None = None
) -> Program:
    """Normalise by the group's own mean and variance.

    With `plus`, something as large as y is added to it: the sum of a residual block. With `relu`, y = max(y, 0) then.

    Buffers: x, present (16), scale, shift and mean (channels each), plus (if any), y, moments, dmean and dvariance
    (channels each: s and q, added to what is there with `accumulate`).
    """
    k, channels = Recorder("batchnorm"), x.shape[0]
    xs, there = x.buffer(k, "x"), k.scalars("present", (LANES,))
    scale, shift, running = (k.scalars(name, (channels,)) for name in ("scale", "shift", "mean"))
    finish = finisher(k, y, relu=relu, plus=plus)
    moments = _moments(k, x)
    sums, squares = k.scalars("dmean", (channels,)), k.scalars("dvariance", (channels,))
    present = _Present(k, there, x)
    for each in channels_together(k, channels):
        origins = [running[i] for i in each]

        def terms(p: int, at: Place, origins: list[Value] = origins) -> tuple[Value, Value, Value]:
            difference = xs[at] - origins[p]
            return difference, difference, difference

        for p, (s, q) in enumerate(summed(k, x, each, terms)):
            total, square = present.total(s), present.total(q)
            put(sums, (each[p],), total, accumulate)
            put(squares, (each[p],), square, accumulate)
            moved = total * present.share
            moments[each[p], 0] = origins[p] + moved
            moments[each[p], 1] = _inverse(k, _variance(k, moved, square * present.share), epsilon)
        for i in _again(k, each):
            _normalise(k, x, i, xs, (moments[i, 0], scale[i] * moments[i, 1], shift[i]), finish)
    return k.program()


@kernel
def again(x: Layout, y: Layout, relu: bool = False) -> Program:
    """The y of `forward`, without `plus`, from the moments that it kept: the same bits.

    Buffers: x, scale, shift, moments, y.
    """
    k, channels = Recorder("batchnorm_again"), x.shape[0]
    xs = x.buffer(k, "x")
    scale, shift, moments = k.scalars("scale", (channels,)), k.scalars("shift", (channels,)), _moments(k, x)
    finish = finisher(k, y, relu=relu, plus=None)
    for i in k.loop(channels):
        _normalise(k, x, i, xs, (moments[i, 0], scale[i] * moments[i, 1], shift[i]), finish)
    return k.program()


def _normalise(
    k: Recorder, x: Layout, channel: Index, xs: Buffer, by: tuple[Value, Value, Value], finish: Finish
) -> None:
    """Finish (x - mean) factor + offset for all elements of a channel."""
    mean, factor, offset = by
    for at in positions(k, x, channel):
        finish(at, [k.apply("fma", xs[at] - mean, factor, offset)])


def _variance(k: Recorder, mean: Value, mean_square: Value) -> Value:
    """Mean of squares less square of the mean, and no less than 0 whatever rounding does."""
    return k.apply("max", k.apply("fma", k.apply("sub", 0.0, mean), mean, mean_square), 0.0)


@kernel
def apply(x: Layout, y: Layout, epsilon: float, relu: bool = False, plus: Layout | None = None) -> Program:
    """Normalise by the running mean and variance; `relu` and `plus` as for `forward`.

    Buffers: x, scale, shift, mean, variance (channels each), plus (if any), y.
    """
    k = Recorder("batchnorm apply")
    channels = x.shape[0]
    xs = x.buffer(k, "x")
    scale, shift, mean, variance = (k.scalars(n, (channels,)) for n in ("scale", "shift", "mean", "variance"))
    finish = finisher(k, y, relu=relu, plus=plus)
    for i in k.loop(channels):
        _normalise(k, x, i, xs, (mean[i], scale[i] * _inverse(k, variance[i], epsilon), shift[i]), finish)
    return k.program()


@kernel
def backward_parameters(x: Layout, dy: Layout, accumulate: bool) -> Program:
    """Gradients of scale and shift alone. Buffers: x, present, scale, moments, dy, dscale, dshift."""
    k = Recorder("batchnorm_backward_parameters")
    _backward(k, x, dy, None, False, accumulate)
    return k.program()


@kernel
def backward(x: Layout, dy: Layout, dx: Layout, accumulate: bool, accumulate_parameters: bool) -> Program:
    """All gradients. That of x is 0 in lanes without an image.

    Buffers: x, present, scale, moments, dy, dscale, dshift, dx.
    """
    k = Recorder("batchnorm_backward")
    _backward(k, x, dy, dx, accumulate, accumulate_parameters)
    return k.program()


def _backward(
    k: Recorder, x: Layout, dy: Layout, dx: Layout | None, accumulate: bool, accumulate_parameters: bool
) -> None:
    channels = x.shape[0]
    xs, there, scale = x.buffer(k, "x"), k.scalars("present", (LANES,)), k.scalars("scale", (channels,))
    moments, dys = _moments(k, x), dy.buffer(k, "dy")
    dscale, dshift = k.scalars("dscale", (channels,)), k.scalars("dshift", (channels,))
    dxs = dx.buffer(k, "dx") if dx else None
    present = _Present(k, there, x)
    for each in channels_together(k, channels):
        means = [moments[i, 0] for i in each]

        def terms(p: int, at: Place, means: list[Value] = means) -> tuple[Value, Value, Value]:
            gradient = dys[at]
            return gradient, gradient, xs[at] - means[p]

        for p, (s, t) in enumerate(summed(k, x, each, terms)):
            inverse = moments[each[p], 1]
            total, product = present.total(s), present.total(t) * inverse
            put(dshift, (each[p],), total, accumulate_parameters)
            put(dscale, (each[p],), product, accumulate_parameters)
            moments[each[p], 2] = total * present.share
            moments[each[p], 3] = product * present.share * inverse
        if dxs is None:
            continue
        for i in _again(k, each):
            mean, middle, product = moments[i, 0], moments[i, 2], moments[i, 3]
            factor = present.masked(scale[i] * moments[i, 1])
            for at in positions(k, x, i):
                rest = k.apply("fma", mean - xs[at], product, dys[at] - middle)
                put(dxs, at, rest * factor, accumulate)


@kernel
def backward_applied(dy: Layout, dx: Layout, epsilon: float, accumulate: bool) -> Program:
    """dx where the running mean and variance were used. Buffers: scale, variance, dy, dx."""
    k = Recorder("batchnorm_backward_applied")
    channels = dy.shape[0]
    scale, variance = k.scalars("scale", (channels,)), k.scalars("variance", (channels,))
    dys, dxs = dy.buffer(k, "dy"), dx.buffer(k, "dx")
    for i in k.loop(channels):
        factor = scale[i] * _inverse(k, variance[i], epsilon)
        for at in positions(k, dy, i):
            put(dxs, at, dys[at] * factor, accumulate)
    return k.program()


@kernel
def update_statistics(scalars: int, positions: int) -> Program:
    """Running mean and variance after a batch: a share of them is replaced by those of the whole batch.

        s = sum of the batch's values / n,   q likewise of squares,   n = images * positions
        variance = variance + rate (q - s**2 - variance)
        mean = mean + rate s

    The rate of step t, from 1 on, is RATE / (1 - (1 - RATE)**t), so that where they started counts for nothing, as with
    the moments of Adam: a training of few steps evaluates by what it has seen.

    Parameters
    ----------
    scalars : int
        Channels, filled up to a multiple of 16.
    positions : int
        Rows times columns.

    Buffers: mean, variance, dmean, dvariance (scalars, the last two the sums of all shards) and hyper (16, the last two
    of them the rate and 1 / images of the batch).
    """
    k = Recorder("batchnorm_update_statistics")
    mean, variance = k.scalars("mean", (scalars,)), k.scalars("variance", (scalars,))
    sums, squares = k.scalars("dmean", (scalars,)), k.scalars("dvariance", (scalars,))
    hyper = k.scalars("hyper", (HYPER,))
    rate, share = hyper[HYPER - 2], hyper[HYPER - 1] * (1 / positions)
    for block in k.loop(scalars // LANES):
        at = block * LANES
        s, q = (row.vector(at) * share for row in (sums, squares))
        old = variance.vector(at)
        variance.set_vector(k.apply("fma", _variance(k, s, q) - old, rate, old), at)
        mean.set_vector(k.apply("fma", s, rate, mean.vector(at)), at)
    return k.program()
