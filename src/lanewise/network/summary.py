"""What a network costs and what makes it a convolutional one: counted layer by layer, exactly.

A fully connected layer ties every output to every input. A convolution ties it to a neighbourhood (sparse connectivity)
and uses each weight at every position (weight sharing); here both are numbers. A connection is an input and an output
with a weight between them; where a kernel reaches into padding there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lanewise.brief import short
from lanewise.network.graph import Graph, Node, Shape
from lanewise.network.layers import AvgPool2D, Conv2D, Dense, GlobalAvgPool2D, MaxPool2D, Multiply, Pair


@short
@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One node in numbers, all for one image.

    Attributes
    ----------
    name : str
        The node's, like "conv1".
    output_shape : tuple of int
    weights, biases : int
        Apart; together they are the layer's parameters. Of a batch normalisation, scale and variance are weights, shift
        and mean biases.
    learned_weights, learned_biases : int
        Those of them that follow a gradient in training: all, but for running statistics, or none in a frozen layer or
        one of fixed filters.
    connections : int
        Pairs of an input and an output that are tied: by a weight, or by the window of a pool. Zero for layers that
        treat each value alone.
    density : float
        `connections` as a share of all pairs of an input and an output; 1 for a fully connected layer, 0 without
        connections.
    mean_sharing, max_sharing : float, int
        Connections that use one and the same weight, on average and at most. Zero without weights.
    dense_weights : int
        Weights of the fully connected layer from and to the same shapes; zero without connections.
    multiply_adds : int
        One for each connection with a weight; zero without weights.
    receptive_field : (rows, columns)
        Part of the image that one output can depend on, at most all of it.
    jump : (rows, columns)
        Pixels of the image between neighbouring outputs.
    """

    name: str
    output_shape: Shape
    weights: int
    biases: int
    learned_weights: int
    learned_biases: int
    connections: int
    density: float
    mean_sharing: float
    max_sharing: int
    dense_weights: int
    multiply_adds: int
    receptive_field: Pair
    jump: Pair


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a whole network; `dense_weights` is of the layers that have weights."""

    weights: int
    biases: int
    learned_weights: int
    learned_biases: int
    connections: int
    dense_weights: int
    multiply_adds: int


def summary(graph: Graph) -> tuple[LayerSummary, ...]:
    """Count every node of `graph`, in the order of its nodes, that of the input first."""
    summaries: list[LayerSummary] = []
    for position, node in enumerate(graph.nodes):
        sources = [summaries[source] for source in node.inputs]
        own = graph.parameters_of(position)
        weights, learned_weights = _count(graph, own, ("weight", "scale", "variance", "slope"))
        biases, learned_biases = _count(graph, own, ("bias", "shift", "mean"))
        connections, max_sharing = _connections(node, sources[0].output_shape) if sources else (0, 0)
        pairs = math.prod(node.shape) * math.prod(sources[0].output_shape) if connections else 0
        receptive_field, jump = _view(node, sources, graph.input_shape[1:])
        summaries.append(
            LayerSummary(
                name=node.name,
                output_shape=node.shape,
                weights=weights,
                biases=biases,
                learned_weights=learned_weights,
                learned_biases=learned_biases,
                connections=connections,
                density=connections / pairs if pairs else 0.0,
                mean_sharing=connections / weights if weights else 0.0,
                max_sharing=max_sharing if weights else 0,
                dense_weights=pairs,
                multiply_adds=connections if weights else 0,
                receptive_field=receptive_field,
                jump=jump,
            )
        )
    return tuple(summaries)


def totals(summaries: tuple[LayerSummary, ...]) -> Totals:
    """Add up the summaries of all nodes."""
    return Totals(
        weights=sum(one.weights for one in summaries),
        biases=sum(one.biases for one in summaries),
        learned_weights=sum(one.learned_weights for one in summaries),
        learned_biases=sum(one.learned_biases for one in summaries),
        connections=sum(one.connections for one in summaries),
        dense_weights=sum(one.dense_weights for one in summaries if one.weights),
        multiply_adds=sum(one.multiply_adds for one in summaries),
    )


def neighbourhood(node: Node) -> tuple[Pair, Pair, Pair] | None:
    """Kernel, stride and dilation of a convolution or pool; None for layers that do not look at neighbourhoods."""
    match node.layer:
        case Conv2D() as conv:
            return conv.kernel, conv.stride, conv.dilation
        case MaxPool2D() | AvgPool2D() as pool:
            return pool.window, pool.stride or pool.window, (1, 1)
    return None


def _count(graph: Graph, own: tuple[int, ...], roles: tuple[str, ...]) -> tuple[int, int]:
    """How many parameters of these roles a node has, and how many of them are trained."""
    chosen = [k for k in own if graph.parameters[k].role in roles]
    sizes = [math.prod(graph.parameters[k].shape) for k in chosen]
    return sum(sizes), sum(size for k, size in zip(chosen, sizes, strict=True) if graph.trainable[k])


def _connections(node: Node, input_shape: Shape) -> tuple[int, int]:
    """Number of connections, and the largest number of them that share a weight."""
    match node.layer:
        case Dense():
            return math.prod(input_shape) * math.prod(node.shape), 1
        case GlobalAvgPool2D():
            return math.prod(input_shape), 0
        case Conv2D() as conv:
            channels = input_shape[0] // conv.groups
        case MaxPool2D() | AvgPool2D():
            channels = 1
        case _:
            return 0, 0
    per_row, per_column = (_uses(node, input_shape, axis) for axis in (0, 1))
    filters, *_ = node.shape
    return filters * channels * sum(per_row) * sum(per_column), max(per_row) * max(per_column)


def _uses(node: Node, input_shape: Shape, axis: int) -> list[int]:
    """For each kernel row (axis 0) or column (axis 1): at how many positions it meets the image, not the padding.

    Position r meets input row r * stride + u * dilation - top. Rows and columns do not depend on each other, so
    counts for a whole kernel are products of these.
    """
    found = neighbourhood(node)
    assert found is not None
    kernel, stride, dilation = (pair[axis] for pair in found)
    size, positions, before = input_shape[1 + axis], node.shape[1 + axis], node.padding[axis]
    uses = []
    for u in range(kernel):
        start = u * dilation - before
        first = max(0, -(start // stride))
        last = min(positions - 1, (size - 1 - start) // stride)
        uses.append(max(0, last - first + 1))
    return uses


def _view(node: Node, sources: list[LayerSummary], image: Shape) -> tuple[Pair, Pair]:
    """Receptive field and jump of a node; where branches meet, the largest counts."""
    rows, columns = image
    if not sources:
        return (1, 1), (1, 1)
    if isinstance(node.layer, Dense | GlobalAvgPool2D):
        return (rows, columns), (rows, columns)
    fields, jumps = [], []
    steps = sources[:1] if isinstance(node.layer, Multiply) else sources
    kernel, stride, dilation = neighbourhood(node) or ((1, 1), (1, 1), (1, 1))
    for axis, whole in enumerate(image):
        jump = max(source.jump[axis] for source in steps)
        field = max(source.receptive_field[axis] for source in sources)
        fields.append(min(whole, field + (kernel[axis] - 1) * dilation[axis] * jump))
        jumps.append(jump * stride[axis])
    return (fields[0], fields[1]), (jumps[0], jumps[1])
