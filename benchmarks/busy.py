"""`python -m benchmarks busy`: training beside other programs, as a multiple of what its fair share allows.

A share is measured, not computed: in each round as many endless loops as training has threads run in its place, beside
the same busy programs, and the processor time that they get is the share. Work is one thread's processor time with
nobody beside it. Fair is work / share; whoever takes twice as long wastes half of its share, or does not claim it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Report
from lanewise.bench import data
from lanewise.bench.nets import NETS
from lanewise.bench.tables import Table
from lanewise.bench.workload import Learner, Task, Workload
from lanewise.target import default_threads

BATCH = 128
CALL = 0.1
"""Seconds of work in a native call, as in a training."""

LOOKED = 0.4
"""Seconds for which endless loops are watched."""

_LOOP = "while True: pass"


@dataclass(frozen=True, slots=True)
class Turn:
    """Training on so many threads beside so many busy processes.

    `ratios` are seconds over those of the fair share, a round each; `wall` is the median of seconds over work.
    """

    busy: int
    threads: int
    wall: float
    ratios: tuple[float, ...]


def measure(net: str, busy: Sequence[int], rounds: int, calls: int, say: Callable[[str], None]) -> Report:
    """Train with one thread and with two, in turn, beside each number of busy processes."""
    counts = (1, 2) if default_threads() > 1 else (1,)
    trained = {threads: _learner(net, threads) for threads in counts}
    steps, work = _work(trained[1])
    turns = []
    for number in busy:
        taken: dict[int, list[tuple[float, float]]] = {threads: [] for threads in counts}
        with loops(number):
            for round_ in range(rounds):
                say(f"{net}: {number} busy processes, round {round_ + 1} of {rounds}")
                for threads in counts:
                    share = fair_share(threads)
                    wall = _seconds(trained[threads], [steps] * calls) / calls / work
                    taken[threads].append((wall, wall * share))
        turns += [
            Turn(number, threads, median(wall for wall, _ in found), tuple(ratio for _, ratio in found))
            for threads, found in taken.items()
        ]
    return report(net, turns, rounds)


def _learner(net: str, threads: int) -> tuple[Learner, Iterator[NDArray[np.int32]]]:
    from lanewise.bench.peers import with_lanewise

    workload = Workload.of(Task(NETS[net], "train", "float32", BATCH, threads))
    return with_lanewise.learner(workload), data.batches(BATCH, len(workload.pixels))


def _seconds(trained: tuple[Learner, Iterator[NDArray[np.int32]]], calls: Sequence[int]) -> float:
    learn, batches = trained
    chosen = [list(islice(batches, steps)) for steps in calls]
    start = time.perf_counter()
    for call in chosen:
        learn(call)
    return time.perf_counter() - start


def _work(trained: tuple[Learner, Iterator[NDArray[np.int32]]]) -> tuple[int, float]:
    """Steps of a call, and its processor time on one thread."""

    def used(steps: int) -> float:
        before = time.process_time()
        _seconds(trained, [steps])
        return time.process_time() - before

    used(4)
    steps = max(1, round(4 * CALL / used(4)))
    return steps, min(used(steps) for _ in range(7))


@contextmanager
def loops(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run so many endless loops."""
    processes = [subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(count)]
    try:
        time.sleep(0.1)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def fair_share(threads: int) -> float:
    """The processors that so many endless loops get beside whatever else runs."""
    with loops(threads) as processes:
        start, before = time.perf_counter(), sum(map(_used, processes))
        time.sleep(LOOKED)
        return (sum(map(_used, processes)) - before) / (time.perf_counter() - start)


def _used(process: subprocess.Popen[bytes]) -> float:
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9


def report(net: str, turns: Sequence[Turn], rounds: int) -> Report:
    """A row for each number of busy processes, with one column for each number of threads."""
    counts = list(dict.fromkeys(turn.threads for turn in turns))
    found = {(turn.busy, turn.threads): turn for turn in turns}
    rows = [
        (str(number), *(_cell(found[number, threads]) for threads in counts))
        for number in dict.fromkeys(turn.busy for turn in turns)
    ]
    columns = ("busy processes", *(f"{threads} thread{'s' * (threads > 1)}" for threads in counts))
    title = f"{net}: seconds of training over those of its fair share, batch {BATCH}, medians of rounds: {rounds}"
    remarks = (
        "A fair share is what as many endless loops get in its place, measured in the same round. In brackets: the "
        "least and the most of the rounds, and the seconds over those of one thread alone on an idle machine.",
    )
    return Report(
        "busy", (Table(title, columns, tuple(rows)),), remarks, {"net": net, "turns": list(map(asdict, turns))}
    )


def _cell(turn: Turn) -> str:
    return f"{median(turn.ratios):.2f} ({min(turn.ratios):.2f} to {max(turn.ratios):.2f}; {turn.wall:.1f}x)"
