"""What a user names as image files: a folder, a table of paths and labels, or shards, which are tar files.

ImageFiles("photos", labels="breeds.csv", label_column="breed")      is given wherever a folder is
kind_of("shards/train-{000..009}.tar") -> "shards"
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from dataclasses import dataclass, fields
from pathlib import Path

from lanewise.errors import DataError
from lanewise.wording import quoted, shown

FOLDER, TABLE, SHARDS = "folder", "table", "shards"

TABLES = (".csv", ".tsv")
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")

MOST_SHARDS = 100_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]+)\.\.([0-9]+)")


@dataclass(frozen=True)
class ImageFiles:
    """Image files with labels from elsewhere than the names of folders. It is given wherever a folder of images is.

    Parameters
    ----------
    images : path
        A folder of images; a table (`.csv`, `.tsv`) of their paths and labels; or shards: a tar file, a pattern like
        `train-{000..009}.tar` or `shards/*.tar`, or a folder of tar files.
    labels : path, optional
        A table of paths and labels, where `images` is the folder that the paths are below.
    path_column, label_column, split_column : str, optional
        The columns of the table by name, or by number from 1: of the files, of their classes, and of the set that each
        is of, like train or test. By default they are found by their names. For shards, the label is the key of a JSON
        object, or the suffix of a member.
    """

    images: str | os.PathLike[str]
    labels: str | os.PathLike[str] | None = None
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None

    def __fspath__(self) -> str:
        """Where the images are."""
        return os.fspath(self.images)

    @property
    def table(self) -> Path | None:
        """The table, if there is one."""
        if self.labels is not None:
            return Path(self.labels)
        return Path(self.images) if _ends(self.images, TABLES) else None


def files_of(source: str | os.PathLike[str]) -> ImageFiles:
    """A source as image files."""
    return source if isinstance(source, ImageFiles) else ImageFiles(source)


def words_of(source: str | os.PathLike[str]) -> str:
    """A source as the words of a command."""
    files = files_of(source)
    words = [quoted(os.fspath(files.images))]
    for one in fields(files)[1:]:
        value = getattr(files, one.name)
        if value is not None:
            words += ["--" + one.name.replace("_", "-"), (shlex.quote if "column" in one.name else quoted)(value)]
    return " ".join(words)


def kind_of(source: str | os.PathLike[str]) -> str:
    """What holds the images: FOLDER, TABLE or SHARDS. What does not exist is taken for a folder, unless named else.

    Raises
    ------
    DataError
        It is a packed archive, in which no image can be looked up.
    """
    files = files_of(source)
    if files.table is not None and not (files.labels is None and os.path.isdir(files.images)):
        return TABLE
    name = os.fspath(source)
    if os.path.isdir(name):
        return SHARDS if _folder_of_shards(name) else FOLDER
    if _ends(name, PACKED):
        raise DataError(
            f"{shown(name)} is packed as a whole, so no image in it can be looked up: unpack it to a .tar file, which "
            "is hardly larger, as images are packed themselves"
        )
    return SHARDS if _ends(name, (".tar",)) else FOLDER


def is_files(source: object) -> bool:
    """Whether a source names image files, and not arrays or the built-in digits."""
    if not isinstance(source, str | os.PathLike):
        return False
    return os.path.isdir(source) or _ends(source, (*TABLES, *PACKED, ".tar")) or isinstance(source, ImageFiles)


def shards_of(source: str | os.PathLike[str]) -> list[Path]:
    """The tar files of a pattern, a folder or a file, in the order of their names.

    Raises
    ------
    DataError
        There are none, or one is missing.
    """
    name = os.fspath(source)
    if os.path.isdir(name):
        found = [path for path in _tars_below(Path(name)) if not path.name.startswith(".")]
    elif os.path.exists(name):
        found = [Path(name)]
    else:
        names = _expanded(name)
        found = []
        for one in names:
            matching = sorted(glob.glob(one)) if glob.has_magic(one) else [one]
            if not matching or not os.path.exists(matching[0]):
                of = f", of {shown(name)}" if one != name else ""
                raise DataError(f"no such file: {shown(one)}{of}")
            found += map(Path, matching)
    if not found:
        raise DataError(f"there is no tar file in {shown(name)}")
    if folders := [path for path in found if path.is_dir()]:
        raise DataError(f"{shown(folders[0])} is a folder, not a tar file")
    return found


def stem_of(source: str | os.PathLike[str]) -> str:
    """What a model that is trained on a source is called by default: the name without suffix and numbers."""
    name = Path(os.path.abspath(source)).name
    if _ends(name, (".npz", *TABLES)):
        return os.path.splitext(name)[0]
    if _ends(name, (".tar",)):
        name = re.sub(r"[-_.]*[0-9]*$", "", re.sub(r"\{.*\}|[*?]+|\[.*\]", "", name[:-4])) or "shards"
    return name


def _ends(name: str | os.PathLike[str], suffixes: tuple[str, ...]) -> bool:
    return os.fspath(name).lower().endswith(suffixes)


def _tars_below(folder: Path) -> list[Path]:
    """The tar files in a folder and in those right in it."""
    try:
        inside = sorted(folder.iterdir())
        deeper = [path for one in inside if one.is_dir() for path in sorted(one.iterdir())]
    except OSError as error:
        raise DataError(f"cannot read the folder {shown(folder)}: {error.strerror}") from None
    return [path for path in (*inside, *deeper) if _ends(path, (".tar",)) and path.is_file()]


def _folder_of_shards(folder: str) -> bool:
    """Whether a folder holds tar files and nothing else that may be classes or images, perhaps folders of them."""
    try:
        with os.scandir(folder) as entries:
            inside = [entry for entry in entries if not entry.name.startswith(".")]
        if any(_ends(entry.name, (".tar",)) and entry.is_file() for entry in inside):
            return not any(entry.is_dir() for entry in inside)
        folders = [entry.path for entry in inside if entry.is_dir()]
        return bool(folders) and all(_first_is_tar(one) for one in folders)
    except OSError:
        return False


def _first_is_tar(folder: str) -> bool:
    with os.scandir(folder) as entries:
        first = next((entry for entry in entries if not entry.name.startswith(".")), None)
        return first is not None and _ends(first.name, (".tar",))


def _expanded(name: str) -> list[str]:
    """The names that braces stand for: `{000..009}` counts with as many digits, `{a,b}` lists."""
    found = _BRACES.search(name)
    if found is None:
        return [name]
    if counts := _RANGE.fullmatch(found[1]):
        first, last = int(counts[1]), int(counts[2])
        if not 0 <= last - first < MOST_SHARDS:
            raise DataError(f"{shown(name)} names no shards: {{{found[1]}}} counts from {first} to {last}")
        width = len(counts[1]) if counts[1].startswith("0") else 0
        words = [f"{n:0{width}}" for n in range(first, last + 1)]
    elif "," in found[1]:
        words = found[1].split(",")
    else:
        raise DataError(f"{shown(name)} names no shards: give a range like {{000..009}} or a list like {{a,b}}")
    heads = [name[: found.start()] + word for word in words]
    tails = _expanded(name[found.end() :])
    if len(heads) * len(tails) > MOST_SHARDS:
        raise DataError(f"{shown(name)} names {len(heads) * len(tails):,} files: name them by a folder or by *")
    return [head + tail for head in heads for tail in tails]
