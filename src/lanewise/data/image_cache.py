"""Decoded images on disk: one file a folder and image size, mapped into memory when it is large.

    .npy header | pixels | 64 zero bytes | JSON | length of the JSON, CRC-32 of the JSON, b"LANEPIX2"

A NumPy file with something after its end, so `numpy.load` opens it. The JSON holds what else is known of the images,
the stamp of the files they were decoded from, and a checksum of the pixels. A file is written under a temporary name
and renamed; one that is damaged or out of date counts for nothing, and so does one that another user may have written.
Whoever maps a file holds a shared lock on it, so that it is not removed to make room (see `cache_limit.py`): a mapping
has a descriptor of its own, so that ends with it.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lanewise.cache_limit import make_room, only_one
from lanewise.caching import note_use
from lanewise.data.blocks import in_blocks, take_room
from lanewise.data.images import SLACK, Pixels, empty_pixels
from lanewise.private import POSIX, open_private, private_folder
from lanewise.saving import lock

IN_MEMORY = 64 * 2**20
"""Sets of fewer bytes are read into memory, larger ones are mapped."""

_SUFFIX = ".images.npy"
_FOOT = struct.Struct("<QI8s")
_MAGIC = b"LANEPIX2"
_BLOCK = 8 * 2**20
_REST = 4096  # bytes that what is known of images takes, about

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A cache file that is being written: `pixels` is mapped from it, to be filled in and given to `publish`.

    It is not `kept` afterwards where the limit leaves no room for it; then it lives as long as the mapping.
    """

    pixels: np.memmap[Any, np.dtype[np.uint8]]
    path: Path
    kept: bool = True


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
            lock(file.fileno())
            about, end = _about(file)
            if about["stamp"] != stamp:
                return None
            note_use(file, path)
            pixels = _stored(file, tuple(about["shape"]), end)
        if pixels is None or _crc(pixels) != about["crc"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None
    known: dict[str, Any] = about["known"]
    return pixels, known


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Let one process at a time make an entry: the others wait, and find it."""
    if not private_folder(path.parent):
        yield
        return
    with only_one(path.with_name(path.name.removesuffix(_SUFFIX) + ".lock")):
        yield


def known_of(path: Path, stamp: str | None = None) -> tuple[Shape, dict[str, Any]] | None:
    """The shape of the pixels in a cache file and what else is known of them, without a look at them.

    None if they are of another stamp than one that is given.
    """
    try:
        with open(open_private(path), "rb") as file:
            about, _ = _about(file)
        if stamp not in (None, about["stamp"]):
            return None
        return tuple(about["shape"]), about["known"]
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None


def find(folder: Path, stamp: str, wanted: Callable[[Shape, dict[str, Any]], bool]) -> Path | None:
    """A cache file of images of this stamp of which something is true.

    Parameters
    ----------
    folder : Path
    stamp : str
    wanted : callable
        Given the shape of the pixels and what else is known of them.
    """
    if not private_folder(folder):
        return None
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        found = known_of(path, stamp)
        if found is not None and wanted(*found):
            return path
    return None


def _about(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """What the JSON of an open cache file says, and where it begins; ValueError if that is not sound."""
    foot_at = file.seek(-_FOOT.size, os.SEEK_END)
    length, crc, magic = _FOOT.unpack(file.read(_FOOT.size))
    if magic != _MAGIC or length > foot_at:
        raise ValueError
    file.seek(foot_at - length)
    text = file.read(length)
    if zlib.crc32(text) != crc:
        raise ValueError
    about: dict[str, Any] = json.loads(text)
    return about, foot_at - length


def reserve(path: Path, shape: Shape, *, always: bool = True) -> Draft | None:
    """Begin a cache file with room for pixels of `shape`; what was not used for longest makes room for it.

    Parameters
    ----------
    path : Path
    shape : (N, rows, columns, channels)
    always : bool
        Also if it will not be kept.

    Returns
    -------
    Draft or None
        None where it cannot be written.
    """
    start = len(_npy_header(shape))
    size = start + math.prod(shape) + SLACK
    if not private_folder(path.parent):
        return None
    try:
        with contextlib.suppress(OSError):
            path.unlink()  # what it holds is of other files, or damaged: no room need be made for both
        kept = make_room(size + _REST, path.parent)
        if not (kept or always):
            return None
        descriptor, name = tempfile.mkstemp(".tmp", path.name.removesuffix(_SUFFIX) + "-", path.parent)
    except OSError:
        return None
    try:
        with open(descriptor, "r+b") as file:
            lock(descriptor)
            take_room(descriptor, size)
            return Draft(np.memmap(file, np.uint8, "r+", start, shape), Path(name), kept)
    except OSError:
        os.unlink(name)
        return None


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
        if not draft.kept:
            raise OSError
        if not POSIX:  # elsewhere a file and what is mapped of it are one
            draft.pixels.flush()
        with open(draft.path, "r+b") as file:
            header = _npy_header(shape)
            file.write(header)
            end = len(header) + pixels.size
            file.truncate(end)
            file.seek(end)
            file.write(bytes(SLACK) + text + _FOOT.pack(len(text), zlib.crc32(text), _MAGIC))
        # Nobody waits for the disk: what a loss of power leaves half written, the checksum tells.
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
    draft = reserve(path, pixels.shape, always=False)
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


def _npy_header(shape: Shape) -> bytes:
    """How a NumPy file of bytes begins; NumPy leaves room in it, so its length does not depend on the first axis."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _crc(pixels: Pixels) -> int:
    """The CRC-32 of those of all blocks, which all processors work out."""
    flat = pixels.reshape(-1)
    blocks = in_blocks(lambda start, stop: zlib.crc32(flat[start:stop].data), flat.size, _BLOCK)
    return zlib.crc32(b"".join(crc.to_bytes(4, "little") for crc in blocks))
