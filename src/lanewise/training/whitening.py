"""First filters from the training images: the principal axes of their patches, each divided by its spread.

    w[n] = e[n] / sqrt(v[n] + EPSILON),   w[d + n] = -w[n]

with e the eigenvectors of the covariance of patches, by falling eigenvalues v, and d of them. What comes out of such a
layer is decorrelated and of about the same size; with the negatives, a ReLU behind it loses nothing. Coates and Ng
2012, "Learning Feature Representations with K-means"; Jordan 2024, "94 % on CIFAR-10 in 3.29 Seconds on a Single GPU",
whose EPSILON it has.

The same images give the same bits everywhere: pixels are rounded to whole numbers, so that sums of their products are
exact in any order, and eigenvectors are found by Jacobi's rotations, one element at a time, not by a library.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lanewise.data.images import Pixels
from lanewise.engine.parameters import Floats
from lanewise.network.graph import Graph
from lanewise.network.layers import Conv2D

EPSILON = 5e-4
"""Added to the variance along an axis, in squares of the images' standard deviation: noise is not blown up."""

STEPS = 256
"""Whole numbers in a standard deviation of the images."""

MOST_STANDARD_DEVIATIONS = 2**15 // STEPS
"""Pixels further from the mean count as this far: products of two are below 2**30, and 2**20 of them below 2**53."""

MOST_IMAGES = MOST_POSITIONS = 2**10
"""Images that patches are taken from, spread over all; and places in each of them, in rows and columns that are."""

SWEEPS = 50
"""Jacobi's rotations of all pairs; ten are enough for float64 in practice."""


@dataclass(frozen=True, slots=True)
class TrainingPixels:
    """The images that a network is trained on, as it sees them.

    Attributes
    ----------
    pixels : (N, rows, columns, channels) uint8 or float32
    chosen : (n,) int64
        Positions of the training images among them.
    mean, std : (channels,) float64
        By which they are standardised.
    """

    pixels: Pixels
    chosen: NDArray[np.int64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def some(self) -> NDArray[np.float64]:
        """Images spread evenly over all, channels first, as whole numbers of which STEPS are a standard deviation."""
        chosen = np.sort(self.chosen)[:: -(-len(self.chosen) // MOST_IMAGES)]
        scaled = (self.pixels[chosen].astype(np.float64) - self.mean) / self.std
        steps = np.rint(np.clip(scaled, -MOST_STANDARD_DEVIATIONS, MOST_STANDARD_DEVIATIONS) * STEPS)
        return np.asarray(np.moveaxis(steps, 3, 1), np.float64)


def whiten(
    graph: Graph, parameters: list[Floats], training: TrainingPixels, say: Callable[[str], None]
) -> list[Floats]:
    """The parameters, with the weights of layers that are to whiten worked out from the training images.

    Parameters
    ----------
    graph : Graph
    parameters : list of arrays
        What training starts from otherwise.
    training : TrainingPixels
    say : callable
        Given a note for each such layer.

    Returns
    -------
    list of float32 arrays
    """
    found = list(parameters)
    for number, node in enumerate(graph.nodes):
        if isinstance(node.layer, Conv2D) and node.layer.initial == "whiten":
            position = graph.parameters_of(number)[0]
            images = training.some()
            found[position] = filters(node.layer, covariance(node.layer, images))
            kernel = "x".join(map(str, node.layer.kernel))
            plural = "s" * (len(images) != 1)
            say(f"{node.name} starts from the principal axes of {kernel} patches of {len(images):,} image{plural}.")
    return found


def covariance(layer: Conv2D, images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the numbers that a kernel sees at once, (channels * rows * columns) squared, in standard deviations.

    Parameters
    ----------
    layer : Conv2D
    images : (n, channels, rows, columns) float64
        As `TrainingPixels.some` gives them.
    """
    spans = [(k - 1) * d + 1 for k, d in zip(layer.kernel, layer.dilation, strict=True)]
    places = [size - span + 1 for size, span in zip(images.shape[2:], spans, strict=True)]
    step = math.ceil(math.sqrt(max(1, places[0] * places[1] / MOST_POSITIONS)))
    size = images.shape[1] * math.prod(layer.kernel)
    total, products, count = np.zeros(size), np.zeros((size, size)), 0
    for image in images:
        windows = sliding_window_view(image, spans, axis=(1, 2))
        taken = windows[:, ::step, ::step, :: layer.dilation[0], :: layer.dilation[1]]
        patches = taken.transpose(1, 2, 0, 3, 4).reshape(-1, size)
        total += patches.sum(axis=0)
        products += patches.T @ patches
        count += len(patches)
    mean = total / count
    return np.asarray((products / count - mean[:, None] * mean) / STEPS**2)


def filters(layer: Conv2D, covariance: NDArray[np.float64]) -> Floats:
    """The weights of a layer that whitens, (filters, channels, rows, columns)."""
    values, vectors = eigen(covariance)
    axes = vectors / np.sqrt(np.maximum(values, 0.0) + EPSILON)[:, None]
    both = np.concatenate([axes, -axes])[: layer.filters]
    return both.reshape(layer.filters, -1, *layer.kernel).astype(np.float32)


def eigen(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues of a symmetric matrix, falling, and its eigenvectors, a row each, by Jacobi's rotations.

    Rotations of pairs that have nothing in common are done at once (Brent and Luk 1985). The largest number of a
    vector, the first of several, is above 0.
    """
    size = len(matrix)
    a, v = matrix.copy(), np.eye(size)
    order = np.arange(size + size % 2)  # an odd one has a partner that is not there
    for _ in range(SWEEPS):
        off = np.abs(a - np.diag(np.diag(a))).max(initial=0.0)
        if off <= 1e-15 * np.abs(a).max(initial=0.0):
            break
        for _ in range(len(order) - 1):
            pairs = np.stack([order[: len(order) // 2], order[::-1][: len(order) // 2]])
            p, q = pairs[:, (pairs < size).all(axis=0)]
            _rotate(a, v, p, q)
            order = np.concatenate([order[:1], order[-1:], order[1:-1]])
    falling = np.argsort(-np.diag(a), kind="stable")
    rows = v.T[falling]
    largest = rows[np.arange(size), np.abs(rows).argmax(axis=1)]
    return np.diag(a)[falling], rows * np.where(largest < 0, -1.0, 1.0)[:, None]


def _rotate(a: NDArray[np.float64], v: NDArray[np.float64], p: NDArray[np.int64], q: NDArray[np.int64]) -> None:
    """Make a[p, q] zero for pairs without common members, and turn the vectors alike."""
    apart, between = a[q, q] - a[p, p], a[p, q]
    # tan of the angle; 0 where there is nothing to rotate
    root = np.abs(apart) + np.sqrt(apart * apart + 4 * between * between)
    t = np.divide(2 * between * np.where(apart < 0, -1.0, 1.0), root, out=np.zeros_like(root), where=root > 0)
    c = 1 / np.sqrt(1 + t * t)
    s = t * c
    a[p], a[q] = c[:, None] * a[p] - s[:, None] * a[q], s[:, None] * a[p] + c[:, None] * a[q]
    for one in (a, v):
        one[:, p], one[:, q] = c * one[:, p] - s * one[:, q], s * one[:, p] + c * one[:, q]
