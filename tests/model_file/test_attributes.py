"""Attributes, constants and sizes that no exporter writes: a line that names the node, whatever they are."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from lanewise.errors import ModelFileError
from lanewise.model_file import read
from tests.model_file.models import foreign

ARRAYS = {"w": (4, 3, 3, 3), "d": (4, 5)}
CHAIN = (
    "n = Mul(x, k) m = Transpose<perm=[0,3,1,2]>(n) c = Conv<group=1>(m, w) p = MaxPool<kernel_shape=[2,2]>(c) "
    "a = GlobalAveragePool(p) f = Flatten<axis=1>(a) g = Gemm<alpha=1.0>(f, d) y = Softmax<axis=1>(g)"
)
ODD = [
    math.nan,
    math.inf,
    -math.inf,
    0.5,
    -1,
    1 << 62,
    -(1 << 62),
    "text",
    b"\xff",
    [],
    [math.nan, 1.0],
    [1, 2, 3, 4, 5],
    [1 << 62, 1 << 62],
    numpy_helper.from_array(np.array([0, 3, 1, 2]), "t"),
    numpy_helper.from_array(np.zeros((0,), np.float32), "t"),
]


def model() -> onnx.ModelProto:
    return foreign("float[N,9,8,3] x => float[N,5] y", CHAIN, **ARRAYS, k=np.ones((), np.float32))


def refused(proto: onnx.ModelProto, tmp_path: Path) -> str:
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelFileError) as caught:
        read(path)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize(
    ("operator", "name"), [("Transpose", "perm"), ("Conv", "group"), ("Flatten", "axis"), ("Softmax", "axis")]
)
@pytest.mark.parametrize("value", ODD, ids=lambda value: str(type(value).__name__))
def test_odd_values_of_attributes_are_refused_by_name(operator: str, name: str, value: object, tmp_path: Path) -> None:
    proto = model()
    (node,) = (node for node in proto.graph.node if node.op_type == operator)
    del node.attribute[:]
    if value == []:
        node.attribute.add(name=name, type=onnx.AttributeProto.INTS)
    else:
        node.attribute.append(helper.make_attribute(name, value))
    if operator == "Softmax" and value == -1:
        pytest.skip("the last axis is the right one")
    said = refused(proto, tmp_path)
    assert operator in said
    assert "no exporter says" not in said


@pytest.mark.parametrize("channels", [1 << 28, 1 << 40, (1 << 62) - 1])
@pytest.mark.parametrize("place", [1, 2, 3])
def test_sizes_beyond_all_memory_are_refused_before_anything_is_allocated(
    channels: int, place: int, tmp_path: Path
) -> None:
    proto = model()
    proto.graph.input[0].type.tensor_type.shape.dim[place].dim_value = channels
    refused(proto, tmp_path)


def test_channels_that_double_and_double_are_refused(tmp_path: Path) -> None:
    nodes = "".join(f"v{n + 1} = Concat<axis=1>(v{n}, v{n}) " for n in range(60))
    proto = foreign(
        "float[N,3,4,4] x => float[N,K] y",
        f"v0 = Relu(x) {nodes} s = Add(v60, k) y = Flatten(s)",
        k=np.ones((1, 1, 1), np.float32),
    )
    assert "values there; at most" in refused(proto, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("value_float", "x"), ("value_int", math.nan), ("value_ints", [0.5, math.inf]), ("value", 3), ("value_float", 3)],
)
def test_constants_of_the_wrong_kind_are_refused(name: str, value: object, tmp_path: Path) -> None:
    proto = foreign("float[N,3,4,4] x => float[N,5] y", "k = Constant<value_float=1.0>() f = Flatten(x) y = Relu(f)")
    del proto.graph.node[0].attribute[:]
    proto.graph.node[0].attribute.append(helper.make_attribute(name, value))
    proto.graph.node[2].CopyFrom(helper.make_node("Add", ["f", "k"], ["y"]))
    assert "it must have one value, of numbers" in refused(proto, tmp_path)


def test_a_constant_that_reads_is_refused(tmp_path: Path) -> None:
    proto = foreign("float[N,3,4,4] x => float[N,5] y", "k = Constant<value_float=1.0>() s = Add(x, k) y = Flatten(s)")
    proto.graph.node[0].input.append("x")
    assert "a constant reads nothing" in refused(proto, tmp_path)


def test_a_value_without_a_name_is_no_optional_input(tmp_path: Path) -> None:
    proto = foreign("float[N,3,4,4] x => float[N,48] y", "r = Relu(x) y = Flatten(x)")
    proto.graph.node[0].output[0] = ""
    proto.graph.node[0].output.append("second")
    proto.graph.node[1].input[0] = "second"
    assert "its first output has no name" in refused(proto, tmp_path)
    proto = foreign("float[N,3,4,4] x => float[N,48] y", "y = Flatten(x)")
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), ""))
    assert "has no name" in refused(proto, tmp_path)
