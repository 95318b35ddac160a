"""A net as a list of steps with the weights that everybody starts from, in either order of axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.network.graph import Graph
from lanewise.network.layers import (
    Activation,
    AvgPool2D,
    Conv2D,
    Dropout,
    Flatten,
    Layer,
    MaxPool2D,
)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LayerStep:
    """One layer.

    Attributes
    ----------
    layer : Layer
    inputs : tuple of int
        Whose values it takes: 0 is the images, n the step numbered n from 1 on.
    padding : (top, left, bottom, right)
    weights : (weight, bias), (weight,) or (); (scale, shift, mean, variance) of a batch normalisation
    maps : bool
        Whether its output has rows and columns.
    """

    layer: Layer
    inputs: tuple[int, ...]
    padding: tuple[int, int, int, int]
    weights: tuple[Floats, ...] = ()
    maps: bool = True


def steps(graph: Graph, parameters: Sequence[Floats], *, channels_last: bool) -> list[LayerStep]:
    """The layers between the input and the softmax or sigmoid at the end, in order; the last one gives the logits.

    Parameters
    ----------
    graph : Graph
    parameters : sequence of arrays
        Weights (o, i, u, v) and (o, i), biases (o,), as the graph orders them.
    channels_last : bool
        Give weights as (u, v, i, o) and (i, o), and those of the layer after `Flatten` in the order (rows, columns,
        channels), so that the network computes the same.

    Returns
    -------
    list of LayerStep
    """
    result: list[LayerStep] = []
    for position, node in enumerate(graph.nodes[1:-1], start=1):
        weights = tuple(parameters[n] for n in graph.parameters_of(position))
        if channels_last and weights and weights[0].ndim > 1:
            weights = (_channels_last(weights[0], _flattened(graph, node.inputs[0])), *weights[1:])
        result.append(LayerStep(node.layer, node.inputs, node.padding, weights, len(node.shape) == 3))
    return result


def walk(steps: Sequence[LayerStep], x: Any, apply: Callable[[int, LayerStep, list[Any]], Any]) -> Any:
    """Compute the value of the last step.

    A value is released after its last use, as a careful user of a framework would do.

    Parameters
    ----------
    steps : sequence of LayerStep
    x : Any
        The input, as the framework has it.
    apply : callable
        `apply(number, step, inputs)` gives the value of a step.
    """
    last_reader = {source: number for number, step in enumerate(steps) for source in step.inputs}
    values: dict[int, Any] = {0: x}
    for number, step in enumerate(steps):
        values[number + 1] = apply(number, step, [values[source] for source in step.inputs])
        for source in set(step.inputs):
            if last_reader[source] == number:
                del values[source]
    return values[len(steps)]


def _flattened(graph: Graph, position: int) -> tuple[int, ...]:
    """The shape of the images whose values node `position` has in a row; empty if it has none."""
    node = graph.nodes[position]
    while isinstance(node.layer, Activation | Dropout):
        node = graph.nodes[node.inputs[0]]
    return graph.nodes[node.inputs[0]].shape if isinstance(node.layer, Flatten) else ()


def _channels_last(weight: Floats, flattened: tuple[int, ...]) -> Floats:
    if weight.ndim == 4:
        return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
    if len(flattened) == 3:
        weight = weight.reshape(-1, *flattened).transpose(0, 2, 3, 1).reshape(weight.shape)
    return np.ascontiguousarray(weight.T)


def pads_evenly(padding: tuple[int, int, int, int]) -> bool:
    """Whether as much is added above as below, and left as right."""
    top, left, bottom, right = padding
    return (top, left) == (bottom, right)


def stride_of(layer: Conv2D | MaxPool2D | AvgPool2D) -> tuple[int, int]:
    """(rows, columns); a pool without one moves by its window."""
    return layer.stride if isinstance(layer, Conv2D) else layer.stride or layer.window
