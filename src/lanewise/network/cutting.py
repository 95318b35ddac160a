"""The part of a network that ends at one of its nodes: what a pretrained network knows of images, without its classes.

features_at(graph) -> position of the node that gives the features
until(graph, position) -> (the graph that ends there, the positions of its parameters)
"""

from __future__ import annotations

from lanewise.errors import NetworkError
from lanewise.network.graph import Graph, assemble
from lanewise.network.layers import Dense, GlobalAvgPool2D, Multiply


def features_at(graph: Graph) -> int:
    """Position of the node whose values tell images apart best: the last global pooling, or what the last dense
    layer reads where there is none.

    Raises
    ------
    NetworkError
        The network has neither.
    """
    main = {len(graph.nodes) - 1}  # without what only gates make
    for position in range(len(graph.nodes) - 1, 0, -1):
        if position in main:
            node = graph.nodes[position]
            main.update(node.inputs[:1] if isinstance(node.layer, Multiply) else node.inputs)
    for kind in (GlobalAvgPool2D, Dense):
        found = [position for position in sorted(main) if isinstance(graph.nodes[position].layer, kind)]
        if found:
            return found[-1] if kind is GlobalAvgPool2D else graph.nodes[found[-1]].inputs[0]
    raise NetworkError(
        "the network has neither `global average` nor a dense layer, so it has no features to start from"
    )


def until(graph: Graph, position: int) -> tuple[Graph, tuple[int, ...]]:
    """The graph that ends with the node at `position`, and where its parameters are in those of `graph`.

    Nodes that it does not read are left out.
    """
    needed = {position}
    for place in range(position, 0, -1):
        if place in needed:
            needed.update(graph.nodes[place].inputs)
    kept = sorted(needed | {0})
    new = {old: place for place, old in enumerate(kept)}
    steps = [(graph.nodes[old].layer, tuple(new[source] for source in graph.nodes[old].inputs)) for old in kept[1:]]
    parameters = tuple(place for old in kept for place in graph.parameters_of(old))
    return assemble(steps, graph.input_shape), parameters
