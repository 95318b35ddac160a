"""`.npz` files that claim what is not true: one line, before anything is unpacked."""

from __future__ import annotations

import contextlib
import io
import resource
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lanewise.data import archive
from lanewise.data.arrays import read_npz
from lanewise.errors import DataError, LanewiseError, TooLargeError

LABELS = np.arange(6) % 2


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A quarter of a gigabyte more than there is in use, so that a bomb that goes off is noticed."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def header(shape: str, kind: str = "'|u1'", version: int = 1) -> bytes:
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text


def written(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


def bomb(path: Path, start: bytes, size: int, name: str = "x") -> Path:
    """A file whose `x` begins with `start` and goes on with `size` zeros; a thousandth of that is written."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("y.npy", npy(LABELS))
        with file.open(f"{name}.npy", "w", force_zip64=True) as member:
            member.write(start)
            block = bytes(1 << 22)
            for _ in range(size >> 22):
                member.write(block)
    return path


def refused(path: Path) -> str:
    with pytest.raises(LanewiseError) as caught:
        read_npz(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("version", [1, 2])
def test_a_file_that_unpacks_to_gigabytes(version: int, tmp_path: Path) -> None:
    size = 320 << 20
    path = bomb(tmp_path / "b.npz", header(f"({size},)", version=version), size)
    assert path.stat().st_size < 1 << 20
    assert "unpacks from 0.3 MB to 0.3 GB, as no images do" in refused(path)


def test_a_header_of_gigabytes(tmp_path: Path) -> None:
    start = b"\x93NUMPY\x02\x00" + struct.pack("<I", (1 << 32) - 1)
    assert "has a header of 4,294,967,295 bytes" in refused(bomb(tmp_path / "b.npz", start, 8 << 20))


@pytest.mark.parametrize(
    "shape",
    [
        "(7, 4, 4)",
        "(6, 4, 3)",
        "(6, 4, 4, 1000000)",
        "(-6, 4, 4)",
        f"({1 << 70},)",
        "(True, 96)",
        "(6.0, 16)",
        "x",
        "((),)",
    ],
)
def test_headers_that_lie_about_their_shape(shape: str, tmp_path: Path) -> None:
    path = written(tmp_path / "b.npz", x=header(shape) + bytes(96), y=npy(LABELS))
    assert "'x.npy'" in refused(path)


def test_what_comes_out_as_it_should(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (6, 4, 4)).astype(np.uint8)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "b.npz", x=x, y=LABELS, unused=np.array([None, 1], dtype=object))
        assert np.array_equal(read_npz(tmp_path / "b.npz").train.pixels[..., 0], x)
    black = np.zeros((6, 400, 400, 3), np.uint8)  # shrinks to a thousandth, but is small
    np.savez_compressed(tmp_path / "b.npz", x=black, y=LABELS)
    assert read_npz(tmp_path / "b.npz").train.pixels.shape == black.shape


def test_objects_and_other_things(tmp_path: Path) -> None:
    path = tmp_path / "b.npz"
    np.savez(path, x=np.array([None] * 6, dtype=object), y=LABELS)
    assert "holds Python objects" in refused(path)
    assert "is not a NumPy array" in refused(written(path, x=b"hello", y=npy(LABELS)))
    assert "is not a NumPy array" in refused(written(path, x=b"", y=npy(LABELS)))
    np.save(tmp_path / "one.npy", LABELS)
    path.write_bytes((tmp_path / "one.npy").read_bytes())
    assert "is one array" in refused(path)
    path.write_bytes(header("(1000000000000,)"))
    assert "is one array" in refused(path)


def test_names_that_come_twice_and_bytes_that_are_shared(tmp_path: Path) -> None:
    path = written(tmp_path / "b.npz", x=npy(np.zeros((6, 40, 40))), y=npy(LABELS))
    data = path.read_bytes()
    place = data.rindex(b"PK\x01\x02")  # the entry of y, which is last, begins where that of x does
    path.write_bytes(data[: place + 42] + struct.pack("<I", 0) + data[place + 46 :])
    refused(path)
    path = written(tmp_path / "b.npz", x=npy(np.zeros((6, 4, 4))), y=npy(LABELS))
    path.write_bytes(path.read_bytes().replace(b"y.npy", b"x.npy"))
    assert "two arrays of one name" in refused(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.npz", "w", method) as file:
        file.writestr("x.npy", npy(np.zeros((6, 4, 4))))
        file.writestr("y.npy", npy(LABELS))
    assert "NumPy does not pack" in refused(tmp_path / "b.npz")


def test_more_than_there_is_memory_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "b.npz", x=np.zeros((6, 40, 40)), y=LABELS)
    monkeypatch.setattr(archive, "available_memory", lambda: 50_000)
    with pytest.raises(TooLargeError, match="memory are free: use a folder"):
        read_npz(tmp_path / "b.npz")


def test_files_cut_short_or_changed_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "b.npz"
    np.savez_compressed(path, x=np.arange(96).reshape(6, 4, 4), y=LABELS)
    data = path.read_bytes()
    draw = np.random.default_rng(0)
    for n in range(300):
        changed = bytearray(data[: int(draw.integers(len(data)))] if n % 3 == 0 else data)
        for place in draw.integers(max(1, len(changed)), size=n % 3):
            changed[place] = int(draw.integers(256))
        path.write_bytes(changed)
        with contextlib.suppress(DataError, TooLargeError):
            read_npz(path)
