"""One neuron: the values it reads, the weights it gives them, and the sum, with the real numbers.

    value = activation(bias + sum over the patch of patch * weights)

All neurons are of this kind. For a convolution the weights are its kernel; for an average they are 1 / n; a maximum
gives the argmax the weight 1 and the others 0; ReLU gives its one value 1 or 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lanewise.brief import short
from lanewise.errors import OptionError
from lanewise.explain.fields import ReceptiveField, read_lines, receptive_field
from lanewise.explain.subject import Image, graph_of, node_position, place, values_of
from lanewise.keywords import renamed
from lanewise.model import Model
from lanewise.network.graph import Graph, Node
from lanewise.network.layers import (
    LRN,
    Activation,
    Affine,
    AvgPool2D,
    Conv2D,
    Dense,
    Flatten,
    GlobalAvgPool2D,
    Input,
    Join,
    LayerNorm,
    MaxPool2D,
    Multiply,
    PReLU,
    Softmax,
)
from lanewise.network.reference import Array
from lanewise.network.text import layer_text

Bools = NDArray[np.bool_]


@short
@dataclass(frozen=True, slots=True, eq=False)
class Neuron:
    """One value of a network and how it comes about.

    Attributes
    ----------
    node : str
        Name of its node, like "conv1"; `text` is the layer as it is written.
    position : (channel, row, column) or (feature,)
    field : ReceptiveField
        The part of the image that it can depend on.
    reads : tuple of str
        The nodes that `patch` comes from: one, but for a sum of branches.
    channels, rows, columns : tuple of int
        Where the patch lies in the map that it comes from; rows and columns below 0 or beyond the map are padding.
        Rows and columns are empty where features are read.
    patch : float64 array
        The values read: (channels, kernel rows, kernel columns) for convolutions and pools, where padding is 0; all
        there are for `dense`, as an image if they were one before `flatten`; one value, or one of each branch of a
        sum, for layers that treat each value alone.
    inside : bool array
        Of the patch's shape; False in padding.
    weights : float64 array or None
        What each value of the patch is multiplied by, of its shape; None for functions that are no weighted sum.
    bias : float
        0 where there is none.
    value : float
        What the neuron gives.
    activation : str or None
        Name of the non-linearity that reads it, and `activated`, what that makes of it.
    """

    node: str
    text: str
    position: tuple[int, ...]
    field: ReceptiveField
    reads: tuple[str, ...]
    channels: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    patch: Array
    inside: Bools
    weights: Array | None
    bias: float
    value: float
    activation: str | None
    activated: float | None

    @property
    def products(self) -> Array | None:
        """Patch times weights, value by value."""
        return None if self.weights is None else self.patch * self.weights

    @property
    def channel_sums(self) -> Array | None:
        """The products added up for each channel of the patch; for features, each by itself."""
        products = self.products
        return None if products is None else products.reshape(len(products), -1).sum(axis=1)

    @property
    def sum(self) -> float | None:
        """Bias and all products; `value`, but for rounding. None where the value is no weighted sum."""
        products = self.products
        return None if products is None else self.bias + float(products.sum())


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """The patch of one neuron and where it was read, the weights it is given, and the bias."""

    patch: Array
    inside: Bools
    weights: Array | None
    channels: tuple[int, ...]
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    bias: float = 0.0
    branch: int | None = None  # the one input that is read, where there are several and one alone is


@renamed(picture="image")
def neuron(model: Model, image: Image, node: str | int, position: int | tuple[int, ...]) -> Neuron:
    """Work out one value of a network: what it reads in the image, and the weighted sum in real numbers.

    Parameters
    ----------
    model : Model
    image : array (rows, columns, channels) or (rows, columns), or path
        Raw pixels, as `model.predict` takes them.
    node : str or int
        Name of a node, like "conv1", or its position in `model.graph`.
    position : (channel, row, column), or (feature,)
        Which of the node's values.

    Raises
    ------
    DataError
        The image does not fit the model, or there are several.
    OptionError
        There is no such node or value, or it is a pixel of the image.
    """
    graph = graph_of(model)
    number = node_position(graph, node)
    target = graph.nodes[number]
    here = place(target.name, target.shape, position)
    if isinstance(target.layer, Input):
        raise OptionError(f"{target.name} is the image itself, which nothing is summed for: choose a layer after it")
    values = [value[0] for value in values_of(model, image)]
    read = _read(model, number, here, values)
    activation = _activation(graph, number)
    sources = target.inputs if read.branch is None else target.inputs[read.branch : read.branch + 1]
    row_and_column = here[1:] if len(here) == 3 else (None, None)
    return Neuron(
        node=target.name,
        text=layer_text(target.layer),
        position=here,
        field=receptive_field(graph, number, *row_and_column),
        reads=tuple(graph.nodes[source].name for source in sources),
        channels=read.channels,
        rows=read.rows,
        columns=read.columns,
        patch=read.patch,
        inside=read.inside,
        weights=read.weights,
        bias=read.bias,
        value=float(values[number][here]),
        activation=None if activation is None else graph.nodes[activation].name,
        activated=None if activation is None else float(values[activation][here]),
    )


def _activation(graph: Graph, number: int) -> int | None:
    """The non-linearity that reads a node, if one does."""
    return next((n for n in graph.users()[number] if isinstance(graph.nodes[n].layer, Activation | Softmax)), None)


def _read(model: Model, number: int, here: tuple[int, ...], values: list[Array]) -> _Read:
    node = model.graph.nodes[number]
    inputs = [values[source] for source in node.inputs]
    weights = [np.asarray(model.parameters[k], np.float64) for k in model.graph.parameters_of(number)]
    x = inputs[0]
    match node.layer:
        case Conv2D() as conv:
            first = here[0] // (conv.filters // conv.groups) * weights[0].shape[1]
            read = _window(node, x, range(first, first + weights[0].shape[1]), here)
            return _weighted(read, weights, here[0])
        case MaxPool2D():
            return _maximum(_window(node, x, here[:1], here))
        case AvgPool2D() as pool:
            read = _window(node, x, here[:1], here)
            return _mean(read, read.patch.size if pool.count_padding else int(read.inside.sum()))
        case GlobalAvgPool2D():
            return _mean(_all(x[here[0] : here[0] + 1], here), x[0].size)
        case Dense():
            before = model.graph.nodes[node.inputs[0]]
            image = model.graph.nodes[before.inputs[0]].shape if isinstance(before.layer, Flatten) else x.shape
            read = _all(x.reshape(image), range(image[0]))
            return _weighted(read, [weights[0].reshape(-1, *image), *weights[1:]], here[0])
        case Affine() as layer:
            factor, offset = layer.factor_and_offset(weights)
            return replace(_one(x, here, float(factor[here[0]])), bias=float(offset[here[0]]))
        case LayerNorm() | LRN() as layer if x.ndim == 3:
            channel, row, column = here
            half = layer.half if isinstance(layer, LRN) else len(x)
            beside = range(max(0, channel - half), min(len(x), channel + half + 1))
            seen = _all(x[beside.start : beside.stop, row : row + 1, column : column + 1], beside)
            return replace(seen, rows=(row,), columns=(column,))
        case PReLU():
            return _one(x, here, 1.0 if x[here] > 0 else float(weights[0].ravel()[here[0]]))
        case Softmax() | LayerNorm():
            return _all(x, range(len(x)))
        case Flatten():
            channel, *lines = map(int, np.unravel_index(here[0], x.shape))
            return _one(x, (channel, *lines), 1.0)
        case Join():
            starts = np.cumsum([0, *(len(branch) for branch in inputs)])
            branch = int(np.searchsorted(starts, here[0], side="right")) - 1
            one = _one(inputs[branch], (here[0] - int(starts[branch]), *here[1:]), 1.0)
            return replace(one, branch=branch)
        case Multiply():
            return replace(_one(x, here, float(inputs[1].reshape(-1)[here[0]])), branch=0)
        case Activation() as activation:
            return _one(x, here, 1.0 if activation.below is not None and x[here] > 0 else activation.below)
        case _:
            patch = np.array([branch[here] for branch in inputs])
            return _Read(patch, np.ones(patch.shape, bool), np.ones(patch.shape), here[:1], here[1:2], here[2:])


def _window(node: Node, x: Array, channels: Iterable[int], here: tuple[int, ...]) -> _Read:
    """What a kernel or window meets at one position of its map."""
    chosen = tuple(channels)
    rows, columns = (read_lines(node, axis, line) for axis, line in enumerate(here[1:]))
    _, height, width = x.shape
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    met = x[np.ix_(np.array(chosen), rows.clip(0, height - 1), columns.clip(0, width - 1))]
    everywhere = np.broadcast_to(inside, met.shape)
    return _Read(np.where(inside, met, 0.0), everywhere, None, chosen, tuple(rows.tolist()), tuple(columns.tolist()))


def _all(x: Array, channels: Iterable[int]) -> _Read:
    """All values of a map, or all features; `channels` are their numbers."""
    rows, columns = (tuple(range(size)) for size in x.shape[1:]) if x.ndim == 3 else ((), ())
    return _Read(x, np.ones(x.shape, bool), None, tuple(channels), rows, columns)


def _one(x: Array, here: tuple[int, ...], weight: float | None) -> _Read:
    """One value, by itself."""
    weights = None if weight is None else np.array([weight])
    return _Read(np.array([x[here]]), np.ones(1, bool), weights, here[:1], here[1:2], here[2:])


def _weighted(read: _Read, parameters: list[Array], output: int) -> _Read:
    return replace(
        read, weights=parameters[0][output], bias=float(parameters[1][output]) if len(parameters) > 1 else 0.0
    )


def _mean(read: _Read, count: int) -> _Read:
    return replace(read, weights=read.inside / count)


def _maximum(read: _Read) -> _Read:
    """The first of the largest values, row by row, wins; padding never does."""
    weights = np.zeros(read.patch.shape)
    weights.flat[np.where(read.inside, read.patch, -np.inf).argmax()] = 1
    return replace(read, weights=weights)
