"""The fully connected layer: the weighted sum of all inputs.

    y[o]     = bias[o] + sum over i of   w[o, i] x[i]
    dx[i]    = sum over o of             w[o, i] dy[o]
    dw[o, i] = sum over images n of      dy[o, n] x[i, n]
    db[o]    = sum over images n of      dy[o, n]

Rows of w are padded to whole vectors of 16 (`padded`), the padding being zero and staying so. The weight gradient swaps
the roles: 16 inputs of 16 images are transposed, lanes then hold inputs, and the sum over images runs in order, one
multiply-add each, instead of a reduction per weight.
"""

from __future__ import annotations

from functools import partial

from lanewise.kernels.across import lane_sum, transpose
from lanewise.kernels.pointwise import put
from lanewise.kernels.shards import over_shards
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import LANES, Buffer, Index, Program, Recorder, Value, kernel

BY_ROWS, ROWS = 100_000, 12
"""From so many weights on, the input gradient takes so many rows of them at a time."""


def padded(inputs: int) -> int:
    """Length of a row of weights in memory."""
    return -(-inputs // LANES) * LANES


def _height(count: int, registers: int, most: int = 14) -> int:
    """How many outputs at once: as even a split as the registers allow, `most` with those of AVX-512."""
    most = {32: most, 8: 6}.get(registers, 2)
    parts = -(-count // most)
    return -(-count // parts)


@kernel
def forward(inputs: int, units: int, *, bias: bool = True, relu: bool = False, registers: int = 32) -> Program:
    """Buffers: x, weight, bias (if any), y. With `relu`, y = max(y, 0)."""
    k = Recorder("dense forward")
    x = k.lanes("x", (inputs,))
    w = k.scalars("weight", (units, padded(inputs)))
    b = k.scalars("bias", (units,)) if bias else None
    y = k.lanes("y", (units,))
    # Rows of weights often lie a multiple of 4 KB apart, where the first cache has room for a dozen lines.
    for o, height in blocks(k, units, _height(units, registers, 10)):
        total = [k.register(b[o + m] if b else 0.0) for m in range(height)]
        for i, width in blocks(k, inputs, 8):
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
    inputs: int, units: int, *, mask: bool = False, accumulate: bool = False, registers: int = 32
) -> Program:
    """Buffers: weight, dy, x (with `mask`), dx. With `mask`, x came out of a ReLU and all of dx is zero where x is."""
    k = Recorder("dense backward input")
    w, dy = k.scalars("weight", (units, padded(inputs))), k.lanes("dy", (units,))
    x = k.lanes("x", (inputs,)) if mask else None
    dx = k.lanes("dx", (inputs,))
    if inputs * units >= BY_ROWS and not accumulate:
        _input_gradient_by_rows(k, w, dy, x, dx, inputs, units, 8 if registers >= 32 else 4)
        return k.program()
    for i, height in blocks(k, inputs, _height(inputs, registers)):
        total = [k.register() for _ in range(height)]
        for o, width in blocks(k, units, 4):
            for n in range(width):
                gradient = dy[o + n]
                for m in range(height):
                    total[m].accumulate(w[o + n, i + m], gradient)
        for m in range(height):
            put(dx, (i + m,), total[m].get(), accumulate, x)
    return k.program()


def _input_gradient_by_rows(
    k: Recorder, w: Buffer, dy: Buffer, x: Buffer | None, dx: Buffer, inputs: int, units: int, width: int
) -> None:
    """As above, but some rows of weights at a time, from end to end, while sums wait in dx from one pass to the next.

    The same sums in the same order. Weights that do not stay in the cache are so read in the order in which they lie.
    """
    passes = -(-units // ROWS)
    rows = -(-units // passes)

    def add(o: Index, count: int, *, first: bool = False, last: bool = False) -> None:
        gradients = [dy[o + n] for n in range(count)]
        for i, height in blocks(k, inputs, width):
            total = [k.register(0.0 if first else dx[i + m]) for m in range(height)]
            for n in range(count):
                for m in range(height):
                    total[m].accumulate(w[o + n, i + m], gradients[n])
            for m in range(height):
                put(dx, (i + m,), total[m].get(), False, x if last else None)

    add(0, rows, first=True, last=passes == 1)
    for n in k.loop(passes - 2):
        add((n + 1) * rows, rows)
    if passes > 1:
        add((passes - 1) * rows, units - (passes - 1) * rows, last=True)


@kernel
def backward_weight(
    inputs: int, units: int, *, bias: bool = True, accumulate: bool = False, registers: int = 32
) -> Program:
    """Buffers: x, dy, dweight, dbias (if any). With `accumulate`, adds to what is there."""
    k = Recorder("dense backward weight")
    x, dy = k.lanes("x", (inputs,)), k.lanes("dy", (units,))
    dw = k.scalars("dweight", (units, padded(inputs)))
    tile = {32: 8, 8: 4}.get(registers, 2)
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
        _bias_gradient(k, dy, units, accumulate)
    return k.program()


@kernel
def backward_bias(units: int, *, accumulate: bool = False) -> Program:
    """Buffers: dy, dbias. What `backward_weight` does for the bias, alone."""
    k = Recorder("dense backward bias")
    _bias_gradient(k, k.lanes("dy", (units,)), units, accumulate)
    return k.program()


def _bias_gradient(k: Recorder, dy: Buffer, units: int, accumulate: bool) -> None:
    db = k.scalars("dbias", (units,))
    for o in k.loop(units):
        gradient = lane_sum(k, dy[o])
        db[o] = db[o] + gradient if accumulate else gradient


SLICE_TILES = {32: (12, 2), 8: (3, 1)}
"""Weights whose gradients a slice sums at once, and vectors of 16 inputs among these, by the target's registers."""


def slice_scratch(shards: int, groups: int) -> int:
    """Scalars of scratch that slices of any layer take at most: inputs transposed, and what each shard came to."""
    most, vectors = SLICE_TILES[32]
    return shards * (groups * LANES + most) * vectors * LANES


@kernel
def backward_weight_slice(
    inputs: int, units: int, vectors: int, shards: int, groups: int, *, registers: int = 32, squares: bool = True
) -> Program:
    """The weight gradient of a whole batch for `vectors` * 16 inputs and all units: written once, however many images.

        dw[o, i] = tree over shards s of (sum over images n of shard s of  dy[o, n] x[i, n])
        squares = sum over vectors i of (sum over o of  dw[o, i]**2)

    These are the sums, in their order, that shards come to with `backward_weight` and the update then adds. A slice of
    x is transposed two vectors at a time, so that it stays in the first cache while all of dy passes by in the second.

    Parameters
    ----------
    inputs, units, vectors : int
    shards, groups : int
        How many shards there are, and groups of images in each.
    registers : int
    squares : bool
        Whether there is a buffer for the squares.

    Buffers: x (groups of all shards, `padded(inputs)`) from the slice's first input on, dy (groups, units), scratch,
    dweight from the slice's first input on and perhaps squares (16). What x holds beyond `inputs` must be zero.
    """
    k = Recorder("dense backward weight slice")
    most, tile_i = SLICE_TILES.get(registers, (1, 1))
    x, dy = k.lanes("x", (shards * groups, padded(inputs))), k.scalars("dy", (shards * groups, units, LANES))
    images = shards * groups * LANES
    scratch = k.lanes("scratch", (images + shards * most, tile_i))  # x transposed; the shards' sums of a tile
    dw = k.scalars("dweight", (units, padded(inputs)))
    sums = k.scalars("squares", (LANES,)) if squares else None
    all_squares = k.register()
    for i, width in blocks(k, vectors, tile_i):
        square = [k.register() for _ in range(width)]
        for g in k.loop(shards * groups):
            for q in k.loop(width):
                for n, value in enumerate(transpose(k, [x[g, (i + q) * LANES + n] for n in range(LANES)])):
                    scratch[g * LANES + n, q] = value
        for o, height in blocks(k, units, most // width):
            tile = [(m, q) for m in range(height) for q in range(width)]
            for s in k.loop(shards):
                part = {place: k.register() for place in tile}
                for g in k.loop(groups):
                    for first, count in blocks(k, LANES, 4):
                        for n in range(count):
                            seen = [scratch[(s * groups + g) * LANES + first + n, q] for q in range(width)]
                            for m in range(height):
                                gradient = dy[s * groups + g, o + m, first + n]
                                for q in range(width):
                                    part[m, q].accumulate(gradient, seen[q])
                for m, q in tile:
                    scratch[images + m * shards + s, q] = part[m, q].get()
            for row in k.loop(height):
                for q in range(width):
                    gradient = over_shards(shards, partial(_sum_of, scratch, images + row * shards, q))
                    dw.set_vector(gradient, o + row, (i + q) * LANES)
                    square[q].accumulate(gradient, gradient)
        for one in square:
            all_squares.add(one)
    if sums:
        sums.set_vector(all_squares.get(), 0)
    return k.program()


def _sum_of(scratch: Buffer, first: Index, q: int, shard: int) -> Value:
    return scratch[first + shard, q]
