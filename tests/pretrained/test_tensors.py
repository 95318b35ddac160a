"""Files of tensors are read without PyTorch, and nothing in them is trusted."""

import io
import os
import pickle
import random
import struct
import sys
from collections import OrderedDict
from contextlib import suppress
from types import ModuleType

import numpy as np
import pytest

from lanewise.errors import ModelFileError
from lanewise.pretrained.tensors import read_tensors

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001


class Storage:
    """Stands for a storage while it is pickled."""

    def __init__(self, key, kind, count):
        self.key, self.kind, self.count = key, kind, count


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return ("storage", obj.kind, obj.key, "cpu", obj.count, None) if isinstance(obj, Storage) else None


@pytest.fixture
def torch(monkeypatch):
    """Modules with the names that such files mention."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    for kind in ("FloatStorage", "LongStorage", "DoubleStorage"):
        setattr(torch, kind, type(kind, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*parts):
        raise AssertionError

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    setattr(utils, "_rebuild_tensor_v2", _rebuild_tensor_v2)  # noqa: B010
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch


class Tensor:
    def __init__(self, storage, first, shape, steps):
        self.parts = storage, first, shape, steps, False, OrderedDict()

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.parts


def content(tensors, values, *, magic=MAGIC, version=VERSION, system=None):
    """A file: `tensors` by name, and the values of each storage by its key."""
    file = io.BytesIO()
    for one in (magic, version, {"little_endian": True} if system is None else system, tensors, list(values)):
        Pickler(file, 2).dump(one)
    for array in values.values():
        file.write(struct.pack("<q", array.size) + array.tobytes())
    return file.getvalue()


@pytest.fixture
def two(torch):
    a = np.arange(24, dtype=np.float32)
    b = np.array([7], np.int64)
    first, second = Storage("a", torch.FloatStorage, 24), Storage("b", torch.LongStorage, 1)
    tensors = OrderedDict(
        plain=Tensor(first, 0, (4, 6), (6, 1)),
        turned=Tensor(first, 2, (3, 2), (1, 6)),
        scalar=Tensor(second, 0, (), ()),
    )
    return tensors, {"a": a, "b": b}


def test_tensors_are_read_as_they_lie_in_their_storages(two):
    found = read_tensors(content(*two), "file")
    assert list(found) == ["plain", "turned", "scalar"]
    assert np.array_equal(found["plain"], np.arange(24).reshape(4, 6))
    assert np.array_equal(found["turned"], [[2, 8], [3, 9], [4, 10]])
    assert found["scalar"] == 7
    assert found["plain"].dtype == np.float32
    assert found["plain"].flags.writeable


class Harm:
    """Would run a command if it were loaded."""

    def __reduce__(self):
        return os.system, ("exit 3",)


@pytest.mark.parametrize(
    "harm",
    [Harm(), print, getattr, ModelFileError],
    ids=["a command", "a built-in function", "another", "a class of ours"],
)
def test_whatever_is_no_tensor_is_refused_before_it_is_touched(two, harm):
    tensors, values = two
    with pytest.raises(ModelFileError, match=r"names \S+, which is no tensor|cannot|no file of tensors"):
        read_tensors(content(OrderedDict(tensors, harm=harm), values), "file")


def test_a_storage_of_another_type_is_refused(torch):
    storage = Storage("a", torch.DoubleStorage, 1)
    file = content({"a": Tensor(storage, 0, (1,), (1,))}, {"a": np.zeros(1)})
    with pytest.raises(ModelFileError, match=r"names torch\.DoubleStorage"):
        read_tensors(file, "file")


@pytest.mark.parametrize(
    ("first", "shape", "steps"),
    [(20, (5,), (1,)), (0, (25,), (1,)), (0, (2,), (24,)), (0, (2,), (-1,)), (-1, (1,), (1,)), (0, (10**9,), (0,))],
)
def test_a_tensor_beyond_its_storage_is_refused(torch, first, shape, steps):
    storage = Storage("a", torch.FloatStorage, 24)
    file = content({"a": Tensor(storage, first, shape, steps)}, {"a": np.zeros(24, np.float32)})
    with pytest.raises(ModelFileError, match="beyond its storage"):
        read_tensors(file, "file")


@pytest.mark.parametrize("change", [{"magic": 3}, {"version": 2}, {"system": {"little_endian": False}}])
def test_another_kind_of_file_is_refused(two, change):
    with pytest.raises(ModelFileError, match="file is no file of tensors"):
        read_tensors(content(*two, **change), "file")


def test_damaged_files_are_refused_or_read_and_never_worse(two):
    sound = content(*two)
    choose = random.Random(20)
    for _ in range(1500):
        damaged = bytearray(sound[: choose.randrange(len(sound))] if choose.random() < 0.3 else sound)
        for _ in range(choose.randrange(1, 4)):
            if damaged:
                damaged[choose.randrange(len(damaged))] = choose.randrange(256)
        with suppress(ModelFileError):
            read_tensors(bytes(damaged), "file")
