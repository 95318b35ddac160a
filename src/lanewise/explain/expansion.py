"""A layer, or a whole network, expanded to the fully connected layer that does the same.

    y = matrix @ x + bias

A convolutional network is a feed-forward network most of whose weights are zero and the rest shared; here it stands as
one, to be looked at, counted, and trained by the plain backpropagation of fully connected layers:

    d loss / d matrix = dy x^T                              for all entries, of which
    d loss / d weight = sum over the entries that share it  are the only ones that count
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.brief import short
from lanewise.errors import DataError, OptionError
from lanewise.explain.matrices import check_entries, entries_of
from lanewise.explain.subject import Image, graph_of, node_position, score_position, up_to, values_of
from lanewise.extras import need
from lanewise.keywords import renamed
from lanewise.model import Model
from lanewise.model_file.contents import Contents
from lanewise.network.graph import Graph, Shape
from lanewise.network.initial import initial_parameters
from lanewise.network.layers import Affine, Input, PReLU
from lanewise.network.reference import Array, forward

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Numbers = NDArray[np.int64]


@short
@dataclass(frozen=True, slots=True, eq=False)
class Expansion:
    """The fully connected layer that does what a layer or a network does: y = matrix @ x + bias.

    Attributes
    ----------
    name : str
        Of the layer, like "conv1"; of a network, that of its last layer.
    input_shape, output_shape : tuple of int
        What is flattened to x and y: (channels, rows, columns), or (features,).
    matrix : scipy.sparse.csr_array (outputs, inputs) of float64
        A row for each output. What is not stored is no connection; weights that happen to be 0 are stored.
    weight_index : (entries,) int
        For each entry of `matrix.data` which weight of the layer it is, counted through `weight_shape`; -1 for
        constants, like the 1 / n of an average, and for entries made of several weights, as a network has.
    bias : (outputs,) float64
    bias_index : (outputs,) int
        Which bias of the layer each is; -1 where there is none.
    weight_shape : tuple of int
        Of the layer's weights, (filters, channels, rows, columns) or (units, features); (0,) without weights.
    layers : tuple of Expansion
        Of a network: all its layers, one by one.
    """

    name: str
    input_shape: Shape
    output_shape: Shape
    matrix: csr_array
    weight_index: Numbers
    bias: Array
    bias_index: Numbers
    weight_shape: Shape = (0,)
    layers: tuple[Expansion, ...] = ()

    @property
    def connections(self) -> int:
        """Pairs of an input and an output that are tied."""
        return int(self.matrix.nnz)

    @property
    def dense_weights(self) -> int:
        """Weights of a fully connected layer from and to the same shapes."""
        return math.prod(self.matrix.shape)

    @property
    def sparsity(self) -> float:
        """Share of all pairs of an input and an output that are not tied."""
        return 1 - self.connections / self.dense_weights

    @property
    def uses(self) -> Numbers:
        """How many entries share each weight, of `weight_shape`."""
        shared = self.weight_index[self.weight_index >= 0]
        return np.bincount(shared, minlength=math.prod(self.weight_shape)).reshape(self.weight_shape)

    def apply(self, x: ArrayLike) -> Array:
        """The outputs, of `output_shape`, for inputs of `input_shape`."""
        flat = np.asarray(x, np.float64).ravel()
        if flat.size != self.matrix.shape[1]:
            raise DataError(f"{self.name} takes inputs of shape {self.input_shape}, not {np.shape(x)}")
        return np.asarray(self.matrix @ flat + self.bias).reshape(self.output_shape)

    def weight_gradient(self, matrix_gradient: ArrayLike) -> Array:
        """Gradient of the layer's weights, from that of the fully connected layer's.

        Parameters
        ----------
        matrix_gradient : (outputs, inputs)
            d loss / d matrix of a fully connected layer: dy x^T, summed over images. Where there is no connection,
            it does not matter.

        Returns
        -------
        float64 array of `weight_shape`
        """
        gradients = np.asarray(matrix_gradient, np.float64)
        if gradients.shape != self.matrix.shape:
            raise DataError(
                f"{self.name} has a matrix of shape {self.matrix.shape}, but its gradient has {gradients.shape}"
            )
        return _gathered(self.weight_index, gradients[self.matrix.tocoo().coords], self.weight_shape)

    def bias_gradient(self, output_gradient: ArrayLike) -> Array:
        """Gradient of the layer's biases, (filters,) or (units,), from that of the outputs, summed over images."""
        gradients = np.asarray(output_gradient, np.float64).ravel()
        if gradients.shape != self.bias.shape:
            raise DataError(
                f"{self.name} gives {len(self.bias):,} outputs, but there are gradients of {len(gradients):,}"
            )
        return _gathered(self.bias_index, gradients, (int(self.bias_index.max()) + 1,))

    def with_weights(self, weight: ArrayLike, bias: ArrayLike | None = None) -> Expansion:
        """The same layer with other weights, and other biases if they are given."""
        new = np.asarray(weight, np.float64)
        if new.shape != self.weight_shape:
            raise DataError(f"{self.name} has weights of shape {self.weight_shape}, not {new.shape}")
        matrix = self.matrix.copy()
        matrix.data = new.ravel()[self.weight_index]
        if bias is None:
            return replace(self, matrix=matrix)
        biases, count = np.asarray(bias, np.float64), int(self.bias_index.max()) + 1
        if biases.shape != (count,):
            raise DataError(f"{self.name} has biases of shape {(count,)}, not {biases.shape}")
        return replace(self, matrix=matrix, bias=biases[self.bias_index])


@renamed(picture="image")
def expand(
    network: Graph | Model,
    layer: str | int | None = None,
    image: Image | None = None,
    *,
    parameters: Sequence[ArrayLike] | None = None,
) -> Expansion:
    """Expand a layer, or a whole network, to the sparse matrix of the fully connected layer that does the same.

    Convolutions, average pools, dense layers and all that only rearranges or adds values are one matrix for all
    images. ReLU and max pooling choose, and are one for each image: the network is linear as long as the choice
    stays the same.

    Parameters
    ----------
    network : Graph or Model
    layer : str or int, optional
        Name of a layer, like "conv1", or its position in the graph. By default the whole network, from the image to
        the scores of the classes, which is all but the last softmax or sigmoid.
    image : optional
        For layers whose matrix depends on it, and for networks with such layers. With a model the raw pixels, or a
        file, as for `model.predict`; with a graph what enters it, (channels, rows, columns).
    parameters : sequence of arrays, optional
        With a graph, in the order of `graph.parameters`; by default those that training starts from with seed 0.

    Returns
    -------
    Expansion

    Raises
    ------
    OptionError
        There is no such layer, or its matrix depends on the image and there is none.
    NetworkError
        The layer is no weighted sum: sigmoid, tanh and softmax bend, and a gate multiplies two values.
    TooLargeError
        The matrix would not fit in memory.
    MissingPackageError
        SciPy is not installed.
    """
    sparse = need("scipy.sparse", "the expansion to a sparse matrix")
    graph = graph_of(network)
    values = _values(network, graph, image, parameters)
    if isinstance(network, Contents):
        parameters = network.parameters
    known = [np.asarray(one, np.float64) for one in parameters or initial_parameters(graph, 0)]
    if layer is not None:
        return _layer(sparse, graph, node_position(graph, layer), known, values)
    return _network(sparse, up_to(graph, score_position(graph)), known, values)


def _values(
    network: Graph | Model, graph: Graph, image: Image | None, parameters: Sequence[ArrayLike] | None
) -> list[Array] | None:
    """What every node gives for the image, if there is one."""
    if isinstance(network, Contents):
        if parameters is not None:
            raise OptionError("a model has its own parameters: leave `parameters` out, or give its graph")
        return None if image is None else [value[0] for value in values_of(network, image)]
    if image is None:
        return None
    x = np.asarray(image, np.float64)
    if x.shape != graph.input_shape:
        raise DataError(f"the graph takes an image (channels, rows, columns) of {graph.input_shape}, not {x.shape}")
    return [value[0] for value in forward(graph, parameters or initial_parameters(graph, 0), x[None])]


def _layer(sparse: Any, graph: Graph, position: int, parameters: list[Array], values: list[Array] | None) -> Expansion:
    node = graph.nodes[position]
    if isinstance(node.layer, Input):
        raise OptionError(f"{node.name} is the image itself, which is no layer: choose one after it")
    shapes = [graph.nodes[source].shape for source in node.inputs]
    own = [parameters[k] for k in graph.parameters_of(position)]
    if isinstance(node.layer, Affine):
        own = list(node.layer.factor_and_offset(own))
    entries = entries_of(node, shapes, own[0] if own else None, None if values is None else values[node.inputs[0]])
    if isinstance(node.layer, PReLU):  # a slope counts where the image is negative: the matrix is of both
        own = []
    outputs, inputs = math.prod(node.shape), sum(map(math.prod, shapes))
    of_bias = np.full(outputs, -1)
    if len(own) > 1:
        of_bias = np.repeat(np.arange(len(own[1])), outputs // len(own[1]))
    return Expansion(
        name=node.name,
        input_shape=shapes[0] if len(shapes) == 1 else (inputs,),
        output_shape=node.shape,
        matrix=sparse.csr_array((entries.values, entries.columns, entries.rows), shape=(outputs, inputs)),
        weight_index=entries.index,
        bias=own[1][of_bias] if len(own) > 1 else np.zeros(outputs),
        bias_index=of_bias,
        weight_shape=own[0].shape if own else (0,),
    )


def _network(sparse: Any, graph: Graph, parameters: list[Array], values: list[Array] | None) -> Expansion:
    """The product of all layers, from the last one back: it has few rows, so that what comes of it stays small."""
    layers = [_layer(sparse, graph, position, parameters, values) for position in range(1, len(graph.nodes))]
    last = graph.nodes[-1]
    outputs = math.prod(last.shape)
    # for each node that was met: the matrix from its values to the output
    ways = {len(graph.nodes) - 1: sparse.csr_array(sparse.eye_array(outputs))}
    bias = np.zeros(outputs)
    for position in range(len(graph.nodes) - 1, 0, -1):
        if position not in ways:
            continue
        way, layer = ways.pop(position), layers[position - 1]
        bias += way @ layer.bias
        back, start = _product(way, layer), 0
        for source in graph.nodes[position].inputs:
            size = math.prod(graph.nodes[source].shape)
            part = back[:, start : start + size]
            ways[source] = ways[source] + part if source in ways else part
            start += size
    matrix = ways[0]
    matrix.sort_indices()
    return Expansion(
        name=last.name,
        input_shape=graph.input_shape,
        output_shape=last.shape,
        matrix=matrix,
        weight_index=np.full(matrix.nnz, -1),
        bias=bias,
        bias_index=np.full(outputs, -1),
        layers=tuple(layers),
    )


def _product(way: csr_array, layer: Expansion) -> csr_array:
    """The way to a layer's inputs, from that to its outputs."""
    # every entry of the way brings the row of the layer that it meets; those that meet in one place are added
    most = int(np.diff(layer.matrix.indptr)[way.indices].sum())
    check_entries(f"the matrix of the network from {layer.name} on", min(most, way.shape[0] * layer.matrix.shape[1]))
    return way @ layer.matrix


def _gathered(index: Numbers, gradients: Array, shape: Shape) -> Array:
    """Gradients added up by what they are the gradient of; those of constants are left out."""
    own = index >= 0
    return np.bincount(index[own], gradients[own], math.prod(shape)).reshape(shape).astype(np.float64)
