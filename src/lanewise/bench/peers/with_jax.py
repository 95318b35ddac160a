"""JAX, channels last, one compiled function a step."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # type: ignore[import-not-found, unused-ignore]
import jax.numpy as jnp  # type: ignore[import-not-found, unused-ignore]

from lanewise.bench import data
from lanewise.bench.ops import LayerStep, steps, stride_of, walk
from lanewise.bench.workload import Learner, Workload
from lanewise.network import activations
from lanewise.network import layers as ours
from lanewise.network.channelwise import BatchNorm
from lanewise.network.graph import is_frozen

Array = Any


def learner(workload: Workload) -> Learner:
    """Modes: "reduce_window" and "reshape", two ways to write a pool; threads are as many as the process may use."""
    x, labels = jnp.asarray(data.prepared(workload.pixels)), jnp.asarray(workload.labels)
    layers = steps(workload.graph, workload.weights, channels_last=True)
    weights = [tuple(jnp.asarray(weight) for weight in step.weights) for step in layers]
    velocity, key = jax.tree.map(jnp.zeros_like, weights), jax.random.key(0)
    reshape = workload.task.mode == "reshape"

    def loss_of(weights: list[tuple[Array, ...]], images: Array, labels: Array, key: Array) -> tuple[Array, Any]:
        statistics: dict[int, tuple[Array, Array]] = {}

        def apply(number: int, step: LayerStep, inputs: list[Array]) -> Array:
            if isinstance(step.layer, ours.Dropout):
                kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - step.layer.rate, inputs[0].shape)
                return jnp.where(kept, inputs[0] / (1 - step.layer.rate), 0)
            own = jax.lax.stop_gradient(weights[number]) if is_frozen(step.layer) else weights[number]
            if isinstance(step.layer, BatchNorm):
                y, statistics[number] = _normalise(step.layer, own, inputs[0])
                return y
            return _apply(step, own, inputs, reshape=reshape)

        logits = walk(layers, images, apply)
        if workload.binary:
            return (jax.nn.softplus(logits[:, 0]) - labels * logits[:, 0]).mean(), statistics
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean(), statistics

    @partial(jax.jit, donate_argnums=(0, 1))  # type: ignore[misc, untyped-decorator, unused-ignore]
    def learn_batch(weights: Any, velocity: Any, x: Array, labels: Array, images: Array, key: Array) -> Any:
        key, own = jax.random.split(key)
        (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            weights, x[images], labels[images], own
        )
        velocity = jax.tree.map(lambda v, gradient: data.MOMENTUM * v + gradient, velocity, gradients)
        weights = jax.tree.map(lambda w, v: w - data.LEARNING_RATE * v, weights, velocity)
        for number, of_batch in statistics.items():
            running = zip(weights[number][2:], of_batch, strict=True)
            weights[number] = (*weights[number][:2], *(0.9 * old + 0.1 * new for old, new in running))
        return weights, velocity, loss, key

    def learn(batches: Sequence[NDArray[np.int32]]) -> float:
        nonlocal weights, velocity, key
        loss: Any = None
        for images in batches:
            weights, velocity, loss, key = learn_batch(weights, velocity, x, labels, images, key)
        jax.block_until_ready(weights)
        return float(loss)

    return learn


_ACTIVATIONS: dict[type, Callable[[Array], Array]] = {
    ours.ReLU: jax.nn.relu,
    ours.Sigmoid: jax.nn.sigmoid,
    ours.Tanh: jnp.tanh,
    activations.GELU: partial(jax.nn.gelu, approximate=False),
    activations.ReLU6: jax.nn.relu6,
    activations.SiLU: jax.nn.silu,
    activations.HardSwish: jax.nn.hard_swish,
    activations.HardSigmoid: jax.nn.hard_sigmoid,
}


def _normalise(layer: BatchNorm, weights: tuple[Array, ...], x: Array) -> tuple[Array, tuple[Array, Array]]:
    """The outcome, and mean and variance of the batch."""
    if layer.frozen:
        raise ValueError(f"no JAX operation is known for {layer}")
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    return (x - mean) * jax.lax.rsqrt(variance + layer.epsilon) * weights[0] + weights[1], (mean, variance)


def _apply(step: LayerStep, weights: tuple[Array, ...], inputs: list[Array], *, reshape: bool) -> Array:
    x = inputs[0]
    match step.layer:
        case ours.Conv2D() as layer:
            return _conv(layer, step.padding, weights, x)
        case ours.MaxPool2D() | ours.AvgPool2D():
            return _pool(step, step.layer, x, reshape)
        case ours.Dense() as layer:
            y = x @ weights[0]
            return y + weights[1] if layer.bias else y
        case ours.GlobalAvgPool2D():
            return x.mean(axis=(1, 2))
        case ours.Flatten():
            return x.reshape(len(x), -1)
        case ours.LeakyReLU(slope):
            return jnp.where(x > 0, x, slope * x)
        case _ if type(step.layer) in _ACTIVATIONS:
            return _ACTIVATIONS[type(step.layer)](x)
        case ours.Add():
            return sum(inputs)
        case ours.Join():
            return jnp.concatenate(inputs, axis=-1)
        case _:
            raise ValueError(f"no JAX operation is known for {step.layer}")


def _sides(padding: tuple[int, int, int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    top, left, bottom, right = padding
    return (top, bottom), (left, right)


def _conv(layer: ours.Conv2D, padding: tuple[int, int, int, int], weights: tuple[Array, ...], x: Array) -> Array:
    y = jax.lax.conv_general_dilated(
        x,
        weights[0],
        layer.stride,
        _sides(padding),
        rhs_dilation=layer.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=layer.groups,
    )
    return y + weights[1] if layer.bias else y


def _pool(step: LayerStep, layer: ours.MaxPool2D | ours.AvgPool2D, x: Array, reshape: bool) -> Array:
    largest = isinstance(layer, ours.MaxPool2D)
    if reshape and stride_of(layer) == layer.window and not any(step.padding):
        (p, q), (count, rows, columns, channels) = layer.window, x.shape
        whole = x[:, : rows // p * p, : columns // q * q]
        blocks = whole.reshape(count, rows // p, p, columns // q, q, channels)
        return blocks.max(axis=(2, 4)) if largest else blocks.mean(axis=(2, 4))
    window, stride = (1, *layer.window, 1), (1, *stride_of(layer), 1)
    sides = ((0, 0), *_sides(step.padding), (0, 0))
    if isinstance(layer, ours.MaxPool2D):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, stride, sides)
    total = jax.lax.reduce_window(x, 0.0, jax.lax.add, window, stride, sides)
    if layer.count_padding:
        return total / (layer.window[0] * layer.window[1])
    return total / jax.lax.reduce_window(jnp.ones_like(x), 0.0, jax.lax.add, window, stride, sides)
