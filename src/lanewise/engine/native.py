"""Lane programs as machine code, and the cache on disk that makes the second time quick.

One file per program, named by the digest of all that decides its bits: the program's text, the renderer's version,
LLVM's version, the processor's name and features.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import resources
from itertools import chain
from threading import Lock
from typing import Any

from llvmlite import binding

from lanewise.cache_limit import keep_within_limit
from lanewise.caching import Cache
from lanewise.errors import LanewiseError
from lanewise.lanes.llvm import render
from lanewise.lanes.program import Program
from lanewise.target import Target, default_threads

RENDERER_VERSION = 2
"""Raise it whenever `lanes/llvm.py` changes what is emitted for the same program."""

MACHINE_OPTIONS: dict[str, Any] = {"opt": 2, "reloc": "static", "codemodel": "jitdefault"}
"""Addresses are written into the code when it is loaded. With position-independent code LLVM's loader got calls within
an object wrong by one entry of the offset table, once an object before it had called a function of the C library."""

MOST_COMPILERS = 8
"""Threads that compile at the same time: a network has a few dozen kernels, and each thread takes some megabytes."""

_FAMILIES = {"x86_64": "x86", "amd64": "x86", "aarch64": "aarch64", "arm64": "aarch64"}
_lock = Lock()  # one library is made at a time

if hasattr(os, "register_at_fork"):
    # LLVM has locks of its own, which no child could free: so a fork waits until what is being compiled is done.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


@cache
def _check_executable_memory() -> None:
    """Raise LanewiseError where the system lets no memory be made executable: LLVM would crash there."""
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None, use_errno=True)
    with mmap.mmap(-1, mmap.PAGESIZE) as memory:
        view = ctypes.c_char.from_buffer(memory)
        address = ctypes.c_void_p(ctypes.addressof(view))
        refused = library.mprotect(address, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_EXEC)
        reason = os.strerror(ctypes.get_errno())
        if not refused:
            library.mprotect(address, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_WRITE)
        del view
    if refused:
        raise LanewiseError(
            f"the system lets no memory be made executable here ({reason}), and Lanewise makes code as it runs; "
            "allow it for this process (PR_SET_MDWE, MemoryDenyWriteExecute= of systemd, or execmem of SELinux)"
        )


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
    _finish(module, target)
    return module


def _finish(module: binding.ModuleRef, target: Target) -> None:
    module.triple = binding.get_default_triple()
    module.data_layout = str(_machine(target).target_data)
    module.verify()


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


Text = Callable[[], str]
"""Makes LLVM's text when it is asked for."""


def _add_program(texts: dict[str, Text], program: Program, target: Target) -> str:
    """Note what a program's machine code is made from, under its key; the symbol of its function."""
    key = _key(program.digest, target)
    texts[key] = lambda: render(program, f"k{key}", target)
    return f"k{key}"


def _add_driver(texts: dict[str, Text], target: Target) -> str:
    text = driver_text(binding.get_default_triple())
    key = _key(text, target)
    texts[key] = lambda: text.replace("@driver", f"@d{key}")
    return f"d{key}"


def _objects(texts: dict[str, Text], target: Target, cache: Cache) -> list[bytes]:
    """The machine code of all of them, from the cache or else compiled and kept."""
    found = {key: cache.find(key) for key in texts}
    missing = [key for key, code in found.items() if code is None]
    if missing:
        for key, code in zip(missing, compiled([texts[key] for key in missing], target), strict=True):
            cache.keep(key, code)
            found[key] = code
        keep_within_limit()
    return [code for code in found.values() if code is not None]


def compiled(texts: Sequence[Text], target: Target) -> list[bytes]:
    """Object code of each text, made on as many threads as there are processors, up to `MOST_COMPILERS`.

    Threads have nothing of LLVM's in common, as LLVM wants it: each text has a context, each thread a machine.
    """
    from concurrent.futures import ThreadPoolExecutor  # 4 ms that a network found in the cache need not wait

    numbers = iter(range(len(texts)))  # threads take one after the other

    def work(_: int) -> list[tuple[int, bytes]]:
        machine = _fresh_machine(target)
        return [(n, _compile(texts[n](), target, machine)) for n in numbers]

    threads = min(default_threads(), MOST_COMPILERS, len(texts))
    with ThreadPoolExecutor(threads) as pool:
        done = dict(chain.from_iterable(pool.map(work, range(threads))))
    return [done[n] for n in range(len(texts))]


def _compile(text: str, target: Target, machine: binding.TargetMachine) -> bytes:
    # A module must be gone before its context is, whatever happens; left to Python, an exception turned that around.
    with binding.create_context() as context, binding.parse_assembly(text, context) as module:
        _finish(module, target)
        return _emit(machine, module)


def _emit(machine: binding.TargetMachine, module: binding.ModuleRef) -> bytes:
    """What `machine.emit_object(module)` returns.

    llvmlite lets one thread at a time into LLVM. Here its lock is left out, if it is where it has been so far.
    """
    lib = binding.ffi.lib
    emit = getattr(lib.LLVMPY_TargetMachineEmitToMemory, "_cfn", lib.LLVMPY_TargetMachineEmitToMemory)
    with binding.ffi.OutputString() as complaint:
        buffer = emit(machine, module, 1, complaint)
        if not buffer:
            raise LanewiseError(f"LLVM made no machine code: {complaint or 'it does not say why'}")
    try:
        return ctypes.string_at(lib.LLVMPY_GetBufferStart(buffer), lib.LLVMPY_GetBufferSize(buffer))
    finally:
        lib.LLVMPY_DisposeMemoryBuffer(buffer)


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
        _check_executable_memory()
        self.cache = cache or Cache()
        with _lock:
            # The engine takes ownership of its machine, so it gets one of its own.
            self._engine = binding.create_mcjit_compiler(_parse("", target), _fresh_machine(target))
            texts: dict[str, Text] = {}  # by key
            self._symbols = [_add_program(texts, program, target) for program in programs]
            self.driver_symbol = _add_driver(texts, target)
            for code in _objects(texts, target, self.cache):
                self._engine.add_object_file(binding.ObjectFileRef.from_data(code))
            self._engine.finalize_object()

    def addresses(self) -> list[int]:
        """The address of each program's function, `void (void **buffers)`, in the order given."""
        return [int(self._engine.get_function_address(symbol)) for symbol in self._symbols]

    def driver(self) -> Callable[[Any, int], None]:
        """The driver, `driver(job, thread)`; see `driver.ll`."""
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
        return prototype(self._engine.get_function_address(self.driver_symbol))
