"""Test-time augmentation in a file: the network runs on images and their mirror images, as one batch twice as long.

    straight -> Slice (columns backwards) -> mirrored;   Concat(straight, mirrored) -> input
    scores (2 N, K) -> Reshape (2, N, K) -> Gather 0, Gather 1 -> Add -> Mul 0.5 -> average, which the last layer reads

The weights stand in the file once, and the nodes of all other layers are as without it.
"""

from __future__ import annotations

from typing import Any

from lanewise.errors import ModelFileError
from lanewise.model_file.contents import FLIP

STRAIGHT, AVERAGE = "straight", "tta.average"

_MOST_NEGATIVE = -(2**31)


def both_views(value: str) -> list[Any]:
    """The nodes from the value "straight", images (N, channels, rows, columns), to `value`, (2 N, ...)."""
    from onnx import helper

    numbers = {"tta.start": [-1], "tta.end": [_MOST_NEGATIVE], "tta.axis": [3], "tta.step": [-1]}
    return [
        *(_constant(name, given, (1,)) for name, given in numbers.items()),
        helper.make_node("Slice", [STRAIGHT, *numbers], ["tta.mirrored"], "tta.mirrored"),
        helper.make_node("Concat", [STRAIGHT, "tta.mirrored"], [value], "tta.both", axis=0),
    ]


def average(scores: str, count: int) -> list[Any]:
    """The nodes from `scores` of both views, `count` for each image, to their mean."""
    from onnx import TensorProto, helper

    half = helper.make_tensor("tta.half", TensorProto.FLOAT, (), [0.5])
    return [
        _constant("tta.shape", [2, -1, count], (3,)),
        _constant("tta.zero", [0], ()),
        _constant("tta.one", [1], ()),
        helper.make_node("Constant", [], ["tta.half"], "tta.half", value=half),
        helper.make_node("Reshape", [scores, "tta.shape"], ["tta.scores"], "tta.scores"),
        helper.make_node("Gather", ["tta.scores", "tta.zero"], ["tta.first"], "tta.first", axis=0),
        helper.make_node("Gather", ["tta.scores", "tta.one"], ["tta.second"], "tta.second", axis=0),
        helper.make_node("Add", ["tta.first", "tta.second"], ["tta.sum"], "tta.sum"),
        helper.make_node("Mul", ["tta.sum", "tta.half"], [AVERAGE], AVERAGE),
    ]


def without(model: Any) -> Any:
    """A copy of an `onnx.ModelProto` of ours without it, to be read as a network is.

    Raises
    ------
    ModelFileError
        Its graph does not do what the metadata say.
    """
    plain = type(model)()
    plain.CopyFrom(model)
    nodes = {output: node for node in plain.graph.node for output in node.output}
    problem = ModelFileError(f"the property 'tta' says {FLIP!r}, but its graph does not do that: it was edited")
    joined = next((node for node in plain.graph.node if node.name == "tta.both"), None)
    reshaped = nodes.get("tta.scores")
    if joined is None or reshaped is None or STRAIGHT not in nodes or not reshaped.input:
        raise problem
    count = model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value  # one score for each probability
    added = [*both_views(joined.output[0]), *average(reshaped.input[0], count)]
    if any(node not in plain.graph.node for node in added):
        raise problem
    kept = [node for node in plain.graph.node if node not in added]
    renamed = {AVERAGE: reshaped.input[0]}
    for node in kept:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [joined.output[0] if name == STRAIGHT else name for name in node.output]
    del plain.graph.node[:]
    plain.graph.node.extend(kept)
    return plain


def _constant(name: str, numbers: list[int], shape: tuple[int, ...]) -> Any:
    from onnx import TensorProto, helper

    value = helper.make_tensor(name, TensorProto.INT64, shape, numbers)
    return helper.make_node("Constant", [], [name], name, value=value)
