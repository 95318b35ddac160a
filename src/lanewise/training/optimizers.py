"""The optimizers by name, their defaults, and which of them suits a network."""

from __future__ import annotations

from collections.abc import Mapping

from lanewise.network.channelwise import BatchNorm
from lanewise.network.graph import Graph
from lanewise.network.layers import Add, FilterBank

LEARNING_RATES = {"sgd": 0.05, "adamw": 0.002, "muon": 0.02}
NORMALISED_LEARNING_RATES = {"sgd": 0.2, "adamw": 0.002, "muon": 0.06}
"""Of networks with batch normalisation that is trained: the size of weights before it changes nothing but the rate."""

WEIGHT_DECAYS = {"sgd": 5e-4, "adamw": 0.01, "muon": 0.1}
AUTO = "auto"


def each(defaults: Mapping[str, float]) -> str:
    """One number for each optimizer, in words."""
    return ", ".join(f"{value:g} for {name}" for name, value in defaults.items())


def normalised(graph: Graph) -> bool:
    """Whether batch normalisation is trained, and normalises more than fixed filters."""
    return any(
        isinstance(node.layer, BatchNorm)
        and not node.layer.frozen
        and not isinstance(graph.nodes[node.inputs[0]].layer, FilterBank)
        for node in graph.nodes
    )


def settled(optimizer: str, graph: Graph, *, usual: bool) -> str:
    """The optimizer of that name, or the one that suits the network: see docs/decisions/muon.md.

    Parameters
    ----------
    optimizer : str
    graph : Graph
    usual : bool
        Whether weights are drawn anew, and neither a learning rate nor a weight decay was given: these suit one
        optimizer and no other, and who gives one without its name means SGD.

    Returns
    -------
    str
        For `AUTO` Muon where residual blocks are trained with batch normalisation, else SGD.
    """
    if optimizer != AUTO:
        return optimizer
    residual = any(isinstance(node.layer, Add) for node in graph.nodes)
    return "muon" if usual and residual and normalised(graph) else "sgd"
