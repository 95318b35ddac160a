"""A network of the user's own on the user's own processor: Lanewise beside whatever frameworks are installed here.

measure(net, ...) -> Versus
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from statistics import median

from lanewise.bench.cold_start import First
from lanewise.bench.cold_start import measure as measure_first
from lanewise.bench.nets import Net
from lanewise.bench.peers import LANEWISE, ONNX_RUNTIME, PEERS, Peer, missing, versions_of
from lanewise.bench.process import WorkerError
from lanewise.bench.race import Entry, Racer, Settings, lines, run
from lanewise.bench.workload import Task
from lanewise.notes import Say

ROUNDS = 5
SHARES = {"train": 0.6, "infer": 0.2, "latency": 0.2}
"""Of the seconds given, for each race."""


@dataclass(frozen=True, slots=True)
class Versus:
    """The result of a race on one net.

    Attributes
    ----------
    net : Net
    train, infer, latency : list of Entry
        Training steps and predictions in batches; predictions of one image at a time on one thread.
    cold, cached : First
        A first training of Lanewise with an empty cache, and the one after it.
    versions : dict
        Of the frameworks that took part.
    absent : tuple of str
        Frameworks that are not installed here.
    """

    net: Net
    train: list[Entry]
    infer: list[Entry]
    latency: list[Entry]
    cold: First
    cached: First
    versions: dict[str, str]
    absent: tuple[str, ...]

    def images_per_second(self, entries: Sequence[Entry]) -> float:
        """Lanewise's own, median of the rounds."""
        return median(next(entry.rates for entry in entries if entry.peer == LANEWISE))


def present(peers: Sequence[Peer]) -> tuple[list[Peer], tuple[str, ...], dict[str, str]]:
    """Those of `peers` that are installed in this environment, the frameworks that are not, and all versions."""
    versions = {
        (distribution.metadata["Name"] or "").lower().replace("_", "-"): distribution.version
        for distribution in metadata.distributions()
    }
    here = [peer for peer in peers if not missing(peer, versions)]
    absent = dict.fromkeys(peer.framework for peer in peers if peer not in here)
    return here, tuple(absent), versions_of(here, versions)


def measure(net: Net, *, batch: int, threads: int, seconds: float, say: Say) -> Versus:
    """Race on `net` for about `seconds`, not counting the start-up of the frameworks.

    Parameters
    ----------
    net : Net
    batch : int
        Images per step.
    threads : int
    seconds : float
    say : callable
        Given a sentence on what is being done.

    Returns
    -------
    Versus

    Raises
    ------
    WorkerError
        If Lanewise itself cannot run the network; the entry of another framework says if that one cannot.
    """
    peers, absent, versions = present((*PEERS, ONNX_RUNTIME))
    task = Task(net, "train", LANEWISE.mode, batch, threads, images=2 * batch)
    with tempfile.TemporaryDirectory() as cache:
        say("compiling")
        cold, cached = (measure_first(LANEWISE.framework, task, cache=cache) for _ in range(2))
    learners = [peer for peer in peers if peer != ONNX_RUNTIME]
    predictors = [peer for peer in peers if peer == ONNX_RUNTIME]
    settings = Settings(threads, batch, ROUNDS)
    return Versus(
        net,
        _race(net, learners, settings, SHARES["train"] * seconds, say),
        _race(net, predictors, replace(settings, kind="infer"), SHARES["infer"] * seconds, say),
        _race(net, predictors, replace(settings, kind="infer", batch=1, threads=1), SHARES["latency"] * seconds, say),
        cold,
        cached,
        versions,
        absent,
    )


def _race(net: Net, peers: list[Peer], settings: Settings, seconds: float, say: Say) -> list[Entry]:
    racers = [Racer(peer) for peer in (LANEWISE, *peers)]
    entries = run([net], racers, replace(settings, burst=seconds / ROUNDS / len(racers)), say)
    if not lines(entries, net.name):
        raise WorkerError(next(entry.problem for entry in entries if entry.peer == LANEWISE))
    return entries
