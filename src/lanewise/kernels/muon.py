"""Muon: steps along the momentum made orthogonal, so that no direction of a matrix of weights is left behind.

A convolution's weights are a matrix of so many filters, and the rest of the axes. A step is several kernels:

    direction   v = momentum * v + factor * gradient,   u = factor * gradient + momentum * v,   X = u / (norm(u) + tiny)
    gram        A = X X'   if there are no more filters than rest, else X' X: the smaller of the two
    polynomial  P = a + b A + c A A                 these three, as products, five times: Q = P Q, from 1 on, A = P A P
    product     O = Q X, or X Q
    step        p = p - learning_rate * (scale * O + weight_decay * p)

After Jordan and others 2024, "Muon: An optimizer for hidden layers in neural networks", whose five steps of Newton and
Schulz, X = a X + b (X X') X + c (X X')^2 X, bring all singular values of X to between 0.7 and 1.2. Each is a polynomial
of the first A times X, and polynomials of one matrix commute, so A alone is iterated here and X is multiplied once: for
64 filters of 576 weights, less than half of the work.

Sums run over their index in its order, a multiply-add each, so no tile changes a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import sqrt

from lanewise.kernels.across import lane_sum, transpose
from lanewise.kernels.dense import padded
from lanewise.kernels.optimizers import CLIPPED, FACTOR, HYPER, MATRIX_DECAY, MATRIX_RATE
from lanewise.kernels.tiles import UNROLLED_SUM, blocks, product_tile
from lanewise.lanes.program import LANES, Buffer, Index, Program, Recorder, Value, kernel

COEFFICIENTS = 3.4445, -4.7750, 2.0315
STEPS = 5
TINY = 1e-7

UNROLL = 4


def smaller(filters: int, rest: int) -> int:
    """Rows and columns of A."""
    return min(filters, rest)


@kernel
def direction(filters: int, rest: int, nesterov: bool = True) -> Program:
    """The momentum, divided by its norm.

        v = momentum * v + g,   u = g + momentum * v  with nesterov, else v,   X = u / (norm(u) + tiny)

    Here g is the clipped gradient. The norm is the root of the sum of squares: of whole vectors of 16 in their order,
    lane by lane, then over lanes by the fixed tree, then of the scalars at the ends of rows.

    Parameters
    ----------
    filters, rest : int
    nesterov : bool

    Buffers: velocity and gradients (filters, rest), hyper (16: as for `sgd`), clipped (16) and x (filters,
    `padded(rest)`), whose padding becomes zero.
    """
    k = Recorder("muon direction")
    velocity, gradients = k.scalars("velocity", (filters, rest)), k.scalars("gradients", (filters, rest))
    hyper, clipped = k.scalars("hyper", (HYPER,)), k.scalars("clipped", (CLIPPED,))
    x = k.scalars("x", (filters, padded(rest)))
    momentum, factor = hyper[1], clipped[FACTOR]

    def moved(v: Value, gradient: Value) -> tuple[Value, Value]:
        g = factor * gradient
        v = k.apply("fma", momentum, v, g)
        return v, k.apply("fma", momentum, v, g) if nesterov else v

    squares, at_ends = k.register(), k.register()
    for o in k.loop(filters):
        for at in _whole(k, rest):
            v, u = moved(velocity.vector(o, at), gradients.vector(o, at))
            velocity.set_vector(v, o, at)
            x.set_vector(u, o, at)
            squares.accumulate(u, u)
        if rest % LANES:
            x.set_vector(0.0, o, padded(rest) - LANES)
        for i in _end(rest):
            v, u = moved(velocity[o, i], gradients[o, i])
            velocity[o, i], x[o, i] = v, u
            at_ends.accumulate(u, u)
    norm = k.apply("sqrt", lane_sum(k, squares.get()) + at_ends.get())
    inverse = k.apply("div", 1.0, norm + TINY)
    for o in k.loop(filters):
        for at in _whole(k, padded(rest)):
            x.set_vector(inverse * x.vector(o, at), o, at)
    return k.program()


@kernel
def gram(filters: int, rest: int, *, registers: int = 32) -> Program:
    """The products of all rows of X with one another, or of its columns if they are fewer.

        A[o, m] = sum over i of X[o, i] X[m, i]        A[i, j] = sum over o of X[o, i] X[o, j]

    Parameters
    ----------
    filters, rest : int
    registers : int
        How many values of 16 lanes the target's registers hold.

    Buffers: x (filters, padded(rest)), turned (padded(rest), padded(filters): X', if its rows are multiplied) and a
    (rows, their number padded).
    """
    k = Recorder("muon gram")
    n = smaller(filters, rest)
    x = k.scalars("x", (filters, padded(rest)))
    columns, depth = x, filters
    if filters <= rest:
        columns, depth = k.scalars("turned", (padded(rest), padded(filters))), rest
        for o, height in blocks(k, filters, LANES):
            for i in _whole(k, padded(rest)):
                rows = [x.vector(o + m, i) if m < height else k.constant(0.0) for m in range(LANES)]
                for m, row in enumerate(transpose(k, rows)):
                    columns.set_vector(row, i + m, o)
    a = k.scalars("a", (n, padded(n)))

    def put(row: Index, at: Index, value: Value) -> None:
        a.set_vector(value, row, at)

    _multiply(k, lambda row, depth: columns[depth, row], columns, n, depth, padded(n), registers, put)
    return k.program()


@kernel
def polynomial(n: int, *, registers: int = 32) -> Program:
    """P = a + b A + c A A, for a matrix A (n, n).

    Parameters
    ----------
    n : int
    registers : int
        How many values of 16 lanes the target's registers hold.

    Buffers: a and p (n, padded(n)); the padding is zero, and becomes so.
    """
    k = Recorder("muon polynomial")
    a, p = k.scalars("a", (n, padded(n))), k.scalars("p", (n, padded(n)))
    first, second, third = COEFFICIENTS

    def put(row: Index, at: Index, value: Value) -> None:
        p.set_vector(k.apply("fma", third, value, a.vector(row, at) * second), row, at)

    _multiply(k, lambda row, depth: a[row, depth], a, n, n, padded(n), registers, put)
    for row in k.loop(n):
        p[row, row] = p[row, row] + first
    return k.program()


@kernel
def product(rows: int, depth: int, columns: int, *, registers: int = 32) -> Program:
    """A matrix product: y[r, c] = sum over d of left[r, d] right[d, c].

    Parameters
    ----------
    rows, depth, columns : int
    registers : int
        How many values of 16 lanes the target's registers hold.

    Buffers: left (rows, padded(depth)), right (depth, padded(columns)) and y (rows, padded(columns)).
    """
    k = Recorder("muon product")
    left, right = k.scalars("left", (rows, padded(depth))), k.scalars("right", (depth, padded(columns)))
    y = k.scalars("y", (rows, padded(columns)))

    def put(row: Index, at: Index, value: Value) -> None:
        y.set_vector(value, row, at)

    _multiply(k, lambda row, d: left[row, d], right, rows, depth, padded(columns), registers, put)
    return k.program()


@kernel
def step(filters: int, rest: int) -> Program:
    """The update, for a matrix that was made orthogonal; longer where there are more filters than weights of each.

        p = p - learning_rate * (scale * O + weight_decay * p),   scale = sqrt(max(1, filters / rest))

    Parameters
    ----------
    filters, rest : int

    Buffers: parameters (filters, rest), orthogonal (filters, padded(rest)) and hyper (16: with the learning rate and
    the weight decay of matrices).
    """
    k = Recorder("muon step")
    parameters = k.scalars("parameters", (filters, rest))
    orthogonal, hyper = k.scalars("orthogonal", (filters, padded(rest))), k.scalars("hyper", (HYPER,))
    down, weight_decay = k.apply("sub", 0.0, hyper[MATRIX_RATE]), hyper[MATRIX_DECAY]
    scale = sqrt(max(1.0, filters / rest))

    def moved(p: Value, direction: Value) -> Value:
        return k.apply("fma", down, k.apply("fma", weight_decay, p, direction * scale), p)

    for o in k.loop(filters):
        for at in _whole(k, rest):
            parameters.set_vector(moved(parameters.vector(o, at), orthogonal.vector(o, at)), o, at)
        for i in _end(rest):
            parameters[o, i] = moved(parameters[o, i], orthogonal[o, i])
    return k.program()


def _whole(k: Recorder, scalars: int) -> Iterator[Index]:
    """The places of the whole vectors of 16 of a row."""
    for first, width in blocks(k, scalars // LANES, UNROLL):
        for q in range(width):
            yield (first + q) * LANES


def _end(scalars: int) -> range:
    """The places behind them."""
    return range(scalars - scalars % LANES, scalars)


def _multiply(
    k: Recorder,
    left: Callable[[Index, Index], Value],
    right: Buffer,
    rows: int,
    depth: int,
    columns: int,
    registers: int,
    put: Callable[[Index, Index, Value], None],
) -> None:
    """Record a matrix product, and what is done with its values.

    Parameters
    ----------
    k : Recorder
    left : callable (row, depth)
        One number, in all lanes.
    right : Buffer
        (depth, columns)
    rows, depth, columns : int
        Columns are a multiple of 16.
    registers : int
    put : callable (row, column, 16 values)
    """
    wide, high = product_tile(columns // LANES, rows, depth, registers)
    for v, width in blocks(k, columns // LANES, wide):
        for row, height in blocks(k, rows, high):
            tile = [(m, q) for m in range(height) for q in range(width)]
            total = {place: k.register() for place in tile}
            for d, count in blocks(k, depth, UNROLLED_SUM):
                for n in range(count):
                    values = [right.vector(d + n, (v + q) * LANES) for q in range(width)]
                    for m in range(height):
                        factor = left(row + m, d + n)
                        for q in range(width):
                            total[m, q].accumulate(factor, values[q])
            for m, q in tile:
                put(row + m, (v + q) * LANES, total[m, q].get())
