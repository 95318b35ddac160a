"""Updates: from gradients to new parameters, over a chunk of the one flat vector of parameters.

Chunks are independent of one another, so each may be another thread's; the caller advances the pointers. A chunk is a
whole number of 16 scalars. `gradients` has a row for each shard, of which the chunk is the beginning; rows are added
in the order 0, 1, 2, ... `decay` holds 1 for parameters that weight decay applies to, and 0 for biases.
"""

from __future__ import annotations

from collections.abc import Iterator

from lanewise.errors import ProgramError
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import LANES, Buffer, Index, Program, Recorder, Value, kernel

HYPER = 8
"""Scalars in the buffer `hyper`; those that an update has no use for may hold anything."""

UNROLL = 4


def _vectors(k: Recorder, scalars: int, unroll: int) -> Iterator[Index]:
    """The places of the vectors of 16 in a flat buffer."""
    if scalars % LANES:
        raise ProgramError(f"{k.name}: {scalars} scalars are not a multiple of {LANES}")
    for first, width in blocks(k, scalars // LANES, unroll):
        for q in range(width):
            yield (first + q) * LANES


def _gradient(gradients: Buffer, shards: int, at: Index) -> Value:
    total = gradients.vector(0, at)
    for shard in range(1, shards):
        total = total + gradients.vector(shard, at)
    return total


@kernel
def sgd(chunk: int, shards: int, total: int, nesterov: bool) -> Program:
    """Gradient descent with momentum.

        g = gradient + weight_decay * decay * p
        v = momentum * v + g
        p = p - learning_rate * (g + momentum * v  with nesterov, else v)

    Parameters
    ----------
    chunk : int
        Scalars worked on, a multiple of 16.
    shards, total : int
        Shape of `gradients`.
    nesterov : bool

    Buffers: parameters (chunk), velocity (chunk), gradients (shards, total), decay (chunk) and
    hyper (8: learning rate, momentum, weight decay).
    """
    k = Recorder("sgd")
    parameters, velocity = k.scalars("parameters", (chunk,)), k.scalars("velocity", (chunk,))
    gradients, decay = k.scalars("gradients", (shards, total)), k.scalars("decay", (chunk,))
    learning_rate, momentum, weight_decay = _hyper(k, 3)
    down = k.apply("sub", 0.0, learning_rate)
    for at in _vectors(k, chunk, UNROLL):
        p = parameters.vector(at)
        g = k.apply("fma", weight_decay * decay.vector(at), p, _gradient(gradients, shards, at))
        v = k.apply("fma", momentum, velocity.vector(at), g)
        step = k.apply("fma", momentum, v, g) if nesterov else v
        velocity.set_vector(v, at)
        parameters.set_vector(k.apply("fma", down, step, p), at)
    return k.program()


@kernel
def adamw(chunk: int, shards: int, total: int) -> Program:
    """AdamW: steps scaled by running moments of the gradient, and decay apart from them.

        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g**2
        p = p - learning_rate * (correction1 * m / (sqrt(correction2 * s) + epsilon) + weight_decay * decay * p)

    Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization". Parameters as for `sgd`.

    Buffers: parameters (chunk), mean (chunk), square (chunk), gradients (shards, total), decay (chunk) and
    hyper (8: learning rate, beta1, beta2, epsilon, weight decay, correction1, correction2). The corrections of step
    t (from 1) are 1 / (1 - beta1**t) and 1 / (1 - beta2**t); `mean` and `square` start as zeros.
    """
    k = Recorder("adamw")
    parameters, mean = k.scalars("parameters", (chunk,)), k.scalars("mean", (chunk,))
    square, gradients = k.scalars("square", (chunk,)), k.scalars("gradients", (shards, total))
    decay = k.scalars("decay", (chunk,))
    learning_rate, beta1, beta2, epsilon, weight_decay, correction1, correction2 = _hyper(k, 7)
    rest1, rest2 = k.apply("sub", 1.0, beta1), k.apply("sub", 1.0, beta2)
    down = k.apply("sub", 0.0, learning_rate)
    for at in _vectors(k, chunk, UNROLL):
        p, g = parameters.vector(at), _gradient(gradients, shards, at)
        m = k.apply("fma", beta1, mean.vector(at), rest1 * g)
        s = k.apply("fma", beta2, square.vector(at), rest2 * (g * g))
        step = (correction1 * m) / (k.apply("sqrt", correction2 * s) + epsilon)
        step = k.apply("fma", weight_decay * decay.vector(at), p, step)
        mean.set_vector(m, at)
        square.set_vector(s, at)
        parameters.set_vector(k.apply("fma", down, step, p), at)
    return k.program()


def _hyper(k: Recorder, count: int) -> list[Value]:
    """Declare `hyper` and read its first numbers."""
    hyper = k.scalars("hyper", (HYPER,))
    return [hyper[n] for n in range(count)]


@kernel
def zero(scalars: int) -> Program:
    """Fill a flat buffer of float32 with zeros. Buffers: values (a multiple of 16)."""
    k = Recorder("zero")
    values = k.scalars("values", (scalars,))
    for at in _vectors(k, scalars, 2 * UNROLL):
        values.set_vector(0.0, at)
    return k.program()
