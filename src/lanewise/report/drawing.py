"""The network as rows from the image down to the answer: a box to scale, its lines to other layers, its numbers.

Beside the boxes run the lines from each layer to those that read it, as in a drawing of branches of a history: the next
row's straight down, others' along lanes of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lanewise.network.graph import Graph, Node
from lanewise.network.layers import Add, Flatten, GlobalAvgPool2D, Input, Join, Multiply
from lanewise.network.shapes import Shape
from lanewise.network.summary import LayerSummary, summary
from lanewise.network.text import layer_text

TALL, LOW = 92, 36
"""Points that a row is high, with a box and without one."""

LANE = 12
"""Points between two lanes."""

BOX = 62
"""Points of the longest side of a box."""

WIDTH = 150
"""Points for the box and what sticks out of it."""


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """One layer: its drawing, what it is, and its numbers. `own` and `dense` are lengths of bars from 0 to 1.

    `boxed` ones have a box: their shape is worth saying.
    """

    svg: str
    boxed: bool
    name: str
    text: str
    shape: str
    summary: LayerSummary
    own: float
    dense: float


@dataclass(frozen=True, slots=True)
class _Line:
    """From the row `start` to the row `stop` in lane `lane`; lane 0 is the straight way to the next row."""

    start: int
    stop: int
    lane: int


def network_rows(graph: Graph) -> tuple[NetworkRow, ...]:
    """Draw every node of `graph`. The bars of weights are logarithmic, 1 being the longest of all."""
    summaries = summary(graph)
    lines = _lines(graph)
    lanes = max((line.lane for line in lines), default=0)
    longest = math.log10(max(10, *(one.dense_weights for one in summaries if one.weights), 10))
    largest = max(max(node.shape[1:]) for node in graph.nodes if len(node.shape) == 3)
    deepest = max(node.shape[0] for node in graph.nodes)

    def bar(weights: int) -> float:
        return math.log10(weights + 1) / longest if weights else 0.0

    return tuple(
        NetworkRow(
            svg=_row(graph, n, lines, lanes, largest, deepest),
            boxed=_has_box(graph, n),
            name=node.name,
            text="the image" if isinstance(node.layer, Input) else layer_text(node.layer),
            shape=shape_text(node.shape),
            summary=one,
            own=min(1.0, bar(one.weights)),
            dense=min(1.0, bar(one.dense_weights if one.weights else 0)),
        )
        for n, (node, one) in enumerate(zip(graph.nodes, summaries, strict=True))
    )


def shape_text(shape: Shape) -> str:
    """(channels, rows, columns) as "30 × 30 × 3"; features as their number."""
    return " × ".join(f"{size:,}" for size in (*shape[1:], shape[0]))


def _lines(graph: Graph) -> list[_Line]:
    """A line for each pair of nodes that are tied; long ones get the first lane that is free all the way."""
    lines: list[_Line] = []
    for stop, node in enumerate(graph.nodes):
        for start in dict.fromkeys(node.inputs):
            if stop == start + 1:
                lines.append(_Line(start, stop, 0))
                continue
            busy = {line.lane for line in lines if line.lane and line.start < stop and start < line.stop}
            lines.append(_Line(start, stop, next(lane for lane in range(1, len(graph.nodes) + 1) if lane not in busy)))
    return lines


def _has_box(graph: Graph, number: int) -> bool:
    """Boxes are for the image, for layers with weights, where branches meet, and where the shape changes."""
    node = graph.nodes[number]
    if isinstance(node.layer, Input | Add | Multiply | Join) or graph.parameters_of(number):
        return True
    changed = node.shape != graph.nodes[node.inputs[0]].shape
    return changed and not isinstance(node.layer, Flatten) and (len(node.shape) == 3 or _is_mean(node))


def _is_mean(node: Node) -> bool:
    return isinstance(node.layer, GlobalAvgPool2D)


def _row(graph: Graph, number: int, lines: list[_Line], lanes: int, largest: int, deepest: int) -> str:
    """The drawing of one row: lines that pass, end or begin here, and the box, or a dot."""
    tall = _has_box(graph, number)
    height, spine = TALL if tall else LOW, lanes * LANE + 10
    middle = height / 2
    paths = []
    for line in lines:
        at = spine - line.lane * LANE
        if line.lane and line.start < number < line.stop:
            paths.append(f"M{at} 0V{height}")
        elif line.start == number:
            bend = f"M{spine} {middle}C{at} {middle} {at} {middle} {at} {height}" if line.lane else ""
            paths.append(bend or f"M{spine} {middle}V{height}")
        elif line.stop == number:
            bend = f"M{at} 0C{at} {middle} {at} {middle} {spine} {middle}" if line.lane else ""
            paths.append(bend or f"M{spine} 0V{middle}")
    box = _box(graph.nodes[number].shape, spine + 14, middle, largest, deepest) if tall else ""
    width = spine + WIDTH
    return (
        f'<svg class="drawn" viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true" '
        f'focusable="false"><path class="edge" d="{"".join(paths)}"/>'
        f'<circle class="dot" cx="{spine}" cy="{middle}" r="{4 if tall else 3}"/>{box}</svg>'
    )


def _box(shape: Shape, left: float, middle: float, largest: int, deepest: int) -> str:
    """A block of maps: its face as large as the maps, its depth by their number; a bar for features."""
    if len(shape) == 1:
        length = 10 + 90 * math.log2(1 + shape[0]) / math.log2(1 + deepest)
        return f'<rect class="features" x="{left}" y="{middle - 5}" width="{length:.1f}" height="10" rx="2"/>'
    channels, rows, columns = shape
    tall, wide = (max(4.0, BOX * size / largest) for size in (rows, columns))
    deep = 3 + 40 * math.log2(1 + channels) / math.log2(1 + deepest)
    # the block is seen from the upper left: depth goes to the right and a little up
    rise = deep * 0.35
    top = middle - tall / 2 + rise / 2
    right, bottom = left + wide, top + tall
    return (
        f'<path class="side" d="M{left} {top:.1f}l{deep:.1f} {-rise:.1f}h{wide:.1f}l{-deep:.1f} {rise:.1f}z"/>'
        f'<path class="side" d="M{right:.1f} {top:.1f}l{deep:.1f} {-rise:.1f}v{tall:.1f}l{-deep:.1f} {rise:.1f}z"/>'
        f'<rect class="face" x="{left}" y="{top:.1f}" width="{wide:.1f}" height="{bottom - top:.1f}"/>'
    )
