"""The part of a network that ends at one of its nodes: what a pretrained network knows of images, without its classes.

features_at(graph, layer=None) -> position of the node that gives the features
until(graph, position) -> (the graph that ends there, the positions of its parameters)
stages(graph) -> the position that each stage begins behind; a stage ends where maps get smaller
behind(graph, position) -> (the graph that begins there, the positions of its parameters)
"""

from __future__ import annotations

from difflib import get_close_matches
from itertools import groupby
from math import prod

from lanewise.errors import NetworkError
from lanewise.network.graph import Graph, assemble
from lanewise.network.layers import Dense, GlobalAvgPool2D, Multiply


def features_at(graph: Graph, layer: str | None = None) -> int:
    """Position of the node whose values tell images apart best: the one called `layer`, or the last global pooling, or
    what the last dense layer reads where there is none.

    Raises
    ------
    NetworkError
        The network has neither, or no layer of that name.
    """
    if layer is not None:
        names = [node.name for node in graph.nodes[1:]]
        if layer in names:
            return names.index(layer) + 1
        close = get_close_matches(layer.lower(), names, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"its last are {', '.join(names[-6:])}"
        raise NetworkError(f"the start has no layer {layer!r} to cut at; {hint}")
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


def stages(graph: Graph) -> tuple[int, ...]:
    """Positions of the nodes that stages begin behind, in order; the first is 0, the input.

    All that comes later reads nothing before such a node. Of several with maps of one size it is the last of those with
    the fewest values; the last stage has the smallest maps, and all that follows.
    """
    necks: list[int] = []
    earliest = len(graph.nodes)
    for position in range(len(graph.nodes) - 1, -1, -1):
        if earliest >= position and len(graph.nodes[position].shape) == 3:
            necks.append(position)
        earliest = min([earliest, *graph.nodes[position].inputs])
    sizes = groupby(reversed(necks), key=lambda position: graph.nodes[position].shape[1:])
    ends = [min(same, key=lambda position: (prod(graph.nodes[position].shape), -position)) for _, same in sizes]
    return tuple(sorted({0, *ends[:-1]}))


def behind(graph: Graph, position: int) -> tuple[Graph, tuple[int, ...]]:
    """The graph whose images are what the node at `position` gives, and where its parameters are in `graph`."""
    later = range(position + 1, len(graph.nodes))
    steps = [(graph.nodes[n].layer, tuple(source - position for source in graph.nodes[n].inputs)) for n in later]
    parameters = tuple(place for n in later for place in graph.parameters_of(n))
    return assemble(steps, graph.nodes[position].shape), parameters
