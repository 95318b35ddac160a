"""What exporters write, in small: each file predicts like ONNX Runtime, or is refused by the name of a node."""

from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import lanewise
from lanewise.errors import ModelFileError
from lanewise.model_file import Contents, read, read_graph, write
from lanewise.network import layers
from lanewise.network.activations import ACTIVATIONS
from lanewise.network.reference import forward
from tests.model_file.models import foreign, run
from tests.model_file.test_read import same

IMAGE = "float[N,4,6,5] x => float[N,K] y"
LAST = "float[N,6,5,4] x => float[N,K] y"
HEAD = "f = Flatten({}) y = Gemm(f, d)"
NHWC = "h = Transpose<perm=[0,2,3,1]>({}) "
NCHW = "g = Transpose<perm=[0,3,1,2]>({}) "


def number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def longs(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


CASES: dict[str, tuple[str, str, dict]] = {
    # shapes that the file computes
    "view of a free batch": (
        IMAGE,
        "s = Shape(x) n = Gather<axis=0>(s, zero) u = Unsqueeze(n, axes) k = Concat<axis=0>(u, rest) f = Reshape(x, k) "
        "y = Gemm(f, d)",
        {"zero": np.array(0), "axes": longs(0), "rest": longs(-1), "d": (120, 3)},
    ),
    "view by sizes that are multiplied": (
        IMAGE,
        "s = Shape(x) n = Slice(s, zero, one) a = Slice(s, one, four) b = Gather<axis=0>(a, zero) "
        "c = Gather<axis=0>(a, one) e = Gather<axis=0>(a, two) m = Mul(b, c) o = Mul(m, e) "
        "k = Concat<axis=0>(n, o) f = Reshape(x, k) y = Gemm(f, d)",
        {"zero": longs(0), "one": longs(1), "two": longs(2), "four": longs(4), "d": (120, 3)},
    ),
    "shape of a part": (
        IMAGE,
        "s = Shape<start=-4, end=1>(x) k = Concat<axis=0>(s, rest) f = Reshape(x, k) y = Gemm(f, d)",
        {"rest": longs(120), "d": (120, 3)},
    ),
    "weights of one number": (
        IMAGE,
        "w = ConstantOfShape<value=float[1] {0.02}>(s) c = Conv(x, w) " + HEAD.format("c"),
        {"s": longs(3, 4, 2, 2), "d": (60, 3)},
    ),
    "weights that are computed": (
        IMAGE,
        "r = Sqrt(v) q = Div(w, r) t = Mul(q, two) m = Neg(t) o = Sub(m, q) c = Conv(x, o) " + HEAD.format("c"),
        {"v": number(3), "two": number(2), "w": (3, 4, 2, 2), "d": (60, 3)},
    ),
    # channels last, inside the network
    "flattened with channels last": (
        IMAGE,
        "c = Conv(x, w) " + NHWC.format("c") + HEAD.format("h"),
        {"w": (3, 4, 2, 2), "d": (60, 3)},
    ),
    "flattened with channels last, and joined with a relu": (
        IMAGE,
        "c = Conv(x, w) " + NHWC.format("c") + "r = Relu(h) " + HEAD.format("r"),
        {"w": (3, 4, 2, 2), "d": (60, 3)},
    ),
    "bias, scale and product with channels last": (
        IMAGE,
        NHWC.format("x") + "m = MatMul(h, w) b = Add(m, e) s = Mul(b, t) " + NCHW.format("s") + HEAD.format("g"),
        {"w": (4, 7), "e": (7,), "t": (7,), "d": (210, 3)},
    ),
    "average of rows and columns, channels last": (
        IMAGE,
        NHWC.format("x") + "m = ReduceMean<axes=[1,2], keepdims=0>(h) y = Gemm(m, d)",
        {"d": (4, 3)},
    ),
    "join of channels last": (
        IMAGE,
        NHWC.format("x")
        + "r = Relu(h) j = Concat<axis=-1>(h, r) "
        + NCHW.format("j")
        + "c = Conv(g, w) "
        + HEAD.format("c"),
        {"w": (3, 8, 2, 2), "d": (60, 3)},
    ),
    "moved there and back": (
        IMAGE,
        NHWC.format("x") + "r = Relu(h) " + NCHW.format("r") + "c = Conv(g, w) " + HEAD.format("c"),
        {"w": (3, 4, 2, 2), "d": (60, 3)},
    ),
    "an image of channels last that is flattened": (LAST, HEAD.format("x"), {"d": (120, 3)}),
    "an image of channels last that is padded first": (
        LAST,
        "p = Pad(x, s) " + NCHW.format("p") + "c = Conv(g, w) " + HEAD.format("c"),
        {"s": longs(0, 1, 2, 0, 0, 0, 1, 0), "w": (3, 4, 2, 2), "d": (126, 3)},
    ),
    # layer normalisation
    "layer normalisation between moves": (
        IMAGE,
        NHWC.format("x")
        + "l = LayerNormalization<axis=-1, epsilon=0.000001>(h, s, t) m = MatMul(l, w) "
        + NCHW.format("m")
        + HEAD.format("g"),
        {"s": (4,), "t": (4,), "w": (4, 7), "d": (210, 3)},
    ),
    "layer normalisation without a shift": (
        LAST,
        "h = LayerNormalization<axis=3>(x, s) " + NCHW.format("h") + "c = Conv(g, w) " + HEAD.format("c"),
        {"s": (4,), "w": (3, 4, 2, 2), "d": (60, 3)},
    ),
    "layer normalisation of features": (
        IMAGE,
        "f = Flatten(x) e = Gemm(f, d) y = LayerNormalization(e, s, t)",
        {"d": (120, 5), "s": (5,), "t": (5,)},
    ),
    # local response normalisation
    "local response normalisation": (
        IMAGE,
        "l = LRN<size=3, alpha=2.5, beta=0.5, bias=2.0>(x) m = LRN<size=5>(l) " + HEAD.format("m"),
        {"d": (120, 3)},
    ),
    # averages
    "average of rows and columns": (IMAGE, "m = ReduceMean<axes=[2,3]>(x) " + HEAD.format("m"), {"d": (4, 3)}),
    "average of rows and columns, without them": (
        IMAGE,
        "m = ReduceMean<axes=[-1,-2], keepdims=0>(x) y = Gemm(m, d)",
        {"d": (4, 3)},
    ),
    "average that a convolution reads": (
        IMAGE,
        "m = ReduceMean<axes=[2,3], keepdims=1>(x) c = Conv(m, w, b) r = Relu(c) " + HEAD.format("r"),
        {"w": (5, 4, 1, 1), "b": (5,), "d": (5, 3)},
    ),
    "features that a convolution reads": (
        IMAGE,
        "m = ReduceMean<axes=[2,3], keepdims=0>(x) u = Unsqueeze(m, a) c = Conv(u, w, b) r = Relu(c) "
        + HEAD.format("r"),
        {"a": longs(2, 3), "w": (5, 4, 1, 1), "b": (5,), "d": (5, 3)},
    ),
    "largest of rows and columns": (IMAGE, "m = GlobalMaxPool(x) " + HEAD.format("m"), {"d": (4, 3)}),
    "largest of rows and columns, channels last": (
        IMAGE,
        NHWC.format("x") + "m = ReduceMax<axes=[1,2], keepdims=0>(h) y = Gemm(m, d)",
        {"d": (4, 3)},
    ),
    "largest that a convolution reads": (
        IMAGE,
        "m = ReduceMax<axes=[2,3]>(x) r = Relu(m) c = Conv(r, w) " + HEAD.format("c"),
        {"w": (5, 4, 1, 1), "d": (5, 3)},
    ),
    # as Keras' networks come out of tf2onnx
    "a view whose shape goes by way of 32 bits": (
        LAST,
        NCHW.format("x") + "c = Conv(g, w) " + NHWC.format("c") + "s = Shape(h) i = Cast<to=6>(s) "
        "n = Slice(i, zero, one) q = Squeeze(n, zero) u = Unsqueeze(q, zero) k = Concat<axis=0>(u, rest) "
        "l = Cast<to=7>(k) f = Reshape(h, l) m = MatMul(f, d) y = Add(m, b)",
        {
            "w": (3, 4, 2, 2),
            "zero": longs(0),
            "one": longs(1),
            "rest": np.array([-1], np.int32),
            "d": (60, 3),
            "b": (3,),
        },
    ),
    "rescaled, normalised and padded before it is moved": (
        LAST,
        "a = Mul(x, k) b = Sub(a, m) e = Div(b, v) p = Pad(e, s) "
        + NCHW.format("p")
        + "c = Conv<strides=[2,2]>(g, w, t) r = Clip(c, zero, six) q = ReduceMean<axes=[2,3], keepdims=0>(r) "
        "o = MatMul(q, d) y = Add(o, t)",
        {
            "k": number(0.5),
            "m": (1, 1, 1, 4),
            "v": np.float32([[[[1, 2, 3, 4]]]]),
            "s": longs(0, 0, 0, 0, 0, 1, 1, 0),
            "w": (3, 4, 3, 3),
            "t": (3,),
            "zero": number(0),
            "six": number(6),
            "d": (3, 3),
        },
    ),
    "squeeze-and-excitation with channels last": (
        LAST,
        NCHW.format("x") + "c = Conv(g, w) " + NHWC.format("c") + "m = ReduceMean<axes=[1,2], keepdims=0>(h) "
        "u = Reshape(m, s) z = Transpose<perm=[0,3,1,2]>(u) e = Conv(z, v) r = Relu(e) o = Conv(r, v2) "
        "i = Sigmoid(o) j = Transpose<perm=[0,2,3,1]>(i) k = Mul(h, j) " + HEAD.format("k"),
        {"w": (3, 4, 2, 2), "s": longs(-1, 1, 1, 3), "v": (2, 3, 1, 1), "v2": (3, 2, 1, 1), "d": (60, 3)},
    ),
    "squeeze-and-excitation": (
        IMAGE,
        "c = Conv(x, w) g = GlobalAveragePool(c) e = Conv(g, v) r = Relu(e) o = Conv(r, v2) "
        "i = HardSigmoid<alpha=0.16666667>(o) k = Mul(i, c) " + HEAD.format("k"),
        {"w": (3, 4, 2, 2), "v": (2, 3, 1, 1), "v2": (3, 2, 1, 1), "d": (60, 3)},
    ),
    "a gate of features": (
        IMAGE,
        "f = Flatten(x) a = Gemm(f, d) b = Gemm(f, e) s = Sigmoid(b) y = Mul(a, s)",
        {"d": (120, 3), "e": (120, 3)},
    ),
    # padding
    "padding taken in by a convolution": (
        IMAGE,
        "p = Pad(x, s) c = Conv<pads=[1,0,0,0]>(p, w) " + HEAD.format("c"),
        {"s": longs(0, 0, 1, 2, 0, 0, 0, 1), "w": (3, 4, 2, 2), "d": (147, 3)},
    ),
    "padding with its value": (
        IMAGE,
        "p = Pad<mode='constant'>(x, s, v) c = Conv<strides=[2,2]>(p, w) " + HEAD.format("c"),
        {"s": longs(0, 0, 0, 0, 0, 0, 1, 1), "v": number(0), "w": (3, 4, 3, 3), "d": (18, 3)},
    ),
    "padding read by two": (
        IMAGE,
        "p = Pad(x, s) c = Conv(p, w) e = Conv(p, v) a = Add(c, e) " + HEAD.format("a"),
        {"s": longs(0, 0, 1, 1, 0, 0, 1, 1), "w": (3, 4, 2, 2), "v": (3, 4, 2, 2), "d": (126, 3)},
    ),
    "padding before a max pool of what is never negative": (
        IMAGE,
        "r = Relu(x) p = Pad(r, s) m = MaxPool<kernel_shape=[3,3], strides=[2,2]>(p) " + HEAD.format("m"),
        {"s": longs(0, 0, 1, 1, 0, 0, 1, 1), "d": (36, 3)},
    ),
    "padding with zeros before a max pool of anything": (
        IMAGE,
        "p = Pad(x, s) m = MaxPool<kernel_shape=[3,3], strides=[2,2]>(p) " + HEAD.format("m"),
        {"s": longs(0, 0, 1, 1, 0, 0, 1, 1), "d": (36, 3)},
    ),
    "padding with minus infinity": (
        IMAGE,
        "p = Pad(x, s, v) m = MaxPool<kernel_shape=[3,3], strides=[2,2]>(p) " + HEAD.format("m"),
        {"s": longs(0, 0, 1, 1, 0, 0, 1, 1), "v": number(-np.inf), "d": (36, 3)},
    ),
    "padding before an average": (
        IMAGE,
        "p = Pad(x, s) m = AveragePool<kernel_shape=[3,3], strides=[2,2]>(p) " + HEAD.format("m"),
        {"s": longs(0, 0, 1, 1, 0, 0, 1, 1), "d": (36, 3)},
    ),
    "padding with channels last": (
        IMAGE,
        NHWC.format("x") + "r = Relu(h) p = Pad(r, s) " + NCHW.format("p") + "c = Conv(g, w) " + HEAD.format("c"),
        {"s": longs(0, 1, 0, 0, 0, 0, 2, 0), "w": (3, 4, 2, 2), "d": (108, 3)},
    ),
    # channels that move
    "channel shuffle": (
        IMAGE,
        "a = Reshape(x, s) t = Transpose<perm=[0,2,1,3,4]>(a) b = Reshape(t, u) c = Conv(b, w) " + HEAD.format("c"),
        {"s": longs(0, 2, 2, 6, 5), "u": longs(0, -1, 6, 5), "w": (3, 4, 2, 2), "d": (60, 3)},
    ),
    "channel shuffle before a depthwise convolution": (
        IMAGE,
        "a = Reshape(x, s) t = Transpose<perm=[0,2,1,3,4]>(a) b = Reshape(t, u) c = Conv<group=4>(b, w) "
        + HEAD.format("c"),
        {"s": longs(-1, 2, 2, 6, 5), "u": longs(-1, 4, 6, 5), "w": (4, 1, 2, 2), "d": (80, 3)},
    ),
    "channel shuffle, scale and batch norm": (
        IMAGE,
        "a = Reshape(x, s) t = Transpose<perm=[0,2,1,3,4]>(a) b = Reshape(t, u) m = Mul(b, k) "
        "n = BatchNormalization(m, k1, k2, k2, k3) p = MaxPool<kernel_shape=[2,2]>(n) " + HEAD.format("p"),
        {
            "s": longs(0, 2, 2, 6, 5),
            "u": longs(0, -1, 6, 5),
            "k": (4, 1, 1),
            "k1": (4,),
            "k2": (4,),
            "k3": np.float32([0.5, 1, 2, 3]),
            "d": (80, 3),
        },
    ),
    "shuffled channels that are flattened": (
        IMAGE,
        "a = Reshape(x, s) t = Transpose<perm=[0,2,1,3,4]>(a) b = Reshape(t, u) " + HEAD.format("b"),
        {"s": longs(0, 2, 2, 6, 5), "u": longs(0, -1, 6, 5), "d": (120, 3)},
    ),
    "split in two": (
        IMAGE,
        "a, b = Split<axis=1>(x) c = Conv(b, w) j = Concat<axis=1>(c, a) " + HEAD.format("j"),
        {"w": (2, 2, 1, 1), "d": (120, 3)},
    ),
    "split, and a part read by two": (
        IMAGE,
        "a, b = Split<axis=1>(x) s = Mul(b, k) r = Relu(b) t = Add(s, r) u = Add(t, a) " + HEAD.format("u"),
        {"k": number(-2), "d": (60, 3)},
    ),
    "split, and a part that nobody reads": (
        IMAGE,
        "f = Flatten(x) g = Gemm(f, d) y, z = Split<axis=1>(g)",
        {"d": (120, 6)},
    ),
    "split by sizes": (
        IMAGE,
        "a, b = Split<axis=-3>(x, s) c = Conv(b, w) e = Add(a, c) " + HEAD.format("e"),
        {"s": longs(1, 3), "w": (1, 3, 1, 1), "d": (30, 3)},
    ),
    "slices": (
        IMAGE,
        "a = Slice(x, zero, two, one) b = Slice(x, two, many, one) c = Sub(a, k) e = Add(c, b) " + HEAD.format("e"),
        {"zero": longs(0), "two": longs(2), "one": longs(1), "many": longs(1 << 62), "k": number(0.5), "d": (60, 3)},
    ),
    "gathered channels": (
        IMAGE,
        "a = Gather<axis=1>(x, i) c = Conv(a, w) " + HEAD.format("c"),
        {"i": longs(2, 0, -1), "w": (3, 3, 2, 2), "d": (60, 3)},
    ),
    "outputs without the first": (
        IMAGE,
        "f = Flatten(x) e = Gemm(f, d) y = Slice(e, one, many, one)",
        {"one": longs(1), "many": longs(1 << 62), "d": (120, 4)},
    ),
    "arithmetic read by two": (
        IMAGE,
        "c = Conv(x, w) a = Add(c, one) r = Relu(a) s = Mul(a, two) t = Tanh(s) u = Add(r, t) " + HEAD.format("u"),
        {"w": (3, 4, 2, 2), "one": number(1), "two": number(2), "d": (60, 3)},
    ),
    "arithmetic read by a layer and by arithmetic": (
        IMAGE,
        "c = Conv(x, w) a = Add(c, one) b = Mul(a, two) e = Conv(a, v) u = Add(e, b) " + HEAD.format("u"),
        {"w": (3, 4, 2, 2), "v": (3, 3, 1, 1), "one": number(1), "two": number(2), "d": (60, 3)},
    ),
}

GELU = "e = Div(c, r) u = Erf(e) g = Add(u, one) "
FUNCTIONS: dict[str, tuple[str, str]] = {
    "relu6 by attributes": ("relu6", "a = Clip<min=0.0, max=6.0>(c)"),
    "relu6 by inputs": ("relu6", "a = Clip(c, zero, six)"),
    "relu6 by the smaller and the larger": ("relu6", "r1 = Relu(c) a = Min(r1, six)"),
    "relu by the larger": ("relu", "a = Max(zero, c)"),
    "relu by a clip without an end": ("relu", "a = Clip(c, zero)"),
    "gelu, x first": ("gelu", GELU + "m = Mul(c, g) a = Mul(m, half)"),
    "gelu, half of x first": ("gelu", GELU + "m = Mul(c, half) a = Mul(m, g)"),
    "gelu, half of the rest first": ("gelu", GELU + "m = Mul(half, g) a = Mul(m, c)"),
    "silu": ("silu", "s = Sigmoid(c) a = Mul(c, s)"),
    "silu, the sigmoid first": ("silu", "s = Sigmoid(c) a = Mul(s, c)"),
    "silu by exp": ("silu", "n = Neg(c) e = Exp(n) p = Add(e, one) a = Div(c, p)"),
    "relu by a slope of 0": ("relu", "a = PRelu(c, zero)"),
    "leaky by a slope": ("leaky", "a = PRelu(c, half)"),
    "leaky by the larger": ("leaky", "m = Mul(c, half) a = Max(c, m)"),
    "hardswish, divided last": ("hardswish", "p = Add(c, three) k = Clip(p, zero, six) m = Mul(c, k) a = Div(m, six)"),
    "hardswish, divided first": ("hardswish", "p = Add(three, c) k = Clip(p, zero, six) m = Div(k, six) a = Mul(m, c)"),
    "hardswish by a hardsigmoid": ("hardswish", "k = HardSigmoid<alpha=0.16666667, beta=0.5>(c) a = Mul(c, k)"),
    "hardsigmoid by a clip": ("hardsigmoid", "p = Add(c, three) k = Clip(p, zero, six) a = Div(k, six)"),
}
NUMBERS = {"zero": 0, "one": 1, "half": 0.5, "three": 3, "six": 6, "r": 1.4142135}


def agrees(model: onnx.ModelProto, seed: int = 5) -> Contents:
    """Compare the network that is read with ONNX Runtime, also after it was saved as ours; it is returned."""
    sizes = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    x = np.random.default_rng(seed).normal(0, 2, size=(3, *sizes)).astype(np.float32)
    reading = read_graph(model)
    rows, columns = reading.preprocessing.rows, reading.preprocessing.columns
    last = sizes[:2] == [rows, columns] and len(sizes) == 3 and sizes[2] == reading.preprocessing.channels
    images = x.transpose(0, 3, 1, 2) if last else x.reshape(3, *reading.graph.input_shape)
    expected = run(model, x)
    found = forward(reading.graph, reading.parameters, images)[-1]
    assert found.reshape(expected.shape) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    return reading


@pytest.mark.parametrize("name", CASES)
def test_it_predicts_like_onnx_runtime(name, tmp_path):
    head, nodes, arrays = CASES[name]
    model = foreign(head, nodes, 17 if "start=" in nodes or "LayerNorm" in nodes else 13, **arrays)
    agrees(model)
    onnx.save(model, tmp_path / "m.onnx")
    contents = read(tmp_path / "m.onnx")
    write(contents, tmp_path / "n.onnx")
    assert same(read(tmp_path / "n.onnx"), contents)


def activation(nodes: str, opset: int = 13) -> onnx.ModelProto:
    constants = {name: number(value) for name, value in NUMBERS.items() if f"{name})" in nodes or f"{name}," in nodes}
    text = "c = Conv(x, w) " + nodes + " " + "f = Flatten(a) y = MatMul(f, d)"
    opset = 10 if "min=" in nodes else opset
    return foreign(IMAGE, text, opset, w=(3, 4, 2, 2), d=(60, 3), **constants)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations_are_read_however_they_are_written(name):
    word, nodes = FUNCTIONS[name]
    reading = agrees(activation(nodes))
    kinds = [type(node.layer) for node in reading.graph.nodes]
    assert kinds == [layers.Input, layers.Conv2D, ACTIVATIONS[word], layers.Flatten, layers.Dense]


@pytest.mark.parametrize(
    ("nodes", "problem"),
    [
        ("a = Erf(c)", "(Erf): no layer computes it by itself, nor with the operators around it"),
        ("a = Clip(c, zero, three)", "(Clip): its input 3 must be the constant 6.0"),
        ("p = Add(c, three) k = Clip(p, zero, six) m = Mul(c, k) a = Div(m, three)", "(Mul): it combines two values"),
        (GELU + "m = Mul(c, g) a = Mul(m, m)", "(Erf): no layer computes it by itself"),
        ("a = Div(one, c)", "(Div): it divides by the network's values"),
    ],
)
def test_what_is_no_activation_is_refused(nodes, problem):
    with pytest.raises(ModelFileError) as caught:
        read_graph(activation(nodes))
    assert problem in str(caught.value)


REFUSED = [
    ("s = Shape(x) m = Mul(s, s) f = Reshape(x, m) y = Relu(f)", {}, "(Mul): it does not fit constants"),
    ("y = LayerNormalization<axis=1>(x, s)", {"s": (4,)}, "it is read over the last axis"),
    ("y = LayerNormalization(x, s)", {"s": (5,)}, "it is read over the last axis, if that holds the channels"),
    ("m = ReduceMean<axes=[2]>(x) y = Relu(m)", {}, "it must go over all rows and columns, and nothing else"),
    ("m = ReduceMean<axes=[1]>(x) y = Relu(m)", {}, "of means over channels, only layer normalisation is read"),
    ("m = ReduceMean<axes=[0,2,3]>(x) y = Relu(m)", {}, "it goes over the images"),
    ("m = ReduceMean(x) y = Relu(m)", {}, "it must name the axes"),
    ("p = Pad(x, s) y = Relu(p)", {"s": longs(0, 1, 0, 0, 0, 0, 0, 0)}, "only rows and columns of images are padded"),
    ("p = Pad(x, s) y = Relu(p)", {"s": longs(0, 0, -1, 0, 0, 0, 0, 0)}, "its pads must be 0 or more"),
    ("p = Pad<mode='reflect'>(x, s) y = Relu(p)", {"s": longs(0, 0, 1, 0, 0, 0, 0, 0)}, "only zeros are read"),
    ("p = Pad(x, s, v) y = Relu(p)", {"s": longs(0, 0, 1, 0, 0, 0, 0, 0), "v": number(-np.inf)}, "(Pad): it pads with"),
    ("a = Slice(x, s, e, k) y = Relu(a)", {"s": longs(1), "e": longs(4), "k": longs(2)}, "only channels are taken out"),
    ("a = Slice(x, s, e, k) y = Relu(a)", {"s": longs(0), "e": longs(1), "k": longs(0)}, "some of the images"),
    ("a = Slice(x, s, e, k) y = Relu(a)", {"s": longs(2), "e": longs(2), "k": longs(1)}, "it takes 0 of 4 channels"),
    ("a, b = Split<axis=2>(x) y = Add(a, b)", {}, "only channels are taken out of others"),
    ("a = Gather<axis=1>(x, i) y = Relu(a)", {"i": longs(7)}, "its index goes beyond 4 channels"),
    ("h = Transpose<perm=[0,2,3,1]>(x) a = Add(h, x) y = Relu(a)", {}, "it adds shapes (6, 5, 4) and (4, 6, 5)"),
    ("w = ConstantOfShape(s) y = Conv(x, w)", {"s": longs(1 << 40, 4, 1, 1)}, "(ConstantOfShape): it does not fit"),
    ("w = Expand(k, s) y = Conv(x, w)", {"k": (1, 4, 1, 1), "s": longs(1 << 40, 4, 1, 1)}, "(Expand): it does not fit"),
]


@pytest.mark.parametrize(("nodes", "arrays", "problem"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_not_read_is_refused_by_its_node(nodes, arrays, problem):
    with pytest.raises(ModelFileError) as caught:
        read_graph(foreign("float[N,4,6,5] x => float[N,K] y", nodes, **arrays))
    assert problem in str(caught.value)
    assert "node" in str(caught.value)


def test_the_number_of_images_is_never_computed_with():
    nodes = "s = Shape(x) n = Gather<axis=0>(s, zero) m = Add(n, n) u = Unsqueeze(m, axes) k = Concat<axis=0>(u, rest) "
    model = foreign(IMAGE, nodes + "y = Reshape(x, k)", zero=np.array(0), axes=longs(0), rest=longs(60))
    with pytest.raises(ModelFileError, match=r'writes "m" \(Add\): it does not fit constants'):
        read_graph(model)


# Weights in a second file


@pytest.fixture
def apart(tmp_path):
    """A model whose weights lie in a file beside it."""
    model = foreign(IMAGE, "c = Conv(x, w) " + HEAD.format("c"), w=(3, 4, 2, 2), d=(60, 3))
    onnx.save(
        foreign(IMAGE, "c = Conv(x, w) " + HEAD.format("c"), w=(3, 4, 2, 2), d=(60, 3)),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="m.data",
        size_threshold=0,
        convert_attribute=True,
    )
    return tmp_path / "m.onnx", model


def changed(path, **entries):
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = entries.get(entry.key, entry.value)
    onnx.save(model, path)


def test_a_second_file_is_read_only_if_asked_for(apart):
    path, model = apart
    with pytest.raises(ModelFileError, match=r'tensor "w" keeps .* in another file; .*--external-data'):
        read(path)
    found = read(path, external_data=True)
    for given, array in zip(model.graph.initializer, found.parameters, strict=True):
        assert sorted(numpy_helper.to_array(given).ravel()) == sorted(array.ravel())


@pytest.mark.parametrize(
    "location", ["../m.data", "/etc/passwd", "", ".", "..", "a/m.data", "a\\m.data", "C:m.data", "\0", "x" * 300]
)
def test_only_a_plain_name_is_opened(apart, location):
    path, _ = apart
    changed(path, location=location)
    with pytest.raises(ModelFileError, match="no plain name of a file beside the model") as caught:
        read(path, external_data=True)
    assert str(caught.value).isprintable()


def test_only_a_regular_file_is_opened(apart):
    path, _ = apart
    data = path.with_name("m.data")
    data.rename(path.with_name("other"))
    with pytest.raises(ModelFileError, match="which cannot be read: No such file"):
        read(path, external_data=True)
    data.symlink_to("other")
    with pytest.raises(ModelFileError, match=r"which is not a regular file$"):
        read(path, external_data=True)
    data.unlink()
    data.mkdir()
    with pytest.raises(ModelFileError, match=r"which is not a regular file$") as caught:
        read(path, external_data=True)
    assert str(caught.value).count("keeps its numbers") == 1
    data.rmdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(data)  # opened, it would wait for ever
        with pytest.raises(ModelFileError, match=r"which is not a regular file$"):
            read(path, external_data=True)


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({"offset": "-1"}, "its place in the other file"),
        ({"offset": "1e3"}, "its place in the other file"),
        ({"offset": "9" * 40}, "its place in the other file"),
        ({"offset": "999999999"}, "the other file ends before"),
        ({"offset": "9" * 15}, "the other file ends before"),
        ({"offset": "\u0663"}, "its place in the other file"),
        ({"offset": "+0"}, "its place in the other file"),
        ({"length": "5"}, "its place in the other file"),
        ({"length": "x"}, "its place in the other file"),
    ],
)
def test_a_place_that_does_not_fit_is_refused(apart, entries, problem):
    path, _ = apart
    changed(path, **entries)
    with pytest.raises(ModelFileError, match=problem):
        read(path, external_data=True)


def test_a_second_file_counts_towards_the_limit(apart):
    path, _ = apart
    with pytest.raises(ModelFileError, match="take more than are read"):
        read(path, external_data=True, most_bytes=700)
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].dims[:] = [1 << 40, 1 << 40]
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match="take more than are read"):
        read(path, external_data=True)


def test_a_second_file_of_constants(tmp_path):
    weight = numpy_helper.from_array(np.ones((3, 4, 2, 2), np.float32), "w")
    model = foreign(IMAGE, "c = Conv(x, w) " + HEAD.format("c"), d=(60, 3))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=weight))
    onnx.save(
        model, tmp_path / "m", save_as_external_data=True, location="m.data", size_threshold=0, convert_attribute=True
    )
    with pytest.raises(ModelFileError, match="in another file"):
        read(tmp_path / "m")
    assert np.all(read(tmp_path / "m", external_data=True).parameters[0] == 1)


@pytest.mark.parametrize(
    "name", ["channel shuffle", "squeeze-and-excitation", "layer normalisation between moves", "padding read by two"]
)
def test_what_was_read_can_be_trained_on(name, tmp_path):
    head, nodes, arrays = CASES[name]
    onnx.save(foreign(head, nodes, 17 if "LayerNorm" in nodes else 13, **arrays), tmp_path / "m.onnx")
    start = lanewise.Model.load(tmp_path / "m.onnx")
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(32, 6, 5, 4)).astype(np.float32), np.arange(32) % 3
    model = lanewise.train(x, y, start=start, epochs=1, folds=0, verbose=0, notes=[].append)
    model.save(tmp_path / "n.onnx")
    back = lanewise.Model.load(tmp_path / "n.onnx")
    assert np.array_equal(back.predict_proba(x), model.predict_proba(x))
    one = back.predict_one(x[0])
    assert one == pytest.approx(back.predict_proba(x[:1])[0], abs=1e-5)
    for node in back.graph.nodes[1:]:
        lanewise.explain.receptive_field(back, node.name)
    assert lanewise.network.summary.summary(back.graph)
