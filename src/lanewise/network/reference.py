"""The plain NumPy meaning of every node, forward and backward, in float64: what all fast code is compared with.

Everything is written the slow and obvious way, one kernel row `u` and column `v` at a time. Values carry the images
in front: (n, channels, rows, columns) or (n, features). A leading `d` marks a gradient: d loss / d value. Whole numbers
come out exact as long as they stay below 2**53. Losses and updates have a file of their own, and are met here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lanewise.network import layers
from lanewise.network.graph import Graph, Node, is_frozen
from lanewise.network.reference_training import Array, adamw, muon, sgd, sigmoid_cross_entropy, softmax_cross_entropy
from lanewise.network.summary import neighbourhood

__all__ = [
    "Array",
    "Masks",
    "adamw",
    "backward",
    "forward",
    "muon",
    "sgd",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
]

Masks = Mapping[int, npt.ArrayLike]
"""Position of a Dropout node -> which of its values are kept (1) or dropped (0), of the shape of its values."""


def forward(
    graph: Graph,
    parameters: Sequence[npt.ArrayLike],
    x: npt.ArrayLike,
    *,
    dropout_masks: Masks | None = None,
    group: int | None = None,
) -> list[Array]:
    """Compute the values of all nodes.

    Parameters
    ----------
    graph : Graph
    parameters : sequence of arrays
        In the order and of the shapes of `graph.parameters`.
    x : array of shape (n, channels, rows, columns)
    dropout_masks : mapping, optional
        For each Dropout node what it keeps, as while training; without, Dropout passes everything on.
    group : int, optional
        Images that BatchNorm takes the statistics of together, as while training: the first so many, the next so many
        and so on; without, it uses its running statistics.

    Returns
    -------
    list of float64 arrays
        One for each node, (n, *node.shape); the last one is the output.
    """
    values = [np.asarray(x, np.float64)]
    if values[0].shape[1:] != graph.input_shape:
        raise ValueError(f"x has the shape {values[0].shape}, the graph takes (n, *{graph.input_shape})")
    for position, node in enumerate(graph.nodes[1:], 1):
        weights = [np.asarray(parameters[k], np.float64) for k in graph.parameters_of(position)]
        inputs = [values[source] for source in node.inputs]
        values.append(_forward(node, weights, inputs, (dropout_masks or {}).get(position), group))
    return values


def backward(
    graph: Graph,
    parameters: Sequence[npt.ArrayLike],
    values: Sequence[Array],
    gradient: npt.ArrayLike,
    *,
    dropout_masks: Masks | None = None,
    group: int | None = None,
) -> tuple[list[Array], list[Array]]:
    """Carry the gradient of the loss from the output back to everything.

    Parameters
    ----------
    graph, parameters, dropout_masks, group
        As given to `forward`.
    values : list of arrays
        What `forward` returned.
    gradient : array of shape (n, *graph.output_shape)
        d loss / d output.

    Returns
    -------
    parameter_gradients : list of float64 arrays
        d loss / d parameter, summed over the images, of the shapes of `graph.parameters`; zeros for those of frozen
        layers and for statistics.
    value_gradients : list of float64 arrays
        d loss / d value for each node; the first is that of the images.
    """
    gradients = [np.zeros_like(value) for value in values]
    gradients[-1] += np.asarray(gradient, np.float64)
    parameter_gradients = [np.zeros(parameter.shape) for parameter in graph.parameters]
    for position in range(len(graph.nodes) - 1, 0, -1):
        node, own = graph.nodes[position], graph.parameters_of(position)
        inputs = [values[source] for source in node.inputs]
        weights = [np.asarray(parameters[k], np.float64) for k in own]
        mask = (dropout_masks or {}).get(position)
        dweights, dinputs = _backward(node, weights, inputs, values[position], gradients[position], mask, group)
        for source, dx in zip(node.inputs, dinputs, strict=True):
            gradients[source] += dx
        if not is_frozen(node.layer):
            for k, dw in zip(own, dweights, strict=True):
                parameter_gradients[k] = dw
    return parameter_gradients, gradients


def _forward(
    node: Node, weights: list[Array], inputs: list[Array], mask: npt.ArrayLike | None, group: int | None
) -> Array:
    x = inputs[0]
    match node.layer:
        case layers.Conv2D() as conv:
            return _conv(node, conv, weights, x)
        case layers.MaxPool2D():
            padded = _padded(node, x, -np.inf)
            return np.asarray(np.maximum.reduce([padded[met] for _, _, met in _taps(node)]))
        case layers.AvgPool2D() as pool:
            return _sums(node, _padded(node, x, 0.0)) / _divisor(node, pool, x)
        case layers.GlobalAvgPool2D():
            return np.asarray(x.mean(axis=(2, 3)))
        case layers.Dense():
            return x @ weights[0].T + (weights[1] if len(weights) > 1 else 0.0)
        case layers.Activation() as activation:
            return activation.value(x)
        case layers.BatchNorm():
            return _batch_norm(node, weights, x, group)
        case layers.Scale():
            return x * weights[0] + weights[1]
        case layers.PReLU():
            return np.where(x > 0, x, weights[0] * x)
        case layers.LayerNorm(epsilon):
            return np.asarray((x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + epsilon))
        case layers.LRN() as lrn:
            return np.asarray(x * _lrn_base(lrn, x) ** -lrn.beta)
        case layers.Softmax():
            return _softmax(x)
        case layers.Flatten():
            return x.reshape(len(x), -1)
        case layers.Dropout(rate):
            return x if mask is None else x * np.asarray(mask, np.float64) / (1 - rate)
        case layers.Add():
            return sum(inputs[1:], start=x)
        case layers.Multiply():
            return x * inputs[1].reshape(*x.shape[:2], *[1] * (x.ndim - 2))
        case layers.Join():
            return np.concatenate(inputs, axis=1)
    raise TypeError(f"{node.name}: {type(node.layer).__name__} is computed nowhere: give it a case in _forward")


def _backward(
    node: Node,
    weights: list[Array],
    inputs: list[Array],
    y: Array,
    dy: Array,
    mask: npt.ArrayLike | None,
    group: int | None,
) -> tuple[list[Array], list[Array]]:
    """Gradients of the node's parameters and of its inputs, from those of its output."""
    x = inputs[0]
    match node.layer:
        case layers.Conv2D() as conv:
            return _dconv(node, conv, weights, x, dy)
        case layers.MaxPool2D():
            return [], [_dmax_pool(node, x, y, dy)]
        case layers.AvgPool2D() as pool:
            return [], [_daverage_pool(node, pool, x, dy)]
        case layers.GlobalAvgPool2D():
            _, _, rows, columns = x.shape
            return [], [np.broadcast_to(dy[:, :, None, None] / (rows * columns), x.shape)]
        case layers.Dense():
            return [dy.T @ x, dy.sum(axis=0)][: len(weights)], [dy @ weights[0]]
        case layers.Activation() as activation:
            return [], [dy * activation.derivative(x, y)]
        case layers.BatchNorm():
            return _dbatch_norm(node, weights, x, dy, group)
        case layers.Scale():
            axes = (0, *range(2, x.ndim))
            return [part.sum(axis=axes).reshape(weights[0].shape) for part in (dy * x, dy)], [dy * weights[0]]
        case layers.PReLU():
            axes = (0, *range(2, x.ndim))
            dslope = np.where(x > 0, 0.0, dy * x).sum(axis=axes).reshape(weights[0].shape)
            return [dslope], [np.where(x > 0, dy, dy * weights[0])]
        case layers.LayerNorm(epsilon):
            along = (dy - dy.mean(axis=1, keepdims=True)) - y * (dy * y).mean(axis=1, keepdims=True)
            return [], [along / np.sqrt(x.var(axis=1, keepdims=True) + epsilon)]
        case layers.LRN() as lrn:
            base = _lrn_base(lrn, x)
            shared = _beside(dy * y / base, lrn.half) * (2 * lrn.alpha * lrn.beta / lrn.size)
            return [], [dy * base**-lrn.beta - x * shared]
        case layers.Softmax():
            return [], [y * (dy - (dy * y).sum(axis=1, keepdims=True))]
        case layers.Flatten():
            return [], [dy.reshape(x.shape)]
        case layers.Dropout(rate):
            return [], [dy if mask is None else dy * np.asarray(mask, np.float64) / (1 - rate)]
        case layers.Add():
            return [], [dy for _ in inputs]
        case layers.Multiply():
            factors = inputs[1].reshape(*x.shape[:2], *[1] * (x.ndim - 2))
            return [], [dy * factors, (dy * x).sum(axis=tuple(range(2, x.ndim))).reshape(inputs[1].shape)]
        case layers.Join():
            ends = np.cumsum([branch.shape[1] for branch in inputs])
            return [], np.split(dy, ends[:-1], axis=1)
        case layers.Input():
            return [], []
    raise TypeError(f"{node.name}: {type(node.layer).__name__} has no gradient: give it a case in _backward")


def _lrn_base(lrn: layers.LRN, x: Array) -> Array:
    """What local response normalisation takes the power of."""
    return lrn.k + lrn.alpha / lrn.size * _beside(x * x, lrn.half)


def _beside(x: Array, half: int) -> Array:
    """The sum of each channel and of `half` on each side of it."""
    channels = np.arange(x.shape[1])
    band = np.abs(channels[:, None] - channels) <= half
    return np.asarray(np.einsum("ij,nj...->ni...", band.astype(x.dtype), x))


# Neighbourhoods: what convolutions and pools have in common


def _padded(node: Node, x: Array, value: float) -> Array:
    top, left, bottom, right = node.padding
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def _unpadded(node: Node, padded: Array) -> Array:
    top, left, bottom, right = node.padding
    _, _, rows, columns = padded.shape
    return padded[:, :, top : rows - bottom, left : columns - right]


def _taps(node: Node) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
    """For each kernel row u and column v: which padded values they meet, at all output positions at once."""
    found, (_, rows, columns) = neighbourhood(node), node.shape
    assert found is not None
    kernel, stride, dilation = found
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            r, c = u * dilation[0], v * dilation[1]
            met_rows = slice(r, r + (rows - 1) * stride[0] + 1, stride[0])
            met_columns = slice(c, c + (columns - 1) * stride[1] + 1, stride[1])
            yield u, v, (slice(None), slice(None), met_rows, met_columns)


# Convolution: g stands for a group, o and i for the filters and channels within it


def _grouped(array: Array, groups: int) -> Array:
    """Split channels into (groups, channels of one group)."""
    n, channels, rows, columns = array.shape
    return array.reshape(n, groups, channels // groups, rows, columns)


def _conv(node: Node, layer: layers.Conv2D, weights: list[Array], x: Array) -> Array:
    weight = weights[0].reshape(layer.groups, layer.filters // layer.groups, -1, *layer.kernel)
    padded = _padded(node, x, 0.0)
    y = np.zeros((len(x), *node.shape))
    for u, v, met in _taps(node):
        patch = _grouped(padded[met], layer.groups)
        y += np.einsum("goi,ngirc->ngorc", weight[..., u, v], patch).reshape(y.shape)
    return y + weights[1][:, None, None] if layer.bias else y


def _dconv(
    node: Node, layer: layers.Conv2D, weights: list[Array], x: Array, dy: Array
) -> tuple[list[Array], list[Array]]:
    weight = weights[0].reshape(layer.groups, layer.filters // layer.groups, -1, *layer.kernel)
    padded = _padded(node, x, 0.0)
    dpadded, dweight, dy_grouped = np.zeros_like(padded), np.zeros_like(weight), _grouped(dy, layer.groups)
    for u, v, met in _taps(node):
        patch = _grouped(padded[met], layer.groups)
        dweight[..., u, v] = np.einsum("ngorc,ngirc->goi", dy_grouped, patch)
        dpadded[met] += np.einsum("goi,ngorc->ngirc", weight[..., u, v], dy_grouped).reshape(dpadded[met].shape)
    dweights = [dweight.reshape(weights[0].shape)]
    return dweights + [dy.sum(axis=(0, 2, 3))] * layer.bias, [_unpadded(node, dpadded)]


# Pooling


def _dmax_pool(node: Node, x: Array, y: Array, dy: Array) -> Array:
    """Give the gradient to the first value, in row-major order of the window, that is the maximum."""
    padded = _padded(node, x, -np.inf)
    dpadded, given = np.zeros_like(padded), np.zeros(y.shape, bool)
    for _, _, met in _taps(node):
        argmax = (padded[met] == y) & ~given
        dpadded[met] += dy * argmax
        given |= argmax
    return _unpadded(node, dpadded)


def _daverage_pool(node: Node, layer: layers.AvgPool2D, x: Array, dy: Array) -> Array:
    dpadded, shares = np.zeros_like(_padded(node, x, 0.0)), dy / _divisor(node, layer, x)
    for _, _, met in _taps(node):
        dpadded[met] += shares
    return _unpadded(node, dpadded)


def _divisor(node: Node, layer: layers.AvgPool2D, x: Array) -> Array:
    """Values that each window averages, of shape (1, 1, rows, columns)."""
    return _sums(node, _padded(node, np.ones_like(x[:1, :1]), float(layer.count_padding)))


def _sums(node: Node, padded: Array) -> Array:
    """The sum of each window."""
    return np.asarray(np.add.reduce([padded[met] for _, _, met in _taps(node)]))


# Normalisation: a shape of (images, channels, rows, columns) or (images, features)


def _groups(node: Node, x: Array, group: int | None) -> Iterator[slice]:
    """The images that share statistics: parts of the batch, or all with the running ones."""
    assert isinstance(node.layer, layers.BatchNorm)
    size = len(x) if group is None or node.layer.frozen else group
    yield from (slice(start, start + size) for start in range(0, len(x), max(1, size)))


def _normalised(node: Node, weights: list[Array], x: Array, group: int | None) -> tuple[Array, Array]:
    """(x - mean) / sqrt(variance + epsilon) of one group, and the divisor's inverse, both to broadcast to x."""
    layer, channels = node.layer, (1, -1, *[1] * (x.ndim - 2))
    assert isinstance(layer, layers.BatchNorm)
    if group is None or layer.frozen:
        mean, variance = (array.reshape(channels) for array in weights[2:])
    else:
        axes = (0, *range(2, x.ndim))
        mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(variance + layer.epsilon)
    return (x - mean) * inverse, inverse


def _batch_norm(node: Node, weights: list[Array], x: Array, group: int | None) -> Array:
    scale, shift = (array.reshape(1, -1, *[1] * (x.ndim - 2)) for array in weights[:2])
    y = np.empty_like(x)
    for part in _groups(node, x, group):
        y[part] = scale * _normalised(node, weights, x[part], group)[0] + shift
    return y


def _dbatch_norm(
    node: Node, weights: list[Array], x: Array, dy: Array, group: int | None
) -> tuple[list[Array], list[Array]]:
    """With statistics of a group, each of its values changes its mean and variance, too."""
    layer, axes = node.layer, (0, *range(2, x.ndim))
    assert isinstance(layer, layers.BatchNorm)
    dx, dscale, dshift = np.zeros_like(x), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for part in _groups(node, x, group):
        normal, inverse = _normalised(node, weights, x[part], group)
        dnormal = dy[part] * weights[0].reshape(inverse.shape)
        if group is not None and not layer.frozen:
            dnormal = dnormal - dnormal.mean(axis=axes, keepdims=True)
            dnormal -= normal * (dnormal * normal).mean(axis=axes, keepdims=True)
        dx[part] = dnormal * inverse
        dscale += (dy[part] * normal).sum(axis=axes)
        dshift += dy[part].sum(axis=axes)
    return [dscale, dshift, *(np.zeros_like(array) for array in weights[2:])], [dx]


# Functions of one image's values


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))
