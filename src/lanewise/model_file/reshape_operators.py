"""ONNX operators that write the same values with other axes: only flattening changes anything for a layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lanewise.errors import ModelFileError
from lanewise.model_file.builder import TensorRef
from lanewise.model_file.node import FileNode
from lanewise.model_file.tensors import Constant, listed
from lanewise.network.layers import Flatten


def transpose(node: FileNode) -> TensorRef:
    """Transpose, if it moves nothing."""
    rank = node.value().rank
    if node.numbers("perm", tuple(reversed(range(rank)))) != tuple(range(rank)):
        node.fail("it moves axes inside the network; only channels moved to the front of the input are read")
    return node.passed(node.value())


def flatten(node: FileNode) -> TensorRef:
    """Flatten."""
    x = node.value()
    if node.axis(1, x.rank) != 1:
        node.fail(f"it flattens from axis {node.axis(1, x.rank)}; only axis 1 keeps images apart")
    if len(node.builder.shape(x)) == 1 and x.rank == 4:
        return node.passed(x, rank=2)
    return node.add(Flatten(), x, rank=2)


def reshape(node: FileNode) -> TensorRef:
    """Reshape, to a shape in which each image's values stay together."""
    x, target = node.value(), listed(node.constant(1, "shape"))
    if target is None or not 2 <= len(target) <= 4:
        node.fail("its shape must be a constant list of 2 to 4 whole numbers")
    old, (images, *rest) = node.dims(x), target
    if node.whole("allowzero", 0) and 0 in (images, *rest):
        node.fail("it asks for a shape without any values")
    rest = [old[place] if size == 0 and place < len(old) else size for place, size in enumerate(rest)]
    if rest.count(-1) == 1 and images in (0, node.batch):
        rest[rest.index(-1)] = math.prod(old) // max(1, -math.prod(rest))
    if min(rest) < 1 or math.prod(rest) != math.prod(old) or images not in {0, -1, node.batch}:
        node.fail(f"the shape {list(target)} does not keep each image's {math.prod(old)} values together; (0, -1) does")
    return _shaped(node, x, tuple(rest))


def squeeze(node: FileNode) -> TensorRef:
    """Squeeze."""
    x, old = node.value(), node.dims(node.value())
    axes = {axis + x.rank if axis < 0 else axis for axis in _axes(node)}
    if not axes or not axes <= set(range(1, x.rank)) or any(old[axis - 1] != 1 for axis in axes):
        node.fail("it must name the axes it drops, and they must have size 1; the batch stays")
    return _shaped(node, x, tuple(size for axis, size in enumerate(old, 1) if axis not in axes))


def unsqueeze(node: FileNode) -> TensorRef:
    """Unsqueeze."""
    x, sizes = node.value(), list(node.dims(node.value()))
    rank = x.rank + len(_axes(node))
    axes = sorted(axis + rank if axis < 0 else axis for axis in _axes(node))
    if not axes or len(set(axes)) != len(axes) or axes[0] < 1 or axes[-1] >= rank:
        node.fail("it must add axes after the batch")
    for axis in axes:
        sizes.insert(axis - 1, 1)
    return _shaped(node, x, tuple(sizes))


def _axes(node: FileNode) -> tuple[int, ...]:
    given = node.constant(1, "list of axes")
    if given is None:
        return node.numbers("axes", ())
    axes = listed(given)
    if axes is None:
        node.fail("its axes must be a list of whole numbers")
    return axes


def _shaped(node: FileNode, x: TensorRef, sizes: tuple[int, ...]) -> TensorRef:
    """`x` with these sizes: flattened, or the same image written with another number of axes."""
    shape = node.builder.shape(x)
    if len(sizes) == 1 and len(shape) == 1:
        return node.passed(x, rank=2)
    if len(sizes) == 1:
        return node.add(Flatten(), x, rank=2)
    if (len(sizes) == 3 and sizes == shape) or (len(sizes) == 2 and (sizes[0], 1, sizes[1]) == shape):
        return node.passed(x, rank=len(sizes) + 1)
    node.fail(f"it turns {node.dims(x)} into {sizes}; only flattening to (N, {math.prod(shape)}) is read")


def fold(operator: str, inputs: tuple[Constant | None, ...], attributes: dict[str, Any]) -> Constant:
    """What an operator makes of constants alone, for files that write a weight one way and use it another.

    Parameters
    ----------
    operator : str
    inputs : tuple of arrays, or None for those left out
    attributes : dict
        The node's attributes by name.

    Raises
    ------
    ModelFileError
        It is not one of those that only move numbers, or does not fit; there is no other arithmetic on constants.
    """
    array, second = (*inputs, None)[:2]
    given = listed(second)
    axes = attributes.get("axes", given)
    if array is not None:
        try:
            match operator:
                case "Identity":
                    return array
                case "Transpose":
                    return array.transpose(attributes.get("perm"))
                case "Unsqueeze" if axes is not None:
                    return np.expand_dims(array, tuple(axes))
                case "Squeeze":
                    return np.squeeze(array, None if axes is None else tuple(axes))
                case "Reshape" if given is not None and 0 not in given:
                    return array.reshape(given)
        except (ValueError, TypeError, OverflowError, IndexError):
            raise ModelFileError(f"it does not fit a constant of shape {array.shape}") from None
    raise ModelFileError(
        "it computes with constants alone; simplify the model before (onnxsim, or export with folding)"
    )
