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
from lanewise.bench.nets import NETS, Net
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


def _convolution(size: str, filters: int, options: str = "") -> str:
    return " ".join(f"conv {filters}@{size} same {options} nobias, batchnorm".split())


def _block(filters: int, stride: int = 1) -> str:
    """A block of ResNet-18."""
    narrows = f"stride {stride}" if stride > 1 else ""
    past = f" | {_convolution('1x1', filters, narrows)}" if narrows else ""
    return f"residual({_convolution('3x3', filters, narrows)}, relu, {_convolution('3x3', filters)}{past}), relu"


def _inverted(inputs: int, wide: int, filters: int, stride: int) -> str:
    """A block of MobileNetV2: expanded, each channel by itself, narrowed."""
    expand = f"{_convolution('1x1', wide)}, relu6, " if wide > inputs else ""
    depthwise = f"{_convolution('3x3', wide, f'groups {wide} stride {stride}')}, relu6"
    block = f"{expand}{depthwise}, {_convolution('1x1', filters)}"
    return f"residual({block})" if stride == 1 and inputs == filters else block


def _mobilenet() -> str:
    """Sandler et al. 2018, "MobileNetV2", table 2: expansion, filters, blocks, the stride of the first."""
    parts, inputs = [f"{_convolution('3x3', 32, 'stride 2')}, relu6"], 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for times, filters, blocks, stride in table:
        for number in range(blocks):
            parts.append(_inverted(inputs, times * inputs, filters, 1 if number else stride))
            inputs = filters
    return ", ".join([*parts, f"{_convolution('1x1', 1280)}, relu6", "global average, dense 10"])


PHOTOGRAPHS = {
    net.name: net
    for net in (
        # He et al. 2016, "Deep Residual Learning for Image Recognition", table 1.
        Net(
            "resnet18",
            f"{_convolution('7x7', 64, 'stride 2')}, relu, max 3 stride 2 same, "
            + ", ".join(
                _block(filters, stride) for filters in (64, 128, 256, 512) for stride in (1 + (filters > 64), 1)
            )
            + ", global average, dense 10",
            (3, 224, 224),
        ),
        Net("mobilenetv2", _mobilenet(), (3, 224, 224)),
    )
}
"""Networks for photographs of 224x224."""

SMALL, LARGE = (BATCH, IMAGES), (32, 128)
"""Batch and images for the nets of the other benchmarks, and for those for photographs."""


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
    setting = LARGE if set(nets) <= PHOTOGRAPHS.keys() else SMALL
    # A step of photographs takes seconds: what compiling takes is not the question.
    compiling = [Racer(EMPTY_CACHE)] if setting == SMALL else []
    cases = [(net, racer, *setting) for net in nets for racer in (*compiling, *racers)]
    if curves:
        sizes = [(batch, IMAGES) for batch in BATCHES] + [(BATCH, count) for count in COUNTS]
        cases += [(net, racer, *size) for net in nets for racer in racers[:2] for size in sizes]
    taken = []
    for net, racer, batch, count in dict.fromkeys(cases):
        say(f"{net}: {racer.peer.name}, batch {batch}, {count:,} images")
        taken.append(_one(net, racer, batch, count, threads))
    return (
        report(taken, setting),
        versions_of([racer.peer for racer in racers], versions),
        charts(taken) if curves else [],
    )


def _one(net: str, racer: Racer, batch: int, count: int, threads: int) -> Taken:
    task = Task((NETS | PHOTOGRAPHS)[net], "train", racer.peer.mode, batch, threads, images=count)
    try:
        with TemporaryDirectory() as folder:
            cache = folder if racer.peer == EMPTY_CACHE else None
            first = measure(
                racer.peer.framework, task, burst=BURST, runs=1, python=racer.python, paths=racer.paths, cache=cache
            )
    except WorkerError as error:
        raise click.ClickException(str(error)) from None
    return Taken(net, racer.peer.name, batch, count, first)


def report(taken: list[Taken], setting: tuple[int, int] = SMALL) -> Report:
    """Each net beside PyTorch at this batch and number of images, then the curves as tables."""
    nets = list(dict.fromkeys(one.net for one in taken))
    peers = list(dict.fromkeys(one.peer for one in taken))
    peak = {(one.net, one.peer, one.batch, one.images): one.first.peak for one in taken}
    rows, remarks = [], []
    for one in taken:
        if (one.batch, one.images) == setting:
            own = peak[one.net, LANEWISE.name, *setting]
            rows.append((f"{one.net}, {one.peer}", _mb(one.first.loaded), _mb(one.first.peak), _share(own, one)))
    for net in nets:
        others = [peak[net, peer, *setting] for peer in peers if peer in EAGER]
        if others:
            share = peak[net, LANEWISE.name, *setting] / min(others)
            remarks.append(f"{net}: {share:.2f} of the least that PyTorch takes.")
    remarks.append("Images are in memory: a byte a value for Lanewise, prepared as float32 for PyTorch.")
    title = f"Memory of training, batch {setting[0]}, {setting[1]:,} images"
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
