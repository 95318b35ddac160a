"""Feature maps: what every layer makes of an image. Gradient and occlusion maps: where in it the answer came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.brief import short
from lanewise.errors import OptionError
from lanewise.explain import subject
from lanewise.explain.subject import Image, log_odds, raw_image, values_of
from lanewise.keywords import renamed
from lanewise.model import Model, Pixels
from lanewise.model_file.contents import Label
from lanewise.network.layers import Layer, Pair
from lanewise.network.reference import Array, backward, forward
from lanewise.network.shapes import Shape
from lanewise.network.text import layer_text

MOST_COPIES = 2**24
"""Bytes, about, of covered copies of an image that are evaluated at a time."""


@short
@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """The values of one node for one image.

    Attributes
    ----------
    name : str
        The node's, like "conv1"; `text` is its layer as it is written, like "conv 16@3x3 same".
    layer : Layer
    values : (channels, rows, columns) or (features,) float64
        `shape` is theirs.
    """

    name: str
    layer: Layer
    values: Array

    @property
    def shape(self) -> Shape:
        """Shape of the values."""
        return self.values.shape

    @property
    def text(self) -> str:
        """The layer as it is written in the language of networks."""
        return layer_text(self.layer)


@renamed(picture="image")
def feature_maps(model: Model, image: Image) -> tuple[FeatureMap, ...]:
    """Compute what every layer makes of an image: after each convolution, ReLU and pool, and everything else.

    Parameters
    ----------
    model : Model
    image : array (rows, columns, channels) or (rows, columns), or path
        Raw pixels, as `model.predict` takes them.

    Returns
    -------
    tuple of FeatureMap
        One for each node of `model.graph`, in order. The first is the image as the network takes it, scaled; the
        last one holds the probabilities.

    Raises
    ------
    DataError
        The image does not fit the model, or there are several.
    """
    values = values_of(model, image)
    return tuple(
        FeatureMap(node.name, node.layer, value[0]) for node, value in zip(model.graph.nodes, values, strict=True)
    )


@renamed(picture="image")
def gradient_map(model: Model, image: Image, label: Label | None = None) -> NDArray[np.float64]:
    """Find the pixels that the score of a class hangs on most: the absolute gradient of the score by each pixel.

    Parameters
    ----------
    model : Model
    image : array (rows, columns, channels) or (rows, columns), or path
        Raw pixels, as `model.predict` takes them.
    label : label of a class, optional
        The most probable one by default.

    Returns
    -------
    (rows, columns) float64, 0 or more
        Change of the score for a change of the raw pixel by 1; of several channels, the largest.

    Raises
    ------
    DataError
        The image does not fit the model, or there are several.
    OptionError
        The model knows no such class.

    Notes
    -----
    The score is what comes before the last softmax or sigmoid, for the gradient of a probability near 0 or 1 vanishes.
    With one sigmoid for two classes, both have the same map. The method is that of Simonyan, Vedaldi and Zisserman,
    "Deep inside convolutional networks: visualising image classification models and saliency maps" (2013), section 3.
    """
    pixels = raw_image(model, image)
    wanted = _chosen_class(model, pixels, label)
    graph = subject.up_to(model.graph, subject.score_position(model.graph))
    parameters = model.parameters[: len(graph.parameters)]
    values = forward(graph, parameters, model.preprocessing.apply(pixels))
    gradient = np.zeros((1, *graph.output_shape))
    gradient[0, wanted % graph.output_shape[0]] = 1  # one score for two classes: the second's, and less it the first's
    _, gradients = backward(graph, parameters, values, gradient)
    by_raw_pixel = np.abs(gradients[0][0]) * np.abs(np.array(model.preprocessing.scale))[:, None, None]
    return np.asarray(by_raw_pixel.max(axis=0))


@renamed(picture="image")
def occlusion_map(
    model: Model,
    image: Image,
    label: Label | None = None,
    size: int | Pair | None = None,
    step: int | Pair | None = None,
) -> NDArray[np.float64]:
    """Find the parts of an image that a class is recognised by: what is lost when they are covered.

    A patch of the mean colour is moved over the image. Each pixel gets what the log-odds of the class, which are
    ln(p / (1 - p)) of its probability p, lose on average while the pixel is covered. It is below 0 where covering makes
    the class more probable.

    Parameters
    ----------
    model : Model
    image : array (rows, columns, channels) or (rows, columns), or path
        Raw pixels, as `model.predict` takes them.
    label : label of a class, optional
        The most probable one by default.
    size : int or (rows, columns), optional
        Of the patch; a fifth of the image by default.
    step : int or (rows, columns), optional
        How far it is moved, at most its size; a quarter of that by default. Patches that would reach over the edge are
        moved to it, so that every pixel is covered.

    Returns
    -------
    (rows, columns) float64
        Log-odds lost. 0.7 halves the odds, 2.3 makes them a tenth.

    Raises
    ------
    DataError
        The image does not fit the model, or there are several.
    OptionError
        The model knows no such class, or the patch is larger than the image or moved too far.

    Notes
    -----
    Log-odds come from the scores before the last softmax or sigmoid: a probability of 1 hides what it hangs on. With
    two classes they are the score of the class less that of the other. The mean colour is that of the images the
    training images, which its preprocessing turns into 0. The method is that of Zeiler and Fergus, "Visualizing and
    understanding convolutional networks" (2013), section 4.2.
    """
    pixels = raw_image(model, image)
    _, rows, columns, _ = pixels.shape
    patch = _pair("size", size) if size is not None else (max(1, round(rows / 5)), max(1, round(columns / 5)))
    moved = _pair("step", step) if step is not None else (max(1, patch[0] // 4), max(1, patch[1] // 4))
    _check_patch(patch, moved, (rows, columns))
    wanted = _chosen_class(model, pixels, label)
    before = float(log_odds(model, pixels)[0, wanted])
    lost, times = np.zeros((rows, columns)), np.zeros((rows, columns))
    colour = _mean_colour(model, pixels)
    everywhere, together = _corners(patch, moved, (rows, columns)), max(1, MOST_COPIES // pixels.nbytes)
    for start in range(0, len(everywhere), together):
        corners = everywhere[start : start + together]
        copies = np.repeat(pixels, len(corners), axis=0)
        covered = [(slice(r, r + patch[0]), slice(c, c + patch[1])) for r, c in corners]
        for copy, here in zip(copies, covered, strict=True):
            copy[here] = colour
        for here, left in zip(covered, log_odds(model, copies)[:, wanted].tolist(), strict=True):
            lost[here] += before - left
            times[here] += 1
    return lost / times


def _chosen_class(model: Model, pixels: Pixels, label: Label | None) -> int:
    if label is None:
        return int(model.predict_proba(pixels)[0].argmax())
    return subject.class_position(model, label)


def _pair(what: str, given: int | Pair) -> Pair:
    numbers = [
        subject.whole_number(number) for number in (given if isinstance(given, tuple | list) else (given, given))
    ]
    if len(numbers) != 2 or not all(number is not None and number >= 1 for number in numbers):
        raise OptionError(f"the {what} of a patch is a number of pixels from 1, or (rows, columns), not {given!r}")
    rows, columns = (number for number in numbers if number is not None)
    return rows, columns


def _check_patch(patch: Pair, moved: Pair, image: Pair) -> None:
    told = f"a patch of {_said(patch)}"
    if patch[0] > image[0] or patch[1] > image[1]:
        raise OptionError(f"{told} does not fit into an image of {_said(image)}: choose a smaller one")
    if moved[0] > patch[0] or moved[1] > patch[1]:
        raise OptionError(f"{told} moved by {_said(moved)} leaves pixels out: choose a step of {_said(patch)} at most")


def _said(pair: Pair) -> str:
    return f"{pair[0]}x{pair[1]}"


def _mean_colour(model: Model, pixels: Pixels) -> Pixels:
    """The raw pixel that preprocessing turns into 0, (channels,), rounded where pixels are bytes."""
    scale, offset = (np.array(numbers) for numbers in (model.preprocessing.scale, model.preprocessing.offset))
    mean = np.divide(-offset, scale, out=np.zeros_like(scale), where=scale != 0)
    return np.asarray(np.clip(np.rint(mean), 0, 255) if pixels.dtype == np.uint8 else mean, pixels.dtype)


def _corners(patch: Pair, moved: Pair, image: Pair) -> list[Pair]:
    """The top left corners of all patches."""
    rows, columns = (
        sorted({*range(0, whole - part, by), whole - part}) for part, by, whole in zip(patch, moved, image, strict=True)
    )
    return [(r, c) for r in rows for c in columns]
