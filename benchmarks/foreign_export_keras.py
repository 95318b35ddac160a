"""Classifiers of Keras as ONNX files by tf2onnx; run where Keras, TensorFlow and tf2onnx are installed.

    python foreign_export_keras.py FOLDER [NET ...]

Weights are random, statistics of batch normalisations included. `model.export(format="onnx")` of Keras 3.15 leaves the
mean and variance of `Normalization` layers out of the file: nets that have one go through a SavedModel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ |= {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}

import keras  # type: ignore[import-not-found, unused-ignore]
import numpy as np

NETS = {
    "mobilenet_v2": ("MobileNetV2", 96),
    "mobilenet_v3_small": ("MobileNetV3Small", 128),
    "resnet50_v2": ("ResNet50V2", 128),
    "efficientnet_b0": ("EfficientNetB0", 128),
    "densenet121": ("DenseNet121", 128),
}
"""The nets, their names in `keras.applications`, and the rows and columns of their images."""


def made(name: str) -> Any:
    """The net called `name`, with random weights."""
    keras.utils.set_random_seed(0)
    called, size = NETS[name]
    net = getattr(keras.applications, called)(weights=None, input_shape=(size, size, 3), classes=10)
    random = np.random.default_rng(0)
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight, (low, high) in (
                (layer.gamma, (0.7, 1.3)),
                (layer.beta, (-0.2, 0.2)),
                (layer.moving_mean, (-0.2, 0.2)),
                (layer.moving_variance, (0.7, 1.3)),
            ):
                if weight is not None:
                    weight.assign(random.uniform(low, high, weight.shape))
    net(np.zeros((1, size, size, 3), np.float32))  # only a net that was called can be exported
    return net


def export(net: Any, path: Path) -> None:
    """Write a net as an ONNX file."""
    if not any(isinstance(layer, keras.layers.Normalization) for layer in net.layers):
        net.export(path, format="onnx", verbose=False)
        return
    with tempfile.TemporaryDirectory() as saved:
        net.export(saved, verbose=False)
        command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", saved, "--opset", "15", "--output"]
        subprocess.run([*command, str(path)], check=True)


def main(folder: Path, names: list[str]) -> None:
    """Export all nets, or those named, as FOLDER/NAME.keras.onnx."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or NETS:
        export(made(name), folder / f"{name}.keras.onnx")
        print(name, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
