"""The other end of a worker's pipe: starts it, asks it, ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from lanewise.errors import LanewiseError


class WorkerError(LanewiseError):
    """A worker could not do what it was asked; the message is one line."""


def environment(threads: int, paths: Sequence[Path] = ()) -> dict[str, str]:
    """Environment variables of a process that also imports from `paths`, and uses `threads` threads in any library."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    searched = os.pathsep.join(filter(None, [*map(str, paths), os.environ.get("PYTHONPATH", "")]))
    return os.environ | limits | ({"PYTHONPATH": searched} if searched else {})


def confine(process: subprocess.Popen[Any], threads: int) -> None:
    """Keep a process to as many processors as it has threads, where the system can do that.

    Frameworks that ask how many there are (JAX has no option for it) then find what they are to use.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:threads])


class Worker:
    """One competitor's process; see `worker.py` for what it understands.

    Parameters
    ----------
    framework : str
    threads : int
        It is kept to as many processors.
    python : path, optional
        The interpreter, of an environment where the framework is installed; by default this one.
    paths : paths
        Where that interpreter finds Lanewise, if it is not installed there.
    """

    def __init__(
        self, framework: str, threads: int, python: str | Path = sys.executable, paths: Sequence[Path] = ()
    ) -> None:
        self.framework = framework
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit
        self._process = subprocess.Popen(
            [str(python), "-m", "lanewise.bench.worker", framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env=environment(threads, paths),
        )
        confine(self._process, threads)

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

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._complaints.close()
