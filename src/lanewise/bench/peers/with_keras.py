"""Keras on TensorFlow, channels last, one graph a step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.update({"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""})

import keras  # type: ignore[import-not-found, unused-ignore]
import tensorflow as tf  # type: ignore[import-not-found, import-untyped, unused-ignore]

from lanewise.bench import data
from lanewise.bench.ops import LayerStep, steps, stride_of, walk
from lanewise.bench.workload import Learner, Workload
from lanewise.network import activations
from lanewise.network import layers as ours
from lanewise.network.channelwise import BatchNorm
from lanewise.network.graph import is_frozen


def learner(workload: Workload) -> Learner:
    """Modes: "graph", and "xla" for the same compiled by XLA."""
    task = workload.task
    if tf.config.threading.get_intra_op_parallelism_threads() != task.threads:  # only before the first use
        tf.config.threading.set_intra_op_parallelism_threads(task.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    x = tf.constant(data.prepared(workload.pixels))
    labels = tf.constant(workload.labels[:, np.newaxis] if workload.binary else workload.labels)
    model = _model(workload)
    optimizer = keras.optimizers.SGD(data.LEARNING_RATE, momentum=data.MOMENTUM)
    optimizer.build(model.trainable_variables)
    losses = keras.losses
    criterion = (losses.BinaryCrossentropy if workload.binary else losses.SparseCategoricalCrossentropy)(
        from_logits=True
    )

    def learn_batch(images: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = criterion(tf.gather(labels, images), model(tf.gather(x, images), training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    compiled = tf.function(
        learn_batch,
        jit_compile=task.mode == "xla",
        input_signature=[tf.TensorSpec((task.batch,), tf.int32)],
        autograph=False,
    )

    def learn(batches: Sequence[NDArray[np.int32]]) -> float:
        loss: Any = None
        for images in batches:
            loss = compiled(tf.constant(images))
        return float(loss)

    return learn


def _model(workload: Workload) -> Any:
    channels, rows, columns = workload.task.net.shape

    def apply(_: int, step: LayerStep, inputs: list[Any]) -> Any:
        layer = _layer(step)
        y = layer(inputs if isinstance(step.layer, ours.Add | ours.Join) else inputs[0])
        if step.weights:
            layer.set_weights(list(step.weights))
            layer.trainable = not is_frozen(step.layer)
        return y

    entry = keras.Input((rows, columns, channels))
    return keras.Model(entry, walk(steps(workload.graph, workload.weights, channels_last=True), entry, apply))


_ACTIVATIONS: dict[type, str] = {
    ours.ReLU: "relu",
    ours.Sigmoid: "sigmoid",
    ours.Tanh: "tanh",
    activations.GELU: "gelu",
    activations.ReLU6: "relu6",
    activations.SiLU: "silu",
    activations.HardSwish: "hard_silu",
    activations.HardSigmoid: "hard_sigmoid",
}


def _layer(step: LayerStep) -> Any:
    top, left, bottom, right = step.padding
    layers: Any = keras.layers
    match step.layer:
        case ours.Conv2D() as layer:
            conv = layers.Conv2D(
                layer.filters,
                layer.kernel,
                layer.stride,
                layer.padding if isinstance(layer.padding, str) else "valid",
                dilation_rate=layer.dilation,
                groups=layer.groups,
                use_bias=layer.bias,
            )
            if isinstance(layer.padding, str):
                return conv
            return keras.Sequential([layers.ZeroPadding2D(((top, bottom), (left, right))), conv])
        case ours.MaxPool2D() as layer if isinstance(layer.padding, str):
            return layers.MaxPooling2D(layer.window, stride_of(layer), layer.padding)
        case ours.AvgPool2D() as layer if isinstance(layer.padding, str) and not (
            layer.count_padding and any(step.padding)
        ):
            return layers.AveragePooling2D(layer.window, stride_of(layer), layer.padding)
        case ours.Dense() as layer:
            return layers.Dense(layer.units, use_bias=layer.bias)
        case ours.Dropout(rate):
            return layers.Dropout(rate)
        case ours.LeakyReLU(slope):
            return layers.LeakyReLU(negative_slope=slope)
        case BatchNorm(epsilon, frozen=False):
            return layers.BatchNormalization(momentum=0.9, epsilon=epsilon)
        case ours.GlobalAvgPool2D():
            return layers.GlobalAveragePooling2D()
        case ours.Flatten():
            return layers.Flatten()
        case ours.Add():
            return layers.Add()
        case ours.Join():
            return layers.Concatenate()
        case _ if type(step.layer) in _ACTIVATIONS:
            return layers.Activation(_ACTIVATIONS[type(step.layer)])
        case _:
            raise ValueError(f"no Keras layer is known for {step.layer}")
