"""A starting model and labelled images, brought together: names and order of classes, and the scale of pixels.

    fitted(start, sets, say) -> (start, sets)

A network from elsewhere says neither what its outputs are called nor which values its author gave it. The labels of the
images tell both: its outputs are the classes in order, and of the usual scales it gets most images right on its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Images, ImageSets, statistics
from lanewise.errors import LanewiseError
from lanewise.model import Model
from lanewise.notes import Caution, Note, Say
from lanewise.pixel_scale import on_scale, range_of
from lanewise.preprocessing import IMAGENET

Channels = NDArray[np.float64]

MOST_IMAGES = 1024
"""Images that a scale is chosen by."""

CLEARLY = 0.05
"""Another scale must get so many more images right, as a share of all."""

SURE = 3.0
"""Standard errors that a difference must exceed."""


def fitted(start: Model, sets: ImageSets, say: Say) -> tuple[Model, ImageSets]:
    """The model with names and a scale that fit the images, and the images as it takes them.

    What does not fit is left as it is: whoever goes on with it refuses it, with words that fit.

    Parameters
    ----------
    start : Model
    sets : ImageSets
        Labelled images; those to train on tell the names and the scale.
    say : callable
        Given each sentence for the user.
    """
    start = _named(start, sets.train, say)
    sets = _in_order_of(start, sets)
    start, said = scaled_by_labels(start, sets.train)
    if said is not None:
        say(said)
    changed: dict[str, Images] = {}
    for name, part in sets.parts.items():
        if part.pixels.shape[1:] == start.preprocessing.shape:
            pixels, note = on_scale(part.pixels, start.preprocessing)
            changed[name] = replace(part, pixels=pixels)
            if note is not None and name == "train":
                say(note)
    return start, replace(sets, **changed)


def scaled_by_labels(model: Model, images: Images) -> tuple[Model, Note | None]:
    """The model with the scale on which it gets most of these images right, and what there is to be said of it.

    Only a network from elsewhere that says nothing of its scale is changed.
    """
    if not _unknown_scale(model, images) or images.classes != model.class_names:
        return model, None
    (given, right), *others = [
        (candidate, candidate.outputs.argmax(axis=1) == candidate.labels) for candidate in _candidates(model, images)
    ]
    best, most = max(others, key=lambda pair: (pair[1].mean(), -pair[0].loss()), default=(given, right))
    if _clearly_more(most, right):
        return best.model, Caution(
            f"The model does not say which values it was trained on. It gets {_percent(most)} of {len(most):,} images "
            f"right if they are {best.words}, {_percent(right)} as they are: they are {best.words} for it."
        )
    if not _chance(right, len(model.classes)):
        return given.model, None
    return given.model, Caution(
        f"The model gets {_percent(right)} of {len(right):,} images right, no more than by guessing, on any of the "
        "usual scales: its classes may have another order, or its author prepared images otherwise."
    )


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A model with one of the usual scales, and what it says of some images."""

    words: str
    model: Model
    outputs: NDArray[np.float32]
    labels: NDArray[np.int32]

    def loss(self) -> float:
        """Mean cross-entropy."""
        given = self.outputs[np.arange(len(self.labels)), self.labels].astype(np.float64)
        return float(-np.log(np.maximum(given, 2.0**-24)).mean())


def _unknown_scale(model: Model, images: Images) -> bool:
    preprocessing = model.preprocessing
    unknown = preprocessing.dtype == "float32" and preprocessing.value_range is None and not preprocessing.standardised
    fits = images.pixels.shape[1:] == preprocessing.shape and len(images.classes) == len(model.classes)
    return unknown and fits and images.labels is not None and len(images) > 0


def _candidates(model: Model, images: Images) -> Iterator[_Candidate]:
    """The model on the scale of the images, and on others."""
    preprocessing = model.preprocessing
    assert images.labels is not None
    chosen = np.linspace(0, len(images) - 1, min(len(images), MOST_IMAGES)).astype(np.int64)
    pixels, labels = images.pixels[chosen].astype(np.float32), images.labels[chosen]
    span = range_of(images.pixels, np.arange(len(images)), files=images.resize is not None)
    for words, gain, shift in (("as they are", 1.0, 0.0), *_usual(images, chosen, span)):
        scale = np.array(preprocessing.scale)
        offset = np.array(preprocessing.offset) + scale * shift
        try:
            outputs = model.predict_proba((pixels * gain + shift).astype(np.float32))
            scaled = replace(preprocessing, scale=tuple(scale * gain), offset=tuple(offset), value_range=span)
            changed = replace(model, preprocessing=scaled)
        except LanewiseError:  # numbers that do not fit into float32
            if words == "as they are":
                raise
            continue
        yield _Candidate(words, changed, outputs, labels)


def _named(start: Model, images: Images, say: Say) -> Model:
    """Outputs without names get those of the classes: of those whose images they answer to, or in order."""
    names = images.classes
    unnamed = not start.provenance and start.class_names == tuple(map(str, range(len(start.classes))))
    if not unnamed or len(names) != len(start.classes) or set(names) == set(start.class_names):
        return start
    order, which = names, "in this order"
    if _unknown_scale(start, images):
        right, in_order, place = max(
            (_matched(one.outputs.argmax(axis=1), one.labels, len(names)) for one in _candidates(start, images)),
            key=lambda found: float(found[0].mean()),
        )
        if right.mean() > 0.5 and _clearly_more(right, in_order):
            order = tuple(names[n] for n in place)
            which = f"in this order, by which it gets {_percent(right)} of {len(right):,} images right"
    listed = ", ".join(order[:10]) + (", ..." if len(order) > 10 else "")
    say(
        Caution(
            f"The model's {len(names)} outputs have no names; they are taken as the classes {which}: {listed}. "
            "If it is another, name them: Model.load(path, classes=[...])."
        )
    )
    return replace(start, classes=order)


def _matched(
    answers: NDArray[np.int64], labels: NDArray[np.int32], size: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Which answers are right with the outputs in the best order, and as they are; and the class of each output.

    The most frequent pairs of output and class come first.
    """
    counts = np.bincount(answers * size + labels, minlength=size * size).reshape(size, size)
    place = np.full(size, -1, np.int64)
    for pair in np.argsort(-counts, axis=None, kind="stable").tolist():
        output, label = divmod(pair, size)
        if place[output] < 0 and label not in place:
            place[output] = label
    return place[answers] == labels, answers == labels, place


def _in_order_of(start: Model, sets: ImageSets) -> ImageSets:
    """The same classes in the order of the model's outputs."""
    names, wanted = sets.train.classes, start.class_names
    if names == wanted or sorted(names) != sorted(wanted):
        return sets
    place = np.array([wanted.index(name) for name in names], np.int32)
    changed = {
        name: replace(part, classes=wanted, labels=None if part.labels is None else place[part.labels])
        for name, part in sets.parts.items()
    }
    return replace(sets, **changed)


def _usual(
    images: Images, chosen: NDArray[np.int64], span: tuple[float, float]
) -> Iterator[tuple[str, Channels | float, Channels | float]]:
    """The usual scales as (words, gain, shift), for values that reach over `span`."""
    low, high = span
    if low >= 0 and high > 1:
        unit, zero, half = 1 / high, 0.0, f"divided by {high / 2:.4g}, minus 1"
        yield f"divided by {high:.4g}", unit, zero
    elif low >= 0 and high > 0.5:
        unit, zero, half = 1.0, 0.0, "multiplied by 2, minus 1"
        yield "multiplied by 255", 255.0, 0.0
    elif -1 <= low <= -0.5 and 0.5 <= high <= 1:
        unit, zero, half = 0.5, 0.5, ""
        yield "brought to 0 to 1", unit, zero
        yield "brought to 0 to 255", 127.5, 127.5
    else:
        return
    if half:
        yield half, 2 * unit, 2 * zero - 1
    mean, std = statistics(images.pixels, chosen)
    yield "brought to mean 0 and standard deviation 1", 1 / std, -mean / std
    if images.channels == 3:
        mean, std = map(np.array, IMAGENET)
        yield "brought to the mean and standard deviation of ImageNet", unit / std, (zero - mean) / std


def _clearly_more(more: NDArray[np.bool_], right: NDArray[np.bool_]) -> bool:
    gained, lost = int((more & ~right).sum()), int((right & ~more).sum())
    return gained - lost > max(CLEARLY * len(right), SURE * math.sqrt(gained + lost))


def _chance(right: NDArray[np.bool_], classes: int) -> bool:
    share = float(right.mean())
    return share - SURE * math.sqrt(share * (1 - share) / len(right)) < 1 / classes and len(right) >= 5 * classes


def _percent(right: NDArray[np.bool_]) -> str:
    return f"{100 * right.mean():.1f} %"
