"""A network layer by layer as people read it, and what its numbers mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from lanewise.card import reported
from lanewise.cli.evaluating import TITLES
from lanewise.cli.output import Output
from lanewise.model import Model
from lanewise.network.graph import Graph, Node
from lanewise.network.layers import Conv2D
from lanewise.network.summary import LayerSummary, summary, totals
from lanewise.network.text import layer_text
from lanewise.wording import interval, percent, plural, shape, shown, some

Cell = Callable[[Any], str]
"""Takes a `LayerSummary`; of sums, also the `Totals`."""


def _number(value: float) -> str:
    return f"{value:,}" if value else "-"


def _share(value: float) -> str:
    if not value:
        return "-"
    return "100 %" if value == 1 else f"{100 * value:.2g} %" if value < 0.1 else f"{100 * value:.1f} %"


def _times(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 or value == round(value) else f"{value:.1f}"


def _used(one: LayerSummary) -> str:
    return _times(one.mean_sharing) if one.weights else "-"


TRAINABLE = "trainable\nweights"

SIZES: dict[str, Cell] = {
    "output": lambda one: shape(one.output_shape),
    "weights": lambda one: _number(one.weights),
    TRAINABLE: lambda one: _number(one.learned_weights),
    "biases": lambda one: _number(one.biases),
    "multiply-\nadds": lambda one: _number(one.multiply_adds),
    "receptive\nfield": lambda one: f"{one.receptive_field[0]}x{one.receptive_field[1]}",
}
"""Columns on a layer's output and cost; that of trainable weights is for networks with frozen or fixed layers."""

CONNECTIONS: dict[str, Cell] = {
    "connections": lambda one: _number(one.connections),
    "of all\npossible": lambda one: _share(one.density),
    "uses of\na weight": _used,
    "fully connected\nweights": lambda one: _number(one.dense_weights if one.weights else 0),
}
"""Columns on sparse connectivity and weight sharing; the last is for a fully connected layer of the same shapes."""

SUMMED = {"weights", TRAINABLE, "biases", "multiply-\nadds", "connections", "fully connected\nweights"}
"""Columns that are added up over the layers."""


def tell_model(out: Output, model: Model, path: str) -> None:
    """Print what a model file holds besides its network.

    Parameters
    ----------
    out : Output
    model : Model
    path : str
        The model's file, for display.
    """
    rows, columns, channels = model.preprocessing.shape
    out.result("Model", f"{shown(path)}: images of {rows}x{columns}x{channels} ({model.preprocessing.dtype})")
    out.result("Classes", f"{plural(len(model.classes), 'class')}: {some(map(shown, model.classes), 20)}")
    known = model.provenance
    if {"images", "epochs", "date", "version"} <= known.keys():
        images = f"{plural(known['images'], 'image')} for {plural(known['epochs'], 'epoch')}"
        out.result("Trained", f"on {images} by Lanewise {shown(known['version'])}, {shown(known['date'])}")
    match known.get("pretrained"):  # anybody may have written the file
        case {"network": str(network), "origin": str(origin), "licence": str(licence)}:
            out.result("Start", f"{shown(network)}; from {shown(origin)}; licence {shown(licence)}")
    if model.tta is not None:
        out.result("Answers", "by an image and its mirror image together, each of which takes one pass; below is one")
    if evaluated := _evaluated(reported(known)):
        out.result(*evaluated)
    out.notes(model.notes)


def _evaluated(figures: object) -> tuple[str, str] | None:
    """The accuracy recorded in a file, if it is well formed: anybody may have written the file."""
    match figures:
        case {
            "split": str(split),
            "images": int(count),
            "accuracy": float(accuracy) | int(accuracy),
            "interval": [float(low) | int(low), float(high) | int(high)],
        } if split in TITLES and count > 0:
            trust = f"95 % interval {interval((low, high), count)}, {plural(count, 'image')}"
            return TITLES[split], f"{percent(accuracy, count)}  ({trust})"
    return None


def show(out: Output, graph: Graph, text: str | None) -> None:
    """Print a network as tables, and a sentence on what they mean.

    Parameters
    ----------
    out : Output
    graph : Graph
    text : str or None
        The network's text, if it has one.
    """
    summaries = summary(graph)
    if text is not None:
        out.result("Network", text)
    out.result("Input", f"{shape(graph.input_shape)}: {math.prod(graph.input_shape):,} values per image")
    out.blank()
    whole = _table(graph, summaries, SIZES | CONNECTIONS)
    for table in (
        (whole,) if out.fits(whole) else (_table(graph, summaries, SIZES), _table(graph, summaries, CONNECTIONS))
    ):
        out.table(table)
        out.blank()
    out.result("In plain words", meaning(graph, summaries))


def to_json(graph: Graph, text: str | None) -> dict[str, Any]:
    """The same for programs. Shapes are (rows, columns, channels) or (features,)."""
    summaries = summary(graph)
    return {
        "network": text,
        "input": _channels_last(graph.input_shape),
        "layers": [
            {
                "name": one.name,
                "layer": layer_text(node.layer),
                "inputs": [graph.nodes[source].name for source in node.inputs],
                **{key: value for key, value in asdict(one).items() if key != "jump"},
                "output_shape": _channels_last(one.output_shape),
                "sparsity": 1 - one.density if one.connections else None,
            }
            for node, one in zip(graph.nodes, summaries, strict=True)
        ],
        "totals": asdict(totals(summaries)),
        "meaning": meaning(graph, summaries),
    }


def meaning(graph: Graph, summaries: tuple[LayerSummary, ...]) -> str:
    """Explain the counts of a network in a sentence or two."""
    total = totals(summaries)
    convolutions = [
        one for node, one in zip(graph.nodes, summaries, strict=True) if isinstance(node.layer, Conv2D) and one.weights
    ]
    if not total.weights:
        return "No layer has weights, so there is nothing to train."
    cost = f"An image takes {total.multiply_adds:,} multiply-adds."
    trained = f"{total.learned_weights:,}" if total.learned_weights else "none"
    all_trained, verb = total.learned_weights == total.weights, "is" if total.learned_weights == 1 else "are"
    if not convolutions:
        apart = "" if all_trained else f"{trained.capitalize()} of them {verb} trained. "
        return (
            f"Every layer with weights is fully connected: each of the {total.weights:,} weights connects one input to "
            f"one output and is used once per image. {apart}{cost}"
        )
    connections = sum(one.connections for one in convolutions)
    weights = sum(one.weights for one in convolutions)
    possible = sum(one.dense_weights for one in convolutions)
    apart = "" if all_trained else f", of which {trained} {verb} trained"
    return (
        f"The convolutions leave out {_share(1 - connections / possible)} of all possible connections "
        f"(sparse connectivity); the others share {weights:,} weights, each used "
        f"{_times(connections / weights)} times per image (weight sharing). The whole network has "
        f"{plural(total.weights, 'weight')}{apart}; fully connected layers of the same shapes have "
        f"{total.dense_weights:,} ({_times(total.dense_weights / total.weights)} times as many). {cost}"
    )


def _table(graph: Graph, summaries: tuple[LayerSummary, ...], columns: dict[str, Cell]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_footer=True)
    total = totals(summaries)
    table.add_column("layer", "in all", overflow="fold")
    if total.learned_weights == total.weights:
        columns = {name: cell for name, cell in columns.items() if name != TRAINABLE}
    for name in columns:
        footer = columns[name](total) if name in SUMMED else ""
        table.add_column(name, footer, justify="right", no_wrap=True)
    for number, (node, one) in enumerate(zip(graph.nodes, summaries, strict=True)):
        table.add_row(_called(graph, number, node), *(cell(one) for cell in columns.values()))
    return table


def _called(graph: Graph, number: int, node: Node) -> str:
    """The layer as in the text; where it does not read the one before it, which it reads."""
    text = layer_text(node.layer)
    if number == 0 or node.inputs == (number - 1,):
        return text
    return f"{text} of {', '.join(graph.nodes[source].name for source in node.inputs)}"


def _channels_last(sizes: tuple[int, ...]) -> list[int]:
    return [*sizes[1:], sizes[0]]
