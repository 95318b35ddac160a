"""Reading our own files by rebuilding: the network's text and the weights by name make the graph anew.

The graph in the file is what other programs run, so it must be, node for node, the one that would be written for this
text. A layer that can be written can then be read, whatever operators it is written as.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import numpy as np

from lanewise.errors import LanewiseError, ModelFileError
from lanewise.model_file.builder import Weights
from lanewise.model_file.export import parameter_names, without_weights
from lanewise.model_file.onnx_graph import called
from lanewise.model_file.tensors import array_of, quoted
from lanewise.network.graph import Graph, build
from lanewise.network.text import parse
from lanewise.preprocessing import Preprocessing


class DifferenceError(ModelFileError):
    """The file's graph is not what would be written; the message names the first part that differs."""


def rebuild(
    model: Any, network: str, preprocessing: Preprocessing, *, tta: bool = False
) -> tuple[Graph, tuple[Weights, ...]]:
    """The graph that `network` describes, and its weights and biases in the `onnx.ModelProto`, in order.

    No memory is taken for sizes that the text or the file claims: only arrays whose bytes are there are made.

    Parameters
    ----------
    model : onnx.ModelProto
    network : str
        The text in its metadata.
    preprocessing : Preprocessing
        As its metadata have it.
    tta : bool
        Whether they say that it does test-time augmentation.

    Raises
    ------
    DifferenceError
        The graph in the file is another than would be written.
    """
    rows, columns, channels = preprocessing.shape
    try:
        graph = build(parse(network), (channels, rows, columns))
        wanted = without_weights(graph, preprocessing, *(entry.name for entry in model.graph.input[:1]), tta=tta)
    except LanewiseError:
        raise DifferenceError("the property 'network'") from None
    _compare(model, wanted)
    shapes = [parameter.shape for parameter in graph.parameters]
    arrays = _arrays(model.graph, dict(zip(parameter_names(graph), shapes, strict=True)), preprocessing)
    return graph, tuple(map(np.ascontiguousarray, arrays))


def _compare(model: Any, wanted: Any) -> None:
    """Raise DifferenceError if anything but arrays and remarks differs."""
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise DifferenceError("a part that Lanewise does not write")
    if list(model.opset_import) != list(wanted.opset_import):
        raise DifferenceError("the opset")
    for found, meant in zip_longest(model.graph.node, wanted.graph.node):
        if found != meant:
            raise DifferenceError(called(meant if found is None else found))
    for kind in ("input", "output"):
        if list(getattr(model.graph, kind)) != list(getattr(wanted.graph, kind)):
            raise DifferenceError(f"the {kind}")


def _arrays(graph: Any, shapes: dict[str, tuple[int, ...]], preprocessing: Preprocessing) -> list[Weights]:
    """The weights and biases by their names, after a look at the constants of the preprocessing."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    constants = preprocessing.constants
    odd = tensors.keys() ^ (constants.keys() | shapes.keys())
    if odd or len(tensors) != len(graph.initializer):
        raise DifferenceError(f"tensor {quoted(min(odd))}" if odd else "a tensor given twice")
    found = {}
    for name in (*constants, *shapes):
        try:
            found[name] = array_of(tensors[name])
        except ModelFileError:
            raise DifferenceError(f"tensor {quoted(name)}") from None
        same = np.array_equal(found[name], constants[name]) if name in constants else found[name].shape == shapes[name]
        if found[name].dtype != np.float32 or not same:
            raise DifferenceError(f"tensor {quoted(name)}")
    return [found[name] for name in shapes]
