"""Each channel's values, those below 0 times a slope that it learns, and the gradients.

    y = x where x > 0, else s x
    dx = dy where x > 0, else s dy,   ds = sum of dy x where x <= 0   over images, rows and columns

Lanes without an image have dy = 0. Sums are added up as those of `batchnorm.py`.
"""

from __future__ import annotations

from lanewise.kernels.across import lane_sum
from lanewise.kernels.channelwise import Place, channels_together, positions, products
from lanewise.kernels.layout import Layout
from lanewise.kernels.pointwise import put
from lanewise.lanes.program import Program, Recorder, Value, kernel


@kernel
def forward(x: Layout, y: Layout) -> Program:
    """Buffers: x, slope (channels), y."""
    k, channels = Recorder("prelu"), x.shape[0]
    xs, slope, ys = x.buffer(k, "x"), k.scalars("slope", (channels,)), y.buffer(k, "y")
    for i in k.loop(channels):
        factor = slope[i]
        for at in positions(k, x, i):
            value = xs[at]
            ys[at] = k.apply("where_gt", value, 0.0, value, value * factor)
    return k.program()


@kernel
def backward_input(x: Layout, dy: Layout, dx: Layout, accumulate: bool) -> Program:
    """Buffers: x, slope, dy, dx."""
    k, channels = Recorder("prelu_backward_input"), x.shape[0]
    xs, slope = x.buffer(k, "x"), k.scalars("slope", (channels,))
    dys, dxs = dy.buffer(k, "dy"), dx.buffer(k, "dx")
    for i in k.loop(channels):
        factor = slope[i]
        for at in positions(k, x, i):
            gradient = dys[at]
            put(dxs, at, k.apply("where_gt", xs[at], 0.0, gradient, gradient * factor), accumulate)
    return k.program()


@kernel
def backward_slope(x: Layout, dy: Layout, accumulate: bool) -> Program:
    """Buffers: x, dy, dslope."""
    k, channels = Recorder("prelu_backward_slope"), x.shape[0]
    xs, dys, dslope = x.buffer(k, "x"), dy.buffer(k, "dy"), k.scalars("dslope", (channels,))

    def terms(_: int, at: Place) -> tuple[Value, Value]:
        return dys[at], k.apply("min", 0.0, xs[at])

    for each in channels_together(k, channels):
        for i, total in zip(each, products(k, x, each, terms), strict=True):
            put(dslope, (i,), lane_sum(k, total), accumulate)
    return k.program()
