"""Updates: from gradients to new parameters, over a chunk of the one flat vector of parameters.

    sum_shards      g = sum of the shards' gradients, and the sum of its squares
    sum_squares     the latter for what was summed elsewhere
    clip            norm = sqrt(sum of all squares),   factor = min(1, limit / norm)
    sgd, adamw      the update, by factor * g

Chunks are independent of one another, so each may be another thread's; the caller advances the pointers. A chunk is a
whole number of 16 scalars. `decay` holds 1 for parameters that weight decay applies to, and 0 for biases.

Instead of a stretch of the vector, a chunk of an update may be a part of a matrix of weights: some scalars of each of
its `rows`, which are `total` scalars apart. Then decay applies to all of it, so nobody asks `decay`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lanewise.errors import ProgramError
from lanewise.kernels.across import lane_sum
from lanewise.kernels.shards import over_shards
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import LANES, Buffer, Index, Program, Recorder, Value, kernel

HYPER = 16
"""Scalars in the buffer `hyper`; those that an update has no use for may hold anything."""

LIMIT = HYPER - 4
"""Where `hyper` has the largest norm that a gradient may have."""

MATRIX_RATE, MATRIX_DECAY = 3, 4
"""Where `hyper` has learning rate and weight decay of Muon's matrices; what `sgd` reads is then all others'."""

NORM, FACTOR, CLIPPED = 0, 1, 16
"""What `clip` writes: the norm of the gradient, and the factor that brings it down to the limit, exactly 1 where it is
not above; and how many scalars there is room for, a line of the cache."""

UNROLL = 4


def _vectors(k: Recorder, scalars: int, unroll: int) -> Iterator[Index]:
    """The places of the vectors of 16 in a flat buffer."""
    if scalars % LANES:
        raise ProgramError(f"{k.name}: {scalars} scalars are not a multiple of {LANES}")
    for first, width in blocks(k, scalars // LANES, unroll):
        for q in range(width):
            yield (first + q) * LANES


def _row(gradients: Buffer, at: Index, row: int) -> Value:
    return gradients.vector(row, at)


@kernel
def sum_shards(
    chunk: int, shards: int, total: int, carried: tuple[int, ...] = (), into: int = 0, squares: bool = True
) -> Program:
    """The gradient of some shards, or of the whole batch; and perhaps the sum of its squares, lane by lane.

        g = tree over shards s of gradients[s];   g = gradients[c] + g   for each row c that is carried
        squares = sum over the chunk's vectors, in their order, of g**2

    The order of the tree is that of `kernels/shards.py`.

    Parameters
    ----------
    chunk : int
        Scalars worked on, a multiple of 16: the beginning of each row.
    shards, total : int
        How many rows are added, the first ones, and how long each row is.
    carried : tuple of int
        Rows with what shards before came to, added in this order.
    into : int
        The row that g is written to.
    squares : bool
        Whether there is a buffer for the squares.

    Buffers: gradients (rows, total) and perhaps squares (16).
    """
    k = Recorder("sum_shards")
    rows = max(shards - 1, into, *carried) + 1
    gradients = k.scalars("gradients", (rows, total))
    sums = k.scalars("squares", (LANES,)) if squares else None
    square = k.register()
    for at in _vectors(k, chunk, UNROLL):
        g = over_shards(shards, partial(_row, gradients, at))
        for row in carried:
            g = gradients.vector(row, at) + g
        if sums:
            square.accumulate(g, g)
        if shards > 1 or carried or into:
            gradients.set_vector(g, into, at)
    if sums:
        sums.set_vector(square.get(), 0)
    return k.program()


@kernel
def sum_squares(rows: int, chunk: int, total: int) -> Program:
    """The squares of a part of a matrix, added up lane by lane.

        squares = sum over vectors i of (sum over rows o of  g[o, i]**2)

    Parameters
    ----------
    rows, chunk : int
        How many rows there are, and how many scalars of each are looked at, a multiple of 16.
    total : int
        How far rows are apart.

    Buffers: gradients (rows, total) and squares (16).
    """
    k = Recorder("sum_squares")
    gradients, squares = k.scalars("gradients", (rows, total)), k.scalars("squares", (LANES,))
    total_of_all = k.register()
    for at in _vectors(k, chunk, 1):
        square = k.register()
        for row in k.loop(rows):
            g = gradients.vector(row, at)
            square.accumulate(g, g)
        total_of_all.add(square.get())
    squares.set_vector(total_of_all.get(), 0)
    return k.program()


@kernel
def clip(parts: int) -> Program:
    """The norm of a gradient, and the factor that brings it down to a limit.

        total[q] = sum over the parts n = q, q + 4, ..., in their order, of squares[n]
        norm = sqrt(sum over lanes, by the fixed tree, of (total[0] + total[1]) + (total[2] + total[3]))
        factor = limit / norm  where that is above the limit, else 1

    Pascanu and others 2013, "On the difficulty of training recurrent neural networks".

    Parameters
    ----------
    parts : int
        How many sums of squares there are.

    Buffers: squares (parts, of 16 lanes), hyper (16: with the limit) and clipped (16: norm and factor are written).
    """
    k = Recorder("clip")
    squares, hyper = k.lanes("squares", (parts,)), k.scalars("hyper", (HYPER,))
    clipped = k.scalars("clipped", (CLIPPED,))
    totals = [k.register() for _ in range(UNROLL)]
    for first, width in blocks(k, parts, UNROLL):
        for q in range(width):
            totals[q].add(squares[first + q])
    a, b, c, d = (total.get() for total in totals)
    norm, limit = k.apply("sqrt", lane_sum(k, (a + b) + (c + d))), hyper[LIMIT]
    clipped[NORM] = norm
    clipped[FACTOR] = k.apply("where_gt", norm, limit, limit / norm, 1.0)
    return k.program()


class _Chunk:
    """The buffers of an update, declared in the order in which they are given, and where their vectors are."""

    def __init__(
        self, k: Recorder, states: tuple[str, ...], chunk: int, rows: int, total: int, own_rates: bool
    ) -> None:
        self._k, self._scalars, self._rows = k, chunk, rows
        shape = (rows, total) if rows else (1, chunk)
        self.parameters, *self.states, self._gradients = (
            k.scalars(name, shape) for name in ("parameters", *states, "gradients")
        )
        self._decay = None if rows else k.scalars("decay", (chunk,))
        self._hyper = k.scalars("hyper", (HYPER,))
        self._factor = k.scalars("clipped", (CLIPPED,))[FACTOR]
        self._rates = k.scalars("rates", (chunk,)) if own_rates else None

    def hyper(self, count: int) -> list[Value]:
        """The first numbers of `hyper`."""
        return [self._hyper[n] for n in range(count)]

    def places(self) -> Iterator[tuple[Index, Index]]:
        """Row and column of each vector."""
        for row in self._k.loop(self._rows) if self._rows else (0,):
            for at in _vectors(self._k, self._scalars, UNROLL):
                yield row, at

    def gradient(self, place: tuple[Index, Index]) -> Value:
        """The gradient, clipped."""
        return self._factor * self._gradients.vector(*place)

    def decayed(self, weight_decay: Value, place: tuple[Index, Index]) -> Value:
        """Weight decay where it applies, else 0."""
        return weight_decay * self._decay.vector(place[1]) if self._decay else weight_decay

    def rated(self, learning_rate: Value, place: tuple[Index, Index]) -> Value:
        """The learning rate, times a parameter's own multiple of it if it has one."""
        return learning_rate * self._rates.vector(place[1]) if self._rates else learning_rate


@kernel
def sgd(chunk: int, nesterov: bool, rows: int = 0, total: int = 0, own_rates: bool = False) -> Program:
    """Gradient descent with momentum.

        g = factor * gradient + weight_decay * decay * p
        v = momentum * v + g
        p = p - learning_rate * (g + momentum * v  with nesterov, else v)

    Parameters
    ----------
    chunk : int
        Scalars worked on, a multiple of 16; of each row, if there are any.
    nesterov : bool
    rows : int
        Of a part of a matrix; 0 for a stretch of the vector.
    total : int
        How far its rows are apart.
    own_rates : bool
        Whether the learning rate of each parameter is a multiple of its own; not with `rows`.

    Buffers: parameters (chunk), velocity (chunk), gradients (chunk), decay (chunk), hyper (16: learning rate, momentum,
    weight decay), clipped (16: as `clip` writes it) and, with `own_rates`, rates (chunk: the multiples). With `rows`,
    the first three are (rows, total), and there is no decay.
    """
    k = Recorder("sgd")
    part = _Chunk(k, ("velocity",), chunk, rows, total, own_rates)
    parameters, (velocity,) = part.parameters, part.states
    learning_rate, momentum, weight_decay = part.hyper(3)
    down = k.apply("sub", 0.0, learning_rate)
    for place in part.places():
        p = parameters.vector(*place)
        g = k.apply("fma", part.decayed(weight_decay, place), p, part.gradient(place))
        v = k.apply("fma", momentum, velocity.vector(*place), g)
        step = k.apply("fma", momentum, v, g) if nesterov else v
        velocity.set_vector(v, *place)
        parameters.set_vector(k.apply("fma", part.rated(down, place), step, p), *place)
    return k.program()


@kernel
def adamw(chunk: int, rows: int = 0, total: int = 0, own_rates: bool = False) -> Program:
    """AdamW: steps scaled by running moments of the gradient, and decay apart from them.

        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g**2
        p = p - learning_rate * (correction1 * m / (sqrt(correction2 * s) + epsilon) + weight_decay * decay * p)

    Here g is the clipped gradient. Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization". Parameters as
    for `sgd`.

    Buffers: parameters (chunk), mean (chunk), square (chunk), gradients (chunk), decay (chunk), hyper (16: learning
    rate, beta1, beta2, epsilon, weight decay, correction1, correction2), clipped (16) and perhaps rates. The
    corrections of step t (from 1) are 1 / (1 - beta1**t) and 1 / (1 - beta2**t); `mean` and `square` start as zeros.
    """
    k = Recorder("adamw")
    part = _Chunk(k, ("mean", "square"), chunk, rows, total, own_rates)
    parameters, (mean, square) = part.parameters, part.states
    learning_rate, beta1, beta2, epsilon, weight_decay, correction1, correction2 = part.hyper(7)
    rest1, rest2 = k.apply("sub", 1.0, beta1), k.apply("sub", 1.0, beta2)
    down = k.apply("sub", 0.0, learning_rate)
    for place in part.places():
        p, g = parameters.vector(*place), part.gradient(place)
        m = k.apply("fma", beta1, mean.vector(*place), rest1 * g)
        s = k.apply("fma", beta2, square.vector(*place), rest2 * (g * g))
        step = (correction1 * m) / (k.apply("sqrt", correction2 * s) + epsilon)
        step = k.apply("fma", part.decayed(weight_decay, place), p, step)
        mean.set_vector(m, *place)
        square.set_vector(s, *place)
        parameters.set_vector(k.apply("fma", part.rated(down, place), step, p), *place)
    return k.program()


@kernel
def average(chunk: int) -> Program:
    """An exponential moving average of the parameters, after an update.

        a = a + rate * (p - a)

    Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging".

    Buffers: average (chunk), parameters (chunk) and hyper (16, the third last of them the rate: 1 - decay).
    """
    k = Recorder("average")
    averages, parameters = k.scalars("average", (chunk,)), k.scalars("parameters", (chunk,))
    rate = k.scalars("hyper", (HYPER,))[HYPER - 3]
    for at in _vectors(k, chunk, UNROLL):
        a = averages.vector(at)
        averages.set_vector(k.apply("fma", rate, parameters.vector(at) - a, a), at)
    return k.program()


@kernel
def zero(scalars: int) -> Program:
    """Fill a flat buffer of float32 with zeros. Buffers: values (a multiple of 16)."""
    k = Recorder("zero")
    values = k.scalars("values", (scalars,))
    for at in _vectors(k, scalars, 2 * UNROLL):
        values.set_vector(0.0, at)
    return k.program()
