"""Folders and files that nobody but their owner can have written: what a cache may trust.

A folder is private if it is a real directory of this user, no other user may write to it, and no other user may
replace it or any folder above it. A file is private if it is a regular file of this user with one name, no other user
may write to it, and it lies in a private folder. Links are never followed at the last step.

The superuser can do everything and is trusted. A group that has this user alone in it may write to the folders above:
systems that give each user such a group make folders like that (umask 002). Windows keeps a user's folders apart by
other means: nothing is checked.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from lanewise.notes import Caution, say

POSIX = os.name != "nt"
SECRET = "secret"
SECRET_BYTES = 32

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE |= getattr(os, "O_BINARY", 0)

_told: set[str] = set()


def _open(status: os.stat_result) -> bool:
    """Whether somebody else than this user may write to a folder."""
    mode = status.st_mode
    return bool(mode & stat.S_IWOTH) or (bool(mode & stat.S_IWGRP) and not _group_of_one(status.st_gid))


@cache
def _group_of_one(group: int) -> bool:
    """Whether a group is this user's own: the primary group of no other user, without other members, by its name his.

    Users whom another machine keeps cannot all be counted; a group that is called like the user is made for one.
    """
    try:
        import grp
        import pwd

        me, found = pwd.getpwuid(os.getuid()), grp.getgrgid(group)
        if me.pw_uid == 0 or me.pw_gid != group or found.gr_name != me.pw_name or set(found.gr_mem) - {me.pw_name}:
            return False
        return all(user.pw_uid == me.pw_uid or user.pw_gid != group for user in pwd.getpwall())
    except (ImportError, KeyError, OSError):  # no such user or group: then it is not known whose it is
        return False


def private_folder(folder: Path) -> bool:
    """Whether a folder is there, or was made now, and is private. One that is open to others is named in a caution."""
    folder = Path(os.path.abspath(folder))
    try:
        problem = _prepare(folder)
    except OSError:  # cannot be made or looked at, as without a home: then there is no cache, as before
        return False
    if problem:
        _tell(folder, problem)
    return not problem


def _prepare(folder: Path) -> str:
    """Make a folder where it is missing; what is wrong with it, or nothing."""
    if not POSIX:
        folder.mkdir(parents=True, exist_ok=True)
        return ""
    missing = []
    above = folder
    while not os.path.lexists(above):
        missing.append(above)
        above = above.parent
    if above != folder and (problem := _open_above(above)):
        return problem  # nothing is made in a folder where others may replace it
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    return folder_problem(folder)


def folder_problem(folder: Path) -> str:
    """Why a folder that exists is not private, or nothing."""
    status = os.lstat(folder)
    if stat.S_ISLNK(status.st_mode):
        return "is a link; name the folder that it leads to"
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(folder)
    if status.st_uid != os.getuid():
        return f"belongs to another user (number {status.st_uid})"
    if status.st_mode & _OTHERS_WRITE:
        return "can be written by other users; remove it, and it is made anew"
    return _open_above(folder.parent)


def _open_above(folder: Path) -> str:
    """What is wrong with a folder or those above it, by their names as given and as where links lead."""
    seen: set[Path] = set()
    for way in (folder, Path(os.path.realpath(folder))):
        for path in (way, *way.parents):
            if path in seen:
                continue
            seen.add(path)
            status = os.lstat(path)
            if status.st_uid not in (0, os.getuid()):
                return f"lies in {path}, which belongs to another user (number {status.st_uid})"
            link = stat.S_ISLNK(status.st_mode)  # its mode says nothing; the folder it stands in does
            if not link and _open(status) and not status.st_mode & stat.S_ISVTX:
                return f"lies in {path}, which other users can write to"
    return ""


def _tell(folder: Path, problem: str) -> None:
    if str(folder) not in _told:
        _told.add(str(folder))
        say(Caution(f"the cache folder {folder} is not used: it {problem}"))


def open_private(path: Path) -> int:
    """Open a private file to read it; the descriptor.

    Raises
    ------
    OSError
        If it cannot be read or is not private.
    """
    with entered(path.parent) as folder:
        return open_within(folder, path)


@contextmanager
def entered(folder: Path) -> Iterator[int | None]:
    """A descriptor of a private folder, so that what is opened by it lies there, whatever is renamed meanwhile.

    None where the system has no such thing.

    Raises
    ------
    OSError
        If the folder cannot be opened or is not this user's alone. The folders above it are not looked at again.
    """
    if not POSIX:
        yield None
        return
    descriptor = os.open(folder, _FOLDER)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.getuid() or status.st_mode & _OTHERS_WRITE:
            raise PermissionError(f"{folder} is open to others")
        yield descriptor
    finally:
        os.close(descriptor)


def open_within(folder: int | None, path: Path) -> int:
    """Open the private file of a path's name in a folder that was entered; the descriptor. See `open_private`."""
    if folder is None:
        return os.open(path, os.O_RDONLY | _FILE)
    descriptor = os.open(path.name, os.O_RDONLY | _FILE, dir_fd=folder)
    status = os.fstat(descriptor)
    # One that was replaced since has no name left; a second name may belong to somebody who kept the file open.
    sound = stat.S_ISREG(status.st_mode) and status.st_nlink <= 1
    if not sound or status.st_uid != os.getuid() or status.st_mode & _OTHERS_WRITE:
        os.close(descriptor)
        raise PermissionError(f"{path} is not a file of this user alone")
    return descriptor


def read_private(folder: int | None, path: Path) -> bytes:
    """What a private file in a folder that was entered holds. See `open_private`."""
    with open(open_within(folder, path), "rb") as file:
        return file.read()


def write_private(folder: int | None, path: Path, content: bytes) -> None:
    """Write a file of mode 0600 under a temporary name and rename it, so that readers see a whole file or none.

    Parameters
    ----------
    folder : int or None
        An open folder that `path` is in; None to go by the path.
    path : Path
    content : bytes

    Raises
    ------
    OSError
        The file cannot be written.
    """
    name = f"{path.name}-{os.urandom(8).hex()}.part"
    temporary = name if folder is not None else str(path.parent / name)
    target = path.name if folder is not None else str(path)
    try:
        with open(_create(folder, temporary), "wb") as file:
            file.write(content)
        os.replace(temporary, target, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _create(folder: int | None, name: str) -> int:
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=folder)


def secret(folder: Path) -> bytes:
    """The secret of a private folder, made at random by whoever asks first.

    Raises
    ------
    OSError
        If it can be neither read nor made.
    """
    path = folder / SECRET
    with entered(folder) as descriptor:
        name = path.name if descriptor is not None else str(path)
        for attempt in range(30):
            try:
                with open(_create(descriptor, name), "wb") as file:
                    file.write(os.urandom(SECRET_BYTES))
            except FileExistsError:
                pass
            try:
                found = read_private(descriptor, path)
            except OSError:  # a link, a pipe, a file of somebody else, or one that was just removed
                found = b""
            if len(found) == SECRET_BYTES:
                return found
            time.sleep(0.002)  # its maker may be about to write it
            if attempt % 10 == 9:  # it was not: what was sealed with another secret is made anew
                os.unlink(name, dir_fd=descriptor)
    raise OSError(f"{path} cannot be made")
