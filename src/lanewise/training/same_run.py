"""What a training depends on: data, options and version, each by name.

A training must have all of it in common with the one that it goes on from, and all ranks with one another (same.py).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Images, ImageSets
from lanewise.data.seen import Hashes
from lanewise.engine.trainer import Trainer
from lanewise.errors import NetworkError, OptionError
from lanewise.model import Model
from lanewise.network.parser import parse
from lanewise.network.text import layer_text, to_text
from lanewise.ranks import Ranks, active
from lanewise.training.task import TrainingTask
from lanewise.version import __version__
from lanewise.wording import plural

FREE = ("threads", "strict", "progress", "notes", "verbose", "checkpoint", "resume")
"""Options that change no result: they may be others when a training is resumed."""

BY_DATA = ("start", "groups")
"""Options that are compared by what they mean for the images: names of files and of groups do not matter."""

SET_NAMES = {"train": "training", "validation": "validation", "test": "test"}
LONGEST = 60
"""Characters of a value that is told; of a longer one only that it differs. Of lists, so many values."""

MOST = 6
"""Differences between ranks that are named."""

WHOLE = ("version",)
"""What is told whatever its length."""

Facts = dict[str, Any]
"""Values of JSON by what they are called in a sentence."""


def facts_of(
    sets: ImageSets, hashes: Callable[[str], Hashes], start: Model | None, options: Mapping[str, Any]
) -> Facts:
    """What training depends on.

    Parameters
    ----------
    sets : ImageSets
    hashes : callable
        Gives those of the images of a set by its name.
    start : Model or None
        The model that training starts from.
    options : mapping
        All options of training by their names.
    """
    facts = facts_of_options(options)
    for name, part in sets.parts.items():
        facts.update(_facts_of_images(SET_NAMES[name], part, hashes(name)))
    if start is not None:
        text = ", ".join(layer_text(node.layer) for node in start.graph.nodes[1:])
        facts["start"] = _digest(*start.parameters, np.array([text, *map(str, start.classes)]))
    return facts


def facts_of_options(options: Mapping[str, Any]) -> Facts:
    """What training depends on and is known before an image is read.

    Parameters
    ----------
    options : mapping
        All options of training by their names.
    """
    facts: Facts = {"version": __version__}
    for name, value in options.items():
        if name not in (*FREE, *BY_DATA):
            facts[name.replace("_", " ")] = _network(value) if name == "network" else _plain(value)
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


def differences(
    then: Mapping[str, Any], now: Mapping[str, Any], sides: tuple[str, str] = ("then", "now")
) -> Iterator[str]:
    """What differs, each in a few words: "epochs: 3 then, 4 now", or "other labels of test images now".

    Where sets have other numbers of images, nothing else is said of them.

    Parameters
    ----------
    then, now : facts
    sides : two of str
        What the two are called.
    """
    names = [name for name in dict.fromkeys([*now, *then]) if then.get(name) != now.get(name)]
    counted = [f"of {name.removeprefix(NUMBER)}" for name in names if name.startswith(NUMBER)]
    for name in names:
        if name.startswith(NUMBER) or not name.endswith(tuple(counted)):
            yield _difference(name, then.get(name), now.get(name), sides)


def _difference(name: str, then: Any, now: Any, sides: tuple[str, str]) -> str:
    told = ["none" if value is None else str(value) for value in (then, now)]
    if name not in WHOLE and any(len(text) > LONGEST or text.startswith(DIGEST) for text in told):
        return f"{'other' if name.endswith('s') else 'another'} {name} {sides[1]}"
    return f"{name}: {told[0]} {sides[0]}, {told[1]} {sides[1]}"


def check_ranks(facts: Callable[[], Facts]) -> None:
    """Refuse ranks whose trainings depend on other things.

    Parameters
    ----------
    facts : callable
        Gives what `facts_of` does; it is not called where there is one process only.

    Raises
    ------
    OptionError
        Each difference is named.
    """
    ranks = active()
    if ranks is not None:
        compare(ranks, facts())


def compare(ranks: Ranks, own: Facts) -> None:
    """Refuse ranks whose facts are not those of the first one."""
    first, *others = ranks.gather(own)
    found = [
        text
        for rank, other in enumerate(others, 1)
        for text in differences(first, other, ("on rank 0", f"on {ranks.named(rank)}"))
    ]
    if found:
        more = f"; and {plural(len(found) - MOST, 'difference')} more" if len(found) > MOST else ""
        raise OptionError(f"ranks must be given the same, but differ ({'; '.join(found[:MOST])}{more})")


NUMBER = "number of "


def _facts_of_images(name: str, images: Images, hashes: Hashes) -> Iterator[tuple[str, Any]]:
    yield f"{NUMBER}{name} images", len(images)
    yield f"size of {name} images", "x".join(map(str, images.pixels.shape[1:]))
    yield f"type of pixels of {name} images", str(images.pixels.dtype)
    yield f"fit of {name} images", images.resize
    yield f"classes of {name} images", ", ".join(images.classes)
    yield f"pixels of {name} images", _digest(hashes)
    yield f"labels of {name} images", None if images.labels is None else _digest(images.labels)
    yield f"groups of {name} images", None if images.groups is None else _digest(images.groups.numbers)


DIGEST = "blake2b:"


def _digest(*arrays: NDArray[Any]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        found.update(repr((array.shape, array.dtype.str)).encode())
        found.update(np.ascontiguousarray(array).data if array.size else b"")
    return DIGEST + found.hexdigest()


def _network(value: Any) -> Any:
    """A network as text, the same however it was written."""
    try:
        return to_text(parse(value) if isinstance(value, str) else tuple(value))
    except NetworkError:  # a word like "auto", or nonsense, which is refused later
        return value


def _plain(value: Any) -> Any:
    """An option as a value of JSON: the same for all that mean the same."""
    match value:
        case None | bool() | str():
            return value
        case os.PathLike():
            return os.fspath(value)
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
    array = np.asarray(value)
    if array.dtype.kind in "biu" and array.ndim == 0:
        return int(array)
    if array.dtype.kind in "biuf":
        array = array.astype(np.float64)
    elif array.dtype.kind not in "SU":
        array = array.astype(str)
    if array.ndim == 0:
        number = array.item()
        return int(number) if isinstance(number, float) and number.is_integer() else number
    return [_plain(one) for one in array.tolist()] if array.size < LONGEST else _digest(array)
