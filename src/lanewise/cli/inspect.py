"""`lanewise inspect`: a network layer by layer, in numbers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from lanewise.cli.options import image_shape, json_option
from lanewise.wording import shown

if TYPE_CHECKING:
    from lanewise.model import Model
    from lanewise.network.graph import Graph


@click.command(no_args_is_help=True)
@click.argument("model_or_text")
@click.option(
    "--input",
    "image",
    callback=image_shape,
    metavar="SHAPE",
    help="Input of a network given as text: rows x columns x channels, like 30x30x3.  [default: none]",
)
@click.option(
    "--connections",
    "drawing",
    metavar="FILE",
    help="Draw which inputs feed an output, coloured by the weight they share, as .svg, .png or .pdf.  [default: none]",
)
@click.option("--layer", metavar="NAME", help="The layer to draw, like conv2.  [default: the first with weights]")
@json_option
def inspect(
    model_or_text: str,
    image: tuple[int, int, int] | None,
    drawing: str | None,
    layer: str | None,
    as_json: bool,
) -> None:
    """Show a network layer by layer, in numbers.

    MODEL_OR_TEXT is a model file, or the text of a network together with --input:

    \b
    lanewise inspect digits.onnx
    lanewise inspect "conv 6@5x5, relu, max 2, dense 10" --input 32x32x1

    A connection joins an input to an output by a weight or through a pooling window; a fully connected layer has all
    possible connections. "Uses of a weight" is the average number of connections that share one weight.
    """
    from lanewise.cli import layers
    from lanewise.cli.output import open_output

    model, graph, text = _network(model_or_text, image)
    drawn = _draw(model or graph, layer, drawing)
    out = open_output(as_json)
    if model is not None:
        layers.tell_model(out, model, model_or_text)
    layers.show(out, graph, text)
    if drawn is not None:
        out.result("Connections", f"of {drawn} are drawn in {shown(str(drawing))}")
    out.finish(layers.to_json(graph, text) | _of_model(model, model_or_text) | {"drawing": drawing})


def _network(given: str, image: tuple[int, int, int] | None) -> tuple[Model | None, Graph, str | None]:
    """The model if it is one, its graph and its text."""
    from lanewise.network.graph import build
    from lanewise.network.text import parse, to_text

    if os.path.isfile(given) or given.lower().endswith(".onnx"):
        from lanewise.model import Model

        if image is not None:
            raise click.BadParameter("a model file has its own input: leave it out.", param_hint="--input")
        model = Model.load(given)
        return model, model.graph, model.network
    layers = parse(given)
    if image is None:
        raise click.UsageError("A network given as text needs the shape of its images, like --input 30x30x3.")
    return None, build(layers, image), to_text(layers)


def _draw(network: Model | Graph, layer: str | None, path: str | None) -> str | None:
    """Draw the connections of a layer's middle output; which layer that is."""
    if path is None:
        if layer is not None:
            raise click.BadParameter("says what to draw: give --connections FILE too.", param_hint="--layer")
        return None
    if os.path.lexists(path):
        raise click.BadParameter(f"{shown(path)} exists already: choose another name.", param_hint="--connections")
    from lanewise.explain import draw_connections, expand
    from lanewise.explain.drawing import check_drawable
    from lanewise.explain.subject import graph_of, node_position
    from lanewise.network.summary import summary

    graph = graph_of(network)
    if layer is None:
        if not graph.parameters:
            raise click.UsageError("No layer of the network has weights: choose one with --layer.")
        layer = graph.nodes[graph.parameters[0].node].name
    position = node_position(graph, layer)
    check_drawable(graph.nodes[position].name, summary(graph)[position].connections)  # expanding may take minutes
    expansion = expand(network, layer)
    middle = tuple(size // 2 for size in expansion.output_shape[-2:])
    draw_connections(expansion, (0, *middle) if len(expansion.output_shape) == 3 else middle, path)
    return expansion.name


def _of_model(model: Model | None, path: str) -> dict[str, Any]:
    if model is None:
        return {"model": None}
    return {
        "model": shown(path),
        "classes": model.classes,
        "tta": model.tta,
        "provenance": model.provenance,
        "notes": model.notes,
    }
