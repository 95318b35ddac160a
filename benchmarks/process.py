"""The other end of a worker's pipe: starts it, asks it, ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parent.parent


class WorkerError(Exception):
    """A worker could not do what it was asked; the message is one line."""


def environment(threads: int) -> dict[str, str]:
    """Environment variables of a process that finds this package and uses `threads` threads in any library."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return os.environ | limits | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


class Worker:
    """One competitor's process; see `worker.py` for what it understands.

    Parameters
    ----------
    python : path
        The interpreter, of an environment where the framework is installed.
    framework : str
    threads : int
        It is kept to as many processors, where the system can do that.
    """

    def __init__(self, python: str | Path, framework: str, threads: int) -> None:
        self.framework = framework
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.worker", framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env=environment(threads),
        )
        if hasattr(os, "sched_setaffinity"):
            processors = sorted(os.sched_getaffinity(0))[:threads]
            os.sched_setaffinity(self._process.pid, processors)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        try:
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"its process ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"status {self._process.returncode}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._complaints.close()


def run_module(module: str, *arguments: str, threads: int, **variables: str) -> subprocess.Popen[str]:
    """Start `python -m module` of this package with Lanewise's interpreter; its output comes through a pipe."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(threads) | variables)
