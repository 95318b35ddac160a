"""`python -m benchmarks memory`: how much memory training takes, beside PyTorch, and how it grows with batch and data.

Every figure is the most that a fresh process had in memory while it imported, built the network and learned some steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.environment import installed, racers_of
from benchmarks.report import Report
from benchmarks.svg import Chart
from lanewise.bench.cold_start import First, measure
from lanewise.bench.nets import NETS
from lanewise.bench.peers import LANEWISE, PEERS, versions_of
from lanewise.bench.process import WorkerError
from lanewise.bench.race import Racer
from lanewise.bench.tables import Table, figure
from lanewise.bench.workload import Task

BATCH, IMAGES = 128, 2048
BATCHES = (16, 64, 128, 256, 512, 1024)
COUNTS = (2048, 8192, 32768)
EAGER = ("torch", "torch channels_last")
EMPTY_CACHE = replace(LANEWISE, name="lanewise, empty cache")
"""It compiles, which takes memory as well."""

BURST = 0.05


@dataclass(frozen=True, slots=True)
class Taken:
    """One process: who, on what, and what it took."""

    net: str
    peer: str
    batch: int
    images: int
    first: First


def race(
    nets: Sequence[str], folder: Path, threads: int, curves: bool, say: Callable[[str], None]
) -> tuple[Report, dict[str, str], list[Chart]]:
    """Measure all of `nets`; returns the report, PyTorch's version, and the curves if there are any."""
    versions = installed(folder)
    racers = [Racer(LANEWISE), *racers_of([peer for peer in PEERS if peer.name in EAGER], folder, versions)]
    cases = [(net, racer, BATCH, IMAGES) for net in nets for racer in (Racer(EMPTY_CACHE), *racers)]
    if curves:
        sizes = [(batch, IMAGES) for batch in BATCHES] + [(BATCH, count) for count in COUNTS]
        cases += [(net, racer, *size) for net in nets for racer in racers[:2] for size in sizes]
    taken = []
    for net, racer, batch, count in dict.fromkeys(cases):
        say(f"{net}: {racer.peer.name}, batch {batch}, {count:,} images")
        taken.append(_one(net, racer, batch, count, threads))
    return report(taken), versions_of([racer.peer for racer in racers], versions), charts(taken) if curves else []


def _one(net: str, racer: Racer, batch: int, count: int, threads: int) -> Taken:
    task = Task(NETS[net], "train", racer.peer.mode, batch, threads, images=count)
    try:
        with TemporaryDirectory() as folder:
            cache = folder if racer.peer == EMPTY_CACHE else None
            first = measure(
                racer.peer.framework, task, burst=BURST, python=racer.python, paths=racer.paths, cache=cache
            )
    except WorkerError as error:
        raise click.ClickException(str(error)) from None
    return Taken(net, racer.peer.name, batch, count, first)


def report(taken: list[Taken]) -> Report:
    """Each net beside PyTorch, then the curves as tables."""
    nets = list(dict.fromkeys(one.net for one in taken))
    peers = list(dict.fromkeys(one.peer for one in taken))
    peak = {(one.net, one.peer, one.batch, one.images): one.first.peak for one in taken}
    rows, remarks = [], []
    for one in taken:
        if (one.batch, one.images) == (BATCH, IMAGES):
            own = peak[one.net, LANEWISE.name, BATCH, IMAGES]
            rows.append((f"{one.net}, {one.peer}", _mb(one.first.loaded), _mb(one.first.peak), _share(own, one)))
    for net in nets:
        others = [peak[net, peer, BATCH, IMAGES] for peer in peers if peer in EAGER]
        if others:
            share = peak[net, LANEWISE.name, BATCH, IMAGES] / min(others)
            remarks.append(f"{net}: {share:.2f} of the least that PyTorch takes.")
    remarks.append("Images are in memory: a byte a value for Lanewise, prepared as float32 for PyTorch.")
    title = f"Memory of training, batch {BATCH}, {IMAGES:,} images"
    tables = [Table(title, ("MB", "after the import", "at most", "Lanewise's share"), tuple(rows))]
    drawn = [peer for peer in peers if len({(one.batch, one.images) for one in taken if one.peer == peer}) > 1]
    for what, sizes in (("batch", [(n, IMAGES) for n in BATCHES]), ("images", [(BATCH, n) for n in COUNTS])):
        if drawn:
            lines = tuple(
                (f"{net}, {peer}", *(_mb(peak[net, peer, *size]) for size in sizes)) for net in nets for peer in drawn
            )
            heads = [f"{size[what == 'images']:,}" for size in sizes]
            tables.append(Table(f"MB at most over {what}", ("", *heads), lines))
    figures = {"results": [asdict(one) for one in taken]}
    return Report("memory", tuple(tables), tuple(remarks), figures)


def charts(taken: list[Taken]) -> list[Chart]:
    """Memory over batch size and over data size."""
    result = []
    for axis, fixed, value in (("batch", "images", IMAGES), ("images", "batch", BATCH)):
        series: dict[str, list[tuple[float, float]]] = {}
        for one in sorted(taken, key=lambda one: int(getattr(one, axis))):
            if getattr(one, fixed) == value and one.peer in (LANEWISE.name, EAGER[0]):
                series.setdefault(f"{one.net}, {one.peer}", []).append((getattr(one, axis), one.first.peak / 1e6))
        name = {"batch": "images of a step", "images": "images learned from"}[axis]
        result.append(Chart(f"Memory of training over {axis}", name, "MB at most", series))
    return result


def _mb(count: int) -> str:
    return figure(count / 1e6)


def _share(own: int, one: Taken) -> str:
    return f"{own / one.first.peak:.2f}"
