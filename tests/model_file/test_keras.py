"""Networks as tf2onnx writes Keras': channels last at both ends, padding apart, names of scopes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lanewise.model_file import read
from lanewise.network.cutting import features_at
from lanewise.network.layers import GlobalAvgPool2D
from lanewise.network.reference import forward
from tests.model_file.models import run

SIZE = 12


class Keras:
    """A file in the making; `now` is the value that the next layer reads, (N, C, H, W) but at the ends."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.arrays: list[onnx.TensorProto] = []
        self.now, self.random = "keras/input:0", np.random.default_rng(3)

    def add(self, operator: str, *inputs: str, **attributes: object) -> str:
        """A node, whose output is then `now`."""
        output = f"StatefulPartitionedCall/net/{operator.lower()}_{len(self.nodes)}/{operator}:0"
        self.nodes.append(
            helper.make_node(operator, inputs, [output], f"{output[:-2]}__{len(self.nodes)}", **attributes)
        )
        self.now = output
        return output

    def array(self, values: np.ndarray) -> str:
        """A constant."""
        name = f"const_fold_opt__{len(self.arrays)}"
        self.arrays.append(numpy_helper.from_array(values, name))
        return name

    def drawn(self, *shape: int, low: float = -0.5, high: float = 0.5) -> str:
        """Weights."""
        return self.array(self.random.uniform(low, high, shape).astype(np.float32))

    def conv(self, inputs: int, filters: int, kernel: int, **attributes: object) -> str:
        """A convolution, whose bias is that of the batch normalisation that was folded into it."""
        groups = int(str(attributes.get("group", 1)))
        weight = self.drawn(filters, inputs // groups, kernel, kernel)
        return self.add("Conv", self.now, weight, self.drawn(filters), kernel_shape=[kernel] * 2, **attributes)

    def padded(self, *around: int) -> str:
        """Zeros around rows and columns, of which channels come last: (top, left, bottom, right)."""
        top, left, bottom, right = around
        return self.add("Pad", self.now, self.array(np.array([0, top, left, 0, 0, bottom, right, 0])))

    def first(self) -> str:
        return self.add("Transpose", self.now, perm=[0, 3, 1, 2])

    def last(self) -> str:
        return self.add("Transpose", self.now, perm=[0, 2, 3, 1])

    def model(self, batch: str | int) -> onnx.ModelProto:
        """The file, which ends in `now`."""
        given = helper.make_tensor_value_info("keras/input:0", TensorProto.FLOAT, [batch, SIZE, SIZE, 3])
        made = helper.make_tensor_value_info(self.now, TensorProto.FLOAT, [batch, 5])
        graph = helper.make_graph(self.nodes, "tf2onnx", [given], [made], self.arrays)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="tf2onnx"
        )


def head(k: Keras, features: int) -> None:
    weight = k.drawn(features, 5)
    k.add("Add", k.add("MatMul", k.now, weight), k.drawn(5))
    k.add("Softmax", k.now, axis=1)


def relu6(k: Keras) -> str:
    return k.add("Clip", k.now, k.array(np.float32(0)), k.array(np.float32(6)))


def mobile(k: Keras) -> None:
    """MobileNetV2: padding of one side before a stride, Clip for ReLU6, a mean that keeps its axes, then Squeeze."""
    k.padded(0, 0, 1, 1)
    k.first()
    k.conv(3, 8, 3, strides=[2, 2])
    x = relu6(k)
    k.conv(8, 24, 1)
    relu6(k)
    k.conv(24, 24, 3, group=24, auto_pad="SAME_UPPER")
    relu6(k)
    k.add("Add", x, k.conv(24, 8, 1))
    k.add("GlobalAveragePool", k.now)
    k.add("Squeeze", k.now, k.array(np.array([2, 3])))
    head(k, 8)


def residual(k: Keras) -> None:
    """ResNet: padding of 3 and of 1 apart, batch normalisation that stayed, a mean of rows and columns."""
    k.padded(3, 3, 3, 3)
    k.first()
    k.conv(3, 6, 7, strides=[2, 2])
    k.add("BatchNormalization", k.now, *(k.drawn(6, low=0.5, high=1.5) for _ in range(4)), epsilon=1.001e-5)
    k.add("Relu", k.now)
    k.last()
    k.padded(1, 1, 1, 1)
    k.first()
    x = k.add("MaxPool", k.now, kernel_shape=[3, 3], strides=[2, 2])
    k.conv(6, 6, 3, pads=[1, 1, 1, 1])
    k.add("Relu", k.add("Add", k.now, x))
    k.last()
    k.add("ReduceMean", k.now, axes=[1, 2], keepdims=0)
    head(k, 6)


def efficient(k: Keras) -> None:
    """EfficientNet: preprocessing in front, swish by Sigmoid and Mul, squeeze-and-excitation."""
    k.add("Mul", k.now, k.array(np.float32(1 / 255)))
    k.add("Sub", k.now, k.drawn(1, 1, 1, 3))
    k.add("Div", k.now, k.drawn(1, 1, 1, 3, low=0.2, high=0.4))
    k.first()
    x = k.conv(3, 8, 3, strides=[2, 2], auto_pad="SAME_UPPER")
    x = k.add("Mul", x, k.add("Sigmoid", x))
    k.last()
    k.add("ReduceMean", k.now, axes=[1, 2], keepdims=0)
    k.add("Reshape", k.now, k.array(np.array([-1, 1, 1, 8])))
    k.first()
    k.conv(8, 2, 1)
    k.add("Mul", k.now, k.add("Sigmoid", k.now))
    k.conv(2, 8, 1)
    k.add("Mul", k.add("Sigmoid", k.now), x)
    k.add("GlobalAveragePool", k.now)
    k.add("Squeeze", k.now, k.array(np.array([2, 3])))
    head(k, 8)


def hard(k: Keras) -> None:
    """MobileNetV3: HardSwish as x times Clip(x + 3, 0, 6) / 6, and Flatten of what has its channels last."""
    k.first()
    k.conv(3, 6, 3, strides=[2, 2], auto_pad="SAME_UPPER")
    x = k.now
    k.add("Add", k.now, k.array(np.float32(3)))
    relu6(k)
    k.add("Mul", k.add("Mul", k.now, k.array(np.float32(1 / 6))), x)
    k.add("AveragePool", k.now, kernel_shape=[2, 2], strides=[2, 2])
    k.last()
    k.add("Reshape", k.now, k.array(np.array([-1, 54])))
    head(k, 54)


def hard_head(k: Keras) -> None:
    """MobileNetV3's end: a mean that keeps its axes, moved to the front for convolutions that are dense layers."""
    k.first()
    k.conv(3, 6, 3)
    k.add("Relu", k.now)
    k.last()
    k.add("ReduceMean", k.now, axes=[1, 2], keepdims=1)
    k.first()
    k.conv(6, 8, 1)
    k.add("Relu", k.now)
    k.conv(8, 5, 1)
    k.last()
    k.add("Softmax", k.add("Reshape", k.now, k.array(np.array([-1, 5]))), axis=1)


def test_features_of_a_head_of_convolutions_are_the_pooled_maps(tmp_path) -> None:
    k = Keras()
    hard_head(k)
    onnx.save(k.model("N"), tmp_path / "keras.onnx")
    graph = read(tmp_path / "keras.onnx").graph
    assert isinstance(graph.nodes[features_at(graph)].layer, GlobalAvgPool2D)


@pytest.mark.parametrize("batch", ["unk__123", 1])
@pytest.mark.parametrize("net", [mobile, residual, efficient, hard, hard_head])
def test_networks_of_keras_are_read(net: Callable[[Keras], None], batch: str | int, tmp_path) -> None:
    k = Keras()
    net(k)
    model = k.model(batch)
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "keras.onnx")
    found = read(tmp_path / "keras.onnx")
    assert found.preprocessing.shape == (SIZE, SIZE, 3)
    x = np.random.default_rng(0).uniform(0, 255 if net is efficient else 1, (1, SIZE, SIZE, 3)).astype(np.float32)
    raw = x * found.preprocessing.scale + found.preprocessing.offset
    answers = forward(found.graph, found.parameters, raw.transpose(0, 3, 1, 2))[-1]
    np.testing.assert_allclose(answers, run(model, x), rtol=2e-5, atol=1e-6)
    assert len(found.graph.nodes) <= len(k.nodes)  # padding and moves cost no layer
