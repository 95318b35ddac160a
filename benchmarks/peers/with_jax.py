"""JAX, channels last, one compiled function a step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # type: ignore[import-not-found, unused-ignore]
import jax.numpy as jnp  # type: ignore[import-not-found, unused-ignore]

from benchmarks import data
from benchmarks.nets import Net
from benchmarks.peers import Learner
from benchmarks.peers.chain import Step, steps, stride_of
from lanewise.network.layers import Conv2D, Dense, Flatten, GlobalAvgPool2D, MaxPool2D, ReLU

Array = Any


def learner(net: Net, batch: int, threads: int, mode: str) -> Learner:
    """Modes: "reduce_window" and "reshape", two ways to write a pool; threads are as many as the process may use."""
    raw, numbers = data.pictures(net)
    x, labels = jnp.asarray(data.prepared(raw)), jnp.asarray(numbers)
    layers = steps(net, channels_last=True)
    weights = [tuple(jnp.asarray(weight) for weight in step.weights) for step in layers]
    velocity = jax.tree.map(jnp.zeros_like, weights)

    def loss_of(weights: list[tuple[Array, ...]], images: Array, labels: Array) -> Array:
        value = images
        for step, own in zip(layers, weights, strict=True):
            value = _apply(step, own, value, reshape=mode == "reshape")
        chosen = jnp.take_along_axis(jax.nn.log_softmax(value), labels[:, None], axis=1)
        return -chosen.mean()

    def learn_batch(weights: Any, velocity: Any, x: Array, labels: Array, images: Array) -> tuple[Any, Any, Array]:
        loss, slopes = jax.value_and_grad(loss_of)(weights, x[images], labels[images])
        velocity = jax.tree.map(lambda v, slope: data.MOMENTUM * v + slope, velocity, slopes)
        return jax.tree.map(lambda w, v: w - data.LEARNING_RATE * v, weights, velocity), velocity, loss

    compiled = jax.jit(learn_batch, donate_argnums=(0, 1))

    def learn(batches: Sequence[NDArray[np.int32]]) -> float:
        nonlocal weights, velocity
        loss: Any = None
        for images in batches:
            weights, velocity, loss = compiled(weights, velocity, x, labels, images)
        jax.block_until_ready(weights)
        return float(loss)

    return learn


def _apply(step: Step, weights: tuple[Array, ...], x: Array, *, reshape: bool) -> Array:
    top, left, bottom, right = step.padding
    sides = ((top, bottom), (left, right))
    match step.layer:
        case Conv2D() as layer:
            y = jax.lax.conv_general_dilated(
                x,
                weights[0],
                layer.stride,
                sides,
                rhs_dilation=layer.dilation,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=layer.groups,
            )
            return y + weights[1] if layer.bias else y
        case MaxPool2D() as layer if reshape and stride_of(layer) == layer.window and not any(step.padding):
            (p, q), (count, rows, columns, channels) = layer.window, x.shape
            whole = x[:, : rows // p * p, : columns // q * q]
            return whole.reshape(count, rows // p, p, columns // q, q, channels).max(axis=(2, 4))
        case MaxPool2D() as layer:
            window, stride = (1, *layer.window, 1), (1, *stride_of(layer), 1)
            return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, stride, ((0, 0), *sides, (0, 0)))
        case Dense() as layer:
            y = x @ weights[0]
            return y + weights[1] if layer.bias else y
        case GlobalAvgPool2D():
            return x.mean(axis=(1, 2))
        case Flatten():
            return x.reshape(len(x), -1)
        case ReLU():
            return jnp.maximum(x, 0)
        case _:
            raise ValueError(f"no JAX operation is known for {step}")
