"""Each channel times a number plus a number, and the gradients.

    y = scale x + shift
    dx = scale dy,   dscale = sum of dy x,   dshift = sum of dy   over images, rows and columns

Lanes without an image have dy = 0. Sums are added up as those of `batchnorm.py`.
"""

from __future__ import annotations

from lanewise.kernels.across import lane_sum
from lanewise.kernels.channelwise import Place, channels_together, positions, summed
from lanewise.kernels.layout import Layout
from lanewise.kernels.pointwise import put
from lanewise.kernels.pool import finisher
from lanewise.lanes.program import Program, Recorder, Value, kernel


@kernel
def forward(x: Layout, y: Layout, relu: bool = False, plus: Layout | None = None) -> Program:
    """With `plus`, something as large as y is added to it; with `relu`, y = max(y, 0) then.

    Buffers: x, scale and shift (channels each), plus (if any), y.
    """
    k, channels = Recorder("scale"), x.shape[0]
    xs, scale, shift = x.buffer(k, "x"), k.scalars("scale", (channels,)), k.scalars("shift", (channels,))
    finish = finisher(k, y, relu=relu, plus=plus)
    for i in k.loop(channels):
        factor, offset = scale[i], shift[i]
        for at in positions(k, x, i):
            finish(at, [k.apply("fma", xs[at], factor, offset)])
    return k.program()


@kernel
def backward_input(dy: Layout, dx: Layout, accumulate: bool) -> Program:
    """Buffers: scale, dy, dx."""
    k, channels = Recorder("scale_backward_input"), dy.shape[0]
    scale, dys, dxs = k.scalars("scale", (channels,)), dy.buffer(k, "dy"), dx.buffer(k, "dx")
    for i in k.loop(channels):
        factor = scale[i]
        for at in positions(k, dy, i):
            put(dxs, at, dys[at] * factor, accumulate)
    return k.program()


@kernel
def backward_parameters(x: Layout, dy: Layout, accumulate: bool) -> Program:
    """Buffers: x, dy, dscale, dshift."""
    k, channels = Recorder("scale_backward_parameters"), x.shape[0]
    xs, dys = x.buffer(k, "x"), dy.buffer(k, "dy")
    dscale, dshift = k.scalars("dscale", (channels,)), k.scalars("dshift", (channels,))

    def terms(_: int, at: Place) -> tuple[Value, Value, Value]:
        gradient = dys[at]
        return gradient, gradient, xs[at]

    for each in channels_together(k, channels):
        for i, (s, t) in zip(each, summed(k, x, each, terms), strict=True):
            put(dshift, (i,), lane_sum(k, s), accumulate)
            put(dscale, (i,), lane_sum(k, t), accumulate)
    return k.program()
