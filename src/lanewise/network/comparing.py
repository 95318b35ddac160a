"""Whether two graphs compute the same, and how far they do from their first layer on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lanewise.network.graph import Graph, Node, is_frozen
from lanewise.network.layers import (
    AvgPool2D,
    Conv2D,
    Dropout,
    Elementwise,
    FilterBank,
    Layer,
    MaxPool2D,
)


def comparable(graph: Graph) -> list[tuple[Any, ...]]:
    """What an ONNX file keeps of a graph: no dropout, paddings as numbers, gradients as float32, nothing of training.

    Two graphs that are equal in this give the same for the same parameters.
    """
    place: dict[int, int] = {}
    kept: list[tuple[Any, ...]] = []
    for position, node in enumerate(graph.nodes):
        if isinstance(node.layer, Dropout):
            place[position] = place[node.inputs[0]]
            continue
        place[position] = len(kept)
        kept.append((_plain_layer(node), tuple(place[source] for source in node.inputs), node.shape, node.padding))
    return kept


def shared_parameters(graph: Graph, other: Graph) -> int:
    """How many parameters, counted from the first, belong to layers with which both graphs begin.

    Dropout makes no difference, nor does what is frozen; other fixed filters do.
    """
    count = 0
    for (ours, bank, parameters), (theirs, others_bank, _) in zip(_with_banks(graph), _with_banks(other), strict=False):
        if ours != theirs or bank != others_bank:
            break
        count += parameters
    return count


def _with_banks(graph: Graph) -> list[tuple[tuple[Any, ...], tuple[str, ...], int]]:
    """Each node as `comparable` has it, its fixed filters, and how many parameters it has."""
    kept = [(position, node.layer) for position, node in enumerate(graph.nodes) if not isinstance(node.layer, Dropout)]
    banks = [layer.bank if isinstance(layer, FilterBank) else () for _, layer in kept]
    counts = [len(graph.parameters_of(position)) for position, _ in kept]
    return list(zip(comparable(graph), banks, counts, strict=True))


def _plain_layer(node: Node) -> Layer:
    match node.layer:
        case Conv2D(filters, kernel, stride, _, dilation, groups, bias):  # a bank of fixed filters among them
            return Conv2D(filters, kernel, stride, "valid", dilation, groups, bias)
        case MaxPool2D() | AvgPool2D() as layer:
            return replace(layer, padding="valid", stride=layer.stride or layer.window)
        case Elementwise() as layer:
            plain = replace(layer, **{option: float(np.float32(value)) for option, value in layer.options.items()})
        case plain:
            pass
    return replace(plain, **{"frozen": False} if is_frozen(plain) else {})
