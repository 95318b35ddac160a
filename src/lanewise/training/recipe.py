"""Defaults that learn well untouched: the network, the learning rate, how long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from math import log2, sqrt

import numpy as np

from lanewise.data.images import Images
from lanewise.data.neighbours import agreement
from lanewise.errors import NetworkError
from lanewise.network.graph import Graph, build
from lanewise.network.layers import Layer, Sigmoid, Softmax
from lanewise.network.text import parse, to_text
from lanewise.training.augment import FEW, PHOTOGRAPH

MOST_STAGES = 4
MOST_FILTERS = 128
SMALL_ENOUGH = 5  # rows and columns after which pooling stops
BLOCKS = 16
"""Rows or columns of the largest maps that get a residual block."""

FINE = 16
"""Rows or columns of the smallest images that a residual network is for."""

DROPOUT = 0.25
MANY = 30_000
"""Images from which on steps are large, and a network may learn enough from few filters and few epochs."""

LARGE = 64
"""Few images of so many rows or columns, in colour, are better told apart by another network's features."""


class Difficulty(Enum):
    """How hard images are to tell apart, by the mistakes of taking each for what its nearest neighbour is.

    EASY : at most a fifth of those of taking all for the most frequent class, and the images are many: a small network
        and few epochs will do
    HARD : at least half of them, of images that are not tiny: a residual network with batch normalisation, and more
        epochs, pay
    USUAL : all others
    """

    EASY = "easy"
    USUAL = "usual"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work the default puts in.

    Attributes
    ----------
    difficulty : Difficulty
    width : int
        Residual networks get so many times the filters.
    length : float
        Training takes so many times the epochs.
    asked : bool
        It is the user who asked for the best, whatever the images are.
    dropout : bool
        Before the last layer; of many hard images, a residual network sees none often enough to need it.
    """

    difficulty: Difficulty = Difficulty.USUAL
    width: float = 1
    length: float = 1.0
    asked: bool = False
    dropout: bool = True

    @property
    def hard(self) -> bool:
        """Whether it is for hard images."""
        return self.difficulty is Difficulty.HARD

    @property
    def easy(self) -> bool:
        """Whether it is for many and easy images."""
        return self.difficulty is Difficulty.EASY


USUAL = Effort()


def difficulty_of(images: Images) -> Difficulty:
    """How hard the images are, if that makes a difference for as many and as large ones as they are."""
    many, fine = len(images) >= MANY, FINE <= min(images.size) < PHOTOGRAPH
    if images.labels is None or not (many or fine):
        return Difficulty.USUAL
    guessed = 1 - max(images.counts()) / len(images)
    wrong = 1 - agreement(images.pixels, images.labels, np.arange(len(images)))
    if many and wrong <= guessed / 5:
        return Difficulty.EASY
    return Difficulty.HARD if fine and guessed and wrong >= guessed / 2 else Difficulty.USUAL


def reason(effort: Effort, *, network: bool, epochs: bool) -> str | None:
    """Why the default is not the usual one, in a sentence.

    Parameters
    ----------
    effort : Effort
    network, epochs : bool
        Whether the network and the number of epochs are ours to choose.
    """
    if not (network or epochs) or effort.difficulty is Difficulty.USUAL or effort.asked:
        return None
    if effort.easy:
        return (
            "These images are many and easy to tell apart, so few filters and few epochs are the default; more of "
            "both may still be a little better."
        )
    chosen = ["a residual network with batch normalisation"] * network + ["more epochs"] * epochs
    return f"These images are hard to tell apart, so {' and '.join(chosen)} {'are' if epochs else 'is'} the default."


def features_would_help(images: Images) -> bool:
    """Whether these seem to be photographs, colour files that were made smaller, and too few to learn filters from."""
    return len(images) < FEW and images.channels == 3 and images.resize is not None and max(images.size) >= LARGE


def default_network(shape: tuple[int, int, int], classes: int, *, effort: Effort = USUAL) -> str:
    """The text of a network for images of a shape.

    Convolutions of 3x3 with twice the filters after each pooling, until at most 5 rows or columns are left, then one
    hidden dense layer with dropout of a quarter before it. Images of fewer than 3 rows get a hidden layer alone. From
    48 rows and columns on, and for hard images, each convolution has batch normalisation, all but the first have a
    residual block behind them where maps have at most 16 rows or columns, and the mean of each channel takes the place
    of the hidden layer.

    Parameters
    ----------
    shape : (channels, rows, columns)
    classes : int
    effort : Effort
        Easy images get half the filters and no dropout; hard ones of fewer than 48 rows or columns twice the filters.

    Returns
    -------
    str
    """
    size = min(shape[1:])
    if size < PHOTOGRAPH and not effort.hard:
        return plain_network(shape, classes, easy=effort.easy)
    filters = 8 if effort.easy else 16 if size >= PHOTOGRAPH else 32
    dropout = [f"dropout {DROPOUT}"] if effort.dropout and not effort.easy else []
    stages = _residual_stages(size, round(effort.width * filters), round(effort.width * MOST_FILTERS))
    return to_text(parse(", ".join([*stages, *dropout, output_layers(classes)])))


def plain_network(shape: tuple[int, int, int], classes: int, *, easy: bool = False) -> str:
    """As `default_network`, without batch normalisation for any images: it learns in few epochs.

    Parameters
    ----------
    shape : (channels, rows, columns)
    classes : int
    easy : bool
        Half the filters, and no dropout.
    """
    size, filters = min(shape[1:]), 8 if easy else 16
    dropout = [] if easy or size < 3 else [f"dropout {DROPOUT}"]
    return to_text(
        parse(", ".join([*_plain_stages(size, filters), *dropout, "dense 100, relu", output_layers(classes)]))
    )


def _plain_stages(size: int, filters: int) -> Iterator[str]:
    """Convolutions and poolings for images of so many rows or columns."""
    stages = 0
    while size >= 3 and (stages == 0 or (size > SMALL_ENOUGH and stages < MOST_STAGES)):
        yield f"conv {filters}@3x3 same, relu" + (", max 2" if size >= 4 else "")
        size, filters, stages = size // 2, min(2 * filters, MOST_FILTERS), stages + 1


def _residual_stages(size: int, filters: int, most: int) -> Iterator[str]:
    """The same with batch normalisation, and from the second on residual blocks where maps have become small.

    Parameters
    ----------
    size : int
        Rows or columns.
    filters, most : int
        Of the first convolution, and of any.
    """
    first = True
    while size > SMALL_ENOUGH:
        size //= 2
        yield f"conv {filters}@3x3 same nobias, max 2, batchnorm, relu"
        if size <= BLOCKS and not first:
            inner = f"conv {filters}@3x3 same nobias, batchnorm"
            yield f"residual({inner}, relu, {inner}), relu"
        filters, first = min(2 * filters, most), False
    yield "global average"


def output_layers(classes: int) -> str:
    """The last layers of a classifier: one sigmoid output for two classes, else a softmax output each."""
    return "dense 1, sigmoid" if classes == 2 else f"dense {classes}, softmax"


def network_for(
    network: str | tuple[Layer, ...],
    shape: tuple[int, int, int],
    classes: int,
    *,
    effort: Effort = USUAL,
) -> tuple[Graph, str]:
    """The graph to train, and its text.

    Parameters
    ----------
    network : "auto", text, or tuple of layers
        A network that ends without softmax or sigmoid gets the one that fits.
    shape : (channels, rows, columns)
    classes : int
    effort : Effort
        For the network, if it is ours to choose.

    Raises
    ------
    NetworkError
        If its outputs do not fit the classes.
    """
    if isinstance(network, str):
        layers = parse(default_network(shape, classes, effort=effort) if network.strip() == "auto" else network)
    else:
        layers = tuple(network)
    outputs = build(layers, shape).output_shape
    if outputs not in ((classes,), *([(1,)] if classes == 2 else [])):
        what = " x ".join(map(str, outputs))
        raise NetworkError(
            f"the network ends with {what} outputs, but there are {classes} classes: "
            f'end it with "{output_layers(classes)}"'
        )
    if isinstance(layers[-1], Softmax) and outputs == (1,):
        raise NetworkError('softmax over one output is always 1: end the network with "dense 1, sigmoid"')
    if isinstance(layers[-1], Sigmoid) and outputs != (1,):
        raise NetworkError(f'for one of {classes} classes end the network with "{output_layers(classes)}", not sigmoid')
    if not isinstance(layers[-1], Softmax | Sigmoid):
        layers = (*layers, Sigmoid() if outputs == (1,) else Softmax())
    return build(layers, shape), to_text(layers)


def default_batch_size(count: int, *, large: bool = False) -> int:
    """64 images a step, as few images make few steps; more where there are many.

    Parameters
    ----------
    count : int
        Number of training images.
    large : bool
        Whether fewer and larger steps cost less and learn more: those of Muon, whose work does not grow with them, for
        hard images and networks with batch normalisation, see docs/decisions/hard-images.md.

    Returns
    -------
    int
        128 for many images; in large steps about a 75th of them, a power of two from 64 to 512.
    """
    if large:
        return max(64, min(512, 1 << max(0, round(log2(max(1, count) / 75)))))
    return 64 if count < MANY else 128


def default_label_smoothing(photographs: bool, effort: Effort) -> float:
    """A tenth for few photographs and for hard images, which networks otherwise become too sure of; else none."""
    return 0.1 if photographs or effort.hard else 0.0


def default_epochs(count: int, batch_size: int, *, effort: Effort = USUAL, photographs: bool = False) -> int:
    """The number of epochs: many for small data, few for large, about 150,000 images in all, 8 to 60 epochs.

    Parameters
    ----------
    count : int
        Number of training images; so few that the epochs make fewer than 200 steps get more epochs.
    batch_size : int
    effort : Effort
        Many easy images need as few as 4 epochs. Hard ones get 16 epochs where there are 10,000, twice as many where
        there are a quarter of them, up to 150, and at least 8.
    photographs : bool
        Up to 150 epochs; see `augment.few_photographs`.

    Returns
    -------
    int
    """
    if effort.hard:
        epochs = max(8, min(150, round(7 * sqrt(50_000 / count))))
    else:
        epochs = max(4 if effort.easy else 8, min(150 if photographs else 60, round(150_000 / count)))
    steps = -(-count // batch_size)
    return max(1, round(effort.length * max(epochs, -(-200 // steps))))
