"""Image files, and the folders that they lie in: on the disk, or in what stands for a folder.

Disk(Path("photos")).entries() -> what is in it, by name; inside("cats") -> Folder; image(entry, ...) -> ImageFile
"""

from __future__ import annotations

import io
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Generic, Protocol, TypeVar, cast

from lanewise.data.decode import PassingError
from lanewise.errors import DataError
from lanewise.notes import Note


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that is an image by its name.

    Attributes
    ----------
    path : str
        Where to open it.
    name : str
        Relative to the folder the user named, with `/`, fit for printing.
    label : int
        Position among the classes; -1 where there are none.
    stamp : (bytes, modified ns, changed ns)
        Differs when the file was written again.
    within : (start, length) or None
        Which bytes of the file are the image; None for all.
    """

    path: str
    name: str
    label: int
    stamp: tuple[int, int, int]
    within: tuple[int, int] | None = None

    def source(self) -> str | bytes:
        """What to decode: the path, or the bytes of an image that is part of a file."""
        if self.within is None:
            return self.path
        start, length = self.within
        try:
            with open(self.path, "rb", buffering=0) as file:
                file.seek(start)
                return file.read(length)
        except OSError as error:
            raise PassingError(f"it cannot be read: {os.strerror(error.errno or 5).lower()}") from None

    def peek(self) -> str | BinaryIO:
        """What to read a header of: as `source`, but only what is asked for is read."""
        if self.within is None:
            return self.path
        try:
            return cast(BinaryIO, io.BufferedReader(_Part(self.path, *self.within)))
        except OSError as error:
            raise PassingError(f"it cannot be read: {os.strerror(error.errno or 5).lower()}") from None


class _Part(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, path: str, start: int, length: int) -> None:
        self._start, self._length, self._at = start, length, 0
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - `close` closes it

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence])
        return self._at

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        self._file.seek(self._start + self._at)
        content = self._file.read(max(0, min(len(buffer), self._length - self._at)))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


class Entry(Protocol):
    """A file or a folder in a folder."""

    @property
    def name(self) -> str:
        """What it is called in the folder."""

    def is_dir(self) -> bool:
        """Whether it is a folder; OSError if that cannot be told."""


One = TypeVar("One", bound=Entry)


class Folder(ABC, Generic[One]):
    """A folder.

    Attributes
    ----------
    path : Path
        What it is called in messages; where it is, if it is on the disk.
    notes : tuple of Note
        What is to be told of it.
    packed : bool
        Whether it was packed, perhaps with a folder around all.
    """

    path: Path
    notes: tuple[Note, ...] = ()
    packed = False

    def __str__(self) -> str:
        return str(self.path)

    @abstractmethod
    def check(self) -> None:
        """Raise DataError unless it is there."""

    @abstractmethod
    def identity(self) -> object:
        """The same value for the same folder under another name."""

    @abstractmethod
    def leads_back(self, entry: One, root: Folder[One]) -> bool:
        """Whether a folder in it is a link to one that lies in `root` under its own name, or around it."""

    @abstractmethod
    def entries(self) -> Sequence[One]:
        """All that is in it, in the order of names."""

    @abstractmethod
    def inside(self, name: str) -> Folder[One]:
        """A folder in it."""

    @abstractmethod
    def image(self, entry: One, name: str, label: int) -> ImageFile | str:
        """A file in it as an image, or the reason why it is none. OSError if it cannot be looked at.

        Parameters
        ----------
        entry : Entry
        name : str
            As in `ImageFile`.
        label : int
        """


class Disk(Folder[os.DirEntry[str]]):
    """A folder on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Raise DataError unless it is there."""
        try:
            status = os.stat(self.path)
        except (FileNotFoundError, ValueError):  # or a name that no file can have
            raise DataError(f"no such folder: {self}") from None
        except OSError as error:
            raise DataError(f"cannot read the folder {self}: {error.strerror}") from None
        if not stat.S_ISDIR(status.st_mode):
            raise DataError(f"{self} is not a folder of images")

    def identity(self) -> object:
        """The same value for the same folder under another name."""
        status = os.stat(self.path)
        return status.st_dev, status.st_ino

    def entries(self) -> Sequence[os.DirEntry[str]]:
        """All that is in it, in the order of names."""
        try:
            with os.scandir(self.path) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"cannot read the folder {self}: {error.strerror}") from None

    def leads_back(self, entry: os.DirEntry[str], root: Folder[os.DirEntry[str]]) -> bool:
        """Whether a folder in it is a link to one that lies in `root` under its own name, or around it."""
        if not entry.is_symlink():
            return False
        target, home = Path(os.path.realpath(entry.path)), Path(os.path.realpath(root.path))
        return target.is_relative_to(home) or home.is_relative_to(target)

    def inside(self, name: str) -> Disk:
        """A folder in it."""
        return Disk(self.path / name)

    def image(self, entry: os.DirEntry[str], name: str, label: int) -> ImageFile | str:
        """A file in it as an image, or the reason why it is none.

        Parameters
        ----------
        entry : os.DirEntry
        name : str
            As in `ImageFile`.
        label : int
        """
        status = entry.stat()
        if not stat.S_ISREG(status.st_mode):
            return "it is not an ordinary file"
        return ImageFile(entry.path, name, label, stamp_of(status))


def stamp_of(status: os.stat_result) -> tuple[int, int, int]:
    """What differs when a file was written again."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def printable(name: str) -> str:
    r"""Make a file name fit for printing and for JSON: bytes that are no UTF-8 become `\xff`."""
    return name.replace(os.sep, "/").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
