"""Classes that count alike, whatever their number of images: logits moved by the logarithm of the frequencies.

A network that sees the images as they are says p[k] in proportion to f[k] q[k], with f[k] the share of class k among
them, and q[k] what it would say if all classes were as frequent. So it is trained with log f on top of its logits:

    z + log f     while training: the loss is that of the images as they are
    z             afterwards, and when it is evaluated

Since these are logits of a layer with biases, that is where log f goes and from where it is taken away again.

Menon and others 2021, "Long-tail learning via logit adjustment"; Ren and others 2020, "Balanced meta-softmax". Weights
in the loss, the older way, make of each of the few images of a rare class a huge step, which spoils the features.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Images, Pixels
from lanewise.data.sample_weights import image_weights
from lanewise.engine.parameters import Floats
from lanewise.network.graph import Graph
from lanewise.network.layers import Conv2D, Dense, Flatten, GlobalAvgPool2D, Sigmoid, Softmax
from lanewise.training.options import TrainOptions
from lanewise.training.task import Indices


def output_bias(graph: Graph) -> int | None:
    """The position in `graph.parameters` of the biases that are added to the logits; None if there are none."""
    place = len(graph.nodes) - 1
    while isinstance(graph.nodes[place].layer, Softmax | Sigmoid | Flatten | GlobalAvgPool2D):
        (place,) = graph.nodes[place].inputs
    if isinstance(graph.nodes[place].layer, Dense | Conv2D):
        for number in graph.parameters_of(place):
            parameter = graph.parameters[number]
            if parameter.role == "bias" and parameter.shape == graph.output_shape:
                return number
    return None


def frequencies(labels: NDArray[np.int32], weights: Floats, classes: int) -> Floats:
    """The share of each class in the loss, (classes,); that of a class without images is as small as the smallest.

    Parameters
    ----------
    labels : (N,) int32
        Of the training images.
    weights : (N,) float32
        Of the training images.
    classes : int
    """
    counts = np.bincount(labels, weights.astype(np.float64), classes)
    counts = np.where(counts > 0, counts, counts[counts > 0].min())
    shares: Floats = (counts / counts.sum()).astype(np.float32)
    return shares


def on_top(frequencies: Floats, outputs: int) -> Floats:
    """What is added to the logits while training, for so many outputs; the sigmoid's one output is of class 1."""
    logs = np.log(frequencies.astype(np.float64))
    added: Floats = (logs[1:] - logs[:1] if outputs == 1 else logs).astype(np.float32)
    return added


def weighting(
    graph: Graph, images: Images, trained: Indices, weights: Floats, options: TrainOptions
) -> tuple[Floats, Floats | None]:
    """The weights of images in the loss, and the frequencies of classes that are to count alike.

    Parameters
    ----------
    graph : Graph
    images : Images
    trained : (n,) int64
        Positions of the training images.
    weights : (N,) float32
        As options ask for them: if classes are to count alike, these make them.
    options : TrainOptions

    Returns
    -------
    weights, frequencies
        The latter None, and the weights the roots of balanced ones, 1 on average, where the logits have no biases.
    """
    if options.class_weight != "balanced":
        return weights, None
    if output_bias(graph) is None:
        roots = np.sqrt(weights)
        return (roots / roots[trained].mean()).astype(np.float32), None
    natural, labels = image_weights(images, None, options.sample_weight), images.labels
    assert labels is not None
    return natural, frequencies(labels[trained], natural[trained], len(images.classes))


class Evaluates(Protocol):
    """What `engine.inference.Inference` does for the loop."""

    def run(self, pixels: Pixels, images: NDArray[np.int32], /) -> Floats:
        """The outputs for some of the images."""


class Balanced:
    """Evaluates a network as it will be without log f, while log f is on top of its logits.

    Parameters
    ----------
    inference : Evaluates
        With log f.
    frequencies : (classes,) float32
    """

    def __init__(self, inference: Evaluates, frequencies: Floats) -> None:
        self._inference, self._shares = inference, frequencies.astype(np.float64)

    def run(self, pixels: Pixels, images: NDArray[np.int32], /) -> Floats:
        """The outputs for some of the images, p / f made to add up to 1."""
        outputs = self._inference.run(pixels, images).astype(np.float64)
        single = outputs.shape[1] == 1
        both = np.hstack([1 - outputs, outputs]) if single else outputs
        scaled = both / self._shares
        scaled /= scaled.sum(axis=1, keepdims=True)
        return np.asarray(scaled[:, 1:] if single else scaled, np.float32)
