"""Machine code and its cache: found again, never trusted when damaged, and no failure where there is none."""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
import sys
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import numpy as np
import pytest
from llvmlite import binding

from lanewise import private
from lanewise.caching import Cache
from lanewise.engine import native
from lanewise.engine.native import Library, driver_text
from lanewise.errors import LanewiseError, LanewiseWarning
from lanewise.lanes.ir import Program
from lanewise.lanes.llvm import render
from lanewise.lanes.program import Recorder
from lanewise.target import host, named
from tests.kernels import support

posix = pytest.mark.skipif(os.name == "nt", reason="owners and modes are those of POSIX")


def double(factor: float = 2.0, name: str = "double") -> Program:
    k = Recorder(name)
    x = k.lanes("x", (1,))
    x[0] = x[0] * factor
    return k.program()


def works(cache: Cache, factor: float = 2.0) -> bool:
    """Compile through `cache`, run, and say whether the result is right."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(support, "_code_cache", lambda: cache)
        (came,) = support.run_native(double(factor), [support.buffer(np.arange(16.0))])
    return bool((came == factor * np.arange(16)).all())


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.o"))


def test_second_time_is_found(tmp_path: Path) -> None:
    first, second = Cache(tmp_path), Cache(tmp_path)
    assert works(first)
    assert (first.hits, first.misses) == (0, 2)  # the program and the driver
    assert works(second)
    assert (second.hits, second.misses) == (2, 0)
    assert len(list(tmp_path.iterdir())) == 3, "beside the secret, a temporary file was left"


def test_what_decides_the_bits_decides_the_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def misses(program: Program, target: str) -> int:
        cache = Cache(tmp_path)
        Library([program], named(target), cache)
        return cache.misses

    assert misses(double(), "avx2") == 2
    assert misses(double(name="other name"), "avx2") == 0
    assert misses(double(3.0), "avx2") == 1
    assert misses(double(), "x86-64") == 2
    monkeypatch.setattr(native, "RENDERER_VERSION", native.RENDERER_VERSION + 1)
    assert misses(double(), "avx2") == 2


def test_equal_programs_are_compiled_once(tmp_path: Path) -> None:
    library = Library([double(), double(3.0), double(name="again")], host(), Cache(tmp_path))
    first, other, again = library.addresses()
    assert first == again != other
    assert len(entries(tmp_path)) == 3


def flipped(entry: bytes) -> bytes:
    return entry[:-9] + bytes([entry[-9] ^ 1]) + entry[-8:]


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda entry: entry[:40] + bytes([entry[40] ^ 128]) + entry[41:],
        lambda entry: entry[: len(entry) // 2],
        lambda entry: entry[:30],
        lambda entry: b"",
        lambda entry: b"\x7fELF something else altogether",
        lambda entry: entry + b"\0",
    ],
    ids=["flipped bit", "flipped bit early", "cut in half", "cut in the head", "empty", "foreign", "longer"],
)
def test_damaged_entry_is_rebuilt(tmp_path: Path, damage: object) -> None:
    assert works(Cache(tmp_path))
    whole = {path: path.read_bytes() for path in entries(tmp_path)}
    for path, entry in whole.items():
        path.write_bytes(damage(entry))  # type: ignore[operator]
    cache = Cache(tmp_path)
    assert works(cache)
    assert (cache.hits, cache.misses) == (0, 2)
    assert {path: path.read_bytes() for path in entries(tmp_path)} == whole


def test_entry_under_a_wrong_name_is_rebuilt(tmp_path: Path) -> None:
    """A whole entry, but of another program: it has no function of the name that is asked for."""
    assert works(Cache(tmp_path), 2.0)
    two = set(entries(tmp_path))
    assert works(Cache(tmp_path), 3.0)
    (three,) = set(entries(tmp_path)) - two
    for path in two:
        path.write_bytes(three.read_bytes())
    cache = Cache(tmp_path)
    assert works(cache, 2.0)
    assert cache.hits == 0


def test_entry_that_is_a_folder(tmp_path: Path) -> None:
    assert works(Cache(tmp_path))
    for path in entries(tmp_path):
        path.unlink()
        path.mkdir()
    assert works(Cache(tmp_path))
    assert not list(tmp_path.glob("*.part")), "a temporary file was left"


# The folder


@posix
def test_only_the_owner_may_enter(tmp_path: Path) -> None:
    made, found = tmp_path / "a" / "b", tmp_path / "open"
    found.mkdir(mode=0o755)
    for folder in (made, found):
        assert works(Cache(folder))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert entries(folder)
        assert all(not stat.S_IMODE(path.stat().st_mode) & 0o077 for path in entries(folder))


@posix
def test_folder_of_someone_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert works(Cache(tmp_path))
    before = os.listdir(tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.warns(LanewiseWarning, match="belongs to another user"):
        cache = Cache(tmp_path)
    assert works(cache, 5.0)
    assert works(cache)
    assert cache.hits == 0
    assert os.listdir(tmp_path) == before


def test_folder_that_cannot_be_made_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "code")
    assert works(cache)
    assert cache.misses == 2


def test_folder_that_cannot_be_written_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    cache = Cache(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(private, "_create", full)
        assert works(cache)
    with monkeypatch.context() as patch:
        patch.setattr(private.os, "replace", full)  # type: ignore[attr-defined]
        assert works(cache)
    assert [path.name for path in tmp_path.iterdir()] == [private.SECRET], (
        "nothing may be left of an entry that could not be written"
    )


PROCESS = """
import sys
from pathlib import Path
from lanewise.caching import Cache
from lanewise.errors import LanewiseWarning
from tests.engine.test_native import works
cache = Cache(Path(sys.argv[1]))
assert all(works(cache, float(factor)) for factor in range(1, 20))
"""


def test_two_processes_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROCESS, str(tmp_path)]
    root = Path(__file__).parents[2]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=root) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    assert len(entries(tmp_path)) == 20
    assert not list(tmp_path.glob("*.part"))
    cache = Cache(tmp_path)
    assert all(works(cache, float(factor)) for factor in range(1, 20))
    assert cache.misses == 0


# Compiling


EMIT = "LLVMPY_TargetMachineEmitToMemory"


def texts(count: int) -> list[native.Text]:
    return [lambda n=n: render(double(float(n)), f"k{n}", host()) for n in range(count)]  # type: ignore[misc]


@pytest.mark.parametrize("threads", [1, 3, 100])
def test_compiled_as_llvmlite_does(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "default_threads", lambda: threads)
    machine = native._fresh_machine(host())
    expected = [machine.emit_object(native._parse(text(), host())) for text in texts(20)]
    assert native.compiled(texts(20), host()) == expected
    assert len(set(expected)) == 20


def test_compiled_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of two texts is there as soon as the other is asked for."""
    monkeypatch.setattr(native, "default_threads", lambda: 2)
    met = Barrier(2, timeout=600)

    def text() -> str:
        met.wait()
        return render(double(), "k", host())

    assert len(set(native.compiled([text, text], host()))) == 1


def test_without_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another llvmlite, `_emit` may have to leave its lock out in another way."""
    expected, locked = native.compiled(texts(3), host()), getattr(binding.ffi.lib, EMIT)
    assert isinstance(locked._cfn, ctypes._CFuncPtr)  # type: ignore[attr-defined]
    monkeypatch.setitem(binding.ffi.lib._fntab, EMIT, SimpleNamespace(_cfn=locked._cfn))
    assert native.compiled(texts(3), host()) == expected


def test_with_the_lock_where_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, locked = native.compiled(texts(3), host()), getattr(binding.ffi.lib, EMIT)
    monkeypatch.setitem(binding.ffi.lib._fntab, EMIT, lambda *args: locked(*args))
    assert native.compiled(texts(3), host()) == expected


def test_mistakes_come_out_of_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="expected top-level entity"):
        native.compiled([*texts(2), lambda: "nonsense"], host())
    monkeypatch.setitem(binding.ffi.lib._fntab, EMIT, lambda *args: None)
    with pytest.raises(LanewiseError, match="LLVM made no machine code"):
        native.compiled(texts(3), host())


def test_modules_are_gone_before_their_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where something goes wrong; Python would let them go in any order then, and LLVM would crash."""
    gone: list[str] = []
    for kind in (binding.ModuleRef, binding.ContextRef):
        dispose = kind._dispose
        monkeypatch.setattr(kind, "_dispose", lambda ref, of=dispose: (gone.append(type(ref).__name__), of(ref)))
    monkeypatch.setitem(binding.ffi.lib._fntab, EMIT, lambda *args: None)
    with pytest.raises(LanewiseError, match="LLVM made no machine code") as caught:
        native.compiled(texts(1), host())
    assert caught.value is not None
    assert gone == ["ModuleRef", "ContextRef"]


# The driver's text


def test_driver_for_each_family() -> None:
    for triple in ("x86_64-pc-linux-gnu", "aarch64-apple-darwin", "arm64-apple-darwin"):
        module = binding.parse_assembly(driver_text(triple))
        defined = {function.name for function in module.functions if not function.is_declaration}
        assert defined == {"driver", "meet", "flush_denormals", "restore_control", "wait_a_moment"}
    with pytest.raises(LanewiseError, match=r"x86-64 and AArch64 processors; this one is riscv64"):
        driver_text("riscv64-unknown-linux-gnu")
