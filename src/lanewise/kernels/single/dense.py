"""The fully connected layer for one image, with 16 outputs in the lanes.

    y[o] = bias[o] + sum over i of  w[o, i] x[i]

Inputs are taken in the order in which they lie in memory, so an image needs no flattening: its weights are laid out to
suit. Where there are few outputs, one chain of multiply-adds for each would wait for itself; several run side by side,
input number n of its pixel going to chain n % chains, and are added in a fixed tree. How many there are is part of the
layer's definition (it follows from the number of outputs), so no tile and no machine changes a sum's order.
"""

from __future__ import annotations

import numpy as np

from lanewise.kernels.activations import Applied, applied
from lanewise.kernels.single.blocked import Blocked, blocks_of
from lanewise.kernels.single.conv import Floats
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import LANES, Program, Recorder, Register, Value, kernel


def chains(units: int) -> int:
    """How many partial sums an output has: enough that about eight multiply-adds are always under way."""
    count = blocks_of(units)
    return 8 if count == 1 else 4 if count == 2 else 2 if count < 6 else 1


def lay_weight(x: Blocked, weight: Floats) -> Floats:
    """(o, i), i counting (channel, row, column), as the kernel reads it: (i in the order of memory, outputs).

    Outputs are filled up to whole blocks with zeros.
    """
    units, (channels, rows, columns) = len(weight), x.shape
    inputs = weight.T.reshape(channels, rows * columns, units)
    laid = np.zeros((channels * rows * columns, blocks_of(units) * LANES), np.float32)
    first = 0
    for channel in range(0, channels, x.width):
        part = inputs[channel : channel + x.width].swapaxes(0, 1).reshape(-1, units)
        laid[first : first + len(part), :units] = part
        first += len(part)
    return laid


@kernel
def forward(
    x: Blocked,
    units: int,
    some: int | None = None,
    *,
    activation: Applied | None = None,
    registers: int = 32,
) -> Program:
    """Buffers: x, weight (as `lay_weight` gives it), bias (blocks of outputs, 16), y. An activation is applied to y.

    Parameters
    ----------
    x : Blocked
    units : int
        Outputs of the layer.
    some : int, optional
        How many blocks of them are computed; all by default.
    activation : Applied, optional
    registers : int
    """
    k = Recorder("single dense")
    channels, rows, columns = x.shape
    o_blocks, count = some or blocks_of(units), chains(units)
    x_in, w = x.buffer(k, "x"), k.lanes("weight", (channels * rows * columns, o_blocks))
    bias, y = k.lanes("bias", (o_blocks,)), k.lanes("y", (o_blocks,))
    for o, height in blocks(k, o_blocks, _height(o_blocks, count, registers)):
        total = [[k.register(0.0 if n else bias[o + m]) for n in range(count)] for m in range(height)]
        for block, lanes in x.parts(k):
            unrolled = max(count, 1 << (UNROLLED // height).bit_length() - 1)
            for r in k.loop(rows):
                for c in k.loop(columns):
                    first = (block * (rows * columns) * x.width) + (r * columns + c) * lanes
                    for i, width in blocks(k, lanes, unrolled):
                        for n in range(width):
                            pixel = x_in[block, r, c, i + n]
                            for m in range(height):
                                total[m][n % count].accumulate(w[first + i + n, o + m], pixel)
        for m in range(height):
            result = _sum(total[m])
            y[o + m] = applied(k, result, activation)
    return k.program()


UNROLLED = 128
"""Multiply-adds in one turn of the innermost loop, about."""


def _height(o_blocks: int, count: int, registers: int) -> int:
    """How many blocks of outputs at once: as even a split as the registers allow."""
    most = max(1, {32: 24, 8: 6}.get(registers, 2) // count)
    return -(-o_blocks // -(-o_blocks // most))


def _sum(registers: list[Register]) -> Value:
    """((0 + 1) + (2 + 3)) + ..."""
    values = [register.get() for register in registers]
    while len(values) > 1:
        values = [a + b for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]
