"""Tar files that hold folders, as a folder: then the rules of folders are those of tar files, and in the same words.

    folder_of(Path("photos.tar"), tars) -> TarFolder, for `folders.list_sets` and the others there

Several tar files are one folder; those that are named after a set, like train-000.tar, are that set's folder in it. Of
members with one name the last counts, and names that climb with `..` are left out, as unpacking does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lanewise.data.folders import SUFFIXES, opened
from lanewise.data.tar import Member, Tar
from lanewise.data.tree import Folder, ImageFile
from lanewise.notes import Caution, Note
from lanewise.wording import shown

LONGEST = 4096
"""Characters of a name: no system unpacks longer ones."""


@dataclass(slots=True)
class Node:
    """A file in a tar file, or a folder with what is in it."""

    name: str
    file: tuple[Tar, Member] | None = None
    inside: dict[str, Node] = field(default_factory=dict)

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.file is None


class TarFolder(Folder[Node]):
    """A folder in tar files."""

    packed = True

    def __init__(self, path: Path, node: Node, notes: tuple[Note, ...] = ()) -> None:
        self.path, self.notes, self._node = path, notes, node

    def called(self, name: str) -> Node:
        """This folder under another name."""
        return Node(name, inside=self._node.inside)

    def check(self) -> None:
        """It is there."""

    def identity(self) -> object:
        """The same value for the same folder."""
        return id(self._node)

    def leads_back(self, entry: Node, root: Folder[Node]) -> bool:
        """Links are not followed."""
        return False

    def entries(self) -> Sequence[Node]:
        """All that is in it, in the order of names."""
        return [self._node.inside[name] for name in sorted(self._node.inside)]

    def inside(self, name: str) -> TarFolder:
        """A folder in it."""
        return TarFolder(self.path / name, self._node.inside[name], self.notes)

    def image(self, entry: Node, name: str, label: int) -> ImageFile | str:
        """A file in it as an image, or the reason why it is none.

        Parameters
        ----------
        entry : Node
        name : str
            As in `ImageFile`.
        label : int
        """
        assert entry.file is not None
        tar, member = entry.file
        return tar.image(member, name, label)


def folder_of(path: Path, tars: Sequence[tuple[Tar, str | None]]) -> TarFolder:
    """The folder that tar files hold together.

    Parameters
    ----------
    path : Path
        What it is called.
    tars : sequence of (Tar, str or None)
        Each with the set that it is of, if it is of one.
    """
    tops: dict[str | None, Node] = {}
    notes: list[Note] = []
    for tar, part in tars:
        images, again, impossible = _put(tar, tops.setdefault(part, Node(part or "")))
        notes += tar.notes(images, again)
        if impossible:
            notes.append(
                Caution(f"{shown(tar.path.name)}: names with .. or too long are left out, {impossible:,} in all")
            )
    if None in tops:  # then there is no other
        return TarFolder(path, tops[None], tuple(notes))
    top = Node("")
    for part, node in tops.items():
        inner = opened(TarFolder(path, node))
        assert isinstance(inner, TarFolder)
        top.inside[part or ""] = inner.called(part or "")
    return TarFolder(path, top, tuple(notes))


def _put(tar: Tar, top: Node) -> tuple[int, int, int]:
    """Put the members of a tar file below a folder; how many are images by name, come again, and cannot be."""
    images = again = impossible = 0
    for member in tar.members:
        *above, name = [part for part in member.name.split("/") if part not in ("", ".")] or [""]
        if not name:
            continue
        if ".." in (*above, name) or len(member.name) > LONGEST:
            impossible += 1
            continue
        here = top
        for part in above:
            here = here.inside.setdefault(part, Node(part))
            here.file = None  # a file of that name before, which a folder takes the place of
        if member.folder:
            here.inside.setdefault(name, Node(name)).file = None
            continue
        there = here.inside.get(name)
        if there is not None and there.is_dir():
            continue
        again += there is not None
        images += there is None and member.ordinary and os.path.splitext(name)[1].lower() in SUFFIXES
        here.inside[name] = Node(name, (tar, member))
    return images, again, impossible
