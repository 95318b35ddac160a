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

from benchmarks import data
from benchmarks.nets import Net
from benchmarks.peers import Learner
from benchmarks.peers.chain import Step, steps, stride_of
from lanewise.network.layers import Conv2D, Dense, Flatten, GlobalAvgPool2D, MaxPool2D, ReLU


def learner(net: Net, batch: int, threads: int, mode: str) -> Learner:
    """Modes: "graph", and "xla" for the same compiled by XLA."""
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:  # it may be set only before the first use
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    raw, numbers = data.pictures(net)
    x, labels = tf.constant(data.prepared(raw)), tf.constant(numbers)
    channels, rows, columns = net.shape
    model = keras.Sequential([keras.Input((rows, columns, channels))])
    for step in steps(net, channels_last=True):
        layer = _layer(step)
        model.add(layer)
        layer.set_weights(list(step.weights))
    optimizer = keras.optimizers.SGD(data.LEARNING_RATE, momentum=data.MOMENTUM)
    optimizer.build(model.trainable_variables)
    criterion = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def learn_batch(images: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = criterion(tf.gather(labels, images), model(tf.gather(x, images), training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    compiled = tf.function(
        learn_batch, jit_compile=mode == "xla", input_signature=[tf.TensorSpec((batch,), tf.int32)], autograph=False
    )

    def learn(batches: Sequence[NDArray[np.int32]]) -> float:
        loss: Any = None
        for images in batches:
            loss = compiled(tf.constant(images))
        return float(loss)

    return learn


def _layer(step: Step) -> Any:
    match step.layer:
        case Conv2D() as layer if layer.padding in ("same", "valid"):
            return keras.layers.Conv2D(
                layer.filters,
                layer.kernel,
                layer.stride,
                layer.padding,
                dilation_rate=layer.dilation,
                groups=layer.groups,
                use_bias=layer.bias,
            )
        case MaxPool2D() as layer if layer.padding in ("same", "valid"):
            return keras.layers.MaxPooling2D(layer.window, stride_of(layer), layer.padding)
        case Dense() as layer:
            return keras.layers.Dense(layer.units, use_bias=layer.bias)
        case GlobalAvgPool2D():
            return keras.layers.GlobalAveragePooling2D()
        case Flatten():
            return keras.layers.Flatten()
        case ReLU():
            return keras.layers.ReLU()
        case _:
            raise ValueError(f"no Keras layer is known for {step}")
