"""What training starts from: how pixels are scaled, the network, and its weights, random or those of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Images, statistics
from lanewise.data.seen import Seen
from lanewise.engine.gradients import FEWEST_ROWS
from lanewise.engine.parameters import Floats
from lanewise.errors import DataError
from lanewise.limits import check_memory
from lanewise.model import Model
from lanewise.network.graph import Graph
from lanewise.network.initial import initial_parameters
from lanewise.network.layers import Layer
from lanewise.notes import Caution, Note
from lanewise.training import recipe
from lanewise.training.task import TrainResult
from lanewise.training.transfer import take_over
from lanewise.training.whitening import TrainingPixels, whiten

GOING_ON = 10
"""When all of a model's weights are fine-tuned, the default learning rate is divided by this: a peak rate that suits
random weights destroys trained ones."""


@dataclass(frozen=True, slots=True)
class Start:
    """A network and the parameters that training starts from.

    Attributes
    ----------
    graph, text, parameters
    whole : bool
        Whether these are all of a model's weights, so that the start is as good as that model.
    """

    graph: Graph
    text: str | None
    parameters: list[Floats]
    whole: bool


def seen_by(model: Model | None) -> Seen | None:
    """Which images the model has seen; None if it does not say."""
    return Seen.from_json(getattr(model, "provenance", {}).get("seen"))


def outcome(start: float, result: TrainResult, count: int) -> Note:
    """Compare the result of fine-tuning with the model that it started from.

    Parameters
    ----------
    start : float
        The accuracy of that model on the validation set.
    result : TrainResult
    count : int
        Number of validation images.

    Returns
    -------
    Note
    """
    before = f"{100 * start:.1f} %"
    if not result.best_epoch:
        return Note(
            f"No epoch was better on the {count:,} validation images than the starting model ({before}): its weights "
            "are kept."
        )
    accuracy = float(result.history[result.best_epoch - 1]["validation_accuracy"] or 0.0)
    after = f"{100 * accuracy:.1f} %"
    if accuracy < start:
        return Caution(
            f"The accuracy on the {count:,} validation images fell from {before} to {after}, but images are weighted, "
            "and the weighted loss is lower."
        )
    return Note(f"Fine-tuning took the accuracy on the {count:,} validation images from {before} to {after}.")


SMALLEST = 2.0**-120
"""Standard deviation of a channel; float32 rounds ever more coarsely below 2**-126."""


def moments(
    start: Model | None, images: Images, chosen: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation by which pixels are standardised; when fine-tuning, those of the model.

    Parameters
    ----------
    start : Model or None
        The model that training starts from.
    images : Images
    chosen : (n,) int64
        Positions of the training images.

    Returns
    -------
    mean, std : (channels,) float64

    Raises
    ------
    DataError
        The values differ too little for float32.
    """
    if start is None:
        mean, std = statistics(images.pixels, chosen)
        if (std < SMALLEST).any():
            raise DataError(
                f"the values of these images differ by {std.min():.2g} only, which float32 cannot compute with: "
                "multiply them all by one number, so that they reach about 1"
            )
        return mean, std
    check_images(start, images)
    scale = np.array(start.preprocessing.scale, np.float64)
    return -np.array(start.preprocessing.offset, np.float64) / scale, 1 / scale


def check_images(start: Model, images: Images) -> None:
    """Refuse images of another shape than the model takes, by a DataError."""
    if start.preprocessing.shape != (*images.size, images.channels):
        raise DataError(
            f"the starting model takes images of {start.preprocessing.shape}, "
            f"but these are {(*images.size, images.channels)} (rows, columns, channels): leave out the size and the "
            "channels that were asked for, or resize arrays first"
        )


def knows(start: Model, images: Images) -> bool:
    """Whether the images are of the classes that the model has."""
    return start.class_names == tuple(map(str, images.classes))


def network_and_weights(
    network: str | tuple[Layer, ...],
    start: Model | None,
    images: Images,
    effort: recipe.Effort,
    seed: int,
    training: TrainingPixels,
    say: Callable[[str], None],
) -> Start:
    """Build the network and its initial weights.

    Parameters
    ----------
    network : str or tuple of Layer
    start : Model or None
        The model that training starts from.
    images : Images
    effort : recipe.Effort
        For the network, if it is ours to choose.
    seed : int
    training : TrainingPixels
        Those of the images that filters may be worked out from.
    say : callable
        Given each note.

    Returns
    -------
    Start
        The graph, its text, and the parameters.

    Raises
    ------
    NetworkError, TooLargeError
        The network does not fit the images, or memory.
    """
    shape = (images.channels, *images.size)
    if start is not None and network == "auto":
        return Start(start.graph, start.network, [np.array(p) for p in start.parameters], whole=True)
    graph, text = recipe.network_for(network, shape, len(images.classes), effort=effort)
    # before the first weight is drawn: parameters, their gradients by shard, state, and copies of the best
    check_memory("training this network", 4 * graph.parameter_count * (FEWEST_ROWS + 6))
    say(f"{'Network chosen' if network == 'auto' else 'Network'}: {text}")
    parameters = whiten(graph, initial_parameters(graph, seed), training, say)
    if start is None:
        return Start(graph, text, parameters, whole=False)
    same = knows(start, images)
    parameters, taken, origin = take_over(graph, parameters, start.graph, start.parameters, same_classes=same)
    say(origin)
    return Start(graph, text, parameters, whole=taken == len(parameters) == len(start.parameters))
