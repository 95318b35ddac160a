"""Several competitors at the same work, timed in turn.

Every worker builds the same net and does the same steps; losses are compared, so that nobody is timed at other work.
Then, round after round, each does a short burst of steps while the others wait. Whatever slows the machine for a while
slows everybody in that round: speeds are compared within rounds, and the median of those ratios counts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from lanewise.bench.nets import Net
from lanewise.bench.peers import LANEWISE, Peer
from lanewise.bench.process import Worker, WorkerError
from lanewise.bench.workload import Kind, Task, agrees_roughly, save_model
from lanewise.notes import Say

WARM_UP = 4
"""Steps before anything is timed; compilers are done by then."""

SETTLE = 0.05
"""Seconds between two bursts, for the threads of the one before to go to sleep."""

TOLERANCE, ROUNDED, ROUGH = 1e-3, 1e-2, 0.3
"""Relative difference of losses after the warm-up: for exact peers, for those that round more, and where dropout or
batch normalisation differ."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a race; `burst` is in seconds."""

    threads: int = 2
    batch: int = 128
    rounds: int = 7
    burst: float = 0.5
    kind: Kind = "train"


@dataclass(frozen=True, slots=True)
class Racer:
    """A competitor, the interpreter that runs it, where that finds Lanewise, and how many threads it has.

    `threads` is None for as many as the settings of the race say.
    """

    peer: Peer
    python: Path = Path(sys.executable)
    paths: tuple[Path, ...] = ()
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One competitor on one net: images/s of each round, or why there are none."""

    net: str
    peer: Peer
    rates: tuple[float, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A competitor's result: median images/s, and the ratio of Lanewise's speed to its own in the same rounds."""

    entry: Entry
    images_per_second: float
    ratio: float
    ratios: tuple[float, ...] = field(repr=False)


def run(nets: Sequence[Net], racers: Sequence[Racer], settings: Settings, say: Say) -> list[Entry]:
    """Race on each net in turn.

    Parameters
    ----------
    nets : sequence of Net
    racers : sequence of Racer
        The losses of the others must agree with those of the first.
    settings : Settings
    say : callable
        Given a sentence on what is being done.

    Returns
    -------
    list of Entry
    """
    entries: list[Entry] = []
    with ExitStack() as stack:
        models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workers = {
            racer: stack.enter_context(
                Worker(racer.peer.framework, racer.threads or settings.threads, racer.python, racer.paths)
            )
            for racer in racers
        }
        for net in nets:
            entries += _race(net, workers, models / f"{len(entries)}.onnx", settings, say)
    return entries


def _race(net: Net, workers: dict[Racer, Worker], model: Path, settings: Settings, say: Say) -> Iterator[Entry]:
    problems: dict[Racer, str] = {}
    counts: dict[Racer, int] = {}
    losses: dict[Peer, float] = {}
    if settings.kind == "infer":
        save_model(net, model)
    for racer, worker in workers.items():
        say(f"{net.name}: {racer.peer.name} gets ready")
        threads = racer.threads or settings.threads
        task = Task(net, settings.kind, racer.peer.mode, settings.batch, threads, model=str(model))
        try:
            worker.ask(build=task.to_json())
            losses[racer.peer] = float(worker.ask(run=WARM_UP)["loss"])
            _check_loss(racer.peer, losses, agrees_roughly(net) and settings.kind == "train")
            counts[racer] = steps_of_a_burst(worker, settings.burst)
        except WorkerError as error:
            problems[racer] = str(error)
    able = [racer for racer in workers if racer not in problems]
    rates: dict[Racer, list[float]] = {racer: [] for racer in able}
    for number in range(settings.rounds):
        say(f"{net.name}: round {number + 1} of {settings.rounds}")
        for place in range(len(able)):
            racer = able[(place + number) % len(able)]  # nobody always follows the same one
            time.sleep(SETTLE)
            seconds = workers[racer].ask(run=counts[racer])["seconds"]
            rates[racer].append(counts[racer] * settings.batch / seconds)
    for racer in workers:
        yield Entry(net.name, racer.peer, tuple(rates.get(racer, ())), problems.get(racer, ""))


def steps_of_a_burst(worker: Worker, burst: float) -> int:
    """How many steps take about `burst` seconds, by ever longer trials."""
    count = 1
    while True:
        seconds = float(worker.ask(run=count)["seconds"])
        if seconds > burst / 4:
            return max(1, round(burst * count / seconds))
        count *= 2


def _check_loss(peer: Peer, losses: dict[Peer, float], roughly: bool) -> None:
    """The first competitor that is exact sets the measure."""
    measure = next((loss for other, loss in losses.items() if other.exact), losses[peer])
    tolerance = ROUGH if roughly else TOLERANCE if peer.exact else ROUNDED
    if not abs(losses[peer] - measure) <= tolerance * abs(measure):
        raise WorkerError(f"its loss after {WARM_UP} steps is {losses[peer]:.5f}, not {measure:.5f}: other work")


def lines(entries: Sequence[Entry], net: str, own: Peer = LANEWISE) -> list[Line]:
    """Order those who ran on a net, the fastest first.

    Parameters
    ----------
    entries : sequence of Entry
    net : str
    own : Peer
        Ratios are its speed over that of the others.

    Returns
    -------
    list of Line
        Empty if `own` did not run.
    """
    ran = [entry for entry in entries if entry.net == net and entry.rates]
    ours = next((entry.rates for entry in ran if entry.peer == own), None)
    if ours is None:
        return []
    result = []
    for entry in ran:
        ratios = tuple(one / other for one, other in zip(ours, entry.rates, strict=True))
        result.append(Line(entry, median(entry.rates), median(ratios), ratios))
    return sorted(result, key=lambda line: -line.images_per_second)


def best_framework(entries: Sequence[Entry], net: str) -> Line | None:
    """The peer that Lanewise is measured by: the fastest of those that compute in float32 as it does."""
    peers = [line for line in lines(entries, net) if line.entry.peer.exact and line.entry.peer != LANEWISE]
    return min(peers, key=lambda line: line.ratio, default=None)


def losses_of_lanewise(entries: Sequence[Entry]) -> list[Line]:
    """Where Lanewise is slower than somebody, worst first."""
    nets = dict.fromkeys(entry.net for entry in entries)
    slower = [line for net in nets for line in lines(entries, net) if line.ratio < 1]
    return sorted(slower, key=lambda line: line.ratio)


def as_record(entry: Entry, line: Line | None) -> dict[str, Any]:
    """For JSON."""
    record: dict[str, Any] = {"net": entry.net, "peer": entry.peer.name, "float32": entry.peer.exact}
    if line is None:
        return record | {"problem": entry.problem}
    return record | {
        "images_per_second": line.images_per_second,
        "rounds": list(entry.rates),
        "lanewise_over_it": line.ratio,
    }
