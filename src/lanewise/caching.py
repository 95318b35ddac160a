"""Where Lanewise keeps what it can make again: machine code, what is known of programs, and decoded pictures.

An entry of a `Cache` is a file, written under a temporary name and renamed, so readers see a whole file or none; it
carries a digest of its name and content, and one that does not match is made again. Only the owner may enter the
folder: whoever can write machine code there can run it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

_MAGIC = b"lanewise object 2\n"


def cache_folder(kind: str) -> Path:
    """The folder for one kind of entries: under LANEWISE_CACHE, or else under lanewise/ in the user's cache folder."""
    named = os.environ.get("LANEWISE_CACHE")
    if named:
        return Path(named) / kind
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base) and os.name == "nt":
        base = os.environ.get("LOCALAPPDATA", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.cache")
    if not os.path.isabs(base):
        base = os.devnull  # a user without a home: nothing can be written there, so nothing is kept
    return Path(base) / "lanewise" / kind


class Cache:
    """A folder of entries. One that cannot be used is no failure: everything is then made anew.

    Parameters
    ----------
    folder : Path, optional
        That of machine code by default.
    suffix : str
        The end of its files' names.
    """

    def __init__(self, folder: Path | None = None, suffix: str = ".o") -> None:
        self.folder, self.suffix = folder or cache_folder("code"), suffix
        self.hits = self.misses = 0
        self._usable = self._prepare()

    def _prepare(self) -> bool:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self.folder.stat()
            if os.name == "nt":
                return True
            if status.st_uid != os.getuid():
                return False
            if stat.S_IMODE(status.st_mode) != 0o700:
                self.folder.chmod(0o700)
        except OSError:
            return False
        return True

    def get(self, key: str, build: Callable[[], bytes]) -> bytes:
        """The content under `key`, from disk if a whole entry is there, else built and kept."""
        content = self.find(key)
        if content is None:
            content = build()
            self.keep(key, content)
        return content

    def find(self, key: str) -> bytes | None:
        """The content under `key`, if a whole entry is there."""
        content = self._read(self._path(key), key) if self._usable else None
        if content is None:
            self.misses += 1
        else:
            self.hits += 1
        return content

    def keep(self, key: str, content: bytes) -> None:
        """Write an entry, if that is possible."""
        if self._usable:
            self._write(self._path(key), key, content)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{self.suffix}"

    def _read(self, path: Path, key: str) -> bytes | None:
        try:
            entry = path.read_bytes()
        except OSError:
            return None
        head = len(_MAGIC) + 32
        if not entry.startswith(_MAGIC) or _digest(key, entry[head:]) != entry[len(_MAGIC) : head]:
            return None
        return entry[head:]

    def _write(self, path: Path, key: str, content: bytes) -> None:
        temporary = None
        try:
            descriptor, temporary = tempfile.mkstemp(dir=self.folder, suffix=".part")
            with os.fdopen(descriptor, "wb") as file:
                file.write(_MAGIC + _digest(key, content) + content)
            os.replace(temporary, path)
        except OSError:  # a full disk or a read-only folder: what is in memory serves
            if temporary is not None and os.path.exists(temporary):
                os.unlink(temporary)


def _digest(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + content).digest()
