"""A fork beside a thread that trains, and a process that may make no memory executable."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.reliability import forks

pytestmark = pytest.mark.usefixtures("all_processors")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
def test_a_child_trains_and_predicts() -> None:
    assert forks.run(2) == []


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_one_line_where_memory_may_not_be_made_executable() -> None:
    program = (
        "import ctypes, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN
        "from lanewise.errors import LanewiseError\n"
        "from lanewise.engine.native import Library\n"
        "from lanewise.target import host\n"
        "try: Library([], host())\n"
        "except LanewiseError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("this kernel does not know PR_SET_MDWE")
    assert done.returncode == 0, done.stderr
    assert "lets no memory be made executable" in done.stdout
