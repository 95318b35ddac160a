"""A container's limits of processors and memory count, in the trees of files that Linux shows of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lanewise import limits, processors, target
from lanewise.target import default_threads, usable_threads

V1 = "31 23 0:28 {root} /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
V2 = "41 31 0:38 {root} /sys/fs/cgroup rw,nosuid shared:7 - cgroup2 cgroup2 rw\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(processors, "ROOT", tmp_path)
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)  # type: ignore[attr-defined]
    return tmp_path


def write(tree: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def second(tree: Path, path: str, files: dict[str, str], root: str = "/") -> None:
    """A tree of version 2 with the process in the group `path`."""
    write(tree, {"proc/self/cgroup": f"0::{path}\n", "proc/self/mountinfo": V2.format(root=root)})
    write(tree, {f"sys/fs/cgroup/{name}": text for name, text in files.items()})


def first(tree: Path, path: str, files: dict[str, str], root: str = "/") -> None:
    """Trees of version 1, as Docker shows them."""
    mounts = "".join(V1.format(root=root, name=name) for name in ("cpu,cpuacct", "memory"))
    write(tree, {"proc/self/cgroup": f"4:memory:{path}\n3:cpu,cpuacct:{path}\n0::/\n", "proc/self/mountinfo": mounts})
    write(tree, {f"sys/fs/cgroup/{name}": text for name, text in files.items()})


@pytest.mark.parametrize(
    ("text", "threads"),
    [
        ("max 100000", 8),
        ("100000 100000", 1),
        ("199999 100000", 1),
        ("200000 100000", 2),
        ("350000 100000", 3),
        ("5000 100000", 1),
        ("6400000 100000", 8),
        ("25000 10000", 2),
        ("", 8),
        ("nonsense", 8),
        ("100000 0", 8),
    ],
)
def test_cpu_quota_of_version_2(tree: Path, text: str, threads: int) -> None:
    second(tree, "/a/b", {"a/b/cpu.max": text})
    assert default_threads() == threads


@pytest.mark.parametrize(
    ("inner", "outer", "threads"), [("400000", "200000", 2), ("200000", "400000", 2), ("max", "300000", 3)]
)
def test_the_smallest_quota_on_the_way_counts(tree: Path, inner: str, outer: str, threads: int) -> None:
    second(tree, "/a/b", {"a/b/cpu.max": f"{inner} 100000", "a/cpu.max": f"{outer} 100000"})
    assert default_threads() == threads


@pytest.mark.parametrize(("quota", "threads"), [("-1", 8), ("100000", 1), ("250000", 2), ("0", 8)])
def test_cpu_quota_of_version_1(tree: Path, quota: str, threads: int) -> None:
    folder = "cpu,cpuacct/docker/x"
    first(tree, "/docker/x", {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"})
    assert default_threads() == threads


@pytest.mark.parametrize(
    ("path", "root"), [("/docker/x", "/docker/x"), ("/docker/x", "/"), ("/../../y", "/"), ("/", "/")]
)
def test_a_container_sees_its_group_as_the_root(tree: Path, path: str, root: str) -> None:
    second(tree, path, {"cpu.max": "100000 100000", "memory.max": "1000", "memory.current": "400"}, root)
    assert default_threads() == 1
    assert processors.memory_left() == 600


def test_no_trees_no_limits(tree: Path) -> None:
    assert (default_threads(), processors.memory_left()) == (8, None)


def test_memory_of_version_2(tree: Path) -> None:
    files = {
        "memory.max": f"{2**30}\n",
        "memory.current": "700000000",
        "memory.stat": "anon 5\ninactive_file 200000000\n",
    }
    second(tree, "/a", {f"a/{name}": text for name, text in files.items()} | {"memory.max": "max"})
    assert processors.memory_left() == 2**30 - 500_000_000
    assert limits.available_memory() == 2**30 - 500_000_000 or "MemAvailable" not in Path("/proc/meminfo").read_text()


def test_memory_of_version_1(tree: Path) -> None:
    folder = "memory/docker/x"
    files = {"memory.limit_in_bytes": "9223372036854771712", "memory.usage_in_bytes": "700"}
    first(tree, "/docker/x", {f"{folder}/{name}": text for name, text in files.items()})
    assert processors.memory_left() is None
    write(tree, {f"sys/fs/cgroup/{folder}/memory.limit_in_bytes": "1000"})
    write(tree, {f"sys/fs/cgroup/{folder}/memory.stat": "cache 9\ntotal_inactive_file 100\n"})
    assert processors.memory_left() == 400
    write(tree, {"sys/fs/cgroup/memory/docker/memory.limit_in_bytes": "900"})
    write(tree, {"sys/fs/cgroup/memory/docker/memory.usage_in_bytes": "1000"})
    assert processors.memory_left() == 0


def test_without_affinity_the_count_of_processors(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(processors.os, "sched_getaffinity")  # type: ignore[attr-defined]
    monkeypatch.setattr(processors.os, "cpu_count", lambda: None)  # type: ignore[attr-defined]
    assert default_threads() == 1


def test_no_more_threads_than_processors_and_tasks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(target, "default_threads", lambda: 4)
    with caplog.at_level("INFO", logger="lanewise"):
        assert [usable_threads(None), usable_threads(None, 3), usable_threads(2), usable_threads(3, 1)] == [4, 3, 2, 1]
        assert not caplog.messages
        assert usable_threads(64) == 4
    assert "64 threads were requested, but only 4 run" in caplog.text


GROUP = Path("/sys/fs/cgroup/cpu/lanewise-test")


@pytest.mark.skipif(not os.access(GROUP.parent, os.W_OK), reason="groups of version 1 cannot be made here")
def test_a_real_quota() -> None:
    try:
        GROUP.mkdir()
    except OSError:
        pytest.skip("groups cannot be made here")
    try:
        (GROUP / "cpu.cfs_quota_us").write_text("100000")
        program = (
            f"import os; open({str(GROUP / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
            "from lanewise.target import default_threads; print(default_threads())"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    finally:
        GROUP.rmdir()
    assert done.stdout == "1\n"
