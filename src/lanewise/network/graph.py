"""A network laid out as nodes in order: who reads whom, each node's shape, where the parameters belong.

    build(layers, (channels, rows, columns)) -> Graph

`Residual`, `Gate` and `Concat` become ordinary nodes here, so whoever walks a graph sees one flat list and branching
costs nothing. A `GlobalMaxPool2D` becomes a max pool and a `Flatten`, a `Fixed` the convolution of each channel by
itself that it is, a `FilterBank`. A `Flatten` node is put before a `Dense` that is given an image, so that the list
hides nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from lanewise.brief import short
from lanewise.errors import NetworkError, ShapeError, TooLargeError
from lanewise.network import layers
from lanewise.network.base import is_frozen
from lanewise.network.filters import bank
from lanewise.network.layers import Layer
from lanewise.network.options import MOST_DEPTH, MOST_LAYERS, is_whole, option_problem
from lanewise.network.shapes import Shape, describe, output_shape
from lanewise.network.text import layer_text

__all__ = ["Graph", "Node", "Parameter", "Shape", "assemble", "build", "is_frozen"]

MOST_VALUES = 2**28
"""Values a layer may hold for one image, its padding counted: 16 images of them are 16 GiB."""

MOST_PARAMETERS = 2**31 - 1
"""Weights and biases of a whole network: 8 GiB of float32."""


BECOMES_OTHERS = layers.Residual | layers.Gate | layers.Concat | layers.GlobalMaxPool2D | layers.Fixed
"""Layers in whose place a graph has others."""

MADE_HERE = layers.Input | layers.Add | layers.Multiply | layers.Join | layers.FilterBank
"""Layers that nobody builds from."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One array of weights: `shape` is (o, i, u, v), (o, i) or (o,).

    `role` is "weight" or "bias", or one of `Channelwise.roles`.
    """

    node: int
    role: str
    shape: Shape

    @property
    def is_statistic(self) -> bool:
        """Whether it is a running average of what training sees instead of something that has a gradient."""
        return self.role in ("mean", "variance")


@short
@dataclass(frozen=True, slots=True)
class Node:
    """One step of the network.

    `inputs` are positions in `Graph.nodes`, all smaller than its own. `name` is unique, like "conv1".
    `padding` is resolved to (top, left, bottom, right) for convolutions and pools, and zero elsewhere.
    """

    name: str
    layer: Layer
    inputs: tuple[int, ...]
    shape: Shape
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)


@short
@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in an order in which they can be computed. Node 0 is the input, the last one is the output."""

    nodes: tuple[Node, ...]
    parameters: tuple[Parameter, ...]

    @property
    def input_shape(self) -> Shape:
        """Shape of one image, (channels, rows, columns)."""
        return self.nodes[0].shape

    @property
    def output_shape(self) -> Shape:
        """Shape of what comes out for one image."""
        return self.nodes[-1].shape

    @property
    def parameter_count(self) -> int:
        """Number of all weights and biases."""
        return sum(math.prod(parameter.shape) for parameter in self.parameters)

    @property
    def trainable(self) -> tuple[bool, ...]:
        """Whether each of `parameters` follows its gradient: not if their layer is frozen, and statistics never."""
        return tuple(not (p.is_statistic or is_frozen(self.nodes[p.node].layer)) for p in self.parameters)

    def parameters_of(self, node: int) -> tuple[int, ...]:
        """Positions in `parameters` of those of node `node`, like (weight, bias) or (); `Parameter` has the roles."""
        first = bisect_left(self.parameters, node, key=lambda parameter: parameter.node)
        return tuple(range(first, bisect_right(self.parameters, node, key=lambda parameter: parameter.node)))

    def users(self) -> tuple[tuple[int, ...], ...]:
        """For each node the positions of the nodes that read it, in order; each once, even if it reads twice."""
        users: list[list[int]] = [[] for _ in self.nodes]
        for position, node in enumerate(self.nodes):
            for source in dict.fromkeys(node.inputs):
                users[source].append(position)
        return tuple(map(tuple, users))


def build(layers: tuple[Layer, ...], input_shape: Shape) -> Graph:
    """Lay `layers` out as a graph for images of `input_shape`.

    Parameters
    ----------
    layers : tuple of Layer
        The network, as `text.parse` gives it.
    input_shape : tuple of three int
        (channels, rows, columns) of one image.

    Raises
    ------
    NetworkError
        If there are no layers, or a layer has options that make no sense.
    ShapeError
        If a layer does not fit the shape that reaches it.
    TooLargeError
        If a layer or the parameters could not be held in memory by any sensible machine.
    """
    if not isinstance(layers, tuple | list) or not layers:
        raise NetworkError(f"a network is a tuple of at least one layer, not {layers!r}; text is read by `parse`")
    builder = _Builder(input_shape)
    builder.chain(tuple(layers), 0, 0)
    return builder.graph()


def assemble(steps: Iterable[tuple[Layer, tuple[int, ...]]], input_shape: Shape) -> Graph:
    """Put together a graph whose nodes are known already, for whoever reads one from a file.

    Parameters
    ----------
    steps : iterable of (layer, inputs)
        The nodes after the input in order, `Add`, `Multiply`, `Join` and `Flatten` among them. `inputs` are positions
        in `Graph.nodes`, where 0 is the input.
    input_shape : tuple of three int
        (channels, rows, columns) of one image.

    Raises
    ------
    NetworkError, ShapeError, TooLargeError
        As `build` does.
    """
    builder = _Builder(input_shape)
    for layer, inputs in steps:
        if not _can_read(layer, inputs, len(builder.nodes)):
            raise NetworkError(f"node {len(builder.nodes)} of the graph cannot be {layer!r} of nodes {inputs}")
        builder.check_options(layer)
        builder.append(layer, inputs, layer)
    return builder.graph()


def _can_read(layer: Layer, inputs: tuple[int, ...], position: int) -> bool:
    many, two = isinstance(layer, layers.Add | layers.Join), isinstance(layer, layers.Multiply)
    right_number = len(inputs) >= 1 if many else len(inputs) == 1 + two
    possible = right_number and not isinstance(layer, BECOMES_OTHERS | layers.Input)
    return possible and all(0 <= n < position for n in inputs)


def _is_image(shape: object) -> bool:
    return isinstance(shape, tuple | list) and len(shape) == 3 and all(is_whole(n) and n >= 1 for n in shape)


class _Builder:
    """The nodes so far, and how many there are of each kind."""

    def __init__(self, input_shape: Shape) -> None:
        if not _is_image(input_shape):
            raise ShapeError(f"images have a shape (channels, rows, columns) of numbers from 1, not {input_shape!r}")
        if math.prod(input_shape) > MOST_VALUES:
            raise TooLargeError(f"{describe(input_shape)}: more than {MOST_VALUES:,} values each; shrink them")
        self.nodes = [Node("input", layers.Input(), (), tuple(input_shape))]
        self.counts: dict[str, int] = {}

    def chain(self, layers: tuple[Layer, ...], source: int, depth: int) -> int:
        """Append `layers` one after the other, the first reading node `source`; say where the last one is."""
        for layer in layers:
            source = self.layer(layer, source, depth)
        return source

    def layer(self, layer: Layer, source: int, depth: int) -> int:
        if not isinstance(layer, Layer) or type(layer) is Layer or isinstance(layer, MADE_HERE):
            raise NetworkError(f"node {len(self.nodes)} of the network is {layer!r}, not a layer to build from")
        if depth > MOST_DEPTH:
            raise NetworkError(f"more than {MOST_DEPTH} residuals and concats are inside each other")
        self.check_options(layer)
        match layer:
            case layers.Residual():
                body = self.chain(layer.body, source, depth + 1)
                return self.append(layers.Add(), (body, self.chain(layer.shortcut, source, depth + 1)), layer)
            case layers.Gate():
                return self.append(layers.Multiply(), (source, self.chain(layer.body, source, depth + 1)), layer)
            case layers.Concat():
                ends = tuple(self.chain(branch, source, depth + 1) for branch in layer.branches)
                return self.append(layers.Join(), ends, layer)
            case layers.Fixed():
                return self.append(self.convolution(layer, self.nodes[source].shape[0]), (source,), layer)
            case layers.GlobalMaxPool2D():
                _, rows, columns = (*self.nodes[source].shape, 1, 1)[:3]  # features are refused as it is appended
                largest = self.append(layers.MaxPool2D((rows, columns)), (source,), layer)
                return self.append(layers.Flatten(), (largest,), layer)
            case layers.Dense() if len(self.nodes[source].shape) == 3:
                return self.append(layer, (self.append(layers.Flatten(), (source,), layer),), layer)
            case _:
                return self.append(layer, (source,), layer)

    def convolution(self, layer: layers.Fixed, channels: int) -> layers.FilterBank:
        """What a bank of fixed filters is to so many channels: each filter applied to each of them."""
        count, *kernel = bank(layer.bank).shape
        return layers.FilterBank(
            channels * count,
            (kernel[0], kernel[1]),
            layer.stride,
            layer.padding,
            groups=channels,
            bias=False,
            frozen=True,
            bank=layer.bank,
        )

    def check_options(self, layer: Layer) -> None:
        if len(self.nodes) > MOST_LAYERS:
            raise NetworkError(f"the network has more than {MOST_LAYERS:,} layers")
        if problem := option_problem(layer):
            raise NetworkError(f"{self.next_name(layer)} ({_shortened(repr(layer))}): {problem}")

    def append(self, layer: Layer, inputs: tuple[int, ...], described: Layer) -> int:
        """Append the node of `layer`; `described` is the layer the user wrote, for messages."""
        name = self.next_name(layer)
        called = f"{name} ({_shortened(layer_text(described))})"
        if isinstance(layer, layers.Conv2D) and layer.initial == "whiten" and inputs != (0,):
            raise NetworkError(f"{called}: `whiten` is for a layer that reads the image itself; leave it out here")
        try:
            shape, padding = output_shape(layer, tuple(self.nodes[source].shape for source in inputs))
        except ShapeError as error:
            raise ShapeError(f"{called}: {error}") from None
        top, left, bottom, right = padding
        _, rows, columns = (0, 0, 0) if not any(padding) else self.nodes[inputs[0]].shape
        padded = self.nodes[inputs[0]].shape[0] * (top + rows + bottom) * (left + columns + right)
        if max(math.prod(shape), padded) > MOST_VALUES:
            raise TooLargeError(f"{called}: {max(math.prod(shape), padded):,} values for each image are too many")
        self.counts[_kind(layer)] = self.counts.get(_kind(layer), 0) + 1
        self.nodes.append(Node(name, layer, inputs, shape, padding))
        return len(self.nodes) - 1

    def next_name(self, layer: Layer) -> str:
        return f"{_kind(layer)}{self.counts.get(_kind(layer), 0) + 1}"

    def parameters(self, position: int) -> list[Parameter]:
        node = self.nodes[position]
        match node.layer:
            case layers.Conv2D() as conv:
                channels = self.nodes[node.inputs[0]].shape[0]
                shape: Shape = (conv.filters, channels // conv.groups, *conv.kernel)
            case layers.Dense() as dense:
                shape = (dense.units, *self.nodes[node.inputs[0]].shape)
            case layers.Channelwise() as layer:
                shape = (node.shape[0], *[1] * (len(node.shape) - 1)) if layer.broadcast else node.shape[:1]
                return [Parameter(position, role, shape) for role in layer.roles]
            case _:
                return []
        weight = Parameter(position, "weight", shape)
        return [weight, Parameter(position, "bias", shape[:1])] if node.layer.bias else [weight]

    def graph(self) -> Graph:
        parameters = tuple(parameter for node in range(len(self.nodes)) for parameter in self.parameters(node))
        graph = Graph(tuple(self.nodes), parameters)
        if graph.parameter_count > MOST_PARAMETERS:
            largest = max(parameters, key=lambda parameter: math.prod(parameter.shape))
            node = self.nodes[largest.node]
            raise TooLargeError(
                f"the network has {graph.parameter_count:,} weights and biases, more than {MOST_PARAMETERS:,}; most "
                f"are in {node.name} ({_shortened(layer_text(node.layer))}), which gets "
                f"{describe(self.nodes[node.inputs[0]].shape)}: pool or stride before it"
            )
        return graph


def _kind(layer: Layer) -> str:
    """First part of the names of such layers: "conv" of "conv1"."""
    match layer:
        case layers.FilterBank():
            return "fixed"
        case layers.Conv2D():
            return "conv"
        case layers.MaxPool2D():
            return "max"
        case layers.AvgPool2D():
            return "average"
        case layers.GlobalAvgPool2D():
            return "global"
        case layers.Elementwise():
            return layer.word
        case _:
            return type(layer).__name__.lower()


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
