"""The training images that are nearest to an image for the network: by the cosine of its values before its last layer.

They tell why an answer came about: from a wrong label among them, from a background they share, or from nothing alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lanewise.data.encode import Drawn, photograph
from lanewise.data.images import Images, Pixels
from lanewise.data.seen import TRAINED
from lanewise.errors import NetworkError
from lanewise.evaluation.unseen import kinds_of
from lanewise.model import Model
from lanewise.network.cutting import features_at, until
from lanewise.training.features import Backbone

SHOWN = 3
"""Training images beside each."""

MOST = 5_000
"""Training images that are compared, spread over all of them."""

SIZE = 56
"""Pixels of the longer side that they are shown in."""

_BLOCK = 256  # images whose features are in memory at once


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A training image, with its label and the cosine of its features and those of the other image."""

    name: str
    label: str
    cosine: float
    image: Drawn


def trained_among(model: Model, images: Images | None) -> Images | None:
    """Those of the images that `model` was trained on, as far as it records that; None for none, or without labels."""
    if images is None or images.labels is None:
        return None
    kinds = kinds_of(model, images)
    chosen = np.arange(len(images)) if kinds is None else np.flatnonzero(kinds == TRAINED)
    if not len(chosen):
        return None
    return images.take(chosen[np.unique(np.linspace(0, len(chosen) - 1, min(MOST, len(chosen))).astype(int))])


def nearest(model: Model, asked: Pixels, trained: Images) -> tuple[tuple[Neighbour, ...], ...]:
    """The training images nearest to each image, the nearest first; none where the network has no features.

    Parameters
    ----------
    model : Model
    asked : (n, rows, columns, channels)
        Raw pixels.
    trained : Images
        Labelled training images.
    """
    try:
        graph, taken = until(model.graph, features_at(model.graph))
    except NetworkError:
        return ((),) * len(asked)
    backbone = Backbone(graph, [model.parameters[place] for place in taken], model.preprocessing)
    ours = _unit(backbone, asked)
    cosine = np.concatenate(
        [ours @ _unit(backbone, trained.pixels[first : first + _BLOCK]).T for first in range(0, len(trained), _BLOCK)],
        axis=1,
    )
    cosine = np.round(cosine, 4)
    best = np.argsort(-cosine, axis=1, kind="stable")[:, :SHOWN]
    drawn = {n: photograph(trained.pixels[n], SIZE) for n in np.unique(best).tolist()}
    assert trained.labels is not None
    labels = [trained.classes[label] for label in trained.labels]
    return tuple(
        tuple(Neighbour(trained.name(n), labels[n], float(row[n]), drawn[n]) for n in places)
        for places, row in zip(best.tolist(), cosine, strict=True)
    )


def _unit(backbone: Backbone, pixels: Pixels) -> npt.NDArray[np.float32]:
    found = backbone.features(pixels).reshape(len(pixels), -1)
    unit: npt.NDArray[np.float32] = found / np.maximum(
        np.sqrt((found * found).sum(axis=1, keepdims=True)), np.float32(1e-12)
    )
    return unit
