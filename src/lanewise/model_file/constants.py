"""What operators make of constants alone: shapes that a file computes, weights it writes one way and uses another.

PyTorch writes x.view(n, -1) of a free batch as Shape, Gather, Unsqueeze, Concat and Reshape. The shape of x is known
while a file is read, but for the number of images: `IMAGES` stands for that; it may be moved but not computed with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lanewise.errors import ModelFileError
from lanewise.model_file.builder import MOST_WEIGHTS
from lanewise.model_file.tensors import BOOL, FLOAT, INT32, INT64, Constant, listed

IMAGES = -0x6A9E_5101
"""The number of images, in constants of whole numbers: an odd one, which fits into 32 bits."""

MOST_COMPUTED = 1 << 25
"""Numbers that arithmetic on constants may make at once; what only says a value again takes no memory."""

_TYPES = {FLOAT: np.float32, INT32: np.int32, INT64: np.int64, BOOL: np.bool_}

Attributes = Mapping[str, Any]
Inputs = tuple[Constant | None, ...]


def fold(operator: str, inputs: Inputs, attributes: Attributes) -> Constant:
    """What an operator makes of constants.

    Parameters
    ----------
    operator : str
    inputs : tuple of arrays, or None for those left out
    attributes : mapping
        The node's attributes by name.

    Raises
    ------
    ModelFileError
        It is not one that is read for constants, or does not fit them.
    """
    if operator not in FOLDED:
        raise ModelFileError(
            "it computes with constants alone; simplify the model before (onnxsim, or export with folding)"
        )
    shapes = ", ".join(str(array.shape) for array in inputs if array is not None)
    try:
        found = FOLDED[operator](inputs, attributes)
        if found is not None:
            return found
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError, ZeroDivisionError):
        pass
    raise ModelFileError(f"it does not fit constants of shape {shapes}")


def shape_of(dims: Sequence[int], batch: int | None, attributes: Attributes) -> Constant:
    """What Shape says of a value of the network.

    Parameters
    ----------
    dims : sequence of int
        Its sizes for one image.
    batch : int, or None
        The number of images, if the file fixes it.
    attributes : mapping
        Those of the Shape node.
    """
    start, end = attributes.get("start", 0), attributes.get("end")
    found = np.array([IMAGES if batch is None else batch, *dims], np.int64)
    return found[slice(start, end)]


def _axes(inputs: Inputs, attributes: Attributes) -> tuple[int, ...] | None:
    given = attributes.get("axes")
    return listed(inputs[1] if len(inputs) > 1 else None) if given is None else tuple(given)


def sliced(inputs: Inputs, attributes: Attributes, rank: int) -> dict[int, slice] | None:
    """Of a Slice node, the slice along each axis it names, or None if it names none that fit.

    Parameters
    ----------
    inputs : tuple of arrays, or None for those left out
        The node's; the first is not looked at.
    attributes : mapping
        The node's, which hold the lists in old files.
    rank : int
        Axes of what is sliced.
    """
    if "starts" in attributes:
        starts, ends = attributes["starts"], attributes.get("ends")
        axes, steps = attributes.get("axes"), None
    else:
        starts, ends, axes, steps = (listed(array) for array in (*inputs[1:], None, None, None, None)[:4])
    if not isinstance(starts, tuple) or not isinstance(ends, tuple) or len(starts) != len(ends):
        return None
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(axes) == len(steps) == len(starts) or IMAGES in (*starts, *ends):
        return None
    if any(not -rank <= axis < rank or step < 1 for axis, step in zip(axes, steps, strict=True)):
        return None
    found = {
        axis % rank: slice(start, end, step) for axis, start, end, step in zip(axes, starts, ends, steps, strict=True)
    }
    return found if len(found) == len(axes) else None


def _slice(inputs: Inputs, attributes: Attributes) -> Constant | None:
    (array, *_) = inputs
    assert array is not None
    cuts = sliced(inputs, attributes, array.ndim)
    return None if cuts is None else array[tuple(cuts.get(axis, slice(None)) for axis in range(array.ndim))]


def _reshape(inputs: Inputs, attributes: Attributes) -> Constant | None:
    array, wanted = inputs[0], listed(inputs[1])
    if array is None or wanted is None or (attributes.get("allowzero") and 0 in wanted):
        return None
    return array.reshape([array.shape[place] if size == 0 else size for place, size in enumerate(wanted)])


def _full(inputs: Inputs, attributes: Attributes) -> Constant | None:
    """ConstantOfShape, without memory for its numbers."""
    wanted, value = listed(inputs[0]), attributes.get("value", np.zeros(1, np.float32))
    if wanted is None or min(wanted, default=0) < 0 or math.prod(wanted) > MOST_WEIGHTS or value.size != 1:
        return None
    return np.broadcast_to(value.reshape(()), wanted)


def _expand(inputs: Inputs, attributes: Attributes) -> Constant | None:
    array, wanted = inputs[0], listed(inputs[1])
    if array is None or wanted is None or min(wanted, default=1) < 1:
        return None
    shape = np.broadcast_shapes(array.shape, wanted)
    return np.broadcast_to(array, shape) if math.prod(shape) <= MOST_WEIGHTS else None


def _cast(inputs: Inputs, attributes: Attributes) -> Constant | None:
    (array,), to = inputs, _TYPES.get(attributes["to"])
    if array is None or to is None or (to not in (np.int32, np.int64) and _counts_images(array)):
        return None
    return array.astype(to)


def _concat(inputs: Inputs, attributes: Attributes) -> Constant | None:
    arrays = [array for array in inputs if array is not None]
    fits = len(arrays) == len(inputs) and len({array.dtype for array in arrays}) == 1
    return np.concatenate(arrays, attributes["axis"]) if fits and sum(a.size for a in arrays) <= MOST_COMPUTED else None


def _gather(inputs: Inputs, attributes: Attributes) -> Constant | None:
    array, index = inputs
    if array is None or index is None or index.dtype.kind != "i" or index.size * array.size > MOST_COMPUTED:
        return None
    return np.asarray(np.take(array, index, attributes.get("axis", 0)))


def _counts_images(array: Constant) -> bool:
    return array.dtype.kind == "i" and bool(np.any(array == IMAGES))


def _arithmetic(function: Callable[..., Constant]) -> Callable[[Inputs, Attributes], Constant | None]:
    """An operator on numbers of one type, which may not be the number of images."""

    def made(inputs: Inputs, attributes: Attributes) -> Constant | None:
        arrays = [array for array in inputs if array is not None]
        if (
            len(arrays) != len(inputs)
            or len({array.dtype for array in arrays}) != 1
            or any(map(_counts_images, arrays))
        ):
            return None
        if math.prod(np.broadcast_shapes(*(array.shape for array in arrays))) > MOST_COMPUTED:
            return None
        return np.asarray(function(*arrays)).astype(arrays[0].dtype)

    return made


def _divided(a: Constant, b: Constant) -> Constant:
    """a / b; of whole numbers without the rest, as long as none is negative."""
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    if np.any(a < 0) or np.any(b <= 0):
        raise ValueError
    return np.asarray(a // b)


FOLDED: dict[str, Callable[[Inputs, Attributes], Constant | None]] = {
    "Add": _arithmetic(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _full,
    "Div": _arithmetic(_divided),
    "Expand": _expand,
    "Gather": _gather,
    "Identity": lambda inputs, _: inputs[0],
    "Mul": _arithmetic(np.multiply),
    "Neg": _arithmetic(np.negative),
    "Reciprocal": _arithmetic(np.reciprocal),
    "Reshape": _reshape,
    "Slice": _slice,
    "Sqrt": _arithmetic(np.sqrt),
    "Squeeze": lambda inputs, attributes: np.squeeze(inputs[0], _axes(inputs, attributes)),  # type: ignore[arg-type]
    "Sub": _arithmetic(np.subtract),
    "Transpose": lambda inputs, attributes: np.transpose(inputs[0], attributes.get("perm")),  # type: ignore[arg-type]
    "Unsqueeze": lambda inputs, attributes: np.expand_dims(inputs[0], _axes(inputs, attributes)),  # type: ignore[arg-type]
}
"""Operators on constants: those that move numbers, and the arithmetic that exporters leave undone."""
