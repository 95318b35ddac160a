"""What somebody else plants in a cache is never run, read or changed: `python -m tests.reliability.plants`.

Each plant is a way in which another user, or an attacker who once could write, leaves a folder or an entry behind. It
is survived if the cache never returns what was planted, changes nothing outside its own folder, and works all the same.
"""

from __future__ import annotations

import argparse
import os
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lanewise import private
from lanewise.caching import Cache
from lanewise.data import image_cache
from lanewise.errors import LanewiseWarning

OTHER = 65432
"""A user who is not this one."""

EVIL, GOOD = b"planted", b"built here"
KEY = "0" * 64


def _filled(folder: Path, content: bytes = EVIL, key: str = KEY) -> Path:
    """A folder with a valid entry, as this very program writes it: the best that an attacker can hope for."""
    cache = Cache(folder)
    cache.keep(key, content)
    assert cache.find(key) == content, folder
    return cache._path(key)


def _evil_elsewhere(root: Path) -> Path:
    return _filled(root / "elsewhere")


# plants in the folder: none of these folders may be used, and none may change


def others_may_write(root: Path) -> Path:
    folder = _filled(root / "code").parent
    folder.chmod(0o777)
    return folder


def group_may_write(root: Path) -> Path:
    folder = _filled(root / "code").parent
    folder.chmod(0o770)
    return folder


def sticky(root: Path) -> Path:
    folder = _filled(root / "code").parent
    folder.chmod(0o1777)
    return folder


def other_owner(root: Path) -> Path:
    folder = _filled(root / "code").parent
    os.chown(folder, OTHER, OTHER)
    return folder


def linked_folder(root: Path) -> Path:
    folder = root / "code"
    folder.symlink_to(_evil_elsewhere(root).parent)
    return folder


def link_to_open_folder(root: Path) -> Path:
    folder = root / "code"
    folder.symlink_to(others_may_write(root / "open"))
    return folder


def dangling_link(root: Path) -> Path:
    folder = root / "code"
    folder.symlink_to(root / "nowhere")
    return folder


def open_parent(root: Path) -> Path:
    folder = _filled(root / "open" / "code").parent
    folder.parent.chmod(0o777)
    return folder


def group_may_write_parent(root: Path) -> Path:
    folder = _filled(root / "a" / "b" / "code").parent
    (root / "a").chmod(0o775)
    return folder


def open_parent_of_nothing(root: Path) -> Path:
    (root / "open").mkdir()
    (root / "open").chmod(0o777)
    return root / "open" / "new" / "code"


def parent_is_link_into_open_folder(root: Path) -> Path:
    folder = open_parent(root)
    (root / "way").symlink_to(folder.parent)
    return root / "way" / "code"


def other_owner_of_parent(root: Path) -> Path:
    folder = _filled(root / "theirs" / "code").parent
    os.chown(folder.parent, OTHER, OTHER)
    return folder


# plants in a folder that is private: the entry may not be used


def linked_entry(root: Path) -> Path:
    path = _filled(root / "code", GOOD)
    path.unlink()
    path.symlink_to(_evil_elsewhere(root))
    return path.parent


def linked_entry_within(root: Path) -> Path:
    path = _filled(root / "code")
    path.rename(path.with_name("hidden"))
    path.symlink_to("hidden")
    return path.parent


def hard_link(root: Path) -> Path:
    path = _filled(root / "code")
    os.link(path, root / "second name")
    return path.parent


def pipe(root: Path) -> Path:
    path = _filled(root / "code")
    path.unlink()
    os.mkfifo(path)
    return path.parent


def folder_as_entry(root: Path) -> Path:
    path = _filled(root / "code")
    path.unlink()
    path.mkdir()
    return path.parent


def entry_others_may_write(root: Path) -> Path:
    path = _filled(root / "code")
    path.chmod(0o666)
    return path.parent


def entry_of_other_owner(root: Path) -> Path:
    path = _filled(root / "code")
    os.chown(path, OTHER, OTHER)
    return path.parent


def entry_of_other_folder(root: Path) -> Path:
    shutil.copy2(_evil_elsewhere(root), _filled(root / "code", GOOD))
    return root / "code"


def replayed(root: Path) -> Path:
    path = _filled(root / "code", EVIL, "1" * 64)
    path.rename(path.with_name(f"{KEY}.o"))
    return path.parent


def swapped(root: Path) -> Path:
    one, two = _filled(root / "code", GOOD), _filled(root / "code", EVIL, "1" * 64)
    content = one.read_bytes(), two.read_bytes()
    one.write_bytes(content[1])
    two.write_bytes(content[0])
    return one.parent


def truncated(root: Path) -> Path:
    path = _filled(root / "code")
    path.write_bytes(path.read_bytes()[:-1])
    return path.parent


def forged(root: Path) -> Path:
    """The format is known to everybody; the secret is not."""
    path = _filled(root / "code", GOOD)
    path.write_bytes(path.read_bytes().replace(GOOD, EVIL))
    return path.parent


def linked_secret(root: Path) -> Path:
    """An entry sealed with a secret that somebody else knows."""
    path = _filled(root / "code")
    (path.parent / private.SECRET).rename(root / "known")
    (path.parent / private.SECRET).symlink_to(root / "known")
    return path.parent


def open_secret(root: Path) -> Path:
    path = _filled(root / "code")
    (path.parent / private.SECRET).chmod(0o666)
    return path.parent


def secret_of_other_owner(root: Path) -> Path:
    path = _filled(root / "code")
    os.chown(path.parent / private.SECRET, OTHER, OTHER)
    return path.parent


def pipe_as_secret(root: Path) -> Path:
    path = _filled(root / "code")
    (path.parent / private.SECRET).unlink()
    os.mkfifo(path.parent / private.SECRET)
    return path.parent


def short_secret(root: Path) -> Path:
    path = _filled(root / "code")
    (path.parent / private.SECRET).write_bytes(b"")
    return path.parent


Plant = Callable[[Path], Path]
FOLDERS: tuple[Plant, ...] = (
    *(others_may_write, group_may_write, sticky, other_owner, linked_folder, link_to_open_folder, dangling_link),
    *(open_parent, group_may_write_parent, open_parent_of_nothing, parent_is_link_into_open_folder),
    other_owner_of_parent,
)
ENTRIES: tuple[Plant, ...] = (
    *(linked_entry, linked_entry_within, hard_link, pipe, folder_as_entry, entry_others_may_write),
    *(entry_of_other_owner, entry_of_other_folder, replayed, swapped, truncated, forged),
    *(linked_secret, open_secret, secret_of_other_owner, pipe_as_secret, short_secret),
)
NEED_ROOT = (other_owner, other_owner_of_parent, entry_of_other_owner, secret_of_other_owner)
"""Only the superuser can give a file away."""


def possible() -> list[Plant]:
    impossible: tuple[Plant, ...] = () if os.getuid() == 0 else NEED_ROOT
    if private._group_of_one(os.getgid()):  # nobody else is in it
        impossible = (*impossible, group_may_write_parent)
    return [plant for plant in (*FOLDERS, *ENTRIES) if plant not in impossible]


def _state(root: Path) -> list[tuple[str, int, int, bytes]]:
    found = []
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found.append((str(path), status.st_mode, status.st_uid, content))
    return found


def survives(plant: Plant, root: Path) -> str:
    """What went wrong, or nothing."""
    folder = plant(root)
    before = _state(root)
    private._told.clear()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        came = Cache(folder).get(KEY, lambda: GOOD)
        again = Cache(folder).get(KEY, lambda: GOOD)
    if came != GOOD or again != GOOD:
        return "the planted entry was returned"
    cautions = [caution for caution in told if caution.category is LanewiseWarning]
    if plant in FOLDERS:
        if len(cautions) != 1 or str(folder) not in str(cautions[0].message):
            return f"{len(cautions)} cautions"
        if _state(root) != before:
            return "something was changed"
        return _image_problem(folder, before, root)
    if cautions:
        return f"told of {cautions[0].message}"
    outside = [entry for entry in before if not Path(entry[0]).is_relative_to(folder)]
    if [entry for entry in _state(root) if not Path(entry[0]).is_relative_to(folder)] != outside:
        return "something outside was changed"
    # a folder in the place of an entry stays: it is in nobody's way
    found = Cache(folder).find(KEY)
    return "" if found == GOOD or plant is folder_as_entry else "the entry was not made anew"


def _image_problem(folder: Path, before: list[tuple[str, int, int, bytes]], root: Path) -> str:
    """The cache of decoded images keeps away from the same folders."""
    pixels = np.zeros((2, 4, 4, 1), np.uint8)
    path = image_cache.entry(folder, "0" * 32)
    image_cache.write(path, pixels, "stamp", {})
    if image_cache.read(path, "stamp") is not None or _state(root) != before:
        return "images were kept"
    return ""


def run(plants: list[Plant]) -> list[str]:
    """The plants that were not survived, and how."""
    failures = []
    for plant in plants:
        with tempfile.TemporaryDirectory() as root:
            problem = survives(plant, Path(root).resolve())
        if problem:
            failures.append(f"{plant.__name__}: {problem}")
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, help="how many of the plants; all by default")
    plants = possible()[: parser.parse_args().count]
    failures = run(plants)
    print(*failures, sep="\n", end="\n" if failures else "")
    print(f"plants: tried {len(plants)}, right {len(plants) - len(failures)}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
