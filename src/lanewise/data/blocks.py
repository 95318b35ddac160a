"""Many pixels without much memory: passes over them in blocks, on all processors, and copies that the disk holds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lanewise.caching import cache_folder
from lanewise.private import private_folder
from lanewise.target import default_threads

Result = TypeVar("Result")

_ZEROS = 8 * 2**20


def in_blocks(
    work: Callable[[int, int], Result], count: int, block: int, threads: int | None = None
) -> Iterator[Result]:
    """What `work(start, stop)` gives for blocks of a range, in order, worked on by several threads.

    Parameters
    ----------
    work : callable
        Releases the interpreter's lock while it is busy, as NumPy and hashes do.
    count, block : int
        Of all, and of one block.
    threads : int, optional
        As many as there are processors by default.
    """
    starts = range(0, count, max(block, 1))
    threads = min(threads or default_threads(), 16, len(starts))
    if threads < 2:
        yield from (work(start, min(start + block, count)) for start in starts)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda start: work(start, min(start + block, count)), starts)


def on_disk(size: int) -> NDArray[np.uint8] | None:
    """Room for bytes in a file without a name, mapped into memory; None where the disk has no such room.

    It lies where the caches lie: folders for temporary files may be in memory themselves.
    """
    folder = cache_folder("images")
    if not private_folder(folder):
        return None
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            take_room(file.fileno(), size)
            return np.memmap(file, np.uint8, "r+", 0, (size,))
    except OSError:
        return None


def take_room(descriptor: int, size: int) -> None:
    """Make a file `size` bytes long now, so that no full disk is found out while writing to mapped memory."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    for start in range(0, size, _ZEROS):
        os.write(descriptor, bytes(min(_ZEROS, size - start)))
