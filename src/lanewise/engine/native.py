"""Lane programs as machine code, and the cache on disk that makes the second time quick.

One file per program, named by the digest of all that decides its bits: the program's text, the renderer's version,
LLVM's version, the processor's name and features.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from importlib import resources
from threading import Lock
from typing import Any

from llvmlite import binding

from lanewise.caching import Cache
from lanewise.errors import LanewiseError
from lanewise.lanes.llvm import render
from lanewise.lanes.program import Program
from lanewise.target import Target

RENDERER_VERSION = 1
"""Raise it whenever `lanes/llvm.py` changes what is emitted for the same program."""

MACHINE_OPTIONS: dict[str, Any] = {"opt": 2, "reloc": "static", "codemodel": "jitdefault"}
"""Addresses are written into the code when it is loaded. With position-independent code LLVM's loader got calls within
an object wrong by one entry of the offset table, once an object before it had called a function of the C library."""

_FAMILIES = {"x86_64": "x86", "amd64": "x86", "aarch64": "aarch64", "arm64": "aarch64"}
_lock = Lock()  # LLVM is used by one thread at a time


@cache
def _initialise() -> str:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return ".".join(map(str, binding.llvm_version_info))


@cache
def _machine(target: Target) -> binding.TargetMachine:
    return _fresh_machine(target)


def _fresh_machine(target: Target) -> binding.TargetMachine:
    _initialise()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=target.cpu, features=target.features, jit=True, **MACHINE_OPTIONS
    )


def _parse(text: str, target: Target) -> binding.ModuleRef:
    module = binding.parse_assembly(text)
    module.triple = binding.get_default_triple()
    module.data_layout = str(_machine(target).target_data)
    module.verify()
    return module


def assembly(program: Program, target: Target) -> str:
    """The assembly text of a program, for people and for tests that read it."""
    with _lock:
        return str(_machine(target).emit_assembly(_parse(render(program, "kernel", target), target)))


def driver_text(triple: str) -> str:
    """LLVM's text of the driver for processors of the family that `triple` names."""
    family = _FAMILIES.get(triple.partition("-")[0])
    if family is None:
        raise LanewiseError(f"Lanewise makes code for x86-64 and AArch64 processors; this one is {triple}")
    folder = resources.files("lanewise.engine")
    return "".join(folder.joinpath(name).read_text() for name in ("driver.ll", f"driver_{family}.ll"))


def _key(text: str, target: Target) -> str:
    parts = (text, str(RENDERER_VERSION), str(MACHINE_OPTIONS), _initialise(), binding.get_default_triple())
    return hashlib.sha256("\0".join((*parts, target.cpu, target.features, str(target.bits))).encode()).hexdigest()


class Library:
    """Compiled programs in memory. Function addresses are valid for as long as the library lives, so keep it.

    Parameters
    ----------
    programs : iterable of Program
        Equal programs (whatever their names) are compiled once.
    target : Target
    cache : Cache, optional
        Where object code is kept between processes; the user's cache folder by default.
    """

    def __init__(self, programs: Iterable[Program], target: Target, cache: Cache | None = None) -> None:
        self.cache = cache or Cache()
        with _lock:
            # The engine takes ownership of its machine, so it gets one of its own.
            self._engine = binding.create_mcjit_compiler(_parse("", target), _fresh_machine(target))
            self._added: set[str] = set()
            self._symbols = [self._add_program(program, target) for program in programs]
            self.driver_symbol = self._add_driver(target)
            self._engine.finalize_object()

    def _add_program(self, program: Program, target: Target) -> str:
        key = _key(program.digest, target)
        symbol = f"k{key}"
        self._add(symbol, key, lambda: render(program, symbol, target), target)
        return symbol

    def _add_driver(self, target: Target) -> str:
        text = driver_text(binding.get_default_triple())
        key = _key(text, target)
        symbol = f"d{key}"
        self._add(symbol, key, lambda: text.replace("@driver", f"@{symbol}"), target)
        return symbol

    def _add(self, symbol: str, key: str, text: Callable[[], str], target: Target) -> None:
        if symbol in self._added:
            return
        self._added.add(symbol)
        code = self.cache.get(key, lambda: bytes(_machine(target).emit_object(_parse(text(), target))))
        self._engine.add_object_file(binding.ObjectFileRef.from_data(code))

    def addresses(self) -> list[int]:
        """The address of each program's function, `void (void **buffers)`, in the order given."""
        return [int(self._engine.get_function_address(symbol)) for symbol in self._symbols]

    def driver(self) -> Callable[[Any, int], None]:
        """The driver, `driver(job, thread)`; see `driver.ll`."""
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
        return prototype(self._engine.get_function_address(self.driver_symbol))
