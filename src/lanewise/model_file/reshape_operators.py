"""ONNX operators that write the same values with other axes: only flattening changes anything for a layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lanewise.errors import ModelFileError
from lanewise.model_file.builder import Value
from lanewise.model_file.node import Step
from lanewise.model_file.tensors import Constant
from lanewise.network.layers import Flatten


def transpose(step: Step) -> Value:
    """Transpose, if it moves nothing."""
    rank = step.value().rank
    if step.numbers("perm", tuple(reversed(range(rank)))) != tuple(range(rank)):
        step.fail("it moves axes inside the network; only channels moved to the front of the input are read")
    return step.passed(step.value())


def flatten(step: Step) -> Value:
    """Flatten."""
    x = step.value()
    if step.axis(1, x.rank) != 1:
        step.fail(f"it flattens from axis {step.axis(1, x.rank)}; only axis 1 keeps images apart")
    if len(step.drafts.shape(x)) == 1 and x.rank == 4:
        return step.passed(x, rank=2)
    return step.drafts.add(Flatten(), (x,), own=step.own, rank=2)


def reshape(step: Step) -> Value:
    """Reshape, to a shape in which each image's values stay together."""
    x, target = step.value(), step.constant(1, "shape")
    if target is None or target.ndim != 1 or target.dtype.kind != "i" or not 2 <= len(target) <= 4:
        step.fail("its shape must be a constant list of 2 to 4 whole numbers")
    old, (images, *rest) = step.dims(x), (int(size) for size in target)
    if step.whole("allowzero", 0) and 0 in (images, *rest):
        step.fail("it asks for a shape without any values")
    rest = [old[place] if size == 0 and place < len(old) else size for place, size in enumerate(rest)]
    if rest.count(-1) == 1 and images in (0, step.batch):
        rest[rest.index(-1)] = math.prod(old) // max(1, -math.prod(rest))
    if min(rest) < 1 or math.prod(rest) != math.prod(old) or images not in {0, -1, step.batch}:
        step.fail(
            f"the shape {target.tolist()} does not keep each image's {math.prod(old)} values together; (0, -1) does"
        )
    return _shaped(step, x, tuple(rest))


def squeeze(step: Step) -> Value:
    """Squeeze."""
    x, old = step.value(), step.dims(step.value())
    axes = {axis + x.rank if axis < 0 else axis for axis in _axes(step)}
    if not axes or not axes <= set(range(1, x.rank)) or any(old[axis - 1] != 1 for axis in axes):
        step.fail("it must name the axes it drops, and they must have size 1; the batch stays")
    return _shaped(step, x, tuple(size for axis, size in enumerate(old, 1) if axis not in axes))


def unsqueeze(step: Step) -> Value:
    """Unsqueeze."""
    x, sizes = step.value(), list(step.dims(step.value()))
    rank = x.rank + len(_axes(step))
    axes = sorted(axis + rank if axis < 0 else axis for axis in _axes(step))
    if not axes or len(set(axes)) != len(axes) or axes[0] < 1 or axes[-1] >= rank:
        step.fail("it must add axes after the batch")
    for axis in axes:
        sizes.insert(axis - 1, 1)
    return _shaped(step, x, tuple(sizes))


def _axes(step: Step) -> tuple[int, ...]:
    given = step.constant(1, "list of axes")
    if given is None:
        return step.numbers("axes", ())
    if given.ndim != 1 or given.dtype.kind != "i":
        step.fail("its axes must be a list of whole numbers")
    return tuple(given.tolist())


def _shaped(step: Step, x: Value, sizes: tuple[int, ...]) -> Value:
    """`x` with these sizes: flattened, or the same image written with another number of axes."""
    shape = step.drafts.shape(x)
    if len(sizes) == 1 and len(shape) == 1:
        return step.passed(x, rank=2)
    if len(sizes) == 1:
        return step.drafts.add(Flatten(), (x,), own=step.own, rank=2)
    if (len(sizes) == 3 and sizes == shape) or (len(sizes) == 2 and (sizes[0], 1, sizes[1]) == shape):
        return step.passed(x, rank=len(sizes) + 1)
    step.fail(f"it turns {step.dims(x)} into {sizes}; only flattening to (N, {math.prod(shape)}) is read")


def fold(operator: str, inputs: tuple[Constant | None, ...], attributes: dict[str, Any]) -> Constant:
    """What `operator` makes of constants alone, for files that write a weight one way and use it another.

    Raises
    ------
    ModelFileError
        It is not one of those that only move numbers, or does not fit; there is no other arithmetic on constants.
    """
    array, second = (*inputs, None)[:2]
    listed = second.tolist() if second is not None and second.ndim == 1 and second.dtype.kind == "i" else None
    axes = attributes.get("axes", listed)
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
                case "Reshape" if listed is not None and 0 not in listed:
                    return array.reshape(listed)
        except (ValueError, TypeError, OverflowError, IndexError):
            raise ModelFileError(f"it does not fit a constant of shape {array.shape}") from None
    raise ModelFileError(
        "it computes with constants alone; simplify the model before (onnxsim, or export with folding)"
    )
