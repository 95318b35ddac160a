"""Processes of this package: where it is, and how one of its modules is run by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lanewise.bench.process import environment

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
"""Where interpreters of other environments find Lanewise."""


def run_module(module: str, *arguments: str, threads: int, **variables: str) -> subprocess.Popen[str]:
    """Start `python -m module` of this package with Lanewise's interpreter; its output comes through a pipe."""
    command = [sys.executable, "-m", module, *arguments]
    surroundings = environment(threads, (ROOT, SOURCE)) | variables
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=surroundings)
