"""Model files that were changed on purpose: refused in one line, or read as ONNX Runtime reads them.

    python -m tests.reliability.mutants [--count N] [--seed S]

Each case changes one to three things of a sound file: attributes, names, nodes, sizes, types, or metadata.
"""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lanewise import Model
from lanewise.errors import LanewiseError, ModelFileError
from lanewise.model_file import to_onnx
from tests.model_file.models import contents
from tests.reliability import elsewhere
from tests.reliability.running import main

TEXTS = (
    "conv 4@3 same, relu, max 2, dropout 0.2, dense 3, softmax",
    "conv 4@3, residual(conv 4@3 same, tanh), avg 2, global average, dense 3, softmax",
    "conv 2@1, concat(conv 3@3 same | leaky relu 0.1), flatten, dense 1, sigmoid",
    "conv 4@3, gelu, dense 3, softmax",
)
NUMBERS = (math.nan, math.inf, -math.inf, 0.5, 0, 1, 2, -1, 7, 1 << 31, 1 << 62, -(1 << 62))
VALUES: tuple[Any, ...] = (*NUMBERS, None, True, "", "text", [], [1], {}, {"a": [1]}, 1e308, [[[[]]]], 10**40)
SIZES = (0, 1, 2, 3, 5, 9, 1 << 20, 1 << 40, -1)


def mutant(draw: np.random.Generator) -> onnx.ModelProto:
    """A sound file with one to three changes: one of ours, or as others write them."""
    if draw.random() < 0.4:
        model = elsewhere.drawn(draw)
    else:
        model = to_onnx(contents(str(draw.choice(TEXTS)), (3, 9, 9), str(draw.choice(["uint8", "float32"]))))
    for _ in range(int(draw.integers(1, 4))):
        change = CHANGES[int(draw.integers(len(CHANGES)))]
        if model.graph.node and (model.metadata_props or change is not _metadata):
            change(model, draw)
    return model


def _pick(draw: np.random.Generator, values: Any) -> Any:
    return values[int(draw.integers(len(values)))]


def _attribute(model: onnx.ModelProto, draw: np.random.Generator) -> None:
    node = _pick(draw, model.graph.node)
    name = _pick(draw, ["axis", "group", "perm", "to", "strides", "pads", "alpha", "auto_pad", "transB"])
    if node.attribute and draw.random() < 0.8:
        old = _pick(draw, node.attribute)
        name = old.name
        node.attribute.remove(old)
    kind = draw.integers(5)
    value: Any = _pick(draw, NUMBERS)
    if kind == 1:
        value = [int(number) for number in draw.integers(-2, 6, int(draw.integers(1, 6)))]
    elif kind == 2:
        value = [float(number) for number in draw.normal(size=2)]
    elif kind == 3:
        value = _pick(draw, ["SAME_UPPER", "VALID", "\x1b[31m", ""])
    elif kind == 4:
        value = numpy_helper.from_array(np.arange(4), "t")
    node.attribute.append(helper.make_attribute(name, value))


def _names(model: onnx.ModelProto, draw: np.random.Generator) -> None:
    node = _pick(draw, model.graph.node)
    known = [name for one in model.graph.node for name in (*one.input, *one.output)]
    names = node.input if len(node.input) and draw.random() < 0.7 else node.output
    if len(names):
        names[int(draw.integers(len(names)))] = _pick(draw, [*known, "", "nobody"])


def _nodes(model: onnx.ModelProto, draw: np.random.Generator) -> None:
    nodes = list(model.graph.node)
    if not nodes:
        return
    place, other = (int(number) for number in draw.integers(len(nodes), size=2))
    kind = draw.integers(4)
    if kind == 0:
        nodes[place], nodes[other] = nodes[other], nodes[place]
    elif kind == 1:
        nodes.insert(place, nodes[other])
    elif kind == 2:
        del nodes[place]
    else:
        _insert(nodes, place, draw)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _insert(nodes: list[Any], place: int, draw: np.random.Generator) -> None:
    """Another operator between a node and what it reads."""
    after = nodes[place]
    source = after.input[0] if len(after.input) else "images"
    made = _pick(
        draw,
        [
            lambda: helper.make_node("Transpose", [source], ["new"], perm=(0, 3, 1, 2)),
            lambda: helper.make_node("Transpose", [source], ["new"], perm=(0, 2, 3, 1)),
            lambda: helper.make_node("Cast", [source], ["new"], to=TensorProto.FLOAT),
            lambda: helper.make_node("Mul", [source, "scale"], ["new"]),
            lambda: helper.make_node("Relu", [source], ["new"]),
            lambda: helper.make_node("Flatten", [source], ["new"], axis=1),
            lambda: helper.make_node("Constant", [source], ["new"], value_float=1.0),
        ],
    )()
    if len(after.input):
        after.input[0] = "new"
    nodes.insert(place, made)


def _operator(model: onnx.ModelProto, draw: np.random.Generator) -> None:
    node = _pick(draw, model.graph.node)
    node.op_type = _pick(draw, ["Add", "Sub", "Div", "Sum", "Relu", "Squeeze", "Reshape", "MatMul", "Softmax"])


def _input(model: onnx.ModelProto, draw: np.random.Generator) -> None:
    tensor = model.graph.input[0].type.tensor_type
    if draw.random() < 0.3:
        tensor.elem_type = int(draw.integers(0, 12))
    else:
        _pick(draw, tensor.shape.dim).dim_value = _pick(draw, SIZES)


def _weights(model: onnx.ModelProto, draw: np.random.Generator) -> None:
    tensor = _pick(draw, model.graph.initializer)
    kind = draw.integers(4)
    if kind == 0 and len(tensor.dims):
        tensor.dims[int(draw.integers(len(tensor.dims)))] = _pick(draw, SIZES)
    elif kind == 1:
        tensor.data_type = int(draw.integers(0, 17))
    elif kind == 2:
        dims = list(tensor.dims)[::-1]
        del tensor.dims[:]
        tensor.dims.extend(dims)
    else:
        array = (
            numpy_helper.to_array(tensor).copy() if tensor.data_type == TensorProto.FLOAT else np.zeros(3, np.float32)
        )
        array.reshape(-1)[:1] = _pick(draw, [math.nan, math.inf, 0, 1e38])
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _metadata(model: onnx.ModelProto, draw: np.random.Generator) -> None:
    entry = _pick(draw, model.metadata_props)
    try:
        value = json.loads(entry.value)
    except ValueError:
        value = None
    if isinstance(value, dict) and value:
        value[_pick(draw, [*value, "version", "images", "epochs", "date", "evaluated", "images", "seed"])] = _pick(
            draw, VALUES
        )
    elif isinstance(value, list) and value:
        place = int(draw.integers(len(value)))
        if isinstance(value[place], dict) and value[place]:
            value[place][_pick(draw, [*value[place], "accuracy", "seconds"])] = _pick(draw, VALUES)
        else:
            value[place] = _pick(draw, VALUES)
    else:
        value = _pick(draw, VALUES)
    entry.value = "{" * 900 if draw.random() < 0.03 else json.dumps(value)


def _foreign(model: onnx.ModelProto, draw: np.random.Generator) -> None:
    """As if somebody else had written it, so that nothing but the graph speaks."""
    del model.metadata_props[:]
    model.producer_name = "somebody"


CHANGES = (_attribute, _names, _nodes, _operator, _input, _weights, _metadata, _foreign, _foreign, _nodes, _attribute)


def trial(number: int) -> str | None:
    """Read one mutant; what is wrong with the way it was read, or None."""
    draw = np.random.default_rng(number)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "m.onnx"
        data = mutant(draw).SerializeToString()
        path.write_bytes(data)
        try:
            model = Model.load(path)
        except ModelFileError as error:
            said = str(error)
            if "no exporter says" in said or not said.isprintable():
                return f"refused by accident: {said}"
            return None
        return _used(model, data, path, draw)


def _used(model: Model, data: bytes, path: Path, draw: np.random.Generator) -> str | None:
    """Use what was loaded: save it, and predict with it, as ONNX Runtime does."""
    if math.prod(model.preprocessing.shape) > 10_000:
        return None
    shape = (3, *model.preprocessing.shape)
    x = draw.integers(0, 256, shape).astype(np.uint8)
    images = x if model.preprocessing.dtype == "uint8" else draw.normal(size=shape).astype(np.float32)
    try:
        model.save(path.with_name("again.onnx"))
        found = model.predict_proba(images)
    except LanewiseError as error:
        return f"loads, but cannot be used: {error}"
    expected = _runtime(data, images)
    if expected is None or expected.shape not in (found.shape, (3, 1)):
        return None
    if expected.shape[1] == 1 and found.shape[1] == 2:
        found = found[:, 1:]
    probabilities = bool(np.allclose(expected.sum(axis=1), 1, atol=1e-3)) or expected.shape[1] == 1
    if not probabilities or not np.isfinite(expected).all():
        return None
    off = float(np.abs(found - expected).max())
    return None if off <= 1e-4 else f"predicts otherwise than ONNX Runtime by {off:.2g}"


def _runtime(data: bytes, images: np.ndarray) -> np.ndarray | None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        session = onnxruntime.InferenceSession(data, options)
        entry = session.get_inputs()[0]
        for x in (images, images.transpose(0, 3, 1, 2)):
            if all(
                not isinstance(size, int) or size == there for size, there in zip(entry.shape, x.shape, strict=True)
            ):
                found: np.ndarray = session.run(None, {entry.name: np.ascontiguousarray(x)})[0]
                return found
    except Exception:  # it does not accept the file
        return None
    return None


if __name__ == "__main__":
    main("mutants of model files", trial, 2000)
