"""The fully connected layer: the weighted sum of all inputs.

    y[o]     = bias[o] + sum over i of   w[o, i] x[i]
    dx[i]    = sum over o of             w[o, i] dy[o]
    dw[o, i] = sum over images n of      dy[o, n] x[i, n]
    db[o]    = sum over images n of      dy[o, n]

Rows of w are padded to whole vectors of 16 (`padded`), the padding being zero and staying so. The weight slope swaps
the roles: 16 inputs of 16 images are transposed, lanes then hold inputs, and the sum over images runs in order, one
multiply-add each, instead of a reduction per weight.
"""

from __future__ import annotations

from lanewise.kernels.across import lane_sum, transpose
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import LANES, Program, Recorder, kernel


def padded(inputs: int) -> int:
    """Length of a row of weights in memory."""
    return -(-inputs // LANES) * LANES


def _height(count: int, values: int) -> int:
    """How many outputs at once: as even a split as the registers allow."""
    most = {32: 14, 8: 6}.get(values, 2)
    parts = -(-count // most)
    return -(-count // parts)


@kernel
def forward(inputs: int, units: int, *, bias: bool = True, relu: bool = False, values: int = 32) -> Program:
    """Buffers: x, weight, bias (if any), y. With `relu`, y = max(y, 0)."""
    k = Recorder("dense forward")
    x = k.lanes("x", (inputs,))
    w = k.scalars("weight", (units, padded(inputs)))
    b = k.scalars("bias", (units,)) if bias else None
    y = k.lanes("y", (units,))
    for o, height in blocks(k, units, _height(units, values)):
        total = [k.register(b[o + m] if b else 0.0) for m in range(height)]
        for i, width in blocks(k, inputs, 4):
            for n in range(width):
                value = x[i + n]
                for m in range(height):
                    total[m].accumulate(w[o + m, i + n], value)
        for m in range(height):
            result = total[m].get()
            y[o + m] = k.apply("max", 0.0, result) if relu else result
    return k.program()


@kernel
def backward_input(
    inputs: int, units: int, *, gate: bool = False, accumulate: bool = False, values: int = 32
) -> Program:
    """Buffers: weight, dy, x (with `gate`), dx. With `gate`, x came out of a ReLU and all of dx is zero where x is."""
    k = Recorder("dense backward input")
    w, dy = k.scalars("weight", (units, padded(inputs))), k.lanes("dy", (units,))
    x = k.lanes("x", (inputs,)) if gate else None
    dx = k.lanes("dx", (inputs,))
    for i, height in blocks(k, inputs, _height(inputs, values)):
        total = [k.register() for _ in range(height)]
        for o, width in blocks(k, units, 4):
            for n in range(width):
                slope = dy[o + n]
                for m in range(height):
                    total[m].accumulate(w[o + n, i + m], slope)
        for m in range(height):
            result = total[m].get()
            if accumulate:
                result = dx[i + m] + result
            dx[i + m] = k.apply("where_gt", x[i + m], 0.0, result, 0.0) if x is not None else result
    return k.program()


@kernel
def backward_weight(
    inputs: int, units: int, *, bias: bool = True, accumulate: bool = False, values: int = 32
) -> Program:
    """Buffers: x, dy, dweight, dbias (if any). With `accumulate`, adds to what is there."""
    k = Recorder("dense backward weight")
    x, dy = k.lanes("x", (inputs,)), k.lanes("dy", (units,))
    dw = k.scalars("dweight", (units, padded(inputs)))
    tile = {32: 8, 8: 4}.get(values, 2)
    for first, width in blocks(k, inputs, LANES):
        block = transpose(k, [x[first + n] if n < width else k.constant(0.0) for n in range(LANES)])
        for o, height in blocks(k, units, tile):
            total = [k.register(dw.vector(o + m, first) if accumulate else 0.0) for m in range(height)]
            for n in range(LANES):
                for m in range(height):
                    total[m].accumulate(dy.lane(n, o + m), block[n])
            for m in range(height):
                dw.set_vector(total[m].get(), o + m, first)
    if bias:
        db = k.scalars("dbias", (units,))
        for o in k.loop(units):
            slope = lane_sum(k, dy[o])
            db[o] = db[o] + slope if accumulate else slope
    return k.program()
