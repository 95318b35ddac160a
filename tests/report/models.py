"""Models that pages are made of: small, with weights that no training gave them."""

from __future__ import annotations

import numpy as np

from lanewise.model import Model, Preprocessing
from lanewise.network.graph import build
from lanewise.network.text import parse
from tests.engine.support import parameters_for

SIGNBOARD = (
    "conv 8@3x3 same, relu, max 2, conv 12@3x3 same, relu, max 2, dropout 0.25, dense 20, relu, dense 1, sigmoid"
)
DIGITS = "conv 6@5x5 same, relu, max 2, conv 8@5x5, relu, max 2, dense 30, relu, dense 10, softmax"
EVERY_LAYER = (
    "concat(fixed sobel+blur | ), conv 8@3x2 pad 1:2:0:1 stride 2x1 dilation 1x2 groups 4, "
    "leaky 0.1, lrn 3 alpha 2, max 3 stride 2 pad 1, "
    "residual(conv 6@3 same nobias, tanh | conv 6@1 frozen), concat(conv 2@1 | max 3 same stride 1 | ), "
    "average 2 stride 1 pad 1:0:0:1 count-padding, average 2 pad 1, sigmoid, dropout 0.5, relu, "
    "2 * (conv 5@2 dilation 2 pad 1), batchnorm, gate(global average, sigmoid), layernorm 0.5, scale, prelu, "
    "concat(global average, dense 7, batchnorm 0.5 | flatten, residual(relu), dense 9 nobias), dense 4, softmax"
)


def model(text: str, input_shape: tuple[int, int, int], classes: tuple[str, ...], dtype: str = "uint8") -> Model:
    """Channels are scaled differently, so that a mistake in their order shows."""
    channels, rows, columns = input_shape
    graph = build(parse(text), input_shape)
    wide = 1 if dtype == "float32" else 64
    scale = tuple((1 + n / 4) / wide for n in range(channels))
    offset = tuple(-1 - n / 8 for n in range(channels))
    preprocessing = Preprocessing(rows, columns, channels, dtype, scale, offset)
    return Model(graph, tuple(parameters_for(graph)), classes, preprocessing, text)


def signboard() -> Model:
    return model(SIGNBOARD, (3, 30, 30), ("no", "yes"))


def digits() -> Model:
    return model(DIGITS, (1, 28, 28), tuple("0123456789"))


def every_layer() -> Model:
    return model(EVERY_LAYER, (3, 19, 16), ("a", "b", "c", "d"))


def real_numbers() -> Model:
    """Its raw pixels are float32."""
    return model("conv 3@3, tanh, dense 3, softmax", (2, 6, 5), ("a", "b", "c"), "float32")


def raw_images(of: Model, count: int, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (count, *of.preprocessing.shape)
    if of.preprocessing.dtype == "float32":
        return rng.normal(size=shape).astype(np.float32)
    return rng.integers(0, 256, shape).astype(np.uint8)
