"""A net as a list of steps with the weights that everybody starts from, in either order of axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import SEED
from benchmarks.nets import Net
from lanewise.network.initial import initial_parameters
from lanewise.network.layers import Conv2D, Flatten, Layer, MaxPool2D

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Step:
    """One layer; `padding` is (top, left, bottom, right), `weights` are (weight, bias), (weight,) or ()."""

    layer: Layer
    padding: tuple[int, int, int, int]
    weights: tuple[Floats, ...] = ()


def steps(net: Net, *, channels_last: bool) -> list[Step]:
    """The layers between input and softmax, one after the other.

    Weights are (o, i, u, v) and (o, i). With `channels_last` they are (u, v, i, o) and (i, o), and those of the layer
    after `Flatten` follow the order (rows, columns, channels), so that the network computes the same.
    """
    graph = net.graph
    parameters = initial_parameters(graph, SEED)
    result: list[Step] = []
    for position, node in enumerate(graph.nodes[1:-1], start=1):
        if node.inputs != (position - 1,):
            raise ValueError(f"{node.name} of {net.name} does not follow the node before it: only chains are timed")
        weights = tuple(parameters[n] for n in graph.parameters_of(position))
        if channels_last and weights:
            before = graph.nodes[position - 1]
            flattened = graph.nodes[before.inputs[0]].shape if isinstance(before.layer, Flatten) else None
            weights = (_channels_last(weights[0], flattened), *weights[1:])
        result.append(Step(node.layer, node.padding, weights))
    return result


def _channels_last(weight: Floats, flattened: tuple[int, ...] | None) -> Floats:
    if weight.ndim == 4:
        return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
    if flattened:
        weight = weight.reshape(-1, *flattened).transpose(0, 2, 3, 1).reshape(weight.shape)
    return np.ascontiguousarray(weight.T)


def pads_evenly(padding: tuple[int, int, int, int]) -> bool:
    """Whether as much is added above as below, and left as right."""
    top, left, bottom, right = padding
    return (top, left) == (bottom, right)


def stride_of(layer: Conv2D | MaxPool2D) -> tuple[int, int]:
    """(rows, columns); a pool without one moves by its window."""
    return layer.stride if isinstance(layer, Conv2D) else layer.stride or layer.window
