"""The arrays and attributes of an ONNX file that nobody vouches for.

Every array is compared with the bytes that are really there before anything is allocated for it, and what a file
calls itself is quoted before it is shown, so that no name can write on the user's terminal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import ModelFileError

FLOAT, INT32, INT64, BOOL = 1, 6, 7, 9
"""`TensorProto.DataType`: the element types that are read."""

EXTERNAL = 1
"""`TensorProto.DataLocation`: the numbers are in another file."""

_ELEMENTS = {
    FLOAT: ("<f4", "float_data"),
    INT32: ("<i4", "int32_data"),
    INT64: ("<i8", "int64_data"),
    BOOL: ("|b1", "int32_data"),
}

Constant = NDArray[Any]
"""An array of float32, int32, int64 or bool that the file holds."""


def quoted(name: str | bytes) -> str:
    """A name from a file, in quotes, at most 80 characters, with nothing in it that a terminal would obey.

    A name that is no UTF-8 arrives as bytes.
    """
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    return json.dumps(name if len(name) <= 80 else name[:77] + "...")


def type_name(element: int) -> str:
    """The name of a `TensorProto.DataType`, in lower case."""
    from onnx import TensorProto

    known: dict[int, str] = {number: name for name, number in TensorProto.DataType.items()}
    return known.get(element, f"type {element}").lower()


def refuse_external(tensor: Any) -> None:
    """Raise ModelFileError for an array whose numbers lie in another file, which is never opened."""
    if tensor.data_location == EXTERNAL or len(tensor.external_data):
        raise ModelFileError(
            f"tensor {quoted(tensor.name)} keeps its numbers in another file; "
            "no file but the model is opened unless you say so: `lanewise import FILE --external-data`, or "
            "Model.load(path, external_data=True)"
        )


def array_of(tensor: Any) -> Constant:
    """The numbers of a `TensorProto`.

    Raises
    ------
    ModelFileError
        External data, an element type that is not read, a negative size, or sizes that do not match the bytes.
    """
    refuse_external(tensor)
    name, sizes = quoted(tensor.name), _sizes(tensor)
    element, field = _ELEMENTS[tensor.data_type]
    count, typed = math.prod(sizes), getattr(tensor, field)
    raw = tensor.raw_data  # asked for once: each time it is copied
    there = len(raw) / np.dtype(element).itemsize if raw else len(typed)
    if there != count:
        raise ModelFileError(
            f"tensor {name} claims the shape {list(sizes)} but holds {there:g} numbers: the file is damaged"
        )
    flat = np.frombuffer(raw, element) if raw else np.array(typed, dtype=element)
    return flat.reshape(sizes).astype(flat.dtype.newbyteorder("="), copy=False)


def bytes_of(tensor: Any) -> int:
    """How many bytes the numbers of a `TensorProto` take, by what it claims.

    Raises
    ------
    ModelFileError
        An element type that is not read, or a size that no array has.
    """
    return math.prod(_sizes(tensor)) * np.dtype(_ELEMENTS[tensor.data_type][0]).itemsize


def _sizes(tensor: Any) -> tuple[int, ...]:
    name, sizes = quoted(tensor.name), tuple(tensor.dims)
    if tensor.data_type not in _ELEMENTS:
        raise ModelFileError(
            f"tensor {name} holds {type_name(tensor.data_type)}; weights are read as float32 (shapes as int64)"
        )
    if tensor.HasField("segment") or any(size < 0 for size in sizes) or len(sizes) > 8:
        raise ModelFileError(
            f"tensor {name} claims the shape {list(sizes)[:9]}, which no array has: the file is damaged"
        )
    return sizes


def listed(constant: Constant | None) -> tuple[int, ...] | None:
    """The numbers of a constant list of whole numbers, such as a shape; None if it is anything else."""
    if constant is None or constant.ndim != 1 or constant.dtype.kind != "i":
        return None
    return tuple(constant.tolist())


def attributes_of(node: Any) -> dict[str, Any]:
    """The attributes of a `NodeProto` by name, as numbers, text, lists of numbers and arrays.

    Raises
    ------
    ModelFileError
        An attribute given twice, or of a kind that no readable operator has (a graph, most of all).
    """
    from onnx import AttributeProto as Kind

    read: dict[int, Callable[[Any], Any]] = {
        Kind.INT: lambda attribute: attribute.i,
        Kind.FLOAT: lambda attribute: attribute.f,
        Kind.STRING: lambda attribute: attribute.s.decode("utf-8", "replace"),
        Kind.INTS: lambda attribute: tuple(attribute.ints),
        Kind.FLOATS: lambda attribute: tuple(attribute.floats),
        Kind.TENSOR: lambda attribute: array_of(attribute.t),
    }
    values: dict[str, Any] = {}
    for attribute in node.attribute:
        name = quoted(attribute.name)
        if attribute.name in values:
            raise ModelFileError(f"attribute {name} is given twice")
        if attribute.type not in read:
            raise ModelFileError(f"attribute {name} is neither a number, text nor a tensor")
        if attribute.ref_attr_name:
            raise ModelFileError(f"attribute {name} refers to a function, which is not read")
        values[attribute.name] = read[attribute.type](attribute)
    return values
