"""What came of training as a model: weights, names of classes, preprocessing, and where it all came from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.data.images import Images
from lanewise.data.seen import Seen
from lanewise.engine.parameters import Floats
from lanewise.labels import plain
from lanewise.model import Model
from lanewise.model_file import names_of
from lanewise.model_file.contents import FLIP
from lanewise.pixel_scale import range_of
from lanewise.preprocessing import Preprocessing, type_of
from lanewise.training.run import Engine
from lanewise.training.task import Indices, TrainResult
from lanewise.version import __version__


def model_of(
    engine: Engine,
    text: str | None,
    parameters: Sequence[Floats],
    result: TrainResult,
    labels: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> Model:
    """The trained model.

    Parameters
    ----------
    engine : what it was trained with
    text : of the network; None for one from elsewhere
    parameters : the best ones
    result : what the loop gave
    labels : as `labels_of` gives them
    provenance : what to keep besides what engine and result tell
    """
    return Model(
        graph=engine.graph,
        parameters=tuple(parameters),
        **labels,
        preprocessing=engine.preprocessing,
        network=text,
        history=tuple(result.history),
        tta=FLIP if engine.tta else None,
        provenance={
            "version": __version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "epochs": len(result.history),
            "steps": result.steps,
            "optimizer": engine.optimizer.name,
            "weight_decay": engine.optimizer.weight_decay,
            "ema": engine.optimizer.ema,
            "bias_scaler": engine.optimizer.bias_scaler,
            "images_per_second": round(result.images / max(result.seconds, 1e-9)),
            "interrupted": result.interrupted,
            "stopped_early": result.stopped_early,
            "best_epoch": result.best_epoch,
            "candidates": round(result.candidates, 2),
            "gradient_clipping": None if math.isinf(engine.optimizer.clip_norm) else engine.optimizer.clip_norm,
            "setbacks": result.setbacks,
            **provenance,
        },
    )


def labels_of(images: Images, y: ArrayLike | None) -> dict[str, Any]:
    """The names of the classes; for arrays, the labels as they were given, with their type: numbers stay numbers."""
    if y is None:
        return {"classes": images.classes}
    given, kind = plain(y)
    # Adding 0 makes -0.0, which numpy.unique may find, 0.0.
    values = [n + 0.0 if isinstance(n, float) else n for n in np.unique(given).tolist()]
    by_name = dict(zip(names_of(values), values, strict=True))
    if not by_name.keys() >= set(images.classes):
        return {"classes": images.classes}
    return {"classes": tuple(by_name[name] for name in images.classes), "label_type": kind}


def preprocessing_of(
    images: Images, chosen: Indices, mean: NDArray[np.float64], std: NDArray[np.float64], start: Model | None
) -> Preprocessing:
    """The preprocessing that brings the training set to mean 0 and standard deviation 1, channel by channel.

    Parameters
    ----------
    images : Images
    chosen : (n,) int64
        Positions of the training images.
    mean, std : (channels,) float64
    start : Model or None
        The model that training starts from, whose range of values is kept.

    Returns
    -------
    Preprocessing
    """
    span = range_of(images.pixels, chosen, files=images.resize is not None)
    if start is not None and start.preprocessing.value_range is not None:
        low, high = start.preprocessing.value_range
        span = min(low, span[0]), max(high, span[1])
    rows, columns = images.size
    return Preprocessing(
        rows=rows,
        columns=columns,
        channels=images.channels,
        dtype=type_of(images.pixels),
        scale=tuple((1 / std).tolist()),
        offset=tuple((-mean / std).tolist()),
        resize=images.resize,
        value_range=span,
        bits=images.bits,
        standardised=start is None or start.preprocessing.standardised,
    )


def kept_of(images: Images, seen: Seen) -> dict[str, Any]:
    """Which images a model has seen, and how they were grouped."""
    return {"groups": images.groups and images.groups.to_json(), "seen": seen.to_json()}


def origin_of(start: Model | None) -> dict[str, Any]:
    """Origin and licence of pretrained weights, which go with all that is made of them."""
    known = {} if start is None else start.provenance
    return {name: known[name] for name in ("pretrained",) if known.get(name)}
