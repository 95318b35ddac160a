"""What the tests of kernels share: running a program both ways, and moving values into lanes and out of them."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import numpy.typing as npt

from lanewise import kernels
from lanewise.caching import Cache
from lanewise.engine.native import Library
from lanewise.kernels import single
from lanewise.kernels.layout import Layout
from lanewise.lanes.interpret import interpret
from lanewise.lanes.program import LANES, Program
from lanewise.target import host, named

Arrays = list[npt.NDArray[Any]]

TARGETS = ("host", "avx2", "x86-64")
"""Those that any x86-64 machine since 2013 can run."""

SMALL = 150
"""Values of a program that is compiled for all targets: LLVM takes twice as long for avx2, five times for x86-64."""


def aligned(scalars: int, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """Zeros that start at a multiple of 64 bytes."""
    bytes = scalars * np.dtype(dtype).itemsize
    raw = np.zeros(bytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + bytes].view(dtype)


def buffer(values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """Flat, aligned copy of `values`."""
    flat = np.asarray(values, dtype).ravel()
    copy = aligned(flat.size, dtype)
    copy[:] = flat
    return copy


def by_tree(rows: Arrays) -> npt.NDArray[Any]:
    """The sum in the order that `kernels/shards.py` promises, float32 after float32."""
    if len(rows) == 1:
        return rows[0]
    left = -(-len(rows) // 2)
    return by_tree(rows[:left]) + by_tree(rows[left:])


def into_lanes(values: npt.ArrayLike, layout: Layout) -> npt.NDArray[np.float32]:
    """A buffer for `layout` holding (n <= 16, channels, rows, columns); other lanes and the border are zero."""
    array = np.asarray(values, np.float32)
    array = array.reshape(len(array), *layout.shape)
    whole = _whole(aligned(layout.scalars), layout)
    _inside(whole, layout)[..., : len(array)] = np.moveaxis(array, 0, -1)
    return whole.reshape(-1)


def from_lanes(data: npt.NDArray[np.float32], layout: Layout, count: int = LANES) -> npt.NDArray[np.float32]:
    """(count, channels, rows, columns) out of a buffer for `layout`."""
    return np.moveaxis(_inside(_whole(data, layout), layout)[..., :count], -1, 0).copy()


def border_of(data: npt.NDArray[np.float32], layout: Layout) -> npt.NDArray[np.float32]:
    """A copy of a buffer with its inside set to zero: what is left is the border."""
    whole = _whole(data.copy(), layout)
    _inside(whole, layout)[...] = 0
    return whole.reshape(-1)


def _whole(data: npt.NDArray[np.float32], layout: Layout) -> npt.NDArray[np.float32]:
    top, left, bottom, right = layout.border
    channels, rows, columns = layout.shape
    return data.reshape(channels, top + rows + bottom, left + columns + right, LANES)


def _inside(whole: npt.NDArray[np.float32], layout: Layout) -> npt.NDArray[np.float32]:
    top, left, _, _ = layout.border
    _, rows, columns = layout.shape
    return whole[:, top : top + rows, left : left + columns]


def run(program: Program, buffers: Arrays) -> Arrays:
    """Copies of the buffers after interpreting the program."""
    results = [buffer(b, b.dtype) for b in buffers]
    interpret(program, results)
    return results


@cache
def _code_cache() -> Cache:
    return Cache()


def run_native(program: Program, buffers: Arrays, target: str = "host") -> Arrays:
    """Copies of the buffers after running the program's machine code for `target`."""
    results = [buffer(b, b.dtype) for b in buffers]
    chosen = host() if target == "host" else named(target)
    library = Library([program], chosen, _code_cache())
    pointers = (ctypes.c_void_p * len(results))(*(b.ctypes.data for b in results))
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library.addresses()[0])(ctypes.addressof(pointers))
    return results


def targets_of(program: Program) -> tuple[str, ...]:
    """All targets for a small program; for a large one this machine and another, which its digest chooses."""
    if len(program.types) <= SMALL:
        return TARGETS
    return "host", "x86-64" if int(program.digest[:8], 16) % 4 == 0 else "avx2"


def run_everywhere(program: Program, buffers: Arrays, targets: tuple[str, ...] = ()) -> Arrays:
    """As `run`, after checking that machine code for each target (by default `targets_of`) leaves the very same bits.

    What differs between targets is how operations are spelled, and lanes/test_fuzz.py asks that of all of them.
    """
    results = run(program, buffers)
    for target in targets or targets_of(program):
        for spec, expected, came in zip(program.buffers, results, run_native(program, buffers, target), strict=True):
            same = np.array_equal(expected.view(np.uint8), came.view(np.uint8))
            assert same, f"{program.name} for {target}: {spec.name} differs from the interpreter's"
    return results


@cache
def all_kernels() -> list[Any]:
    """Every function of the package that is a `kernel`, found by looking."""
    folders = [(package.__name__, package.__path__) for package in (kernels, single)]
    modules = [import_module(f"{name}.{each.name}") for name, path in folders for each in iter_modules(path)]
    found = [function for module in modules for function in vars(module).values()]
    own = [function for function in found if hasattr(function, "cache_clear")]
    of_programs = [function for function in own if function.__wrapped__.__annotations__["return"] == "Program"]
    return list({id(function): function for function in of_programs}.values())
