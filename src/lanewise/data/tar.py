"""Tar files: which members one has, and where. Nothing is unpacked.

A tar file is read by our own code, which follows no link, allocates nothing that a header claims, and says where a file
is damaged: `tarfile` ends silently there. Names in it are never paths of ours.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from lanewise.data.tree import ImageFile, printable
from lanewise.errors import DataError
from lanewise.notes import Caution, Note
from lanewise.wording import plural, shown

LARGEST = 2**28
"""Bytes of an image in a tar file: it is read as a whole."""

_BLOCK = 512
_LONGEST_NAME = 2**16  # bytes of a name, and of what an extended header says
_FILE, _FOLDER, _LINK, _LONG_NAME, _LONG_LINK, _EXTENDED, _SPARSE = (
    (b"0", b"\0", b"7"),
    b"5",
    b"1",
    b"L",
    b"K",
    b"x",
    b"S",
)
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # gzip, bzip2, xz, zstandard
_FOR_ALL = b"g"  # comments


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a tar file: its name, its bytes as place and length, whether it is an ordinary file, or a folder.

    A hard link has no bytes, but the name of a member before it as `link`.
    """

    name: str
    start: int
    size: int
    ordinary: bool
    folder: bool = False
    link: str = ""


@dataclass(frozen=True, slots=True)
class Tar:
    """A tar file: its members, how it is damaged, if it is, and when it was written and changed."""

    path: Path
    members: list[Member]
    damage: str
    stamp: tuple[int, int]

    def image(self, member: Member, name: str, label: int) -> ImageFile | str:
        """A member as an image, or the reason why it is none.

        Parameters
        ----------
        member : Member
        name : str
        label : int
            As in `ImageFile`.
        """
        if not member.ordinary:
            return "it is not an ordinary file"
        if member.size > LARGEST:
            return f"it has {member.size:,} bytes, more than {LARGEST:,}"
        return ImageFile(os.fspath(self.path), name, label, (member.size, *self.stamp), (member.start, member.size))

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file; what fails about it is a DataError that names it."""
        try:
            with open(self.path, "rb") as file:
                yield file
        except OSError as error:
            raise DataError(_cannot(self.path, error)) from None

    def notes(self, images: int, again: int) -> Iterator[Note]:
        """What is wrong with it, where `images` of it are used and `again` members have names of others before."""
        if self.damage:
            used = f"; {plural(images, 'image')} before that {'is' if images == 1 else 'are'} used" if images else ""
            yield Caution(f"{shown(self.path.name)}: {self.damage}{used}")
        if again:
            names = "1 member has the name" if again == 1 else f"{again:,} members have names"
            yield Caution(f"{shown(self.path.name)}: {names} of others before; the last of a name counts")


class DamagedError(DataError):
    """A tar file that cannot be read from some place on; the message is the reason alone."""


def read_tar(path: Path) -> Tar:
    """The members of a tar file.

    Raises
    ------
    DataError
        It cannot be opened.
    """
    found: list[Member] = []
    damage = ""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe is not waited for
            raise DataError(f"{shown(path)} is not an ordinary file: an image in a tar file is looked up by its place")
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            try:
                for one in members(file):
                    found.append(one)
            except DamagedError as reason:
                damage = str(reason)
    except OSError as error:
        raise DataError(_cannot(path, error)) from None
    if any(one.link for one in found):
        found = _linked(found)
    return Tar(path, found, damage, (status.st_mtime_ns, status.st_ctime_ns))


def _linked(found: list[Member]) -> list[Member]:
    """Members with the bytes of what they are hard links to, where that is there."""
    known: dict[str, Member] = {}
    for member in found:
        target = known.get(_plain(member.link)) if member.link else None
        known[_plain(member.name)] = member if target is None else replace(target, name=member.name)
    return [known[_plain(member.name)] if member.link else member for member in found]


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _cannot(path: Path, error: OSError) -> str:
    return f"{shown(path)} cannot be read: {(error.strerror or str(error)).lower()}"


def members(file: BinaryIO) -> Iterator[Member]:
    """The members of an open tar file (USTAR, GNU or PAX), in order.

    Raises
    ------
    DamagedError
        At the place from which on it is damaged or missing.
    """
    end = os.fstat(file.fileno()).st_size
    at, name, link, size = 0, "", "", -1
    while True:
        file.seek(at)
        block = file.read(_BLOCK)
        if not block.strip(b"\0") and (at > 0 or block):
            if not _all_zero(file):
                raise DamagedError(f"it goes on after its end at byte {at:,}, which is not read")
            return  # the end, as it should be, or at least at the end of a member
        if len(block) < _BLOCK or not _sound(block):
            if at > 0:
                raise DamagedError(f"it is damaged or cut short at byte {at:,}")
            packed = block.startswith(_PACKED)
            raise DamagedError("it is packed as a whole: unpack it to a .tar file" if packed else "it is no tar file")
        kind, length = block[156:157], _number(block[124:136])
        start = at + _BLOCK
        if length is None or length < 0:
            raise DamagedError(f"it is damaged at byte {at:,}: a size is no number")
        if kind in (_LONG_NAME, _LONG_LINK, _EXTENDED):
            if length > _LONGEST_NAME or start + length > end:
                raise DamagedError(f"it is damaged at byte {at:,}: a name of {length:,} bytes")
            content = file.read(length)
            if kind == _LONG_NAME:
                name = _text(content)
            elif kind == _LONG_LINK:
                link = _text(content)
            else:
                extended = _extended(content)
                name, link = extended.get("path", name), extended.get("linkpath", link)
                size = int(extended["size"]) if extended.get("size", "").isdecimal() else size
                if any(key.startswith("GNU.sparse") for key in extended):
                    size = -2  # the file is not as long as what is stored
        elif kind != _FOR_ALL:
            more = kind == _SPARSE and block[482] != 0  # of GNU's, whose maps of holes go on in blocks of their own
            while more and start < end:
                file.seek(start)
                more = file.read(_BLOCK)[504:505] not in (b"", b"\0")
                start += _BLOCK
            sparse = size == -2
            length = size if size >= 0 else length
            known = name or _name(block)
            if start + length > end:
                raise DamagedError(f"it is cut short in {printable(known)[:80]!r}")
            ordinary = kind in _FILE and not sparse and not known.endswith("/")
            folder = kind == _FOLDER or (kind in _FILE and known.endswith("/"))
            yield Member(
                known, start, length, ordinary, folder, (link or _text(block[157:257])) if kind == _LINK else ""
            )
            name, link, size = "", "", -1
        at = start + -(-length // _BLOCK) * _BLOCK


def _all_zero(file: BinaryIO) -> bool:
    """Whether there is nothing but zeros from here on: a few blocks, as a rule."""
    return not any(part.strip(b"\0") for part in iter(lambda: file.read(2**20), b""))


def _sound(block: bytes) -> bool:
    """Whether a header has the sum that it says."""
    told = _number(block[148:156])
    return told is not None and told == sum(block) - sum(block[148:156]) + 8 * 32


def _number(field: bytes) -> int | None:
    """A number as octal digits, or in binary if the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
    digits = field.strip(b" \0")
    return int(digits, 8) if re.fullmatch(rb"[0-7]+", digits) else None if digits else 0


def _name(block: bytes) -> str:
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _extended(content: bytes) -> dict[str, str]:
    """The records of an extended header: `LENGTH KEY=VALUE` and an end of line each."""
    found: dict[str, str] = {}
    while content:
        digits = content.partition(b" ")[0]
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        if not len(digits) + 1 < length <= len(content):
            return found
        key, _, value = content[len(digits) + 1 : length - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        content = content[length:]
    return found
