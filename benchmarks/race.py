"""Training steps of several frameworks, timed in turn.

Every worker builds the same net and does the same steps; losses are compared, so that nobody is timed at other work.
Then, round after round, each does a short burst of steps while the others wait. Whatever slows the machine for a while
slows everybody in that round: speeds are compared within rounds, and the median of those ratios counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.nets import Net
from benchmarks.peers import LANEWISE, Peer
from benchmarks.process import Worker, WorkerError

WARM_UP = 4
"""Steps before anything is timed; compilers are done by then."""

SETTLE = 0.05
"""Seconds between two bursts, for the threads of the one before to go to sleep."""

TOLERANCE = {True: 1e-3, False: 1e-2}
"""Relative difference of losses after the warm-up: for exact peers, and for those that round more."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the race is run; `burst` is in seconds."""

    threads: int = 2
    batch: int = 128
    rounds: int = 7
    burst: float = 0.5


@dataclass(frozen=True, slots=True)
class Entry:
    """One competitor on one net: images/s of each round, or why there are none."""

    net: str
    peer: Peer
    rates: tuple[float, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A competitor's summary: median images/s, and Lanewise's speed over its own in the same rounds."""

    entry: Entry
    images_per_second: float
    ratio: float
    ratios: tuple[float, ...] = field(repr=False)


def run(nets: list[Net], racers: list[tuple[Peer, Path]], settings: Settings, say: Say) -> list[Entry]:
    """Race on each net in turn. `racers` are the competitors and the interpreters that run them, Lanewise first."""
    entries: list[Entry] = []
    with ExitStack() as stack:
        workers = {
            peer: stack.enter_context(Worker(python, peer.framework, settings.threads)) for peer, python in racers
        }
        for net in nets:
            entries += _race(net, workers, settings, say)
    return entries


def _race(net: Net, workers: dict[Peer, Worker], settings: Settings, say: Say) -> Iterator[Entry]:
    problems: dict[Peer, str] = {}
    counts: dict[Peer, int] = {}
    losses: dict[Peer, float] = {}
    for peer, worker in workers.items():
        say(f"{net.name}: {peer.name} gets ready")
        try:
            losses[peer] = _get_ready(net, peer, worker, settings)
            _check_loss(peer, losses)
            counts[peer] = _steps_of_a_burst(worker, settings.burst)
        except WorkerError as error:
            problems[peer] = str(error)
    able = [peer for peer in workers if peer not in problems]
    rates: dict[Peer, list[float]] = {peer: [] for peer in able}
    for number in range(settings.rounds):
        say(f"{net.name}: round {number + 1} of {settings.rounds}")
        for place in range(len(able)):
            peer = able[(place + number) % len(able)]  # nobody always follows the same one
            time.sleep(SETTLE)
            seconds = workers[peer].ask(run=counts[peer])["seconds"]
            rates[peer].append(counts[peer] * settings.batch / seconds)
    for peer in workers:
        yield Entry(net.name, peer, tuple(rates.get(peer, ())), problems.get(peer, ""))


def _get_ready(net: Net, peer: Peer, worker: Worker, settings: Settings) -> float:
    worker.ask(build=net.name, mode=peer.mode, batch=settings.batch, threads=settings.threads)
    return float(worker.ask(run=WARM_UP)["loss"])


def _steps_of_a_burst(worker: Worker, burst: float) -> int:
    """How many steps take about `burst` seconds, by ever longer trials."""
    count = 1
    while True:
        seconds = float(worker.ask(run=count)["seconds"])
        if seconds > burst / 4:
            return max(1, round(burst * count / seconds))
        count *= 2


def _check_loss(peer: Peer, losses: dict[Peer, float]) -> None:
    """The first competitor that is exact sets the measure."""
    measure = next((loss for other, loss in losses.items() if other.exact), losses[peer])
    if not abs(losses[peer] - measure) <= TOLERANCE[peer.exact] * abs(measure):
        raise WorkerError(f"its loss after {WARM_UP} steps is {losses[peer]:.5f}, not {measure:.5f}: other work")


def lines(entries: list[Entry], net: str) -> list[Line]:
    """Those who ran on `net`, fastest first."""
    ran = [entry for entry in entries if entry.net == net and entry.rates]
    own = next((entry.rates for entry in ran if entry.peer == LANEWISE), None)
    if own is None:
        return []
    result = []
    for entry in ran:
        ratios = tuple(ours / theirs for ours, theirs in zip(own, entry.rates, strict=True))
        result.append(Line(entry, median(entry.rates), median(ratios), ratios))
    return sorted(result, key=lambda line: -line.images_per_second)


def best_framework(entries: list[Entry], net: str) -> Line | None:
    """The peer that Lanewise is measured by: the fastest of those that compute in float32 as it does."""
    peers = [line for line in lines(entries, net) if line.entry.peer.exact and line.entry.peer != LANEWISE]
    return min(peers, key=lambda line: line.ratio, default=None)


def losses_of_lanewise(entries: list[Entry]) -> list[Line]:
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
