"""What a checkpoint file holds, as bytes and back: arrays as they are, all else as JSON; reading runs no code.

    <Q length of the header, header as JSON, arrays one after the other          the format "safetensors"

The header names each array's type, shape and place; under "__metadata__" it has

    format   "lanewise checkpoint 1"
    about    what is told of the training without reading the rest, and what one must have in common to resume it
    state    what it carries, as JSON in which {"array": n} is an array, {"Epoch": {...}} a value of that class
    digest   of all that and of the arrays: a file that was cut short or changed is refused
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import LanewiseError
from lanewise.training.best_weights import Choice
from lanewise.training.health import Epoch, Guess, Health
from lanewise.training.learning_rate import Cooling
from lanewise.training.state import Good, TrainingState
from lanewise.training.task import TrainResult

FORMAT = "lanewise checkpoint 1"

TYPES = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "|u1", "BOOL": "|b1"}
_WORDS = {np.dtype(kind): word for word, kind in TYPES.items()}

CLASSES: dict[str, type] = {
    one.__name__: one for one in (TrainingState, Good, TrainResult, Choice, Epoch, Cooling, Health, Guess)
}
"""All classes of which a state is made; no other is built from a file."""

FEW = 32
"""A list of so many floats is kept as an array: they are as exact, and short."""

MOST_HEADER = 1 << 28
_LENGTH = struct.Struct("<Q")


class CheckpointError(LanewiseError):
    """A file that is no whole checkpoint."""


def packed(about: Mapping[str, Any], state: Any) -> list[bytes | memoryview]:
    """The parts of a file, to be written one after the other; arrays are not copied.

    Parameters
    ----------
    about : mapping
        Values of JSON.
    state : any
        Made of values of JSON, tuples, arrays, and values of `CLASSES`.
    """
    arrays: dict[int, tuple[int, NDArray[Any]]] = {}
    text = json.dumps(_plain(state, arrays))
    buffers = [np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for _, array in arrays.values()]
    table, end = {}, 0
    for number, array in enumerate(buffers):
        table[str(number)] = {
            "dtype": _WORDS[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [end, end + array.nbytes],
        }
        end += array.nbytes
    return _file(json.dumps(about), text, table, [array.reshape(-1).view(np.uint8).data for array in buffers])


def with_about(data: bytes, about: Mapping[str, Any]) -> list[bytes | memoryview]:
    """The parts of the same file with something else told about it."""
    header, start = _header(data)
    texts = header.pop("__metadata__")
    return _file(json.dumps(about), texts["state"], header, [memoryview(data)[start:]])


def _file(about: str, state: str, table: Mapping[str, Any], buffers: Sequence[memoryview]) -> list[bytes | memoryview]:
    texts = {"format": FORMAT, "about": about, "state": state, "digest": _digest(about, state, table, buffers)}
    header = json.dumps({"__metadata__": texts, **table}).encode()
    header += b" " * (-len(header) % 8)
    return [_LENGTH.pack(len(header)), header, *buffers]


def _digest(about: str, state: str, table: Mapping[str, Any], buffers: Sequence[memoryview]) -> str:
    digest = hashlib.blake2b(json.dumps([FORMAT, about, state, table]).encode(), digest_size=16)
    for buffer in buffers:
        digest.update(buffer)
    return digest.hexdigest()


def about_of(path: Path) -> dict[str, Any]:
    """What a file tells without its arrays, which may be damaged.

    Raises
    ------
    CheckpointError, OSError
        It is none, or cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(_LENGTH.size)
        header, _ = _header(start + file.read(min(_LENGTH.unpack(start)[0], MOST_HEADER)) if len(start) == 8 else start)
    return _about(header)


def unpacked(data: bytes) -> tuple[dict[str, Any], Any]:
    """What `packed` was given: what is told about the training, and its state.

    Raises
    ------
    CheckpointError
        The file is another one, or not whole.
    """
    header, start = _header(data)
    about = _about(header)
    texts, buffer = header.pop("__metadata__"), memoryview(data)[start:]
    if texts.get("digest") != _digest(texts["about"], texts["state"], header, [buffer]):
        raise CheckpointError("it was cut short or changed")
    try:
        arrays = [_array(header[str(number)], buffer) for number in range(len(header))]
        return about, _made(json.loads(texts["state"]), arrays)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise CheckpointError("what it holds is no state of a training") from None


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header, and where the arrays begin."""
    try:
        end = _LENGTH.size + _LENGTH.unpack(data[: _LENGTH.size])[0]
        if end > len(data):
            raise CheckpointError("it was cut short")
        header = json.loads(data[_LENGTH.size : end])
        if header["__metadata__"]["format"] != FORMAT:
            raise CheckpointError("it is of another version, or no checkpoint")
        if not all(isinstance(header["__metadata__"][name], str) for name in ("about", "state", "digest")):
            raise CheckpointError("it is no checkpoint")
    except (KeyError, TypeError, ValueError, struct.error, RecursionError):
        raise CheckpointError("it is no checkpoint, or was cut short") from None
    return header, end


def _about(header: Mapping[str, Any]) -> dict[str, Any]:
    try:
        about = json.loads(header["__metadata__"]["about"])
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise CheckpointError("it does not say what it is of")
    return about


def _array(entry: Mapping[str, Any], buffer: memoryview) -> NDArray[Any]:
    begin, end = entry["data_offsets"]
    array = np.frombuffer(buffer[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return array.astype(array.dtype.newbyteorder("="))  # a copy, which may be written to


def names_of(kind: type) -> set[str]:
    """The attributes of a value of a class."""
    return {one.name for one in fields(kind)} if is_dataclass(kind) else set(vars(kind()))


def _plain(value: Any, arrays: dict[int, tuple[int, NDArray[Any]]]) -> Any:
    """As values of JSON; arrays are collected, each once."""
    kind = type(value).__name__
    if isinstance(value, list) and len(value) >= FEW and all(type(one) is float for one in value):
        return {"floats": _place(np.array(value, np.float64), arrays)}
    match value:
        case None | bool() | int() | float() | str():
            return value if type(value).__module__ == "builtins" else value.item()  # type: ignore[union-attr]
        case np.generic():
            return value.item()
        case np.ndarray():
            return {"array": _place(value, arrays)}
        case list():
            return [_plain(one, arrays) for one in value]
        case tuple():
            return {"tuple": [_plain(one, arrays) for one in value]}
        case Mapping():
            return {"dict": [[key, _plain(one, arrays)] for key, one in value.items()]}
    if CLASSES.get(kind) is not type(value):
        raise TypeError(f"a checkpoint cannot hold a {kind}: add it to CLASSES")
    return {kind: {name: _plain(getattr(value, name), arrays) for name in sorted(names_of(type(value)))}}


def _place(array: NDArray[Any], arrays: dict[int, tuple[int, NDArray[Any]]]) -> int:
    number, _ = arrays.setdefault(id(array), (len(arrays), array))
    return number


def _made(value: Any, arrays: Sequence[NDArray[Any]]) -> Any:
    """What `_plain` was given."""
    if isinstance(value, list):
        return [_made(one, arrays) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "array":
        return arrays[inside]
    if kind == "floats":
        return arrays[inside].tolist()
    if kind == "tuple":
        return tuple(_made(one, arrays) for one in inside)
    if kind == "dict":
        return {key: _made(one, arrays) for key, one in inside}
    made: Any = object.__new__(CLASSES[kind])
    if names_of(CLASSES[kind]) != inside.keys():
        raise ValueError(kind)
    for name, one in inside.items():
        object.__setattr__(made, name, _made(one, arrays))
    return made
