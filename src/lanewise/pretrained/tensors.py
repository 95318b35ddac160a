"""Arrays out of a file of PyTorch's tensors, of the form before 1.6, without PyTorch and without trust.

    magic | version | system | tensors by name | keys of storages      five pickles
    for each storage: its length, 8 bytes; its values                   little-endian

A pickle may call anything. This one may make an `OrderedDict` and tensors of float32 and int64; whatever else it names
is refused before it is touched.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import ModelFileError

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_FAULTS = (
    *(pickle.UnpicklingError, ValueError, TypeError, KeyError, AttributeError, IndexError, EOFError, OverflowError),
    *(MemoryError, RecursionError),
)


@dataclass(frozen=True, slots=True)
class _Storage:
    """One run of values in the file."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor: which values of a storage it is made of; steps count values."""

    storage: _Storage
    first: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]

    def array(self, values: NDArray[Any]) -> NDArray[Any]:
        """The tensor, copied; `values` are those of its storage."""
        sizes = [*self.shape, *self.steps, self.first]
        count = prod(self.shape)
        last = self.first + sum((n - 1) * step for n, step in zip(self.shape, self.steps, strict=True))
        if min(sizes) < 0 or count > len(values) or (count and last >= len(values)):
            raise ValueError("a tensor reaches beyond its storage")
        steps = [step * values.itemsize for step in self.steps]
        return np.lib.stride_tricks.as_strided(values[self.first :], self.shape, steps, writeable=False).copy()


class _Unpickler(pickle.Unpickler):
    """Makes tensors, and refuses to name anything else."""

    def find_class(self, module: str, name: str) -> Any:
        """What the pickle may name."""
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2":
                return _view
            case "torch", _ if name in _STORAGES:
                return _STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage, whose values come later in the file."""
        kind, dtype, key, _, count, *_ = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(count, int):
            raise pickle.UnpicklingError("it holds something else than tensors")
        return _Storage(str(key), dtype, count)


def _view(storage: _Storage, first: int, shape: tuple[int, ...], steps: tuple[int, ...], *_: Any) -> _View:
    return _View(storage, int(first), tuple(map(int, shape)), tuple(map(int, steps)))


def read_tensors(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """The tensors of a file, by their names.

    Parameters
    ----------
    content : bytes
        All of the file.
    name : str
        Its name, for messages.

    Returns
    -------
    dict of float32 and int64 arrays

    Raises
    ------
    ModelFileError
        The file is damaged, or holds anything but tensors.
    """
    try:
        return _tensors(io.BytesIO(content), len(content))
    except _FAULTS as error:
        raise ModelFileError(f"{name} is no file of tensors that can be read: {error}") from None


def _tensors(file: BinaryIO, size: int) -> dict[str, NDArray[Any]]:
    if _Unpickler(file).load() != _MAGIC or _Unpickler(file).load() != _VERSION:
        raise ValueError("it does not begin as such files do")
    system = _Unpickler(file).load()
    if not isinstance(system, Mapping) or system.get("little_endian") is not True:
        raise ValueError("its numbers are not little-endian")
    views, keys = _Unpickler(file).load(), _Unpickler(file).load()
    storages = {view.storage.key: view.storage for view in views.values()}
    values: dict[str, NDArray[Any]] = {}
    for key in keys:
        storage = storages[key]
        count = int.from_bytes(file.read(8), "little")
        if count != storage.count or count * storage.dtype.itemsize > size - file.tell():
            raise ValueError("it ends too early")
        values[key] = np.frombuffer(file.read(count * storage.dtype.itemsize), storage.dtype)
    return {str(name): view.array(values[view.storage.key]) for name, view in views.items()}
