"""How much each image counts in the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.data.images import Images
from lanewise.errors import DataError, OptionError
from lanewise.labels import plain

Floats = NDArray[np.float32]


def image_weights(
    images: Images, class_weight: str | Mapping[Any, float] | None, sample_weight: ArrayLike | None
) -> Floats:
    """One weight an image, 1 on average over those that count.

    Parameters
    ----------
    images : Images
    class_weight : "balanced" or dict of class to weight, optional
        Balanced: classes count alike, whatever their number of images.
    sample_weight : (N,) array, optional
        Finite, not negative, not all 0.

    Returns
    -------
    (N,) float32
    """
    labels = images.labels
    assert labels is not None
    weights = np.ones(len(labels), np.float64)
    if sample_weight is not None:
        try:
            weights = np.array(sample_weight, np.float64)
        except (TypeError, ValueError):
            raise DataError("sample_weight holds something other than numbers: give each image one") from None
        if weights.shape != labels.shape:
            raise DataError(f"sample_weight has shape {weights.shape}, but there are {len(labels)} images")
        if not np.isfinite(weights).all() or (weights < 0).any():
            bad = int(np.flatnonzero(~np.isfinite(weights) | (weights < 0))[0])
            raise DataError(f"sample_weight[{bad}] is {weights[bad]}: weights are finite and not negative")
        if not weights.any():
            raise DataError("all of sample_weight is 0: there would be nothing to train on")
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise OptionError(f'class_weight is "balanced" or a dict of class to weight, not "{class_weight}"')
        counts = np.bincount(labels, weights=weights, minlength=len(images.classes))
        weights = weights / np.maximum(counts, 1e-300)[labels]
    elif class_weight is not None:
        known = {str(name): number for number, name in enumerate(images.classes)}
        each = np.ones(len(known))
        for name, weight in class_weight.items():
            place = known.get(str(name), known.get(_plain(name)))
            if place is None:
                raise OptionError(f"class_weight names {name!r}, but the classes are {', '.join(known)}")
            if not 0 <= weight < float("inf"):
                raise OptionError(f"class_weight of {name!r} is {weight!r}: weights are finite and not negative")
            each[place] = weight
        weights = weights * each[labels]
        if not weights.any():
            raise OptionError("class_weight gives every image weight 0: there would be nothing to train on")
    scaled: Floats = (weights / weights[weights > 0].mean()).astype(np.float32)
    return scaled


def _plain(label: object) -> str:
    """The name of the class that a label of any type stands for."""
    try:
        return str(plain([label])[0][0])
    except DataError:
        return ""


def class_weights(labels: NDArray[np.int32], weights: Floats, classes: int) -> Floats:
    """The mean weight of each class's training images.

    Parameters
    ----------
    labels : (N,) int32
    weights : (N,) float
    classes : int
        Number of classes.

    Returns
    -------
    (classes,) float32
        0 for a class without images.
    """
    totals = np.bincount(labels, weights=weights, minlength=classes)
    return (totals / np.maximum(np.bincount(labels, minlength=classes), 1)).astype(np.float32)
