"""A graph as one kernel a node, with every node's value kept in memory of its own: for looking at, not for speed.

    plain_plan(graph, image shape, type of pixels) -> PlainPlan

Nothing is fused, shared or transformed: a ReLU is a call, a max pool is a call, and a convolution is the direct one. So
whoever runs the calls in order finds what each node computed in that node's buffer, inside the border of zeros that
its users need. A page runs such a plan for one image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lanewise.engine.fuse import conv_of, unfused
from lanewise.engine.lower import Forward
from lanewise.engine.memory import Slot
from lanewise.kernels import gather
from lanewise.kernels.layout import Layout
from lanewise.lanes.program import Program
from lanewise.network.graph import Graph
from lanewise.network.layers import Conv2D, Input

REGISTERS = 8
"""Values that a tile is chosen for: few, so that the code of a kernel stays short."""


@dataclass(frozen=True, slots=True)
class PlainCall:
    """The kernel of one node, and what each of its buffers is.

    `buffers` are ("value", node), ("parameter", position in `graph.parameters`), or, for the input, ("pixels", 0),
    ("images", 0), ("scale", 0) and ("offset", 0), as `kernels/gather.py` takes them. Parameters lie as
    `FlatParameters` lays them out: rows of dense weights are padded.
    """

    program: Program
    buffers: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class PlainPlan:
    """Calls in the order of the graph's nodes, one each, and how each node's value lies in its buffer."""

    calls: tuple[PlainCall, ...]
    layouts: tuple[Layout, ...]


def plain_plan(graph: Graph, pixels: Literal["u8", "f32"], *, registers: int = REGISTERS) -> PlainPlan:
    """One call for each node of `graph`, that of the input, which reads a raw image, among them.

    Parameters
    ----------
    graph : Graph
    pixels : "u8" or "f32"
        What a raw image's values are.
    registers : int
        How many values the registers hold, which decides the size of tiles, but no result.
    """
    layouts = _layouts(graph)
    calls = []
    for operation in unfused(graph):
        number, node = operation.number, operation.node
        sources: list[Slot] = [("value", source) for source in node.inputs]
        if isinstance(node.layer, Input):
            channels, rows, columns = node.shape
            program = gather.gather((rows, columns, channels), pixels, layouts[number], None)
            sources = [("pixels", 0), ("images", 0), ("scale", 0), ("offset", 0)]
        else:
            xs = tuple(layouts[source] for source in node.inputs)
            forward = Forward(graph=graph, operation=operation, xs=xs, y=layouts[number], registers=registers)
            program = forward.program()
        parameters: list[Slot] = [("parameter", n) for n in graph.parameters_of(number)]
        calls.append(PlainCall(program, (*sources, *parameters, ("value", number))))
    return PlainPlan(tuple(calls), tuple(layouts))


def _layouts(graph: Graph) -> list[Layout]:
    """How each value lies, with the border that the convolutions which read it need."""
    layouts = [Layout.of(node.shape) for node in graph.nodes]
    for number, node in enumerate(graph.nodes):
        if isinstance(node.layer, Conv2D):
            source = node.inputs[0]
            border = conv_of(graph, node).x_border(layouts[source], layouts[number])
            layouts[source] = layouts[source].with_border(border)
    return layouts
