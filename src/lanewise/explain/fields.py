"""Receptive fields: the part of the image that one value of a network can depend on.

Output row r of a convolution or pool reads rows r * stride + u * dilation - top of its input, where u counts the rows
of the kernel. Walked back from a value to the image, this gives the rows that it depends on, and the columns alike;
padding depends on nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.brief import short
from lanewise.errors import OptionError
from lanewise.explain.subject import graph_of, node_position, whole_number
from lanewise.model_file.contents import Contents
from lanewise.network.graph import Graph, Node
from lanewise.network.layers import Dense, Flatten, GlobalAvgPool2D, Multiply, Sides, Softmax
from lanewise.network.shapes import describe
from lanewise.network.summary import neighbourhood

Lines = NDArray[np.int64]
"""Numbers of rows, or of columns, each once, in order."""


@short
@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """A rectangle of the image: rows `top` to below `bottom`, columns `left` to below `right`.

    Attributes
    ----------
    top, left, bottom, right : int
        The smallest rectangle that holds every pixel the value depends on; `image[field.slices]` is what it sees.
        Empty, with top == bottom, for a value that reads padding only.
    clipped : (top, left, bottom, right)
        Rows and columns by which the kernels on the way reach over the edges of the image, into padding.
    """

    top: int
    left: int
    bottom: int
    right: int
    clipped: Sides

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the rectangle."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an image (rows, columns, ...) by."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, slots=True)
class _Reach:
    """Along one axis: the lines of a node that are depended on, and how far kernels reach, padding or not."""

    lines: Lines
    first: int
    last: int

    def union(self, other: _Reach | None) -> _Reach:
        if other is None:
            return self
        lines = np.union1d(self.lines, other.lines)
        return _Reach(lines, min(self.first, other.first), max(self.last, other.last))


def receptive_field(
    network: Graph | Contents, node: str | int, row: int | None = None, column: int | None = None
) -> ReceptiveField:
    """Find the part of the image that the values of `node` at (row, column) can depend on.

    It is the same for all channels. Where branches meet, it holds what any of them sees.

    Parameters
    ----------
    network : Graph or Model
    node : str or int
        Name of a node, like "conv2", or its position in the graph.
    row, column : int, optional
        Position in the node's feature maps. Without them, and for nodes that give features: what any value sees.

    Raises
    ------
    OptionError
        If there is no such node or position.
    """
    graph = graph_of(network)
    position = node_position(graph, node)
    target = graph.nodes[position]
    reached: dict[int, tuple[_Reach, _Reach]] = {position: _start(target, row, column)}
    for here in range(position, 0, -1):
        if here in reached:
            both = reached.pop(here)
            for source in graph.nodes[here].inputs:
                found = _back(graph.nodes[here], graph.nodes[source], both)
                known = reached.get(source, (None, None))
                reached[source] = found[0].union(known[0]), found[1].union(known[1])
    rows, columns = reached[0]
    return _rectangle(rows, columns, graph.input_shape[1:])


def read_lines(node: Node, axis: int, line: int | Lines) -> Lines:
    """Rows or columns of its input that a convolution or pool reads, padding included.

    Parameters
    ----------
    node : Node
    axis : int
        0 for rows, 1 for columns.
    line : int or int array (...)
        Rows or columns of its output.

    Returns
    -------
    (..., kernel) int array
        Below 0 or beyond the input in the padding.
    """
    found = neighbourhood(node)
    assert found is not None
    kernel, stride, dilation = (pair[axis] for pair in found)
    return np.asarray(line)[..., None] * stride + np.arange(kernel) * dilation - node.padding[axis]


def _start(node: Node, row: int | None, column: int | None) -> tuple[_Reach, _Reach]:
    if row is None and column is None:
        return _whole(node)
    if len(node.shape) == 1:
        raise OptionError(f"{node.name} gives {describe(node.shape)}, which have no row and column: leave them out")
    numbers = (whole_number(row), whole_number(column))
    lines = [n for n, size in zip(numbers, node.shape[1:], strict=True) if n is not None and 0 <= n < size]
    if len(lines) != 2:
        last = tuple(size - 1 for size in node.shape[1:])
        raise OptionError(f"{node.name} has no (row, column) {(row, column)}: they go from (0, 0) to {last}")
    rows, columns = (_Reach(np.array([line]), line, line) for line in lines)
    return rows, columns


def _whole(node: Node) -> tuple[_Reach, _Reach]:
    """All of a node; features count as one row and column, until an image is flattened into them."""
    rows, columns = node.shape[1:] if len(node.shape) == 3 else (1, 1)
    return _Reach(np.arange(rows), 0, rows - 1), _Reach(np.arange(columns), 0, columns - 1)


def _back(node: Node, source: Node, both: tuple[_Reach, _Reach]) -> tuple[_Reach, _Reach]:
    """What a node reads of one of its inputs."""
    if isinstance(node.layer, Dense | Flatten | GlobalAvgPool2D | Softmax):
        return _whole(source)
    if isinstance(node.layer, Multiply) and math.prod(source.shape) != math.prod(node.shape):
        return _whole(source)  # the factors, one for each channel
    if neighbourhood(node) is None:
        return both
    rows, columns = (_read(node, axis, reach, source.shape[1 + axis]) for axis, reach in enumerate(both))
    return rows, columns


def _read(node: Node, axis: int, reach: _Reach, size: int) -> _Reach:
    lines = np.unique(read_lines(node, axis, reach.lines))
    ends = read_lines(node, axis, np.array([reach.first, reach.last]))
    return _Reach(lines[(lines >= 0) & (lines < size)], int(ends.min()), int(ends.max()))


def _rectangle(rows: _Reach, columns: _Reach, size: tuple[int, ...]) -> ReceptiveField:
    clipped = (
        max(0, -rows.first),
        max(0, -columns.first),
        max(0, rows.last + 1 - size[0]),
        max(0, columns.last + 1 - size[1]),
    )
    if not len(rows.lines) or not len(columns.lines):
        return ReceptiveField(0, 0, 0, 0, clipped)
    top, left = int(rows.lines[0]), int(columns.lines[0])
    return ReceptiveField(top, left, int(rows.lines[-1]) + 1, int(columns.lines[-1]) + 1, clipped)
