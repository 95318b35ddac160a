"""What is explained: one image, a layer called by its name, a class called by its label."""

from __future__ import annotations

import os
from difflib import get_close_matches
from operator import index
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike

from lanewise.engine.inference import Inference
from lanewise.errors import DataError, OptionError, ShapeError
from lanewise.model import Model, Pixels
from lanewise.model_file.contents import Contents, Label
from lanewise.network.graph import Graph, Shape, build
from lanewise.network.layers import Sigmoid, Softmax
from lanewise.network.reference import Array, forward
from lanewise.network.shapes import describe
from lanewise.network.text import parse
from lanewise.preprocessing import PixelType, type_of
from lanewise.wording import some

Image = ArrayLike | str | os.PathLike[str]
"""Raw pixels (rows, columns, channels), (rows, columns) with one channel, or a file."""


_SCORERS: WeakKeyDictionary[Model, dict[PixelType, Inference]] = WeakKeyDictionary()


def graph_for(text: str, shape: tuple[int, ...]) -> Graph:
    """Lay out a network that is written as text, to inspect and count it before training.

    Parameters
    ----------
    text : str
        Like "conv 6@5x5, relu, max 2".
    shape : (rows, columns) or (rows, columns, channels)
        Of the images: `image.shape`.

    Raises
    ------
    NetworkError
        The text is no network, or it does not fit such images.
    """
    if not isinstance(shape, tuple | list) or len(shape) not in (2, 3):
        raise ShapeError(f"the shape of an image is (rows, columns) or (rows, columns, channels), not {shape!r}")
    rows, columns, channels = shape if len(shape) == 3 else (*shape, 1)
    return build(parse(text), (channels, rows, columns))


def graph_of(network: Graph | Contents) -> Graph:
    """The graph of a model, or the graph that was given."""
    if isinstance(network, Graph):
        return network
    check_model(network)
    return network.graph


def check_model(model: Any) -> None:
    """Refuse what is no trained model, like the name of its file."""
    if not isinstance(model, Contents):
        what = repr(model) if isinstance(model, str | os.PathLike) else f"a {type(model).__name__}"
        raise OptionError(f"a trained model is needed, not {what}: lanewise.Model.load(FILE) gives one")


def raw_image(model: Model, image: Image) -> Pixels:
    """One image as raw pixels (1, rows, columns, channels)."""
    check_model(model)
    pixels = model.pixels(image)
    if len(pixels) != 1:
        raise DataError(f"one image is explained at a time, but {len(pixels)} were given: choose one of them")
    return pixels


def values_of(model: Model, image: Image) -> list[Array]:
    """The values of all nodes for one image, each (1, *shape); the first is the image as the network takes it."""
    pixels = raw_image(model, image)
    return forward(model.graph, model.parameters, model.preprocessing.apply(pixels))


def node_position(graph: Graph, node: str | int) -> int:
    """Where in `graph.nodes` the node called `node` is; a position is taken as it is.

    Raises
    ------
    OptionError
        If there is none.
    """
    names = [one.name for one in graph.nodes]
    if isinstance(node, str):
        if node in names:
            return names.index(node)
        close = get_close_matches(node.lower(), names, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {some(names, 12)}"
        raise OptionError(f"the network has no layer {node!r}; {hint}")
    position = whole_number(node)
    if position is None or not 0 <= position < len(names):
        raise OptionError(f"the network has no layer {node!r}: give a name, or a position from 0 to {len(names) - 1}")
    return position


def place(name: str, shape: Shape, where: Any) -> tuple[int, ...]:
    """Check the position of one value of a node.

    Parameters
    ----------
    name : str
        The node, for the message.
    shape : (channels, rows, columns) or (features,)
    where : Any
        The position that was given.

    Returns
    -------
    (channel, row, column) or (feature,)

    Raises
    ------
    OptionError
        The node has no such value.
    """
    given = where if isinstance(where, tuple | list) else (where,)
    numbers = tuple(map(whole_number, given))
    if len(numbers) == len(shape) and all(
        number is not None and 0 <= number < size for number, size in zip(numbers, shape, strict=True)
    ):
        return tuple(number for number in numbers if number is not None)
    last = tuple(size - 1 for size in shape)
    raise OptionError(
        f"{name} gives {describe(shape)}, so it has no value at {where!r}; "
        f"{'(channel, row, column)' if len(shape) == 3 else '(feature,)'} goes from {(0,) * len(shape)} to {last}"
    )


def class_position(model: Model, label: Label) -> int:
    """Which class has the label `label`, or is written so.

    Raises
    ------
    OptionError
        If none has.
    """
    if label in model.classes:
        return model.classes.index(label)
    names = list(model.class_names)
    if str(label) in names:
        return names.index(str(label))
    raise OptionError(f"the model knows no class {label!r}; it knows {some(names, 12)}")


def score_position(graph: Graph) -> int:
    """The node whose values are the scores of the classes: what comes before the last softmax or sigmoid."""
    last = len(graph.nodes) - 1
    return graph.nodes[last].inputs[0] if isinstance(graph.nodes[last].layer, Softmax | Sigmoid) else last


def up_to(graph: Graph, position: int) -> Graph:
    """The part of a graph that ends in node `position`; its parameters are the first ones of the whole graph's."""
    return Graph(graph.nodes[: position + 1], tuple(one for one in graph.parameters if one.node <= position))


def log_odds(model: Model, pixels: Pixels) -> Array:
    """How sure a model is of each class without an upper limit: ln(p / (1 - p)) of its probabilities p, (N, classes).

    Computed from the scores before the last softmax or sigmoid, so it stays exact where a probability rounds to 0 or 1.
    """
    outputs = _scorer(model, type_of(pixels)).run(np.ascontiguousarray(pixels))
    scores = np.asarray(outputs, np.float64).reshape(len(pixels), -1)
    if scores.shape[1] == 1:
        return np.hstack([-scores, scores])
    if isinstance(model.graph.nodes[-1].layer, Sigmoid):
        return scores
    others = np.stack([np.delete(scores, n, axis=1) for n in range(scores.shape[1])], axis=1)  # (N, classes, others)
    highest = others.max(axis=2)
    return np.asarray(scores - highest - np.log(np.exp(others - highest[..., None]).sum(axis=2)))


def _scorer(model: Model, dtype: PixelType) -> Inference:
    """A network in machine code up to the scores, made once for each model and type of pixels."""
    made = _SCORERS.setdefault(model, {})
    if dtype not in made:
        graph = up_to(model.graph, score_position(model.graph))
        made[dtype] = Inference(graph, model.parameters[: len(graph.parameters)], model.preprocessing.taking(dtype))
    return made[dtype]


def whole_number(number: object) -> int | None:
    """The number as an int if it is a whole one, of Python's or NumPy's types."""
    if isinstance(number, bool | np.bool_):
        return None
    try:
        return index(number)  # type: ignore[arg-type]
    except TypeError:
        return None
