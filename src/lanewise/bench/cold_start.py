"""A process timed from its start, and the memory that it took: the first training of a network.

    measure(framework, task, steps) -> First

Run as a module, this file is that process: it imports the framework, builds the network, learns for some steps, and
prints one JSON object.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from lanewise.bench.process import WorkerError, confine, environment
from lanewise.bench.workload import Task
from lanewise.processors import proc_bytes

RUNS = 3
"""Runs of several steps each, after the first two steps; the median counts."""


@dataclass(frozen=True, slots=True)
class First:
    """A first training: seconds of each part, and bytes of memory.

    Attributes
    ----------
    start : the interpreter, NumPy and the data
    load : import of the framework
    build : the network ready to learn; for Lanewise a Trainer in machine code
    first : the first step, in which some frameworks compile
    step : each later one
    loaded, peak : bytes resident after the import, and at most
    """

    start: float
    load: float
    build: float
    first: float
    step: float
    loaded: int
    peak: int

    @property
    def ahead(self) -> float:
        """Seconds that a training takes beside those of its steps."""
        return self.start + self.load + self.build + max(0.0, self.first - self.step)


def measure(
    framework: str,
    task: Task,
    *,
    burst: float = 0.2,
    runs: int = RUNS,
    python: str | Path = sys.executable,
    paths: Sequence[Path] = (),
    cache: str | None = None,
) -> First:
    """Train in a fresh process.

    Parameters
    ----------
    framework : str
    task : Task
    burst : float
        Seconds of steps in each of the runs that are measured.
    runs : int
        How many of those.
    python, paths
        As a `Worker` has them.
    cache : str, optional
        Lanewise's cache folder; the user's by default.

    Raises
    ------
    WorkerError
        If it could not; the message is one line.
    """
    variables = environment(task.threads, paths) | ({"LANEWISE_CACHE": cache} if cache else {})
    request = {"framework": framework, "task": task.to_json(), "burst": burst, "runs": runs, "began": time.time()}
    process = subprocess.Popen(
        [str(python), "-m", "lanewise.bench.cold_start", json.dumps(request)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables,
    )
    confine(process, task.threads)
    answer, complaints = process.communicate()
    if process.returncode or not answer:
        last = (complaints.strip().splitlines() or [f"status {process.returncode}"])[-1]
        raise WorkerError(f"{framework} on {task.net.name}: its process ended: {last}")
    record = json.loads(answer)
    if "error" in record:
        raise WorkerError(f"{framework} on {task.net.name}: {record['error']}")
    return First(**record)


def _main(request: dict[str, Any]) -> dict[str, Any]:
    from lanewise.bench.worker import runner
    from lanewise.bench.workload import Workload

    workload = Workload.of(Task.from_json(request["task"]))
    clock: list[float] = [time.time() - request["began"]]

    def lap() -> float:
        """Seconds since the lap before."""
        clock.append(time.time() - request["began"])
        return clock[-1] - clock[-2]

    importlib.import_module(f"lanewise.bench.peers.with_{request['framework']}")
    load, loaded = lap(), _memory("VmRSS")
    run = runner(request["framework"], workload)
    build = lap()
    first = run(1)["seconds"]
    steps = max(1, round(request["burst"] / run(1)["seconds"]))
    times = [run(steps)["seconds"] / steps for _ in range(request["runs"])]
    return {
        "start": clock[0],
        "load": load,
        "build": build,
        "first": first,
        "step": median(times),
        "loaded": loaded,
        "peak": _memory("VmHWM"),
    }


def _memory(what: str) -> int:
    """Bytes resident: "VmRSS" now, "VmHWM" at most. 0 where the system does not tell.

    Linux keeps both for this program alone; the maximum of `getrusage` may be left over from whoever started it.
    """
    if (told := proc_bytes("self/status", what)) is not None:
        return told
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    from lanewise.bench.worker import answer_pipe, in_one_line

    answers = answer_pipe()
    try:
        said = _main(json.loads(sys.argv[1]))
    except Exception as error:  # the parent makes one line of it
        said = {"error": in_one_line(error)}
    print(json.dumps(said), file=answers, flush=True)
