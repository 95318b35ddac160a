"""What a training must have in common with the one that it goes on from: data, options and version, each by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Images, ImageSets
from lanewise.engine.trainer import Trainer
from lanewise.model import Model
from lanewise.network.layers import Layer
from lanewise.network.text import layer_text, to_text
from lanewise.training.task import TrainingTask
from lanewise.version import __version__

FREE = ("threads", "strict", "progress", "notes", "verbose", "checkpoint", "resume")
"""Options that change no result: they may be others when a training is resumed."""

SET_NAMES = {"train": "training", "validation": "validation", "test": "test"}
LONGEST = 60
"""Characters of a value that is told; of a longer one only that it differs."""

Facts = dict[str, Any]
"""Values of JSON by what they are called in a sentence."""


def facts_of(sets: ImageSets, start: Model | None, options: Mapping[str, Any]) -> Facts:
    """What training depends on.

    Parameters
    ----------
    sets : ImageSets
    start : Model or None
        The model that training starts from.
    options : mapping
        All options of training by their names.
    """
    facts: Facts = {"version": __version__}
    for name, part in sets.parts.items():
        facts.update(_facts_of_images(SET_NAMES[name], part))
    for name, value in options.items():
        if name == "start":
            facts["start"] = None if start is None else _digest(*start.parameters)
        elif name not in FREE:
            facts[name.replace("_", " ")] = _plain(value)
    return facts


def facts_of_loop(trainer: Trainer, task: TrainingTask) -> Facts:
    """What one training of a network depends on, as it was chosen from data and options."""
    return {
        "network": ", ".join(layer_text(node.layer) for node in trainer.graph.nodes[1:]),
        "batch size": task.batch_size,
        "images trained on": len(task.indices),
        "learning rate": task.learning_rate,
        "epochs": task.epochs,
        "optimizer": repr(trainer.optimizer),
        "augmentation": repr(trainer.augment),
        "label smoothing": trainer.label_smoothing,
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, each in a few words: "epochs: 3 then, 4 now"."""
    return [_difference(name, then, now) for name in dict.fromkeys([*now, *then]) if then.get(name) != now.get(name)]


def _difference(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    told = [str(side[name]) if side.get(name) is not None else "none" for side in (then, now)]
    if any(len(text) > LONGEST or text.startswith(DIGEST) for text in told):
        return f"another {name}" if not name.endswith("s") else f"other {name}"
    return f"{name}: {told[0]} then, {told[1]} now"


def _facts_of_images(name: str, images: Images) -> Iterator[tuple[str, Any]]:
    yield f"number of {name} images", len(images)
    yield f"size of {name} images", "x".join(map(str, images.pixels.shape[1:]))
    yield f"type of pixels of {name} images", str(images.pixels.dtype)
    yield f"classes of {name} images", ", ".join(images.classes)
    yield f"pixels of {name} images", _digest(images.pixels)
    yield f"labels of {name} images", None if images.labels is None else _digest(images.labels)
    yield f"groups of {name} images", None if images.groups is None else _digest(images.groups.numbers)


DIGEST = "blake2b:"


def _digest(*arrays: NDArray[Any]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        found.update(repr((array.shape, array.dtype.str)).encode())
        found.update(np.ascontiguousarray(array).data if array.size else b"")
    return DIGEST + found.hexdigest()


def _plain(value: Any) -> Any:
    """An option as a value of JSON: the same for all that mean the same."""
    match value:
        case None | bool() | str():
            return value
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case tuple() | list() if value and all(isinstance(one, Layer) for one in value):
            return to_text(tuple(value))
        case tuple() | list() if len(value) < LONGEST:
            return [_plain(one) for one in value]
    array = np.asarray(value)
    if array.ndim == 0 and array.dtype.kind in "biuf":
        number = float(array)
        return int(number) if number.is_integer() else number
    return _digest(array if array.dtype.kind in "biufSU" else array.astype(str))
