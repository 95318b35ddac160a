"""A few of the stress runs of `leaving` and `names`, and the mechanisms under them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lanewise.engine.schedule import run_threads
from lanewise.interrupts import Presses, attend, defer
from lanewise.saving import write_new, write_whole
from tests.reliability import leaving, names

pytestmark = pytest.mark.usefixtures("all_processors")

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and terminals as POSIX has them")


@POSIX
@pytest.mark.parametrize("number", range(len(leaving.CASES)), ids=leaving.CASES)
def test_whatever_happens_the_model_is_saved(number: int) -> None:
    assert leaving.trial(number) is None


def test_names_are_claimed_by_one_process_each() -> None:
    assert names.trial(0) is None


@POSIX
@pytest.mark.parametrize("words", ["inspect digits.onnx", "train --help", "evaluate digits.onnx digits"])
def test_readers_may_go_from_every_command(words: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m lanewise {words} | true; exit ${{PIPESTATUS[0]}}"
    train = [sys.executable, "-m", "lanewise", "train", "digits", "--epochs", "1", "--quiet"]
    subprocess.run(train, cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@POSIX
def test_threads_are_waited_for_however_often_it_is_pressed() -> None:
    """Pressed twice within one native call, it does not return before the call has."""
    done: list[int] = []
    entered, pressed = threading.Barrier(3, timeout=600), threading.Event()

    def work(job: int, n: int) -> None:
        entered.wait()
        pressed.wait(600)
        time.sleep(0.05)  # if it returns early, then meanwhile
        done.append(n)

    def press() -> None:
        entered.wait()
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)  # or they count as one
        pressed.set()

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        run_threads(work, 0, 2)
    assert sorted(done) == [0, 1]


@POSIX
def test_one_press_counts_and_further_ones_change_nothing() -> None:
    with Presses() as presses:
        defer()
        os.kill(os.getpid(), signal.SIGINT)
        assert presses.count == 1
        with pytest.raises(KeyboardInterrupt):
            attend()
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
    assert presses.count == 4
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_new_files_replace_none_and_whole_ones_keep_permissions_and_links(tmp_path: Path) -> None:
    assert [write_new(tmp_path / "a.txt", b"%d" % n).name for n in range(3)] == ["a.txt", "a-2.txt", "a-3.txt"]
    (tmp_path / "a.txt").chmod(0o640)
    (tmp_path / "link").symlink_to("a.txt")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a.txt").read_bytes() == b"new"
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["a-2.txt", "a-3.txt", "a.txt", "link"]


def test_where_there_are_no_links_names_are_claimed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*names: object) -> None:
        raise OSError(95, "no links here")

    monkeypatch.setattr(os, "link", none)
    assert [write_new(tmp_path / "a.txt", b"%d" % n).name for n in range(2)] == ["a.txt", "a-2.txt"]
    assert (tmp_path / "a-2.txt").read_bytes() == b"1"


def test_what_killed_processes_left_is_swept_after_a_day(tmp_path: Path) -> None:
    old, new, other = (
        tmp_path / f".{n}.onnx.{n * 12}.{kind}tmp" for n, kind in zip("abc", ("lanewise.",) * 2 + ("",), strict=True)
    )
    for path in (old, new, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (1, 1))
    write_whole(tmp_path / "model", b"whole")
    assert sorted(os.listdir(tmp_path)) == sorted([new.name, other.name, "model"])


@POSIX
def test_an_interrupt_inside_an_exec_ends_with_a_status_and_one_line(tmp_path: Path) -> None:
    """Dataclasses are made by `exec`; Python ends by a signal when that was interrupted, whatever the status."""
    (tmp_path / "sitecustomize.py").write_text(
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'lanewise.cli.group':\n"
        "            exec('raise KeyboardInterrupt')\n"
        "import sys\nsys.meta_path.insert(0, Finder())\n"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = [sys.executable, "-m", "lanewise", "--version"]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "lanewise: stopped\n")
