"""What each ONNX operator is as a layer of Lanewise, or why it is refused: one function for each, and a table of them.

A function may be handed anything a file can say. It either gives exactly the operator's meaning, or calls `node.fail`;
attributes that the table does not know are refused before it is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, reduce

import numpy as np

from lanewise.model_file import reshape_operators, window_operators
from lanewise.model_file.builder import Channels, TensorRef, Weights
from lanewise.model_file.node import FileNode
from lanewise.model_file.tensors import FLOAT, Constant, type_name
from lanewise.network.activations import ACTIVATIONS, Activation, Sigmoid, SiLU
from lanewise.network.layers import Add, BatchNorm, Dense, Flatten, Join, Layer, Softmax
from lanewise.network.options import option_problem


def _activation(kind: type[Activation], node: FileNode) -> TensorRef:
    """Read the operator that an activation is written as; what is no option of ours must be as we write it."""
    (written,) = kind.onnx
    for name, (wanted, default) in written.attributes.items():
        given = node.attributes.get(name, default)
        same = np.float32(given) == np.float32(wanted) if isinstance(given, float) else given == wanted
        if not same:
            node.fail(f"its attribute {name} is {given}; only {wanted} is read")
    for position, number in enumerate(written.inputs[1:], 1):
        constant = node.constant(position, "constant")
        if constant is None or constant.size != 1 or constant.item() != number:
            node.fail(f"its input {position + 1} must be the constant {number}")
    usual = kind().options
    options = {option: float(node.number(name, usual[option])) for name, option in written.options.items()}
    return node.add(kind(**options), node.value())


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
    if x.rank != 2 or matrix is None or matrix.ndim != 2:
        node.fail("it needs features (N, F) and a constant matrix (F, outputs); flatten images before it")
    return _dense(node, x, matrix.T, None)


def _dense(node: FileNode, x: TensorRef, weight: Weights, bias: Weights | None) -> TensorRef:
    (features,) = node.builder.shape(x)
    if weight.shape[1] != features or not weight.size:
        node.fail(f"a matrix for {weight.shape[1]} inputs does not fit {features} features")
    return node.builder.add_weighted(
        Dense(weight.shape[0], bias is not None), x, weight, bias, single_use=node.single_use
    )


def _times(array: Weights, factor: float) -> Weights:
    return array if factor == 1 else (array.astype(np.float64) * factor).astype(np.float32)


def per_channel(constant: Constant, rank: int, axis: int, channels: int) -> Channels | None:
    """A constant that meets a tensor as one number for each channel, or None if it varies along another axis.

    Parameters
    ----------
    constant : array of at most `rank` axes
        Broadcast to the tensor by ONNX's rule: axes are aligned from the last on.
    rank : int
        Axes of the tensor, the batch counted.
    axis : int
        Which of them holds the channels.
    channels : int

    Returns
    -------
    (channels,) float64, or None
    """
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if constant.dtype != np.float32 or len(shape) != rank or shape[axis] not in (1, channels):
        return None
    if any(size != 1 for place, size in enumerate(shape) if place != axis):
        return None
    return np.broadcast_to(constant.reshape(-1).astype(np.float64), (channels,))


def scale_and_shift(operator: str, numbers: Channels, constant_first: bool) -> tuple[Channels, Channels] | None:
    """An operator with a constant as x * scale + shift, or None if it is none (a constant divided by x).

    Parameters
    ----------
    operator : "Add", "Sub", "Mul" or "Div"
    numbers : (channels,) float64
        The constant.
    constant_first : bool
        Whether the constant is the first operand.

    Returns
    -------
    scale, shift : (channels,) float64
    """
    one, zero = np.broadcast_to(1.0, numbers.shape), np.broadcast_to(0.0, numbers.shape)
    match operator:
        case "Mul":
            return numbers, zero
        case "Add":
            return one, numbers
        case "Sub":
            return (-one, numbers) if constant_first else (one, -numbers)
        case "Div" if not constant_first and np.all(numbers != 0):
            return 1 / numbers, zero
        case _:
            return None


def _arithmetic(node: FileNode) -> TensorRef:
    first, second = (*node.inputs, None, None)[:2]
    if isinstance(first, TensorRef) and isinstance(second, TensorRef):
        return _gated(node, first, second) or _sum_of_two(node, first, second)
    value, constant = (first, second) if isinstance(first, TensorRef) else (second, first)
    if not isinstance(value, TensorRef) or constant is None or isinstance(constant, TensorRef):
        node.fail("it needs at least one input from the network, and another")
    channels = node.builder.shape(value)[0]
    numbers = per_channel(constant, value.rank, 1, channels)
    if numbers is None:
        node.fail(
            f"its constant ({constant.dtype} {constant.shape}) is not one float32 for each of {channels} channels"
        )
    pair = scale_and_shift(node.operator, numbers, constant_first=value is second)
    if pair is None:
        node.fail("it divides by the network's values or by zero, which no layer does")
    return node.builder.scale_and_shift(value, *pair, single_use=node.single_use)


GATED: dict[type[Layer], type[Activation]] = {Sigmoid: SiLU}
"""What an activation of x, multiplied with x, is."""


def _gated(node: FileNode, first: TensorRef, second: TensorRef) -> TensorRef | None:
    """x f(x) as the activation that it is, if it is one."""
    for gate, x in ((first, second), (second, first)):
        made = node.builder.nodes[gate.node]
        if node.operator == "Mul" and gate.single_use and type(made.layer) in GATED and made.inputs == (x.node,):
            made.layer = GATED[type(made.layer)]()
            return node.passed(gate)
    return None


def _sum_of_two(node: FileNode, first: TensorRef, second: TensorRef) -> TensorRef:
    if node.operator not in ("Add", "Sum"):
        node.fail("it combines two values of the network; only sums and concatenations do that here")
    if node.dims(first) != node.dims(second):
        node.fail(f"it adds shapes {node.dims(first)} and {node.dims(second)}; they must be equal")
    return node.add(Add(), first, second)


def _sum(node: FileNode) -> TensorRef:
    return reduce(
        lambda total, position: _sum_of_two(node, total, node.value(position)),
        range(1, len(node.inputs)),
        _identity(node),
    )


def _batch_normalization(node: FileNode) -> TensorRef:
    """A layer of its own, which training leaves as it is; or its scale and shift alone, if its numbers are odd."""
    x = node.value()
    arrays = [node.weights(position, what) for position, what in enumerate(("scale", "shift", "mean", "variance"), 1)]
    channels = node.builder.shape(x)[0]
    if any(array is None or array.shape != (channels,) for array in arrays):
        node.fail(f"its scale, shift, mean and variance must be {channels} numbers each, one for each channel")
    if node.whole("training_mode", 0) or node.whole("spatial", 1) != 1 or node.outputs > 1:
        node.fail("it normalises by the batch, as in training; export the model for inference")
    _refuse_training(node)
    gain, shift, mean, variance = (array.astype(np.float64) for array in arrays if array is not None)
    if np.any(variance + node.number("epsilon", 1e-5) <= 0):
        node.fail("its variance is negative or zero: the file is damaged")
    layer = BatchNorm(float(str(np.float32(node.number("epsilon", 1e-5)))), frozen=True)
    if option_problem(layer) is None and np.all(variance >= 0):
        own = [array for array in arrays if array is not None]
        return node.builder.add_batch_norm(layer, x, own, single_use=node.single_use)
    scale = gain / np.sqrt(variance + node.number("epsilon", 1e-5))
    return node.builder.scale_and_shift(x, scale, shift - mean * scale, single_use=node.single_use)


def _softmax(node: FileNode) -> TensorRef:
    x, dims = node.value(), node.dims(node.value())
    if node.axis(-1 if node.opset >= 13 else 1, x.rank) != 1 or math.prod(dims) != dims[0]:
        node.fail(f"softmax is read over the features of one image, not over one axis of {dims}; flatten before it")
    if len(node.builder.shape(x)) == 3:  # one row and one column: written with 4 axes, but features
        x = node.builder.add(Flatten(), (x,), single_use=True)
    return node.add(Softmax(), x)


def _concat(node: FileNode) -> TensorRef:
    values = tuple(node.value(position) for position in range(len(node.inputs)))
    rank = values[0].rank
    if "axis" not in node.attributes or node.axis(1, rank) != 1 or any(value.rank != rank for value in values):
        node.fail("it must join its inputs along axis 1, their channels")
    if len(values) == 1:
        return _identity(node)
    return node.add(Join(), *values)


MANY = 10_000
_WINDOW = "auto_pad dilations kernel_shape pads strides"

OperatorEntry = tuple[Callable[[FileNode], TensorRef], int, str]

_ACTIVATIONS: dict[str, OperatorEntry] = {
    kind.onnx[0].operator: (
        partial(_activation, kind),
        len(kind.onnx[0].inputs),
        " ".join([*kind.onnx[0].options, *kind.onnx[0].attributes]),
    )
    for kind in ACTIVATIONS.values()
    if len(kind.onnx) == 1
}

_OTHERS: dict[str, OperatorEntry] = {
    "Add": (_arithmetic, 2, ""),
    "AveragePool": (window_operators.average_pool, 1, f"{_WINDOW} ceil_mode count_include_pad"),
    "BatchNormalization": (_batch_normalization, 5, "epsilon momentum spatial training_mode is_test"),
    "Cast": (_cast, 1, "to saturate"),
    "Concat": (_concat, MANY, "axis"),
    "Conv": (window_operators.conv, 3, f"{_WINDOW} group"),
    "Div": (_arithmetic, 2, ""),
    "Dropout": (_dropout, 3, "ratio seed is_test"),
    "Flatten": (reshape_operators.flatten, 1, "axis"),
    "Gemm": (_gemm, 3, "alpha beta transA transB broadcast"),
    "GlobalAveragePool": (window_operators.global_average_pool, 1, ""),
    "Identity": (_identity, 1, ""),
    "MatMul": (_matmul, 2, ""),
    "MaxPool": (window_operators.max_pool, 1, f"{_WINDOW} ceil_mode storage_order"),
    "Mul": (_arithmetic, 2, ""),
    "Reshape": (reshape_operators.reshape, 2, "allowzero"),
    "Softmax": (_softmax, 1, "axis"),
    "Squeeze": (reshape_operators.squeeze, 2, "axes"),
    "Sub": (_arithmetic, 2, ""),
    "Sum": (_sum, MANY, ""),
    "Transpose": (reshape_operators.transpose, 1, "perm"),
    "Unsqueeze": (reshape_operators.unsqueeze, 2, "axes"),
}

OPERATORS = dict(sorted((_OTHERS | _ACTIVATIONS).items()))
"""What an operator becomes, how many inputs it may have, and which attributes."""
