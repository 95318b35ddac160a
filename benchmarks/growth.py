"""`python -m benchmarks growth`: how fast a step computes over batch, image and filters, and where it slows suddenly.

One axis is gone along at a time, from the same middle. Speed is in GF/s by the formula of the layers (two operations a
multiply-add, three passes: forward, input gradient and weight gradient), so that faster algorithms count as faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise

from benchmarks.report import Report
from benchmarks.svg import Chart
from lanewise.bench.nets import Net
from lanewise.bench.peers import LANEWISE
from lanewise.bench.process import Worker
from lanewise.bench.race import steps_of_a_burst
from lanewise.bench.tables import Table, figure
from lanewise.bench.workload import Task
from lanewise.network.graph import Graph
from lanewise.network.summary import summary

MIDDLE = {"batch": 128, "image": 32, "filters": 32}
AXES = {
    "batch": (16, 32, 48, 64, 96, 128, 144, 192, 256, 512, 1024),
    "image": (8, 12, 16, 20, 24, 28, 31, 32, 33, 40, 48, 64, 65, 96, 128, 160, 224),
    "filters": (4, 6, 8, 12, 16, 17, 20, 24, 31, 32, 33, 48, 64, 96, 128, 192, 256),
}
"""With sizes beside round ones, where a tile that does not fit would show."""

NAMES = {"batch": "images of a step", "image": "rows and columns of an image", "filters": "filters of each layer"}

CLIFF = 1.6
"""Neighbours whose speeds differ by more are listed."""

PASSES = 3
"""How often all shapes are gone through. The fastest counts: whatever else runs can only slow it."""


@dataclass(frozen=True, slots=True)
class Point:
    """One shape: `size` along `axis`, seconds of a step, and its speed."""

    axis: str
    size: int
    seconds: float
    gflops: float


def net_of(image: int, filters: int) -> Net:
    """Two convolutions, a pool between them, and a classifier, for images of so many rows and columns."""
    conv = f"conv {filters}@3x3 same, relu"
    return Net(f"{image}x{image}, {filters}", f"{conv}, max 2, {conv}, global average, dense 10", (3, image, image))


def work(graph: Graph) -> int:
    """Floating-point operations of a training step for one image; nobody needs the gradient of the image itself."""
    summaries = summary(graph)
    passes = [2 if 0 in node.inputs else 3 for node in graph.nodes]
    return sum(2 * n * one.multiply_adds for n, one in zip(passes, summaries, strict=True))


def measure(
    axes: tuple[str, ...], threads: int, burst: float, say: Callable[[str], None]
) -> tuple[Report, list[Chart]]:
    """Go along each of `axes`."""
    shapes = [(axis, size) for axis in axes for size in AXES[axis]]
    passes: list[list[Point]] = []
    with Worker("lanewise", threads) as worker:
        for number in range(PASSES):
            say(f"pass {number + 1} of {PASSES}")
            passes.append([_point(worker, axis, size, threads, burst) for axis, size in shapes])
    points = fastest(passes)
    return report(points, threads), charts(points)


def fastest(passes: list[list[Point]]) -> list[Point]:
    """The fastest of each shape."""
    return [min(same, key=lambda point: point.seconds) for same in zip(*passes, strict=True)]


def _point(worker: Worker, axis: str, size: int, threads: int, burst: float) -> Point:
    at = MIDDLE | {axis: size}
    net, batch = net_of(at["image"], at["filters"]), at["batch"]
    worker.ask(build=Task(net, "train", LANEWISE.mode, batch, threads, images=batch).to_json())
    count = steps_of_a_burst(worker, burst)
    seconds = float(worker.ask(run=count)["seconds"]) / count
    return Point(axis, size, seconds, 1e-9 * batch * work(net.graph) / seconds)


def cliffs(points: list[Point]) -> list[tuple[Point, Point]]:
    """Neighbours along an axis whose speeds differ by more than CLIFF, the slower one first."""
    found = []
    for axis in dict.fromkeys(point.axis for point in points):
        along = [point for point in points if point.axis == axis]
        for pair in pairwise(along):
            slow, fast = sorted(pair, key=lambda point: point.gflops)
            if fast.gflops > CLIFF * slow.gflops:
                found.append((slow, fast))
    return found


def report(points: list[Point], threads: int) -> Report:
    """One table for each axis, and the cliffs."""
    tables = []
    for axis in dict.fromkeys(point.axis for point in points):
        others = ", ".join(f"{name} {size}" for name, size in MIDDLE.items() if name != axis)
        rows = tuple(
            (f"{point.size}", figure(1e3 * point.seconds), figure(point.gflops))
            for point in points
            if point.axis == axis
        )
        tables.append(Table(f"Over {axis} ({others}), threads: {threads}", (axis, "ms a step", "GF/s"), rows))
    found = cliffs(points)
    remarks = [f"The network: {net_of(MIDDLE['image'], MIDDLE['filters']).text}. Best of {PASSES} passes."]
    remarks += [
        f"{slow.axis} {slow.size} runs at {figure(slow.gflops)} GF/s, its neighbour {fast.size} at "
        f"{figure(fast.gflops)}: {fast.gflops / slow.gflops:.2f} times."
        for slow, fast in found
    ]
    if not found:
        remarks.append(f"No two neighbours differ by more than {CLIFF} times.")
    figures = {
        "middle": MIDDLE,
        "threads": threads,
        "points": [asdict(point) for point in points],
        "cliffs": [[asdict(point) for point in pair] for pair in found],
    }
    return Report("growth", tuple(tables), tuple(remarks), figures)


def charts(points: list[Point]) -> list[Chart]:
    """Milliseconds and GF/s of a step, side by side along each axis."""
    result = []
    for axis in dict.fromkeys(point.axis for point in points):
        along = [point for point in points if point.axis == axis]
        seconds = {"Lanewise": [(float(point.size), 1e3 * point.seconds) for point in along]}
        speeds = {"Lanewise": [(float(point.size), point.gflops) for point in along]}
        result.append(Chart(f"A training step over {axis}", NAMES[axis], "ms", seconds, log_y=True))
        result.append(Chart(f"Its speed over {axis}", NAMES[axis], "GF/s", speeds))
    return result
