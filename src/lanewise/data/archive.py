"""What an `.npz` file claims to hold, looked at before any of it is unpacked."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection
from itertools import pairwise
from typing import IO, NoReturn

import numpy as np

from lanewise.errors import DataError, TooLargeError
from lanewise.limits import available_memory

NPY_MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 10_000
"""Bytes; NumPy's own limit, which it looks at only after reading."""

BOMB_BYTES = 256 << 20
BOMB_RATIO = 200
"""What is larger and was packed more tightly holds no images: photographs shrink to a half, drawn digits to a fifth."""


def check_archive(file: IO[bytes], path: object, wanted: Collection[str]) -> None:
    """Check the arrays called `wanted` in an open `.npz` file, before anything is unpacked.

    Parameters
    ----------
    file : binary file
        Is left at its beginning.
    path : object
        Its name, for messages.
    wanted : collection of str
        Names of arrays; others are not looked at.

    Raises
    ------
    DataError
        It is a single array, or an array holds Python objects, claims another size than it has, or unpacks to far more
        than images do.
    TooLargeError
        The arrays do not fit into memory.
    """
    if file.read(len(NPY_MAGIC)) == NPY_MAGIC:
        raise DataError(f"{path} is one array, not an .npz file: save x_train and y_train with numpy.savez")
    file.seek(0)
    if not zipfile.is_zipfile(file):
        file.seek(0)
        return
    with zipfile.ZipFile(file) as archive:
        _check_entries(archive, path)
        members = [entry for entry in archive.infolist() if entry.filename.removesuffix(".npy") in wanted]
        needed = sum(_bytes_of(archive, entry, path) for entry in members)
    packed = sum(entry.compress_size for entry in members)
    if needed > BOMB_BYTES and needed > BOMB_RATIO * packed:
        raise DataError(
            f"{path} unpacks from {packed / 2**20:.1f} MB to {needed / 2**30:.1f} GB, as no images do: "
            "it is damaged or made to do harm; save it anew with numpy.savez, which packs nothing"
        )
    available = available_memory()
    if available is not None and needed > available:
        raise TooLargeError(
            f"{path} holds {needed / 2**30:.1f} GB, but only {available / 2**30:.1f} GB of memory are free: "
            "use a folder of images, which need not fit"
        )
    file.seek(0)


def _check_entries(archive: zipfile.ZipFile, path: object) -> None:
    """Refuse names that come twice and entries that share their bytes."""
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    if len({entry.filename for entry in entries}) < len(entries):
        raise DataError(f"{path} holds two arrays of one name: save it anew with numpy.savez")
    for entry, following in pairwise(entries):
        if entry.header_offset + entry.compress_size > following.header_offset:
            raise DataError(
                f"{path}: {_name(entry)} and {_name(following)} share bytes: the file is damaged or made to do harm; "
                "save it anew with numpy.savez"
            )


def _bytes_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: object) -> int:
    """Bytes that an array takes in memory, by its header, which must agree with the archive."""
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        _refuse(entry, path, "is encrypted, or packed in a way that NumPy does not pack")
    with archive.open(entry) as member:
        start = member.read(8)
        if start[:6] != NPY_MAGIC or start[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
            _refuse(entry, path, "is not a NumPy array")
        width = 2 if start[6] == 1 else 4
        length = int.from_bytes(member.read(width), "little")
        if length > LONGEST_HEADER:
            _refuse(entry, path, f"has a header of {length:,} bytes, which no array has")
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        try:
            shape, _, dtype = read(member)
        except Exception as error:  # NumPy parses the header as Python's text, and that fails in many ways
            _refuse(entry, path, f"has a header that cannot be read ({type(error).__name__})")
    if dtype.hasobject:
        _refuse(entry, path, "holds Python objects, which are not loaded: convert it to numbers or text")
    if any(isinstance(size, bool) or not 0 <= size < 1 << 62 for size in shape):
        _refuse(entry, path, f"claims the shape {str(shape)[:80]}, which no array has")
    claimed, there = math.prod(shape) * dtype.itemsize, entry.file_size - 8 - width - length
    if claimed != there:
        _refuse(entry, path, f"claims {claimed:,} bytes (shape {str(shape)[:80]}) but holds {there:,}")
    return int(there)


def _name(entry: zipfile.ZipInfo) -> str:
    return repr(entry.filename[:100])


def _refuse(entry: zipfile.ZipInfo, path: object, reason: str) -> NoReturn:
    raise DataError(f"{path}: {_name(entry)} {reason}; save it anew with numpy.savez")
