"""A few odd circumstances for every command; `python -m tests.reliability.environments` tries them all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.environments import run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="devices, terminals and permissions of Linux")

CASES = [
    ("path escape sequence", "train, all files"),
    ("path composed, ASCII", "report"),
    ("class chinese, strict ascii:strict", "predict"),
    ("path other controls", "check"),
    ("terminal of 40", "evaluate"),
    ("terminal of 20", "inspect"),
    ("images may not be read", "check"),
    ("images have no name", "predict"),
    ("output has 300 letters", "train"),
    ("output full", "misused"),
    ("no output", "predict"),
]


@pytest.mark.parametrize(("circumstance", "kind"), CASES)
def test_in_odd_circumstances(circumstance: str, kind: str) -> None:
    assert run(circumstance, kind) is None


def lanewise(shell: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-c", shell, "bash", sys.executable, "-m", "lanewise"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600)


def test_a_full_disk_changes_no_worse_status(tmp_path: Path) -> None:
    """A command that was not understood, or was stopped, ends as it does anywhere."""
    assert lanewise('"$@" train --help >/dev/full', tmp_path).returncode == 1
    (tmp_path / "sitecustomize.py").write_text(
        "import click\n"
        "class Full(click.Context):\n"
        "    def invoke(self, *args, **kwargs):\n"
        "        print('words')\n"
        "        raise KeyboardInterrupt\n"
        "click.Command.context_class = Full\n"
    )
    before = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = lanewise(f"PYTHONPATH={before} \"$@\" inspect 'dense 2' --input 4x4 >/dev/full", tmp_path)
    assert done.returncode == 130, done.stderr
    assert "stopped" in done.stderr
    assert "no space left" in done.stderr
    assert "all else was done" not in done.stderr
