"""Files that a user may care for: written beside, flushed to the disk, and put in place whole or not at all.

    write_whole(path, data)       an older file of that name is replaced at once
    write_new(path, data)         no file is replaced: the new one gets a number, which no two processes share
    beside(path, data)            the new file alone, for who has names of his own for it

A process that is killed on the way leaves a file `.NAME.XXXXXXXXXXXX.lanewise.tmp` behind; the next one that writes in
the same folder a day later removes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which lets no file be removed or replaced that is open
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None
"""Whether the system can lock files."""

_OURS = re.compile(r"\..*\.[0-9a-f]{12}\.lanewise\.tmp")
_DAY = 86400.0
_MOST_NAMES = 100_000


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, in the place of an older one of that name.

    A link is followed: what it points to is replaced, and the link stays one. An older file keeps its permissions.

    Raises
    ------
    OSError
        It cannot be written; an older file is as it was.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():  # a pipe or a device is written to, not replaced
        target.write_bytes(data)
        return
    with beside(target, data) as temporary:
        with contextlib.suppress(OSError):
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    flush_folder(target.parent)


def write_new(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a file that replaces none: NAME.onnx or, where that is taken, NAME-2.onnx and so on.

    Returns
    -------
    path : Path
        The name that it got, which no other process can have got as well.
    """
    wanted = Path(path)
    with beside(Path(os.path.realpath(wanted.parent)) / wanted.name, data) as temporary:
        return claim(temporary, wanted)


def claim(temporary: Path, wanted: Path, most: int = _MOST_NAMES) -> Path:
    """Give a finished file in the same folder a name that was free: the wanted one, or up to so many with a number.

    Parameters
    ----------
    temporary : Path
    wanted : Path
    most : int
        With 1, the wanted name or none.

    Returns
    -------
    Path
        The name that it got.

    Raises
    ------
    FileExistsError
        All names are taken.
    """
    for number in range(1, most + 1):
        free = numbered(wanted, number)
        if _claimed(temporary, free):
            flush_folder(free.parent)
            return free
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(wanted))


def numbered(path: Path, number: int) -> Path:
    """digits.onnx, digits-2.onnx, digits-3.onnx and so on."""
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def free_name(path: Path) -> Path:
    """The first of the numbered names that nothing has at this moment."""
    number = 1
    while os.path.lexists(free := numbered(path, number)):
        number += 1
    return free


def _claimed(temporary: Path, name: Path) -> bool:
    """Give a finished file a name that is free; False if it is not."""
    try:
        os.link(temporary, name)
        return True
    except FileExistsError:
        return False
    except OSError:  # a file system without links: an empty file claims the name, and is replaced
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            return False
        temporary.replace(name)
        return True


@contextlib.contextmanager
def beside(target: Path, *parts: bytes | memoryview) -> Iterator[Path]:
    """A new file with these bytes in the folder of `target`, on the disk; removed if it is still there afterwards."""
    _sweep(target.parent)
    temporary = temporary_beside(target)
    try:
        # The umask decides who may read it.
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def hold(path: Path) -> int | None:
    """Hold a file until its descriptor is closed or the process ends, however it ends; None where systems cannot.

    Raises
    ------
    BlockingIOError
        Another process holds it.
    OSError
        It cannot be opened.
    """
    if not LOCKS:
        return None
    descriptor = os.open(path, os.O_RDONLY)
    if not lock(descriptor, alone=True, wait=False):
        os.close(descriptor)
        raise BlockingIOError(errno.EAGAIN, "another process holds it", os.fspath(path))
    return descriptor


def lock(descriptor: int, *, alone: bool = False, wait: bool = True) -> bool:
    """Lock an open file until all its descriptors are closed, those of mappings, too.

    Parameters
    ----------
    descriptor : int
    alone : bool
        Let nobody else hold it.
    wait : bool
        For others to release it.

    Returns
    -------
    bool
        False if others hold it. True where the system, or the file system, has no locks.
    """
    if fcntl is not None:
        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        try:
            fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError:  # some network file systems have none
            pass
    return True


def temporary_beside(target: Path) -> Path:
    """A name in the folder of `target` that nothing has, and that is swept a day later."""
    return target.with_name(f".{_short(target.name)}.{secrets.token_hex(6)}.lanewise.tmp")


def _short(name: str) -> str:
    """As much of a name as leaves room for an ending; file systems count bytes."""
    while len(os.fsencode(name)) > 100:
        name = name[:-1]
    return name


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left in a folder, a day ago or longer."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _OURS.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _DAY:
                        os.unlink(entry.path)


def flush_folder(folder: Path) -> None:
    """Wait until a new name is on the disk, where the system can (Windows opens no folders)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
