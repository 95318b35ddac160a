"""A graph as one kernel a node, with every node's value kept in memory of its own: for looking at, not for speed.

    plain_plan(graph, image shape, type of pixels) -> PlainPlan

Nothing is fused, shared or transformed: a ReLU is a call, a max pool is a call, and a convolution is the direct one. So
whoever runs the calls in order finds what each node computed in that node's buffer, inside the border of zeros that
its users need. A page runs such a plan for one image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lanewise.engine.fuse import conv_of, numbers, pool_of
from lanewise.engine.memory import Slot
from lanewise.kernels import conv, dense, gather, pointwise, pool
from lanewise.kernels.layout import Layout
from lanewise.lanes.program import Program
from lanewise.network.graph import Graph, Node
from lanewise.network.layers import (
    Activation,
    Add,
    AvgPool2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Input,
    Join,
    MaxPool2D,
    Softmax,
)

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
    for number, node in enumerate(graph.nodes):
        program = _program(graph, node, [layouts[source] for source in node.inputs], layouts[number], pixels, registers)
        sources: list[Slot] = [("value", source) for source in node.inputs]
        if isinstance(node.layer, Input):
            sources = [("pixels", 0), ("images", 0), ("scale", 0), ("offset", 0)]
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


def _program(
    graph: Graph, node: Node, xs: list[Layout], y: Layout, pixels: Literal["u8", "f32"], registers: int
) -> Program:
    """The forward kernel of one node, between the layouts of what it reads and of what it makes."""
    match node.layer:
        case Input():
            channels, rows, columns = node.shape
            return gather.gather((rows, columns, channels), pixels, y, None)
        case Conv2D():
            return conv.forward(conv_of(graph, node), xs[0], y, registers=registers)
        case Dense(units, bias):
            return dense.forward(xs[0].elements, units, bias=bias, registers=registers)
        case MaxPool2D():
            return pool.max_forward(pool_of(node), xs[0], y)
        case AvgPool2D(count_padding=count_padding):
            return pool.average_forward(pool_of(node), xs[0], y, count_padding=count_padding)
        case GlobalAvgPool2D():
            return pool.global_average_forward(xs[0], y)
        case Activation() as activation:
            return pointwise.activation(activation.word, numbers(activation), xs[0], y)
        case Softmax():
            return pointwise.softmax(xs[0], y)
        case Dropout() | Flatten():  # nothing is dropped when predicting
            return pointwise.copy(xs[0], y)
        case Add():
            return pointwise.add(tuple(xs), y)
        case Join():
            return pointwise.join(tuple(xs), y)
        case _:
            raise AssertionError(node)
