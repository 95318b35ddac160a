"""Decoded images on disk: one file a folder and image size, mapped into memory when it is large.

    .npy header | pixels | 64 zero bytes | JSON | length of the JSON, CRC-32 of the JSON, b"LANEPIX1"

A NumPy file with something after its end, so `numpy.load` opens it. The JSON holds what else is known of the images,
the stamp of the files they were decoded from, and the CRC-32 of the pixels. A file is written under a temporary name
and renamed, so processes may do that at the same time; one that is damaged or out of date counts for nothing, and so
does one that another user may have written.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import struct
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lanewise.data.images import SLACK, Pixels, empty_pixels
from lanewise.private import open_private, private_folder

IN_MEMORY = 64 * 2**20
"""Sets of fewer bytes are read into memory, larger ones are mapped."""

_SUFFIX = ".images.npy"
_OURS = re.compile(r"[0-9a-f]{32}(\.images\.npy|-\w+\.tmp)")
_FOOT = struct.Struct("<QI8s")
_MAGIC = b"LANEPIX1"
_BLOCK = 8 * 2**20
_DAY = 86400.0

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A cache file that is being written: `pixels` is mapped from it, to be filled in and given to `publish`."""

    pixels: np.memmap[Any, np.dtype[np.uint8]]
    path: Path


def entry(folder: Path, key: str) -> Path:
    """The file that belongs to `key`, 32 hexadecimal digits."""
    return folder / (key + _SUFFIX)


def read(path: Path, stamp: str) -> tuple[Pixels, dict[str, Any]] | None:
    """Read the pixels and what else is known of them; None unless all of the file is sound and has this stamp.

    Returns
    -------
    pixels : (N, rows, columns, channels) uint8
        Read-only when mapped.
    known : dict
        What was given to `publish`.
    """
    if not private_folder(path.parent):
        return None
    try:
        with open(open_private(path), "rb") as file:
            foot_at = file.seek(-_FOOT.size, os.SEEK_END)
            length, crc, magic = _FOOT.unpack(file.read(_FOOT.size))
            if magic != _MAGIC or length > foot_at:
                return None
            file.seek(foot_at - length)
            text = file.read(length)
            if zlib.crc32(text) != crc:
                return None
            about = json.loads(text)
            if about["stamp"] != stamp:
                return None
            with contextlib.suppress(OSError):  # in use: not to be swept away
                os.utime(file.fileno() if os.utime in os.supports_fd else path)
            pixels = _stored(file, tuple(about["shape"]), foot_at - length)
        if pixels is None or _crc(pixels) != about["crc"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known: dict[str, Any] = about["known"]
    return pixels, known


def reserve(path: Path, shape: Shape) -> Draft | None:
    """Begin a cache file with room for pixels of `shape`; None where it cannot be written."""
    start = len(_npy_header(shape))
    size = start + math.prod(shape) + SLACK
    if not private_folder(path.parent):
        return None
    try:
        _sweep(path.parent)
        descriptor, name = tempfile.mkstemp(".tmp", path.name.removesuffix(_SUFFIX) + "-", path.parent)
    except OSError:
        return None
    try:
        _take_room(descriptor, size)
        return Draft(np.memmap(name, np.uint8, "r+", start, shape), Path(name))
    except OSError:
        os.unlink(name)
        return None
    finally:
        os.close(descriptor)


def publish(draft: Draft, path: Path, count: int, stamp: str, known: dict[str, Any]) -> Pixels:
    """Give a file whose first `count` images are filled in its final name.

    Parameters
    ----------
    draft : Draft
    path : Path
    count : int
    stamp : str
        Of the files that the pixels come from; the entry is valid only for the same stamp.
    known : dict
        Values that JSON can hold, kept with the pixels.

    Returns
    -------
    pixels : (count, rows, columns, channels) uint8
        Mapped from the file, read-only; also if the file could not be finished.
    """
    pixels: Pixels = draft.pixels[:count]
    shape = pixels.shape
    about = {"shape": shape, "stamp": stamp, "crc": _crc(pixels), "known": known}
    text = json.dumps(about).encode()
    try:
        draft.pixels.flush()
        with open(draft.path, "r+b") as file:
            header = _npy_header(shape)
            file.write(header)
            end = len(header) + pixels.size
            file.truncate(end)
            file.seek(end)
            file.write(bytes(SLACK) + text + _FOOT.pack(len(text), zlib.crc32(text), _MAGIC))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft.path, path)
    except OSError:
        discard(draft)
    pixels.flags.writeable = False
    return pixels


def discard(draft: Draft) -> None:
    """Give a file up before it is published."""
    with contextlib.suppress(OSError):
        draft.path.unlink()


def write(path: Path, pixels: Pixels, stamp: str, known: dict[str, Any]) -> None:
    """Keep pixels that are in memory, if possible.

    Parameters
    ----------
    path : Path
    pixels : (N, rows, columns, channels) uint8
    stamp : str
    known : dict
        As in `publish`.
    """
    draft = reserve(path, pixels.shape)
    if draft is not None:
        draft.pixels[...] = pixels
        publish(draft, path, len(pixels), stamp, known)


def _stored(file: BinaryIO, shape: Shape, end: int) -> Pixels | None:
    """The pixels of an open cache file whose JSON begins at `end`; None if they are not where they should be."""
    header = _npy_header(shape)
    size = math.prod(shape)
    file.seek(0)
    if file.read(len(header)) != header or len(header) + size + SLACK != end:
        return None
    if size >= IN_MEMORY:
        return np.memmap(file, np.uint8, "r", len(header), shape)
    pixels = empty_pixels(shape)
    return pixels if file.readinto(pixels.reshape(-1).data) == size else None  # type: ignore[attr-defined]


def _take_room(descriptor: int, size: int) -> None:
    """Make a file `size` bytes long now, so that no full disk is found out while writing to mapped memory."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    for start in range(0, size, _BLOCK):
        os.write(descriptor, bytes(min(_BLOCK, size - start)))


def _npy_header(shape: Shape) -> bytes:
    """How a NumPy file of bytes begins; NumPy leaves room in it, so its length does not depend on the first axis."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _crc(pixels: Pixels) -> int:
    flat = pixels.reshape(-1)
    crc = 0
    for start in range(0, flat.size, _BLOCK):
        crc = zlib.crc32(flat[start : start + _BLOCK].data, crc)
    return crc


def _sweep(folder: Path) -> None:
    """Remove what nobody read for 30 days, and what a killed process left half written a day ago."""
    now = time.time()
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > (_DAY if path.suffix == ".tmp" else 30 * _DAY):
                    path.unlink()
