"""Where Lanewise keeps what it can make again: machine code, what is known of programs, and decoded images.

An entry of a `Cache` is a file, written under a temporary name and renamed, so readers see a whole file or none; it
carries a digest of its name and content, and one that does not match is made again.

Whoever can write machine code there can run it. So only a private folder is used (see `private.py`), only its owner may
enter it, and the digest is keyed with a secret that lies in the folder.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from lanewise.private import entered, open_within, private_folder, secret, write_private

_MAGIC = b"lanewise object 3\n"
_SEAL = 32

DAY = 86400.0
KEPT_FOR = 30 * DAY
"""Seconds that what nobody uses is kept."""

_HOUR = 3600.0


def cache_folder(kind: str) -> Path:
    """The folder for one kind of entries: under LANEWISE_CACHE, or else under lanewise/ in the user's cache folder.

    That is XDG_CACHE_HOME, if it is absolute, or else the one of the system: the folders that platformdirs names.
    """
    named = os.environ.get("LANEWISE_CACHE")
    if named:
        return Path(named) / kind
    local = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    own = os.path.expanduser({"darwin": "~/Library/Caches", "win32": local}.get(sys.platform, "~/.cache"))
    places = filter(os.path.isabs, (os.environ.get("XDG_CACHE_HOME", ""), own))
    # a user without a home: nothing can be written below os.devnull, so nothing is kept
    return Path(next(places, os.devnull), "lanewise", kind)


def note_use(file: IO[bytes], path: Path) -> None:
    """Note that an entry was used, in its time of modification, to the hour: `cache_limit.py` removes others first."""
    with suppress(OSError):
        if time.time() - os.fstat(file.fileno()).st_mtime > _HOUR:
            os.utime(file.fileno() if os.utime in os.supports_fd else path)


class Cache:
    """A folder of entries. One that cannot be used, or trusted, is no failure: everything is then made anew.

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
        self._secret = self._prepare()

    def _prepare(self) -> bytes | None:
        """The secret that seals entries; None where nothing can be kept."""
        if not private_folder(self.folder):
            return None
        try:
            with entered(self.folder) as folder:
                if folder is not None:
                    os.fchmod(folder, 0o700)
            return secret(self.folder)
        except OSError:
            return None

    def get(self, key: str, build: Callable[[], bytes]) -> bytes:
        """The content under `key`, from disk if a whole entry is there, else built and kept."""
        content = self.find(key)
        if content is None:
            content = build()
            self.keep(key, content)
        return content

    def find(self, key: str) -> bytes | None:
        """The content under `key`, if a whole entry is there."""
        content = self._read(key)
        if content is None:
            self.misses += 1
        else:
            self.hits += 1
        return content

    def keep(self, key: str, content: bytes) -> None:
        """Write an entry, if that is possible."""
        if self._secret is None:
            return
        # a full disk or a read-only folder: what is in memory serves
        with suppress(OSError), entered(self.folder) as folder:
            write_private(folder, self._path(key), _MAGIC + self._seal(key, content) + content)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{self.suffix}"

    def _read(self, key: str) -> bytes | None:
        if self._secret is None:
            return None
        try:
            with entered(self.folder) as folder, open(open_within(folder, self._path(key)), "rb") as file:
                entry = file.read()
                note_use(file, self._path(key))
        except OSError:
            return None
        head = len(_MAGIC) + _SEAL
        content = entry[head:]
        whole = entry.startswith(_MAGIC) and hmac.compare_digest(self._seal(key, content), entry[len(_MAGIC) : head])
        return content if whole else None

    def _seal(self, key: str, content: bytes) -> bytes:
        digest = hashlib.blake2b(digest_size=_SEAL, key=self._secret or b"")
        digest.update(f"{key}{self.suffix}\0".encode() + content)
        return digest.digest()
