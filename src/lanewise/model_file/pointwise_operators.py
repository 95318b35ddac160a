"""ONNX operators that compute each number by itself: activations and arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce

import numpy as np

from lanewise.errors import ModelFileError
from lanewise.model_file.axes import Axes, channels_of, places, sizes
from lanewise.model_file.builder import Channels, NetworkBuilder, TensorRef
from lanewise.model_file.curves import FORMULAS, Curve, Samples, X, computed, scaled
from lanewise.model_file.node import FileNode
from lanewise.model_file.over_channels import ARITHMETIC, OverChannels, rows_of
from lanewise.model_file.tensors import Constant
from lanewise.network.activations import ACTIVATIONS, Activation
from lanewise.network.layers import Add, Multiply
from lanewise.network.options import option_problem
from lanewise.network.shapes import Shape

BY_OPERATOR: dict[str, type[Activation]] = {
    kind.onnx[0].operator: kind for kind in ACTIVATIONS.values() if len(kind.onnx) == 1
}
"""The activations that are one operator."""

Operand = TensorRef | Curve | OverChannels | Constant | None


def pointwise(node: FileNode) -> TensorRef | Curve | OverChannels:
    """An operator on one value of the network and single numbers; or on two values, or one and a list of numbers."""
    node = replace(node, inputs=tuple(_current(node.builder, found) for found in node.inputs))
    if any(isinstance(found, OverChannels) for found in node.inputs):
        if (made := _over_channels(node)) is not None:
            return made
        settled = (found.settle(node.builder) if isinstance(found, OverChannels) else found for found in node.inputs)
        node = replace(node, inputs=tuple(settled))
    values = [found for found in node.inputs if isinstance(found, TensorRef | Curve)]
    bases = [found.base if isinstance(found, Curve) else found for found in values]
    if len({(base.node, base.axes) for base in bases}) != 1 or not all(_single(node, found) for found in node.inputs):
        return _arithmetic(node)
    layer, problem = None, "no layer computes it by itself, nor with the operators around it"
    if node.operator == "Div":
        problem = "it divides by the network's values or by zero, which no layer does"
    if node.operator in BY_OPERATOR:
        try:
            layer = _activation(BY_OPERATOR[node.operator], node)
        except ModelFileError as error:
            if node.operator not in FORMULAS:
                raise
            problem = str(error)
    affine = _affine(node.operator, node.inputs)
    before = values[0].affine if isinstance(values[0], Curve) else (1.0, 0.0)
    curve = Curve(
        base=bases[0],
        samples=_samples(node, layer),
        affine=None if affine is None or before is None else (before[0] * affine[0], before[1] * affine[0] + affine[1]),
        step=lambda: _step(node, layer, affine, problem),
        maker=node.maker,
        place=node.builder.place,
        single_use=node.single_use,
        alone=len(values) == 1 and all(one.single_use and (not isinstance(one, Curve) or one.alone) for one in values),
        is_layer=layer is not None and not any(isinstance(one, Curve) for one in values),
        changes=node.builder.nodes[bases[0].node].changes,
    )
    # What several nodes read begins a curve of its own: the sigmoid in y sigmoid(y) is of y, not of what y is made of.
    joint = not node.single_use and (curve.is_layer or affine is not None)
    return curve.settle(node.builder) if joint else curve


def _over_channels(node: FileNode) -> TensorRef | OverChannels | None:
    """An operator on a value and means over its channels; None if these are complete before it."""
    parts = [found for found in node.inputs if isinstance(found, OverChannels)]
    base = parts[0].base
    if node.operator not in ARITHMETIC:
        return None
    operands: list[Samples | float] = []
    added: set[float] = set().union(*(part.added for part in parts))
    for found in node.inputs:
        if isinstance(found, np.ndarray):
            numbers = per_channel(found, base.axes, node.builder.shape(base))
            if numbers is None and not _single(node, found):
                return None
            if found.size == 1 and node.operator == "Add":
                added.add(float(found.item()))
            operands.append(float(found.item()) if numbers is None or found.size == 1 else numbers[np.newaxis])
        elif isinstance(found, TensorRef | OverChannels):
            of = found if isinstance(found, TensorRef) else found.base
            if (of.node, of.axes) != (base.node, base.axes):
                return None
            operands.append(rows_of(node.builder.shape(base)[0]) if isinstance(found, TensorRef) else found.samples)
        else:
            return None
    values = [found for found in node.inputs if not isinstance(found, np.ndarray)]
    if len(values) > 1 and any(part.recognised() for part in parts):  # a sum of it and its input, perhaps
        return None
    samples = computed(node.operator, operands, node.attributes)
    made = OverChannels(
        base, parts[0].axis, samples, frozenset(added), node.maker, node.builder.place, single_use=node.single_use
    )
    return made if node.single_use or not made.recognised() else made.settle(node.builder)


def _samples(node: FileNode, layer: Activation | None) -> Samples:
    """What comes out of the node for `X`."""
    operands = [_operand(found) for found in node.inputs]
    try:
        return layer.value(np.asarray(operands[0])) if layer else computed(node.operator, operands, node.attributes)
    except (IndexError, TypeError, ValueError):
        node.fail("its inputs are not those that the operator has")


def _current(builder: NetworkBuilder, found: Operand) -> Operand:
    """An input; a curve of a value that has changed since is settled."""
    if isinstance(found, Curve) and (found.settled or builder.nodes[found.base.node].changes != found.changes):
        return found.settle(builder)
    return found


def _single(node: FileNode, found: Operand) -> bool:
    """Whether an input is of the network, left out, or a single number."""
    if found is None or isinstance(found, TensorRef | Curve | OverChannels):
        return True
    return found.size == 1 and found.ndim <= 2 and (found.dtype == np.float32 or (node.operator == "Pow"))


def _operand(found: Operand) -> Samples | float | None:
    if isinstance(found, TensorRef):
        return X
    if isinstance(found, Curve | OverChannels):
        return found.samples
    return None if found is None else float(found.item())


def _affine(operator: str, inputs: Sequence[Operand]) -> tuple[float, float] | None:
    """An operator on one value and numbers as x * scale + shift, or None if it is none."""
    if operator == "Neg":
        return (-1.0, 0.0)
    numbers = [float(found.item()) for found in inputs if isinstance(found, np.ndarray)]
    if operator not in ("Add", "Sub", "Mul", "Div") or len(inputs) != 2 or len(numbers) != 1:
        return None
    pair = scale_and_shift(operator, np.array(numbers), constant_first=isinstance(inputs[0], np.ndarray))
    return None if pair is None else (float(pair[0][0]), float(pair[1][0]))


def _step(node: FileNode, layer: Activation | None, affine: tuple[float, float] | None, problem: str) -> TensorRef:
    """The layer that a node is by itself, whatever it was behind."""
    values = [found.settle(node.builder) for found in node.inputs if isinstance(found, TensorRef | Curve)]
    if layer is not None:
        return node.add(layer, values[0])
    if affine is not None:
        return scaled(node.builder, values[0], affine, node.single_use)
    if len(values) > 1 and node.operator in ("Add", "Mul", "Sum", "Sub", "Div"):
        return reduce(partial(_two, node), values)
    if node.operator == "PRelu":
        return _prelu(node)
    node.fail(problem)


def _prelu(node: FileNode) -> TensorRef:
    """A slope for each channel, or one for all."""
    x, slope = node.inputs
    if not isinstance(x, TensorRef | Curve) or not isinstance(slope, np.ndarray):
        node.fail("its slopes must be constants")
    value = x.settle(node.builder)
    numbers = per_channel(slope, value.axes, node.builder.shape(value))
    if numbers is None or not np.isfinite(numbers).all():
        channels = node.builder.shape(value)[0]
        node.fail(f"its slopes ({slope.dtype} {slope.shape}) must be {channels} finite float32, one for each channel")
    return node.builder.add_prelu(value, numbers, single_use=node.single_use)


def _activation(kind: type[Activation], node: FileNode) -> Activation:
    """The activation that an operator is; what is no option of ours must be as we write it."""
    (written,) = kind.onnx
    for name, (wanted, default) in written.attributes.items():
        given = node.attributes.get(name, default)
        numbers = isinstance(given, float) and isinstance(wanted, float)
        same = np.float32(given) == np.float32(wanted) if numbers else str(given) == str(wanted)
        if not same:
            node.fail(f"its attribute {name} is {given}; only {wanted} is read")
    for position, number in enumerate(written.inputs[1:], 1):
        constant = node.constant(position, "constant")
        if constant is None or constant.size != 1 or constant.item() != number:
            node.fail(f"its input {position + 1} must be the constant {number}")
    usual = kind().options
    layer = kind(**{option: float(node.number(name, usual[option])) for name, option in written.options.items()})
    if problem := option_problem(layer):
        node.fail(problem)
    return layer


def _arithmetic(node: FileNode) -> TensorRef:
    """Two values of the network, or one and a number for each channel."""
    if node.operator == "PRelu" and len(node.inputs) == 2:
        return _prelu(node)
    values = [found.settle(node.builder) for found in node.inputs if isinstance(found, TensorRef | Curve)]
    constants = [found for found in node.inputs if isinstance(found, np.ndarray)]
    if node.operator not in ("Add", "Div", "Mul", "Sub", "Sum") or len(values) + len(constants) != len(node.inputs):
        node.fail("beside one value of the network it may read single numbers only")
    if not constants:
        return reduce(partial(_two, node), values)
    if len(values) != 1 or len(constants) != 1 or node.operator == "Sum":
        node.fail("it needs one value of the network and one constant, or two values")
    (value,), (constant,) = values, constants
    numbers = per_channel(constant, value.axes, node.builder.shape(value))
    if numbers is None:
        channels = node.builder.shape(value)[0]
        node.fail(
            f"its constant ({constant.dtype} {constant.shape}) is not one float32 for each of {channels} channels"
        )
    pair = scale_and_shift(node.operator, numbers, constant_first=isinstance(node.inputs[0], np.ndarray))
    if pair is None:
        node.fail("it divides by the network's values or by zero, which no layer does")
    return node.builder.scale_and_shift(value, *pair, single_use=node.single_use)


def _two(node: FileNode, first: TensorRef, second: TensorRef) -> TensorRef:
    if node.operator == "Mul":
        for x, factors in ((first, second), (second, first)):
            if _is_gate(node, x, factors):
                return node.add(Multiply(), x, factors)
    if node.operator not in ("Add", "Sum"):
        node.fail("it combines two values of the network; only sums, joins and a factor for each channel do that here")
    if first.axes != second.axes:
        same = node.dims(first) == node.dims(second)
        how = "of the same sizes but with axes that were moved" if same else "they must be equal"
        node.fail(f"it adds shapes {node.dims(first)} and {node.dims(second)}; {how}")
    return node.add(Add(), first, second)


def _is_gate(node: FileNode, x: TensorRef, factors: TensorRef) -> bool:
    """Whether `factors` holds one number for each channel of `x`, along the same axis."""
    shape, channels = node.builder.shape(x), channels_of(node.builder.shape(factors))
    if len(channels) != 1 or x.rank != factors.rank or math.prod(node.dims(factors)) != shape[0]:
        return False
    place = next((place for place, axis in enumerate(factors.axes) if axis == channels), None)
    return place is not None and x.axes[place] == channels_of(shape)


def per_channel(constant: Constant, axes: Axes, shape: Shape) -> Channels | None:
    """A constant that meets a tensor as one number for each channel, or None if it is anything else.

    Parameters
    ----------
    constant : array
        Broadcast to the tensor by ONNX's rule: axes are aligned from the last on.
    axes : Axes
        How the tensor's axes are made of its value.
    shape : Shape
        Of the value.

    Returns
    -------
    (channels,) float64, or None
    """
    dims, inside = sizes(axes), math.prod(shape[1:])
    against = (1,) * (1 + len(axes) - constant.ndim) + constant.shape
    if constant.dtype != np.float32 or len(against) != 1 + len(axes) or against[0] != 1:
        return None
    numbers = constant.astype(np.float64)
    if constant.size == 1:
        return np.full(shape[0], numbers.item())
    of_channels = [not any(stride % inside for _, stride in axis) for axis in axes]
    whole = [axis for axis, is_channel in zip(axes, of_channels, strict=True) if is_channel]
    if math.prod(sizes(tuple(whole))) != shape[0]:
        return None
    if any(size not in (1, dim if yes else 1) for size, dim, yes in zip(against[1:], dims, of_channels, strict=True)):
        return None
    meeting = [size for size, yes in zip(against[1:], of_channels, strict=True) if yes]
    found = np.empty(shape[0])
    found[places(whole) // inside] = np.broadcast_to(numbers.reshape(meeting), sizes(tuple(whole))).reshape(-1)
    return found


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
