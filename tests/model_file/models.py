"""Small models to write and read: our own contents, and ONNX files as others would write them."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import numpy_helper

from lanewise.model_file import Contents, to_onnx
from lanewise.network.graph import build
from lanewise.network.layers import Sigmoid
from lanewise.network.reference import forward
from lanewise.network.text import parse
from lanewise.preprocessing import Preprocessing

Arrays = dict[str, np.ndarray]


def contents(text: str, shape: tuple[int, int, int] = (3, 9, 7), dtype: str = "uint8", seed: int = 0) -> Contents:
    """A network with random weights and everything else a file holds; `shape` is (channels, rows, columns)."""
    rng = np.random.default_rng(seed)
    graph = build(parse(text), shape)
    # Of the size that keeps values neither vanishing nor saturated.
    parameters = tuple(
        rng.normal(0, 1 / np.sqrt(max(1, math.prod(p.shape[1:]))), p.shape).astype(np.float32) for p in graph.parameters
    )
    for parameter, array in zip(graph.parameters, parameters, strict=True):
        if parameter.role == "variance":
            array[...] = np.abs(array) + np.float32(0.1)
    channels, rows, columns = shape
    scale = tuple(rng.uniform(0.5, 1.5, channels) / (100 if dtype == "uint8" else 1))
    classes = 2 if isinstance(graph.nodes[-1].layer, Sigmoid) else graph.output_shape[0]
    return Contents(
        graph,
        parameters,
        tuple(f"class {k}" for k in range(classes)),
        Preprocessing(rows, columns, channels, dtype, scale, tuple(rng.normal(size=channels)), "stretch"),
        text,
        ({"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}),
        {"seed": 3, "accuracy": 0.98, "notes": ["größer"]},
    )


def pixels(of: Contents, count: int, seed: int = 1) -> np.ndarray:
    """Raw images (count, rows, columns, channels) of the type that `of` takes."""
    rng = np.random.default_rng(seed)
    shape = (count, *of.preprocessing.shape)
    if of.preprocessing.dtype == "uint8":
        return rng.integers(0, 256, shape).astype(np.uint8)
    return rng.normal(size=shape).astype(np.float32)


def evaluated(of: Contents, images: np.ndarray) -> np.ndarray:
    """What the NumPy reference gives for raw images."""
    return forward(of.graph, of.parameters, of.preprocessing.apply(images))[-1]


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """What ONNX Runtime gives."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def written(text: str, **options) -> onnx.ModelProto:
    return to_onnx(contents(text, **options))


def foreign(head: str, nodes: str, opset: int = 13, seed: int = 0, **arrays: tuple[int, ...] | np.ndarray | list):
    """An ONNX model from its text.

    `head` is like "float[N,3,8,9] x => float[N,5] y"; a tuple among `arrays` is the shape of random weights.
    """
    rng = np.random.default_rng(seed)
    before, after = head.split("=>")
    text = f'<ir_version: 7, opset_import: ["": {opset}]> net ({before}) => ({after}) {{ {nodes} }}'
    model = onnx.parser.parse_model(text.replace("'", '"'))
    for name, value in arrays.items():
        array = rng.normal(0, 0.5, value).astype(np.float32) if isinstance(value, tuple) else np.asarray(value)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model
