"""Writing a model file: the network and its preprocessing as one ONNX graph, everything else as metadata.

    images (N, H, W, C) -> Cast -> Mul scale -> Add offset -> Transpose -> network -> probabilities (N, K)

Opset 13 and IR version 7 say all that is needed but for a few activations, and every ONNX tool of the last years reads
them. Dropout does nothing when predicting and is left out; the text of the network, in the metadata, keeps it for
further training.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import LanewiseError, ModelFileError
from lanewise.model_file.contents import Contents
from lanewise.model_file.metadata import to_properties
from lanewise.model_file.read import read_own
from lanewise.network.graph import Graph, Node
from lanewise.network.layers import (
    Activation,
    Add,
    AvgPool2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Join,
    MaxPool2D,
    Softmax,
)
from lanewise.preprocessing import Preprocessing
from lanewise.saving import write_new, write_whole

OPSET = 13
IR_VERSION = 7
INPUT, OUTPUT = "images", "probabilities"


def to_onnx(contents: Contents) -> Any:
    """The contents of a model file as an `onnx.ModelProto`."""
    from onnx import TensorProto, helper, numpy_helper

    graph, preprocessing = contents.graph, contents.preprocessing
    nodes, arrays = _entrance(preprocessing)
    nodes += _network(graph)
    arrays |= {
        f"{graph.nodes[parameter.node].name}.{parameter.role}": array
        for parameter, array in zip(graph.parameters, contents.parameters, strict=True)
    }
    opset = max(node.layer.opset if isinstance(node.layer, Activation) else OPSET for node in graph.nodes)
    element = TensorProto.UINT8 if preprocessing.dtype == "uint8" else TensorProto.FLOAT
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "network",
            [helper.make_tensor_value_info(INPUT, element, ["N", *preprocessing.shape])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", *graph.output_shape])],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=IR_VERSION,
        producer_name="lanewise",
        producer_version=version("lanewise"),
    )
    helper.set_model_props(model, to_properties(contents))
    return model


def write(contents: Contents, path: str | os.PathLike[str]) -> None:
    """Save a model file. An older file of that name is replaced at once and whole, or not at all.

    Raises
    ------
    ModelFileError
        The file cannot be written; the message names it and says why, and an older file is as it was.
    """
    with _told(path):
        write_whole(path, _serialised(contents))


def write_beside(contents: Contents, path: str | os.PathLike[str]) -> Path:
    """Save a model file that replaces none: where `path` is taken, another name is found, and returned.

    Raises
    ------
    ModelFileError
        The file cannot be written.
    """
    with _told(path):
        return write_new(path, _serialised(contents))


def _serialised(contents: Contents) -> bytes:
    model = to_onnx(contents)
    _check(model, contents)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@contextlib.contextmanager
def _told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say in one line why a file cannot be written."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        kept = "; the older file is unchanged" if os.path.isfile(path) else ""
        raise ModelFileError(f'the model cannot be saved as "{os.fspath(path)}": {reason}{kept}') from None


def _check(model: Any, contents: Contents) -> None:
    """Raise ModelFileError if what would be written could not be read again, or not as what it is."""
    try:
        found = read_own(model)
    except LanewiseError as error:
        raise ModelFileError(f"it could not be loaded again: {str(error).partition(chr(10))[0]}") from None
    for name in ("classes", "preprocessing", "network"):
        if getattr(found, name) != getattr(contents, name):
            raise ModelFileError(f"it could not be loaded again: its {name} would come back as another")


def _entrance(preprocessing: Preprocessing) -> tuple[list[Any], dict[str, NDArray[np.float32]]]:
    """Nodes from raw pixels to `input`, and their constants."""
    from onnx import TensorProto, helper

    arrays = {name: np.array(getattr(preprocessing, name), np.float32) for name in ("scale", "offset")}
    nodes, pixels = [], INPUT
    if preprocessing.dtype == "uint8":
        nodes, pixels = (
            [helper.make_node("Cast", [INPUT], ["float_pixels"], "cast", to=TensorProto.FLOAT)],
            "float_pixels",
        )
    nodes += [
        helper.make_node("Mul", [pixels, "scale"], ["scaled"], "scale"),
        helper.make_node("Add", ["scaled", "offset"], ["prepared"], "offset"),
        helper.make_node("Transpose", ["prepared"], ["input"], "channels_first", perm=(0, 3, 1, 2)),
    ]
    return nodes, arrays


def _network(graph: Graph) -> list[Any]:
    """The ONNX nodes of all layers but dropout; a layer's value has the name of its node."""
    names: list[str] = []
    nodes: list[Any] = []
    for position, node in enumerate(graph.nodes):
        sources = [names[source] for source in node.inputs]
        if isinstance(node.layer, Dropout):
            names.append(sources[0])
            continue
        names.append(OUTPUT if position == len(graph.nodes) - 1 else node.name)
        if position:
            nodes += _layer(node, sources, names[-1])
    return nodes


def _layer(node: Node, sources: list[str], output: str) -> list[Any]:
    """The ONNX nodes of one layer."""
    from onnx import helper

    def one(operator: str, **attributes: Any) -> list[Any]:
        return [helper.make_node(operator, sources, [output], node.name, **attributes)]

    match node.layer:
        case Conv2D() as layer:
            sources = _with_weights(node, sources, layer.bias)
            window = {"kernel_shape": layer.kernel, "strides": layer.stride, "pads": node.padding}
            return one("Conv", **window, dilations=layer.dilation, group=layer.groups)
        case Dense() as layer:
            sources = _with_weights(node, sources, layer.bias)
            return one("Gemm", transB=1)
        case MaxPool2D() as layer:
            return one("MaxPool", kernel_shape=layer.window, strides=layer.stride or layer.window, pads=node.padding)
        case AvgPool2D() as layer:
            window = {"kernel_shape": layer.window, "strides": layer.stride or layer.window, "pads": node.padding}
            return one("AveragePool", **window, count_include_pad=int(layer.count_padding))
        case GlobalAvgPool2D():
            mean = f"{node.name}.mean"
            flatten = helper.make_node("Flatten", [mean], [output], f"{node.name}.flatten", axis=1)
            return [helper.make_node("GlobalAveragePool", sources, [mean], node.name), flatten]
        case Activation() as layer:
            return _activation(node.name, layer, sources[0], output)
        case Softmax() | Flatten() | Join():
            return one({Softmax: "Softmax", Flatten: "Flatten", Join: "Concat"}[type(node.layer)], axis=1)
        case Add():
            return one("Add")
        case layer:
            raise ModelFileError(f"{node.name}: a layer of type {type(layer).__name__} cannot be written as ONNX")


def _activation(name: str, layer: Activation, source: str, output: str) -> list[Any]:
    """The nodes of an activation, from the value `source` to `output`, and before them those of its constants."""
    from onnx import TensorProto, helper

    written, made, nodes = {"x": source}, [], layer.onnx
    for node in nodes:
        result = output if node is nodes[-1] else f"{name}.{node.operator.lower()}"
        inputs: list[str] = []
        for position, given in enumerate(node.inputs):
            inputs.append(written[given] if isinstance(given, str) else f"{name}.constant{position}")
            if not isinstance(given, str):
                number = helper.make_tensor(inputs[-1], TensorProto.FLOAT, (), [given])
                made.append(helper.make_node("Constant", [], [inputs[-1]], inputs[-1], value=number))
        attributes: dict[str, Any] = {
            attribute: float(layer.options[option]) for attribute, option in node.options.items()
        }
        attributes |= {attribute: value for attribute, (value, _) in node.attributes.items()}
        made.append(helper.make_node(node.operator, inputs, [result], result if len(nodes) > 1 else name, **attributes))
        written[node.operator] = result
    return made


def _with_weights(node: Node, sources: list[str], bias: bool) -> list[str]:
    return [*sources, f"{node.name}.weight", *([f"{node.name}.bias"] if bias else [])]
