"""How much all caches may take on disk, and what goes first.

    LANEWISE_CACHE_LIMIT=20GB      for all kinds of entries together; `none` is no limit, `0` keeps nothing

What was not used for longest goes first, what nobody used for 30 days goes anyway, what is in use stays. When an entry
was used is its time of modification. A process that has mapped an entry, or writes one, holds a shared lock on it, and
locks end with their processes. Only files that are named as ours are ever removed.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lanewise.caching import DAY, KEPT_FOR, cache_folder
from lanewise.errors import OptionError
from lanewise.notes import Caution, say
from lanewise.private import entered
from lanewise.saving import LOCKS, lock

VARIABLE = "LANEWISE_CACHE_LIMIT"
USUAL = 20 * 10**9
"""Bytes of all caches, unless that is more than a quarter of the disk."""

UNLIMITED = 1 << 62
FREE = 2**30
"""Bytes of the disk that are left to others when room is made."""

KINDS = {
    "images": r"[0-9a-f]{32}\.images\.npy",
    "features": r"[0-9a-f]{32}-[0-9]{2}\.features",
    "code": r"[0-9a-f]{64}\.o",
    "programs": r"[0-9a-f]{64}\.json",
}
"""The kinds of entries, each in a folder of that name, and how their files are called."""

_HALF = r"(-[0-9a-f]{16}\.part)"  # see private.write_private
_NAMES = {kind: re.compile(f"(?:{name}){_HALF}?") for kind, name in KINDS.items()}
_DRAFT = re.compile(r"[0-9a-f]{32}(-\w+\.tmp|\.lock)")  # see data/image_cache.py
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_EVERY = 60.0  # seconds between two looks of one process at all caches
_DRAFT_LEFT = 60.0  # seconds after which a draft that no process holds was left by one that was killed

_next_look = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a cache.

    Attributes
    ----------
    kind : str
    path : Path
    size : int
        Bytes.
    used : float
        When it was used last, in seconds since 1970.
    half : bool
        It is being written, or was when its process was killed.
    """

    kind: str
    path: Path
    size: int
    used: float
    half: bool


def limit() -> int:
    """Bytes that all caches may take.

    Raises
    ------
    OptionError
        The variable says something else than a size.
    """
    text = os.environ.get(VARIABLE, "").strip().lower()
    if text == "none":
        return UNLIMITED
    if text:
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?", text)
        if found is None:
            raise OptionError(f"{VARIABLE} is {text[:40]!r}, which is no size: give one like 20GB or 500MB, or none")
        return int(min(float(found[1]) * (1024 if found[3] else 1000) ** _UNITS[found[2]], UNLIMITED))
    return _usual()


def _usual() -> int:
    return min(USUAL, _disk(cache_folder("images")).total // 4 or USUAL)


def entries(folders: dict[str, Path] | None = None) -> list[Entry]:
    """All files in the caches, those that were used least recently first.

    Parameters
    ----------
    folders : dict of kind and Path, optional
        By default where each kind is kept.
    """
    found: list[Entry] = []
    for kind, folder in (folders or {kind: cache_folder(kind) for kind in KINDS}).items():
        with suppress(OSError), entered(folder) as inside, os.scandir(folder if inside is None else inside) as files:
            for file in files:
                name = _NAMES[kind].fullmatch(file.name)
                draft = kind == "images" and _DRAFT.fullmatch(file.name)
                if name or draft:
                    with suppress(OSError):  # it went meanwhile
                        status = file.stat(follow_symlinks=False)
                        half = bool(draft or (name and name[1]))
                        found.append(Entry(kind, folder / file.name, status.st_size, status.st_mtime, half))
    return sorted(found, key=lambda entry: entry.used)


def make_room(needed: int = 0, folder: Path | None = None) -> bool:
    """Remove what may go, so that `needed` bytes more are within the limit and on the disk.

    Parameters
    ----------
    needed : int
    folder : Path, optional
        A folder of images that lies elsewhere than the caches do, with a limit of its own.

    Returns
    -------
    bool
        Whether there is room now.
    """
    images = folder or cache_folder("images")
    elsewhere = os.path.realpath(images) != os.path.realpath(cache_folder("images"))
    found = entries({"images": images} if elsewhere else None)
    over = needed + sum(entry.size for entry in found) - limit()
    over = max(over, needed + FREE - _disk(images).free if needed else 0)
    now = time.time()
    for entry in found:
        if (over > 0 or _stale(entry, now)) and not _fresh(entry, now) and remove(entry):
            over -= entry.size
    return over <= 0


def keep_within_limit() -> None:
    """Make room after small entries were written: at most once a minute, as all caches are looked through.

    Where the variable says no size, no training ends for that: it is told once, and nothing goes.
    """
    global _next_look
    if time.monotonic() >= _next_look:
        _next_look = time.monotonic() + _EVERY
        try:
            make_room()
        except OptionError as problem:
            _next_look = math.inf
            say(Caution(str(problem)))


def remove(entry: Entry) -> bool:
    """Remove an entry unless it is in use, or was used since it was listed; whether it is gone."""
    with suppress(OSError), entered(entry.path.parent) as folder:
        name = entry.path if folder is None else entry.path.name
        descriptor = -1
        try:
            if folder is not None:
                with suppress(OSError):  # a link, or what cannot be opened, is in nobody's use
                    descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            if descriptor >= 0 and not (
                os.fstat(descriptor).st_mtime == entry.used and lock(descriptor, alone=True, wait=False)
            ):
                return False
            os.unlink(name, dir_fd=folder)
            return True
        finally:
            if descriptor >= 0:
                os.close(descriptor)
    return False


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Let one process, and one thread, at a time do what is within, for a path; the others wait.

    Whoever was killed waits for nobody. The path is removed at the end, so whoever gets a lock on a file that was
    removed tries again.

    Parameters
    ----------
    path : Path
        Of a file that is made for this. Where it cannot be made, nobody waits.
    """
    held: int | None = None
    try:
        with suppress(OSError):
            while LOCKS and held is None:
                held = _held(path)
        yield
    finally:
        if held is not None:
            with suppress(OSError):
                path.unlink()
            os.close(held)


def _held(path: Path) -> int | None:
    """A descriptor of a file that is locked and has its name; None if it lost that while others held it."""
    with entered(path.parent) as folder:
        descriptor = os.open(path.name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        lock(descriptor, alone=True)
        if os.fstat(descriptor).st_nlink:
            kept, descriptor = descriptor, -1
            return kept
        return None
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def clear(kinds: Sequence[str]) -> tuple[list[Entry], list[Entry]]:
    """Remove all entries of some kinds; which went, and which stay because they are in use."""
    gone: list[Entry] = []
    kept: list[Entry] = []
    for entry in entries({kind: cache_folder(kind) for kind in kinds}):
        (gone if remove(entry) else kept).append(entry)
    return gone, kept


_EXPERIMENT = re.compile(r"[0-9a-f]{16}")


def experiments() -> list[Entry]:
    """The files of finished trainings that `compare` and `vary` keep. They took long: no limit removes them."""
    found: list[Entry] = []
    with suppress(OSError):
        for folder in cache_folder("experiments").iterdir():
            if _EXPERIMENT.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                for file in folder.iterdir():
                    status = file.stat(follow_symlinks=False)
                    found.append(Entry("experiments", file, status.st_size, status.st_mtime, False))
    return found


def clear_experiments() -> tuple[int, int]:
    """Remove all finished trainings; how many files went, and how many bytes they took."""
    count = size = 0
    for entry in experiments():
        with suppress(OSError):
            entry.path.unlink()
            count, size = count + 1, size + entry.size
        with suppress(OSError):  # others are in it yet
            entry.path.parent.rmdir()
    return count, size


def _stale(entry: Entry, now: float) -> bool:
    """Whether an entry goes though there is room."""
    if not entry.half:
        return now - entry.used > KEPT_FOR
    return now - entry.used > (_DRAFT_LEFT if LOCKS and entry.path.suffix == ".tmp" else DAY)


def _fresh(entry: Entry, now: float) -> bool:
    """Whether an entry is perhaps being written right now."""
    return entry.half and not _stale(entry, now)


def _disk(folder: Path) -> shutil._ntuple_diskusage:
    """Of the disk that a folder lies on, or will."""
    for place in (folder, *folder.parents):
        with suppress(OSError):
            return shutil.disk_usage(place)
    return shutil.disk_usage(os.sep)
