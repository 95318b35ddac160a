"""How many processors and how much memory this process may use: the machine's, or less where a container sets limits.

Linux limits groups of processes ("cgroups"). Version 1 keeps processors and memory in trees of their own, version 2 has
one tree; a limit holds for a group and all below it, so the smallest on the way from the process's group to the root
counts. All files are looked up under `ROOT`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
"""Where /proc and the mounted trees are looked for; tests put a tree of their own here."""


@dataclass(frozen=True, slots=True)
class _Names:
    """The files of one version: a group's memory limit and use, and the line of `memory.stat` that can be reclaimed."""

    limit: str
    usage: str
    reclaimable: str


_MEMORY = {
    1: _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: _Names("memory.max", "memory.current", "inactive_file"),
}


def processors() -> int:
    """How many threads can run at the same time: whole processors, of those that the process may use and is paid for.

    A quota of 1.5 processors counts as 1: a second thread would make both wait for half of the time.
    """
    affinity = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if affinity else os.cpu_count() or 1
    quota = cpu_quota()
    return count if quota is None else max(1, min(count, int(quota)))


def cpu_quota() -> float | None:
    """The processors' time that the process's groups may use a second, in processors; None without a limit."""
    quotas = []
    for version, folder in _groups("cpu"):
        if version == 2:
            quota, _, period = _text(folder / "cpu.max").partition(" ")
        else:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        given, span = _number(quota), _number(period)
        if given is not None and span is not None and given > 0 and span > 0:
            quotas.append(given / span)
    return min(quotas, default=None)


def memory_left() -> int | None:
    """Bytes that the process's groups leave it; None without a limit. Cached files count as free."""
    left = []
    for version, folder in _groups("memory"):
        names = _MEMORY[version]
        limit, usage = _number(_text(folder / names.limit)), _number(_text(folder / names.usage))
        if limit is None or limit < 0 or limit >= 2**62:  # version 1 writes "no limit" as the largest of pages
            continue
        left.append(max(0, limit - max(0, (usage or 0) - _reclaimable(folder, names))))
    return min(left, default=None)


def proc_value(file: str, name: str) -> str | None:
    """What the first line `name: value` of a file in /proc tells; None where the system has no such file or line."""
    for line in _text(ROOT / "proc" / file).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def proc_bytes(file: str, name: str) -> int | None:
    """The same of a line that tells bytes, in kB."""
    value = proc_value(file, name)
    return None if value is None else int(value.removesuffix("kB")) * 1024


def _reclaimable(folder: Path, names: _Names) -> int:
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == names.reclaimable:
            return _number(value) or 0
    return 0


def _groups(controller: str) -> Iterator[tuple[int, Path]]:
    """The version and folder of the process's group and of all above it, in each tree that may limit it."""
    mounts = list(_mounts(controller))
    for line in _text(ROOT / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        version = 2 if number == "0" and not controllers else 1
        if version == 1 and controller not in controllers.split(","):
            continue
        for kind, shown, point in mounts:
            if kind == version:
                yield from ((version, folder) for folder in _way(path, shown, point))


def _way(path: str, shown: str, point: Path) -> Iterator[Path]:
    """The folders from a group up to the root of a mount that shows the tree from the group `shown` on.

    In a container the mount often shows the container's group as its root, and the path may be told from outside.
    """
    below = Path(path).parts[1:]
    root = Path(shown).parts[1:]
    if below[: len(root)] == root:
        below = below[len(root) :]
    elif ".." in below:
        below = ()
    folder = point.joinpath(*below)
    if not folder.is_dir():  # the path is one that this mount does not show
        folder = point
    while True:
        yield folder
        if folder == point:
            return
        folder = folder.parent


def _mounts(controller: str) -> Iterator[tuple[int, str, Path]]:
    """Version, root within the tree, and place of each mount of groups that may hold a controller."""
    for line in _text(ROOT / "proc/self/mountinfo").splitlines():
        front, _, back = line.partition(" - ")
        fields, kinds = front.split(" "), back.split(" ")
        if len(fields) < 5 or len(kinds) < 3:
            continue
        shown, point = (_unescaped(field) for field in fields[3:5])
        if kinds[0] == "cgroup2":
            yield 2, shown, ROOT / point.lstrip("/")
        elif kinds[0] == "cgroup" and controller in kinds[2].split(","):
            yield 1, shown, ROOT / point.lstrip("/")


def _unescaped(field: str) -> str:
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, letter)
    return field


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:  # "max", or nothing
        return None
