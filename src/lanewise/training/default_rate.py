"""The optimizer and the learning rate that suit a network and a batch, where none was given.

    rate = 0.05                                     0.2 where batch normalisation is trained
           times (DEEP / depth)**2                  beyond DEEP layers without normalisation or a way past them
           divided by the breadth                   where a layer sums up many values
           times 2                                  where few layers end in a global average, unless they are broad
           times batch / SMALL, or sqrt(batch / LARGE)      for batches smaller or larger than that

These are for SGD. AdamW's steps and Muon's are as long whatever the gradient; Muon's follow the batch alone. What was
measured: docs/decisions/find-rate.md, docs/decisions/muon.md.
"""

from __future__ import annotations

from dataclasses import replace

from lanewise.engine.muon import fitting, matrices
from lanewise.network.channelwise import BatchNorm
from lanewise.network.graph import Graph
from lanewise.network.layers import FilterBank
from lanewise.network.sensitivity import bearable, depth
from lanewise.training.find_rate import given_rate
from lanewise.training.optimizers import AUTO, LEARNING_RATES, NORMALISED_LEARNING_RATES
from lanewise.training.options import FitOptions, TrainOptions
from lanewise.training.recipe import Effort, default_batch_size
from lanewise.training.start import GOING_ON, Start

DEEP = 9
"""Layers of weights, one behind the other, that learn at the full rate."""

SMALL, LARGE, MOST = 16, 128, 4.0
"""Images of a step between which the rate is the same; and how many times as high it may become for large steps."""


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
        For `AUTO` Muon where it updates the weights of at least two convolutions, else SGD.
    """
    if optimizer != AUTO:
        return optimizer
    return "muon" if usual and len(matrices(graph)) >= 2 else "sgd"


def with_optimizer(options: TrainOptions, graph: Graph, *, new: bool) -> TrainOptions:
    """The options with the optimizer settled.

    Parameters
    ----------
    options : TrainOptions
    graph : Graph
    new : bool
        Whether weights are drawn anew.
    """
    usual = new and given_rate(options) is None and options.weight_decay is None
    return replace(options, optimizer=settled(options.optimizer, graph, usual=usual))


def with_steps(options: TrainOptions, graph: Graph, count: int, effort: Effort, *, new: bool) -> TrainOptions:
    """The options with the optimizer and the batch size settled.

    Parameters
    ----------
    options : TrainOptions
    graph : Graph
    count : int
        Images that are trained on.
    effort : Effort
    new : bool
        As for `with_optimizer`.
    """
    options = with_optimizer(options, graph, new=new)
    large = effort.hard and normalised(graph) and fitting(options.optimizer, graph) == "muon"
    return replace(options, batch_size=options.batch_size or default_batch_size(count, large=large))


def peak_rate(options: FitOptions, start: Start) -> float:
    """The rate that was given, or the default: for weights that go on a part of it."""
    rate = given_rate(options)
    if rate is not None:
        return rate
    return default_learning_rate(options.optimizer, start.graph, options.batch_size) / (GOING_ON if start.whole else 1)


def default_learning_rate(optimizer: str, graph: Graph, batch_size: int | None = None) -> float:
    """The peak learning rate, higher where batch normalisation is trained, unless it normalises fixed filters alone.

    Parameters
    ----------
    optimizer : str
    graph : Graph
    batch_size : int, optional
    """
    optimizer = fitting(optimizer, graph)
    rate = (NORMALISED_LEARNING_RATES if normalised(graph) else LEARNING_RATES)[optimizer]
    if optimizer != "adamw" and batch_size is not None:
        rate *= min(1.0, batch_size / SMALL) * min(MOST, max(1.0, batch_size / LARGE) ** 0.5)
    if optimizer != "sgd":
        return rate
    layers = depth(graph)
    return rate * bearable(graph) * ((DEEP / layers) ** 2 if layers > DEEP else 1.0)
