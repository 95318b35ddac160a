"""`python -m benchmarks compile`: how long until a new network learns, and when Lanewise is ahead of PyTorch.

Every figure is of a fresh process. Cold, Lanewise's cache folder is empty; cached, the process before filled it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.environment import installed, racers_of
from benchmarks.report import Report
from lanewise.bench.cold_start import First, measure
from lanewise.bench.nets import NETS, Net
from lanewise.bench.peers import LANEWISE, PEERS, versions_of
from lanewise.bench.process import WorkerError
from lanewise.bench.race import Racer
from lanewise.bench.tables import Table, figure
from lanewise.bench.workload import Task

EAGER = ("torch", "torch channels_last")
"""Modes without a compiler: what people use for a first training."""

Runs = dict[str, list[First]]
"""First trainings of one net by "cold", "cached" and the names of peers."""


def race(
    nets: Sequence[str], folder: Path, rounds: int, batch: int, threads: int, say: Callable[[str], None]
) -> tuple[Report, dict[str, str]]:
    """Measure all of `nets`; returns the report and PyTorch's version, if it is installed at `folder`."""
    versions = installed(folder)
    racers = racers_of([peer for peer in PEERS if peer.name in EAGER], folder, versions)
    found: dict[str, Runs] = {}
    for name in nets:
        runs = found[name] = {}
        for number in range(rounds):
            say(f"{name}: round {number + 1} of {rounds}")
            for kind, first in _round(NETS[name], racers, batch, threads).items():
                runs.setdefault(kind, []).append(first)
    return report(found, batch, threads), versions_of([racer.peer for racer in racers], versions)


def _round(net: Net, racers: list[Racer], batch: int, threads: int) -> dict[str, First]:
    def task(mode: str) -> Task:
        return Task(net, "train", mode, batch, threads, images=2 * batch)

    try:
        with tempfile.TemporaryDirectory() as cache:
            result = {kind: measure("lanewise", task(LANEWISE.mode), cache=cache) for kind in ("cold", "cached")}
        for racer in racers:
            first = measure(racer.peer.framework, task(racer.peer.mode), python=racer.python, paths=racer.paths)
            result[racer.peer.name] = first
    except WorkerError as error:
        raise click.ClickException(str(error)) from None
    return result


def report(found: dict[str, Runs], batch: int, threads: int) -> Report:
    """How long a Trainer takes, and how the race from the start of the process goes."""
    trainers, starts = [], []
    figures: dict[str, Any] = {}
    for net, runs in found.items():
        typical = {kind: _typical(firsts) for kind, firsts in runs.items()}
        cold, cached = typical["cold"], typical["cached"]
        trainers.append((net, *(f"{one.build:.3f}" for one in (cold, cached)), f"{cold.load:.2f}"))
        evens = {kind: _even(cold, other) for kind, other in typical.items() if kind in EAGER}
        for kind, one in typical.items():
            even = f"{evens[kind]}" if kind in evens else ""
            starts.append((f"{net}, {kind}", f"{one.ahead:.2f}", figure(1e3 * one.step), even))
        figures[net] = {kind: [asdict(one) for one in firsts] for kind, firsts in runs.items()}
    tables = (
        Table("Seconds to a Trainer", ("", "cold", "cached", "import before it"), tuple(trainers)),
        Table(
            f"A first training, batch {batch}, threads: {threads}",
            ("", "seconds before the steps", "ms a step", "Lanewise, cold, is ahead"),
            tuple(starts),
        ),
    )
    remarks = (
        "Before the steps: the interpreter, imports, building the network, and what the first step takes longer than "
        "later ones, in fresh processes; medians.",
        "Ahead: seconds from the start of both processes until Lanewise, its cache empty, has done more steps.",
    )
    settings = {"batch": batch, "threads": threads}
    return Report("compile", tables, remarks, {"settings": settings, "nets": figures})


def _typical(firsts: list[First]) -> First:
    """Medians, part by part."""
    return First(**{name: median(asdict(first)[name] for first in firsts) for name in First.__dataclass_fields__})


def break_even(ahead: float, step: float, other_ahead: float, other_step: float) -> float | None:
    """After how many seconds a training has come further than another that started with it.

    Parameters
    ----------
    ahead, step : float
        Seconds before its steps, and seconds of each; those of the other likewise.

    Returns
    -------
    float or None
        Zero if it is never behind, None if it does not come to stay ahead.
    """
    if ahead <= other_ahead and step <= other_step:
        return 0.0
    if step >= other_step:
        return None
    return ahead + step * (ahead - other_ahead) / (other_step - step)


def _even(own: First, other: First) -> str:
    seconds = break_even(own.ahead, own.step, other.ahead, other.step)
    if seconds is None:
        return "not for long, or never"
    return "from the start" if seconds == 0 else f"after {figure(seconds)} s"
