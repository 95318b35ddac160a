"""Every layer as the sparse matrix of the fully connected layer that does the same.

Row k of the matrix has the weights of output k, a column for each input, both flattened in the order (channel, row,
column). For output (o, r, c) of a convolution, with w its weights and i, u, v going through its kernel,

    matrix[(o, r, c), (i, r * stride + u * dilation - top, c * stride + v * dilation - left)] = w[o, i, u, v]

and all else is 0: sparse connectivity. w[o, i, u, v] does not depend on r and c: weight sharing. ReLU and max pooling
are matrices too, of ones, but others for each image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.brief import short
from lanewise.errors import NetworkError, OptionError, TooLargeError
from lanewise.explain.fields import read_lines
from lanewise.limits import available_memory
from lanewise.network import layers
from lanewise.network.graph import Node, Shape
from lanewise.network.reference import Array
from lanewise.network.summary import neighbourhood
from lanewise.network.text import layer_text

Numbers = NDArray[np.int64]

BYTES = 48
"""Memory that an entry takes while its matrix is made, about."""


@short
@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """The entries of a matrix, row after row, and the columns within a row in order: the CSR format.

    `rows` says where each row starts and the last ends, `columns` and `values` are one for each entry; `index` is the
    position of its weight among the layer's, -1 for constants.
    """

    rows: Numbers
    columns: Numbers
    values: Array
    index: Numbers


def entries_of(node: Node, inputs: list[Shape], weights: Array | None, x: Array | None) -> Entries:
    """The matrix of one node.

    Parameters
    ----------
    node : Node
    inputs : list of shapes
        Of what it reads; of several, the columns come one after the other.
    weights : array, optional
        Those of a convolution or dense layer, a PReLU's slopes, or what a channelwise layer multiplies each channel by.
    x : array, optional
        The values that it reads, for layers whose matrix depends on them.
    """
    match node.layer:
        case layers.Conv2D() as conv:
            assert weights is not None
            channels = inputs[0][0] // conv.groups
            first = np.arange(conv.filters) // (conv.filters // conv.groups) * channels
            return _convolution(_windows(node, inputs[0], first, channels), weights)
        case layers.AvgPool2D() as pool:
            windows = _windows(node, inputs[0], np.arange(node.shape[0]), 1)
            return _average(windows, math.prod(pool.window) if pool.count_padding else None)
        case layers.GlobalAvgPool2D():
            channels, size = node.shape[0], math.prod(inputs[0][1:])
            _check_size(node, channels * size)
            return _constant(np.arange(channels + 1) * size, np.arange(channels * size), 1 / size)
        case layers.Dense():
            assert weights is not None
            outputs, features = weights.shape
            _check_size(node, weights.size)
            columns = np.tile(np.arange(features), outputs)
            return Entries(np.arange(outputs + 1) * features, columns, weights.ravel(), np.arange(weights.size))
        case layers.Affine():
            assert weights is not None
            size = math.prod(node.shape)
            channel = np.repeat(np.arange(len(weights)), size // len(weights))
            return Entries(np.arange(size + 1), np.arange(size), weights[channel], channel)
        case layers.MaxPool2D():
            windows = _windows(node, inputs[0], np.arange(node.shape[0]), 1)
            return _maximum(windows, _known(node, x))
        case layers.PReLU():
            assert weights is not None
            return _switched(_known(node, x), np.repeat(weights, math.prod(node.shape[1:])))
        case layers.Activation(below=float(below)):
            return _switched(_known(node, x), np.full(math.prod(node.shape), below))
        case layers.Flatten() | layers.Dropout() | layers.Join():
            size = math.prod(node.shape)
            return _constant(np.arange(size + 1), np.arange(size), 1.0)
        case layers.Add():
            size = math.prod(node.shape)
            columns = np.arange(size)[:, None] + np.arange(len(inputs)) * size
            return _constant(np.arange(size + 1) * len(inputs), columns.ravel(), 1.0)
    raise NetworkError(
        f"{node.name} ({layer_text(node.layer)}) is no weighted sum of what it reads, so it has no matrix; "
        "expand the layers before it"
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """What each output of a convolution or pool meets.

    `columns` are the numbers of the inputs, (filters, rows, columns, channels, kernel rows, kernel columns), and
    `inside` is False where the kernel reaches into padding; `met` counts the others, for each output.
    """

    columns: Numbers
    inside: NDArray[np.bool_]

    @property
    def met(self) -> Numbers:
        return np.asarray(self.inside.sum(axis=(3, 4, 5)).ravel(), np.int64)


def _windows(node: Node, image: Shape, first: Numbers, channels: int) -> _Windows:
    """Windows that see `channels` channels from the `first` on, which is one for each filter."""
    found = neighbourhood(node)
    assert found is not None
    _check_size(node, math.prod(node.shape) * channels * math.prod(found[0]))
    _, height, width = image
    _, rows, columns = node.shape
    channel = (first[:, None] + np.arange(channels))[:, None, None, :, None, None]
    row = read_lines(node, 0, np.arange(rows))[None, :, None, None, :, None]
    column = read_lines(node, 1, np.arange(columns))[None, None, :, None, None, :]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    numbers = (channel * height + row) * width + column
    return _Windows(numbers, np.broadcast_to(inside, numbers.shape))


def _convolution(windows: _Windows, weights: Array) -> Entries:
    filters, channels, *kernel = weights.shape
    index = np.arange(weights.size).reshape(filters, 1, 1, channels, *kernel)
    shared = np.broadcast_to(index, windows.inside.shape)[windows.inside]
    return Entries(_starts(windows.met), windows.columns[windows.inside], weights.ravel()[shared], shared)


def _average(windows: _Windows, count: int | None) -> Entries:
    met = windows.met
    return _constant(_starts(met), windows.columns[windows.inside], 1 / count if count else np.repeat(1 / met, met))


def _maximum(windows: _Windows, x: Array) -> Entries:
    """The first of the largest values, row by row of the window, has the weight 1."""
    padded = np.where(windows.inside, x.ravel()[np.where(windows.inside, windows.columns, 0)], -np.inf)
    outputs = len(windows.met)
    first = padded.reshape(outputs, -1).argmax(axis=1)
    return _constant(np.arange(outputs + 1), windows.columns.reshape(outputs, -1)[np.arange(outputs), first], 1.0)


def _switched(x: Array, slopes: Array) -> Entries:
    """A diagonal: 1 where x > 0, elsewhere the slope there, which is no entry at all where it is 0."""
    diagonal = np.where(x.ravel() > 0, 1.0, slopes)
    there = np.flatnonzero(diagonal)
    return _constant(_starts(np.bincount(there, minlength=x.size)), there, diagonal[there])


def _constant(rows: Numbers, columns: Numbers, values: Array | float) -> Entries:
    return Entries(rows, columns, np.broadcast_to(values, columns.shape), np.full(columns.shape, -1))


def _starts(counts: Numbers) -> Numbers:
    return np.concatenate([[0], np.cumsum(counts)])


def _known(node: Node, x: Array | None) -> Array:
    if x is None:
        text = layer_text(node.layer)
        raise OptionError(
            f"the matrix of {node.name} ({text}) depends on the image, and none was given; choose a layer with "
            f"weights, or give an image in Python: lanewise.explain.expand(model, {node.name!r}, image)"
        )
    return x


def _check_size(node: Node, entries: int) -> None:
    check_entries(f"the matrix of {node.name} ({layer_text(node.layer)})", entries)


def check_entries(what: str, entries: int, size: int = BYTES) -> None:
    """Raise if a matrix would not fit in memory.

    Parameters
    ----------
    what : str
        The matrix, for the message.
    entries : int
    size : int
        Bytes of an entry.

    Raises
    ------
    TooLargeError
    """
    available = available_memory()
    if available is not None and entries * size > available:
        raise TooLargeError(
            f"{what} has {entries:,} entries, which take {entries * size / 2**30:,.1f} GB of memory to make, but only "
            f"{available / 2**30:,.1f} GB are free; expand a smaller layer, or the network for smaller images"
        )
