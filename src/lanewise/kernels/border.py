"""The border of zeros around a value whose memory held something else before."""

from __future__ import annotations

from lanewise.kernels.layout import Layout
from lanewise.kernels.single.blocked import Blocked
from lanewise.lanes.program import Index, Program, Recorder, kernel


@kernel
def clear(y: Layout) -> Program:
    """Buffers: y, whose border becomes zero and whose elements stay. A value of one image is given as `Blocked`."""
    k = Recorder("clear border")
    out, zero = y.buffer(k, "y"), k.constant(0.0)
    numbers, (channels, rows, columns) = None, y.shape
    if isinstance(y, Blocked):
        numbers, channels = y.width, y.blocks
    top, left, bottom, right = y.border

    def put(i: Index, r: Index, c: Index) -> None:
        if numbers is None:
            out[i, r, c] = zero
        else:
            for n in range(numbers):
                out[i, r, c, n] = zero

    for i in k.loop(channels):
        for first, count in ((-top, top), (rows, bottom)):
            for r in k.loop(count):
                for c in k.loop(left + columns + right):
                    put(i, r + first, c - left)
        for r in k.loop(rows):
            for first, count in ((-left, left), (columns, right)):
                for c in range(count):
                    put(i, r, c + first)
    return k.program()
