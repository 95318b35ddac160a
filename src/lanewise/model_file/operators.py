"""What each ONNX operator is as a layer of Lanewise, or why it is refused: one function for each, and a table of them.

A function may be handed anything a file can say. It either gives exactly the operator's meaning, or calls `node.fail`;
attributes that the table does not know are refused before it is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lanewise.model_file import reshape_operators, window_operators
from lanewise.model_file.axes import channels_of, plain
from lanewise.model_file.builder import TensorRef, Weights
from lanewise.model_file.constants import shape_of
from lanewise.model_file.curves import Curve
from lanewise.model_file.node import FileNode
from lanewise.model_file.over_channels import OverChannels
from lanewise.model_file.pointwise_operators import BY_OPERATOR, pointwise
from lanewise.model_file.tensors import FLOAT, Constant, type_name
from lanewise.network.layers import LRN, BatchNorm, Conv2D, Dense, Flatten, Join, LayerNorm, Softmax
from lanewise.network.options import option_problem


def _identity(node: FileNode) -> TensorRef:
    return node.passed(node.value())


def _dropout(node: FileNode) -> TensorRef:
    training = node.constant(2, "training mode")
    if training is not None and np.any(training):
        node.fail("it drops values at random, as in training; export the model for inference")
    _refuse_training(node)
    return _identity(node)


def _refuse_training(node: FileNode) -> None:
    """Opset 6 told training from inference by `is_test`, and took training if nothing was said."""
    if node.opset < 7 and not node.whole("is_test", 0):
        node.fail("it is meant for training; export the model for inference")


def _cast(node: FileNode) -> TensorRef:
    if node.whole("to", 0) != FLOAT:
        node.fail(f"it casts to {type_name(int(node.number('to', 0)))}; networks are read in float32 throughout")
    return _identity(node)


def _gemm(node: FileNode) -> TensorRef:
    x, matrix, constant = node.value(), node.weights(1, "matrix"), node.weights(2, "bias")
    if x.rank != 2 or matrix is None or matrix.ndim != 2:
        node.fail("it needs features (N, F) and a constant matrix")
    if node.whole("transA", 0):
        node.fail("it transposes its input, which would mix images; export the model without transA")
    weight = matrix if node.whole("transB", 0) else matrix.T
    bias = None
    if constant is not None:
        if constant.shape not in {(), (1,), (1, 1), weight.shape[:1], (1, weight.shape[0])}:
            node.fail(f"its bias of shape {constant.shape} is not one number for each of {weight.shape[0]} outputs")
        bias = np.broadcast_to(constant.reshape(-1), weight.shape[:1])
    return _dense(
        node,
        x,
        _times(weight, node.number("alpha", 1.0)),
        None if bias is None else _times(bias, node.number("beta", 1.0)),
    )


def _matmul(node: FileNode) -> TensorRef:
    x, matrix = node.value(), node.weights(1, "matrix")
    if matrix is None or matrix.ndim != 2 or not matrix.size:
        node.fail("it needs features (N, F) and a constant matrix (F, outputs)")
    if x.rank == 2:
        return _dense(node, x, matrix.T, None)
    shape = node.builder.shape(x)
    if len(shape) != 3 or x.axes[-1] != channels_of(shape) or len(matrix) != shape[0]:
        node.fail("it multiplies images by a matrix along another axis than the channels; flatten them before it")
    outputs = matrix.shape[1]
    axes = (*x.axes[:-1], channels_of((outputs, *shape[1:])))
    layer, weight = Conv2D(outputs, (1, 1), bias=False), matrix.T.reshape(outputs, -1, 1, 1)
    return node.builder.add_weighted(layer, x, weight, None, single_use=node.single_use, axes=axes)


def _dense(node: FileNode, x: TensorRef, weight: Weights, bias: Weights | None) -> TensorRef:
    (features,) = node.builder.shape(x)
    if weight.shape[1] != features or not weight.size:
        node.fail(f"a matrix for {weight.shape[1]} inputs does not fit {features} features")
    order = node.channel_order(x, 1)
    if order is not None and x.axes != plain((features,)):  # flattened with its channels last
        weight = weight[:, np.argsort(order)]
    return node.builder.add_weighted(
        Dense(weight.shape[0], bias is not None),
        x,
        weight,
        bias,
        single_use=node.single_use,
        axes=plain(weight.shape[:1]),
    )


def _times(array: Weights, factor: float) -> Weights:
    return array if factor == 1 else (array.astype(np.float64) * factor).astype(np.float32)


def _batch_normalization(node: FileNode) -> TensorRef:
    """A layer of its own, which training leaves as it is; or its scale and shift alone, if its numbers are odd."""
    x = node.value()
    arrays = [node.weights(position, what) for position, what in enumerate(("scale", "shift", "mean", "variance"), 1)]
    channels, order = node.builder.shape(x)[0], node.channel_order(x, 1)
    if order is None:
        node.fail(f"the axis after the batch is not that of the {channels} channels")
    if any(array is None or array.shape != (channels,) for array in arrays):
        node.fail(f"its scale, shift, mean and variance must be {channels} numbers each, one for each channel")
    if node.whole("training_mode", 0) or node.whole("spatial", 1) != 1 or node.outputs > 1:
        node.fail("it normalises by the batch, as in training; export the model for inference")
    _refuse_training(node)
    ours = [array[np.argsort(order)] for array in arrays if array is not None]
    gain, shift, mean, variance = (array.astype(np.float64) for array in ours)
    if np.any(variance + node.number("epsilon", 1e-5) <= 0):
        node.fail("its variance is negative or zero: the file is damaged")
    layer = BatchNorm(float(str(np.float32(node.number("epsilon", 1e-5)))), frozen=True)
    if option_problem(layer) is None and np.all(variance >= 0):
        return node.builder.add_batch_norm(layer, x, ours, single_use=node.single_use)
    scale = gain / np.sqrt(variance + node.number("epsilon", 1e-5))
    return node.builder.scale_and_shift(x, scale, shift - mean * scale, single_use=node.single_use)


def _layer_normalization(node: FileNode) -> TensorRef:
    """Over the channels, wherever the file has them; its scale and shift are a layer of their own."""
    x, scale, shift = node.value(), node.weights(1, "scale"), node.weights(2, "shift")
    axis = node.axis(-1, x.rank)
    order = node.channel_order(x, axis) if axis == x.rank - 1 else None
    if order is None:
        node.fail(f"it is read over the last axis, if that holds the channels; here it is over axis {axis} of {x.rank}")
    if scale is None or scale.shape != order.shape or (shift is not None and shift.shape != order.shape):
        node.fail(f"its scale and shift must be {len(order)} numbers each, one for each channel")
    if node.whole("stash_type", 1) != 1 or node.outputs > 1:
        node.fail("it computes in another type than float32, or gives more than its result")
    ours = np.argsort(order)
    epsilon = float(str(np.float32(node.number("epsilon", 1e-5))))
    plain_scale = shift is None and bool(np.all(scale == 1))
    normal = node.builder.add(LayerNorm(epsilon), (x,), single_use=plain_scale and node.single_use)
    if plain_scale:
        return normal
    offsets = np.zeros(len(order)) if shift is None else shift[ours].astype(np.float64)
    return node.builder.scale_and_shift(normal, scale[ours].astype(np.float64), offsets, single_use=node.single_use)


def _lrn(node: FileNode) -> TensorRef:
    """LRN."""
    usual = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    alpha, beta, k = (float(str(np.float32(node.number(name, default)))) for name, default in usual.items())
    return node.add(LRN(node.whole("size", 0), alpha, beta, k), node.image(node.value()))


def _softmax(node: FileNode) -> TensorRef:
    x, dims = node.value(), node.dims(node.value())
    axis = node.axis(-1 if node.opset >= 13 else 1, x.rank)
    if not 1 <= axis < x.rank or math.prod(dims) != dims[axis - 1]:
        node.fail(f"softmax is read over the features of one image, not over one axis of {dims}; flatten before it")
    if len(node.builder.shape(x)) == 3:  # one row and one column: written with 4 axes, but features
        x = node.builder.add(Flatten(), (x,), single_use=True, axes=x.axes)
    return node.add(Softmax(), x)


def _concat(node: FileNode) -> TensorRef:
    values = tuple(node.value(position) for position in range(len(node.inputs)))
    rank, axis = values[0].rank, node.axis(1, values[0].rank)
    if "axis" not in node.attributes or not 1 <= axis < rank or any(value.rank != rank for value in values):
        node.fail("it must join its inputs along one axis that all have, and not images")
    others = {value.axes[: axis - 1] + value.axes[axis:] for value in values}
    orders = [node.channel_order(value, axis) for value in values]
    if len(others) > 1 or any(order is None for order in orders):
        shown = ", ".join(str(node.dims(value)) for value in values[:4])
        node.fail(f"it joins {shown} along axis {axis}; only channels are joined")
    values = tuple(
        value if np.array_equal(order, np.arange(len(order))) else node.taken(value, axis, order)
        for value, order in zip(values, orders, strict=True)
        if order is not None
    )
    if len(values) == 1:
        return _identity(node)
    shapes = [node.builder.shape(value) for value in values]
    channels = channels_of((sum(shape[0] for shape in shapes), *shapes[0][1:]))
    return node.add(Join(), *values, axes=(*values[0].axes[: axis - 1], channels, *values[0].axes[axis:]))


def _shape(node: FileNode) -> Constant:
    return shape_of(node.dims(node.value()), node.batch, node.attributes)


MANY = 10_000
_WINDOW = "auto_pad dilations kernel_shape pads strides"

Read = TensorRef | Curve | OverChannels | window_operators.Padded | Constant
"""What a node may become: a value of the network, now or later, or a constant."""

OperatorEntry = tuple[Callable[[FileNode], Read | tuple[TensorRef, ...]], int, str]

_ACTIVATIONS: dict[str, OperatorEntry] = {
    operator: (
        pointwise,
        len(kind.onnx[0].inputs),
        " ".join([*kind.onnx[0].options, *kind.onnx[0].attributes]),
    )
    for operator, kind in BY_OPERATOR.items()
}

_OTHERS: dict[str, OperatorEntry] = {
    "Add": (pointwise, 2, ""),
    "AveragePool": (window_operators.average_pool, 1, f"{_WINDOW} ceil_mode count_include_pad"),
    "BatchNormalization": (_batch_normalization, 5, "epsilon momentum spatial training_mode is_test"),
    "Cast": (_cast, 1, "to saturate"),
    "Clip": (pointwise, 3, "min max"),
    "Concat": (_concat, MANY, "axis"),
    "Conv": (window_operators.conv, 3, f"{_WINDOW} group"),
    "Div": (pointwise, 2, ""),
    "Dropout": (_dropout, 3, "ratio seed is_test"),
    "Erf": (pointwise, 1, ""),
    "Exp": (pointwise, 1, ""),
    "Flatten": (reshape_operators.flatten, 1, "axis"),
    "Gather": (reshape_operators.gather, 2, "axis"),
    "Gemm": (_gemm, 3, "alpha beta transA transB broadcast"),
    "GlobalAveragePool": (window_operators.global_pool, 1, ""),
    "GlobalMaxPool": (window_operators.global_pool, 1, ""),
    "Identity": (_identity, 1, ""),
    "LayerNormalization": (_layer_normalization, 3, "axis epsilon stash_type"),
    "LRN": (_lrn, 1, "alpha beta bias size"),
    "MatMul": (_matmul, 2, ""),
    "Max": (pointwise, 2, ""),
    "MaxPool": (window_operators.max_pool, 1, f"{_WINDOW} ceil_mode storage_order"),
    "Min": (pointwise, 2, ""),
    "Mul": (pointwise, 2, ""),
    "Neg": (pointwise, 1, ""),
    "Pad": (window_operators.pad, 4, "mode pads value"),
    "Pow": (pointwise, 2, ""),
    "PRelu": (pointwise, 2, ""),
    "Reciprocal": (pointwise, 1, ""),
    "ReduceMax": (window_operators.reduce, 2, "axes keepdims noop_with_empty_axes"),
    "ReduceMean": (window_operators.reduce, 2, "axes keepdims noop_with_empty_axes"),
    "Reshape": (reshape_operators.reshape, 2, "allowzero"),
    "Shape": (_shape, 1, "start end"),
    "Slice": (reshape_operators.slice_, 5, "axes ends starts"),
    "Softmax": (_softmax, 1, "axis"),
    "Softplus": (pointwise, 1, ""),
    "Split": (reshape_operators.split, 2, "axis num_outputs split"),
    "Sqrt": (pointwise, 1, ""),
    "Squeeze": (reshape_operators.squeeze, 2, "axes"),
    "Sub": (pointwise, 2, ""),
    "Sum": (pointwise, MANY, ""),
    "Transpose": (reshape_operators.transpose, 1, "perm"),
    "Unsqueeze": (reshape_operators.unsqueeze, 2, "axes"),
}

OPERATORS = dict(sorted((_ACTIVATIONS | _OTHERS).items()))
"""What an operator becomes, how many inputs it may have, and which attributes."""

ON_CURVES = {name for name, (function, _, _) in OPERATORS.items() if function is pointwise}
"""Operators that read curves; for all others they become layers."""

ON_MEANS = ON_CURVES | {"GlobalAveragePool", "ReduceMean", "Reshape", "Transpose"}
"""Operators that read what is computed with means over channels; for all others it is layer normalisation."""
