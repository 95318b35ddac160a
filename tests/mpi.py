"""What tests of several ranks share: `mpiexec`, run for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

needs_mpiexec = pytest.mark.skipif(
    shutil.which("mpiexec") is None or find_spec("mpi4py") is None,
    reason="there is no mpiexec, or no mpi4py: pip install mpich mpi4py",
)
SECONDS = 5.0
"""Within which all ranks end when one of them does."""


def command(*programs: tuple[int, str, list[str]]) -> list[str]:
    """The command that starts so many ranks of each program, a module of Python with arguments."""
    words = ["mpiexec"]
    for n, (ranks, module, arguments) in enumerate(programs):
        words += [":"] * (n > 0) + ["-n", str(ranks), sys.executable, "-m", module, *arguments]
    return words


def environment() -> dict[str, str]:
    """In which modules of the tests are found from anywhere."""
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}


def run(*programs: tuple[int, str, list[str]], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run them to the end."""
    return subprocess.run(
        command(*programs), cwd=folder, env=environment(), capture_output=True, text=True, timeout=240, check=False
    )
