"""Decoding in processes of their own: threads share an interpreter, which small files need most of the time.

A worker is given chunks of files, writes their pixels into the file that all have mapped, and answers with what it saw:

    {"file": ..., "offset": ..., "shape": ..., "max_pixels": ..., "bits": ..., "fit": ...}      once
    [first, [[path, [start, length] or null], ...]]                       many times, and for each an answer:
    [first, [[rows, columns, wide] or [reason, passing], ...]]

A line of JSON each. It ends when its input does, whatever became of whoever started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from lanewise.data.decode import Header, PassingError, read_pixels
from lanewise.data.tree import ImageFile
from lanewise.errors import DataError

MANY = 5000
"""Files from which on it pays to start processes, which takes a quarter of a second."""

CHUNK = 128

Outcome = Header | DataError

_SERVE = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from lanewise.data.decoding import serve; serve()"
)
"""Ctrl-C goes to all processes of a terminal: whoever started a worker ends its input then."""


def in_processes(
    files: Sequence[ImageFile], mapped: tuple[Path, int, tuple[int, ...]], how: dict[str, Any], processes: int
) -> Generator[Outcome, None, None]:
    """Decode files in several processes; what became of each, in order.

    Parameters
    ----------
    files : sequence of ImageFile
    mapped : (path, offset, shape)
        Where the pixels go.
    how : dict
        "max_pixels", "bits" and "fit", as `read_pixels` takes them.
    processes : int
    """
    path, offset, shape = mapped
    task = {"file": os.fsdecode(path), "offset": offset, "shape": shape, **how}
    local, ending = threading.local(), threading.Event()
    workers: list[_Worker] = []

    def several(first: int) -> list[Outcome]:
        if not hasattr(local, "worker"):
            local.worker = _Worker(task, ending)
            workers.append(local.worker)
        found: list[Outcome] = local.worker.decode(first, files[first : first + CHUNK])
        return found

    with ThreadPoolExecutor(processes) as pool:
        try:
            for found in pool.map(several, range(0, len(files), CHUNK)):
                yield from found
        finally:
            ending.set()
            for worker in list(workers):
                worker.end()
            pool.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """A process that decodes; where it cannot be started, or died, this process does its work."""

    def __init__(self, task: dict[str, Any], ending: threading.Event) -> None:
        self._task, self._ending = task, ending
        self._own: Callable[[int, Sequence[ImageFile]], list[Outcome]] | None = None
        surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):
            self._process = subprocess.Popen([sys.executable, "-c", _SERVE], env=surroundings, **pipes)  # type: ignore[call-overload]
            self._send(task)

    def decode(self, first: int, files: Sequence[ImageFile]) -> list[Outcome]:
        """What became of some files, the first of which is number `first` of all."""
        with suppress(OSError, ValueError, TypeError):
            self._send([first, [[file.path, file.within] for file in files]])
            process = self._process
            if process is not None and process.stdout is not None:
                which, answer = json.loads(process.stdout.readline())
                if which == first and len(answer) == len(files):
                    return [_outcome(one) for one in answer]
        if self._ending.is_set():
            return []
        self.end()
        if self._own is None:
            self._own = _decoder(self._task)
        return self._own(first, files)

    def end(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what it was not told
                    if pipe is not None:
                        pipe.close()

    def _send(self, what: object) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.write(json.dumps(what).encode() + b"\n")
            process.stdin.flush()


def _outcome(answer: Sequence[Any]) -> Outcome:
    if isinstance(answer[0], str):
        return (PassingError if answer[1] else DataError)(answer[0])
    rows, columns, wide = answer
    return Header(rows, columns, grey=False, wide=wide)


def _decoder(task: dict[str, Any]) -> Callable[[int, Sequence[ImageFile]], list[Outcome]]:
    """What decodes files into the pixels that a task names."""
    pixels = np.memmap(task["file"], np.uint8, "r+", task["offset"], tuple(task["shape"]))
    size, channels = (pixels.shape[1], pixels.shape[2]), pixels.shape[3]

    def one(n: int, file: ImageFile) -> Outcome:
        try:
            pixels[n], header = read_pixels(
                file.source(), size, channels, task["max_pixels"], task["bits"], task["fit"]
            )
        except DataError as reason:
            return reason
        return header

    return lambda first, files: [one(first + n, file) for n, file in enumerate(files)]


def serve(source: IO[str] | None = None, answers: IO[str] | None = None) -> None:
    """What a worker does: read tasks from standard input, and answer on standard output."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    source, answers = source or sys.stdin, answers or sys.stdout
    work = _decoder(json.loads(source.readline()))
    for line in source:
        first, files = json.loads(line)
        found = work(first, [ImageFile(path, "", -1, (0, 0, 0), within and tuple(within)) for path, within in files])
        answer = [
            [str(one), isinstance(one, PassingError)]
            if isinstance(one, DataError)
            else [one.rows, one.columns, one.wide]
            for one in found
        ]
        answers.write(json.dumps([first, answer]) + "\n")
        answers.flush()
