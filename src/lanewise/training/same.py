"""Whether all ranks of a training were given the same: version, options, images. What differs is named, each."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from lanewise.data.images import Images
from lanewise.data.seen import Hashes
from lanewise.errors import OptionError
from lanewise.interrupts import one_press_ends
from lanewise.notes import unheard
from lanewise.ranks import Ranks, active, together
from lanewise.training.options import TrainOptions
from lanewise.version import __version__
from lanewise.wording import plural

Result = TypeVar("Result")
Train = Callable[[Any, Any, TrainOptions], Result]

OWN = ("threads", "verbose", "progress", "notes", "checkpoint")
"""Options that each rank may have as it likes."""

MOST = 6
"""Differences that are named."""


@contextmanager
def with_other_ranks(options: TrainOptions) -> Iterator[TrainOptions]:
    """Train together with other ranks, if there are any: the same there, and told by the first one alone.

    Parameters
    ----------
    options : TrainOptions

    Raises
    ------
    OptionError
        Ranks have other versions or options.
    """
    with together() as ranks:
        if ranks is not None:
            check_options(ranks, options)
            if ranks.rank > 0:
                options = replace(options, notes=unheard, progress=None, verbose=0)
        yield options


def one_training(function: Train[Result]) -> Train[Result]:
    """Make a function of images, labels and options one training in all ranks, which one press of Ctrl-C ends."""

    @one_press_ends
    @wraps(function)
    def together_with_others(source: Any, y: Any, options: TrainOptions) -> Result:
        with with_other_ranks(options) as known:
            return function(source, y, known)

    return together_with_others


def check_options(ranks: Ranks, options: TrainOptions) -> None:
    """Refuse ranks of other versions, or with other options, by an OptionError."""
    known = {"version of lanewise": __version__, "version of NumPy": np.__version__, "machine": platform.machine()}
    given = {one.name: _told(getattr(options, one.name)) for one in fields(options) if one.name not in OWN}
    _compare(ranks, known | given)


def check_data(images: Images, hashes: Hashes) -> None:
    """Refuse ranks with other images, labels or classes.

    Parameters
    ----------
    images : Images
    hashes : (N,) array
        Of the images, one each.

    Raises
    ------
    OptionError
        Each difference, by name.
    """
    ranks = active()
    if ranks is None:
        return
    count, *shape = images.pixels.shape
    _compare(
        ranks,
        {
            "number of images": count,
            "shape of images": "x".join(map(str, shape)),
            "type of images": images.pixels.dtype.str,
            "classes": _told(images.classes),
            "labels": _told(images.labels),
            "pixels": _told(hashes),
        },
    )


def _told(value: Any) -> str:
    """A value so that two may be compared, and short ones read."""
    if isinstance(value, np.ndarray):
        return _digest(str((value.shape, value.dtype.str)).encode() + np.ascontiguousarray(value).tobytes())
    parameters = getattr(value, "parameters", None)
    if parameters is not None:  # a model
        return _digest(b"".join(np.ascontiguousarray(array).tobytes() for array in parameters))
    text = str(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else _digest(text.encode())


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def _compare(ranks: Ranks, own: Mapping[str, Any]) -> None:
    all_ranks = ranks.gather({name: str(value) for name, value in own.items()})
    different = []
    for rank, other in enumerate(all_ranks):
        for name in sorted(all_ranks[0].keys() | other.keys(), key=str):
            here, there = all_ranks[0].get(name, "unknown"), other.get(name, "unknown")
            if here != there:
                different.append(f"{name.replace('_', ' ')}: {here} on rank 0, {there} on {ranks.named(rank)}")
    if different:
        more = f"; and {plural(len(different) - MOST, 'difference')} more" if len(different) > MOST else ""
        raise OptionError(f"ranks must be given the same, but differ in {'; '.join(different[:MOST])}{more}")
