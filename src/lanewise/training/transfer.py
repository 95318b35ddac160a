"""Transfer learning: a network of one's own starts from the weights that it shares with a trained model.

Both are compared layer by layer from the first on. As long as they are alike, frozen or not, the model's weights are
copied; from the first layer that differs, all are initialised at random. So a network with `frozen` behind some layers
trains the others, and one with another last layer is trained on other classes from the same features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lanewise.engine.parameters import Floats
from lanewise.errors import OptionError
from lanewise.network.comparing import shared_parameters
from lanewise.network.graph import Graph, is_frozen
from lanewise.network.layers import FilterBank
from lanewise.network.text import layer_text


def take_over(
    graph: Graph, drawn: Sequence[Floats], start_graph: Graph, trained: Sequence[Floats], *, same_classes: bool
) -> tuple[list[Floats], int, str]:
    """Parameters to start `graph` from, how many are the model's, and a sentence on where they come from.

    Parameters
    ----------
    graph, drawn : the network to train, and its parameters, initialised at random
    start_graph, trained : those of the starting model
    same_classes : bool
        Whether both have the same classes. If not, the last layer with weights is initialised at random.

    Raises
    ------
    OptionError
        If nothing can be taken over.
    """
    count = shared_parameters(graph, start_graph)
    if count == 0:
        raise OptionError(
            "the network shares no weights with the starting model: it begins with "
            f'"{_beginning(graph)}", the model with "{_beginning(start_graph)}"'
        )
    if not same_classes:
        last = max(parameter.node for parameter in graph.parameters if parameter.role == "weight")
        count = min(count, graph.parameters_of(last)[0])
    if count == 0:
        raise OptionError(
            "the starting model has other classes, and no weights but those of its last layer: leave it out"
        )
    return [*(np.array(array) for array in trained[:count]), *drawn[count:]], count, _origin(graph, count)


def _beginning(graph: Graph) -> str:
    return ", ".join(layer_text(node.layer) for node in graph.nodes[1:4])


def _origin(graph: Graph, count: int) -> str:
    """Which layers' weights are the model's: those of the first `count` parameters."""
    origins: dict[bool, list[str]] = {True: [], False: []}
    for position, parameter in enumerate(graph.parameters):
        node = graph.nodes[parameter.node]
        if parameter.role == "weight" and not isinstance(node.layer, FilterBank):
            origins[position < count].append(f"{node.name} (frozen)" if is_frozen(node.layer) else node.name)
    random = f"; initialised at random: {', '.join(origins[False])}" if origins[False] else ""
    return f"Weights from the starting model: {', '.join(origins[True])}{random}."
