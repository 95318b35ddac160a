"""What bounds the learning rate of a network: how deep it is, how many values its layers sum up, where it averages.

A layer that sums up n values of about one size has a gradient whose square is as n, and curves the loss as much: the
rates that it bears are as 1 / n. What was measured: docs/decisions/find-rate.md.
"""

from __future__ import annotations

import math

from lanewise.network.channelwise import BatchNorm
from lanewise.network.graph import Graph, Node
from lanewise.network.layers import (
    Activation,
    Add,
    Conv2D,
    Dense,
    Dropout,
    FilterBank,
    Flatten,
    GlobalAvgPool2D,
    LayerNorm,
)

WIDE = {Conv2D: 400, Dense: 1600}
"""Values that a layer sums up at the full rate."""

FEW, AVERAGED = 4, 4.0
"""Layers that are few; and how many times the breadth they bear before a global average, as it divides gradients."""


def depth(graph: Graph) -> int:
    """How many layers of weights come one behind the other without normalisation, by the shorter way at each sum."""
    depths = [0]
    for node in graph.nodes[1:]:
        before = [depths[place] for place in node.inputs]
        own = min(before) if isinstance(node.layer, Add) else max(before)
        depths.append(0 if isinstance(node.layer, BatchNorm | LayerNorm) else own + _has_weights(node))
    return max(depths)


def breadth(graph: Graph) -> float:
    """The most values that a layer sums up for one of its own, as a multiple of `WIDE`.

    Normalisation before the next layer of weights makes up for them. A dense layer that sees the images themselves
    counts in networks of more than `FEW` layers: pixels are centred, what comes out of layers is not.
    """
    users, deep = graph.users(), depth(graph) > FEW

    def normalised(place: int) -> bool:
        layers = [graph.nodes[user].layer for user in users[place]]
        return bool(layers) and all(
            isinstance(layer, BatchNorm | LayerNorm)
            or (not isinstance(layer, Add | Conv2D | Dense) and normalised(user))
            for layer, user in zip(layers, users[place], strict=True)
        )

    behind, found = [False], 0.0
    for place, node in enumerate(graph.nodes[1:], start=1):
        behind.append(_has_weights(node) or any(behind[source] for source in node.inputs))
        kind = Conv2D if isinstance(node.layer, Conv2D) else Dense
        if _has_weights(node) and (kind is Conv2D or deep or behind[node.inputs[0]]) and not normalised(place):
            shape = graph.parameters[graph.parameters_of(place)[0]].shape
            found = max(found, math.prod(shape[1:]) / WIDE[kind])
    return found


def averaged(graph: Graph) -> bool:
    """Whether few layers, without normalisation or sums, end in a global average and one dense layer."""
    place = graph.nodes[-1].inputs[0]
    while isinstance(graph.nodes[place].layer, Dense | Activation | Dropout | Flatten):
        place = graph.nodes[place].inputs[0]
    others = any(isinstance(node.layer, Add | BatchNorm | LayerNorm) for node in graph.nodes)
    return isinstance(graph.nodes[place].layer, GlobalAvgPool2D) and 1 < depth(graph) <= FEW and not others


def _has_weights(node: Node) -> bool:
    return isinstance(node.layer, Conv2D | Dense) and not isinstance(node.layer, FilterBank)


def bearable(graph: Graph) -> float:
    """The part of the full rate that a network bears by its breadth, or up to twice that where it averages."""
    most, bears = (2.0, AVERAGED) if averaged(graph) else (1.0, 1.0)
    return min(most, bears / max(breadth(graph), 1.0))
