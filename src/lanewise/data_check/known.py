"""Which images a model was trained on, and what it predicts for the others.

    known = Known.of(model, collection)       known.finding(collection)       known.evaluated(places, classes)

The label of a training image is never tested by the model: the model was fitted to it, right or wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.data.images import Images
from lanewise.data.seen import TRAINED
from lanewise.data_check.findings import NOTE, SERIOUS, SETS, Case, Collection, Finding
from lanewise.errors import DataError
from lanewise.evaluation.unseen import kinds_of
from lanewise.model import Model
from lanewise.pixel_scale import scaled
from lanewise.wording import counted

UNKNOWN = (
    "The model does not record its training images, so no image counts as new to it: labels were tested by other "
    "networks."
)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The images as a model takes them, and which of them it was trained on: (N,), or None if it does not say."""

    model: Model
    images: Images
    trained: NDArray[np.bool_] | None

    @classmethod
    def of(cls, model: Model, collection: Collection) -> Known:
        """Recognise the images that a model was trained on.

        Raises
        ------
        DataError
            The images are of another shape than the model takes, or on another scale.
        """
        came, fits = collection.pixels.shape[1:], model.preprocessing.shape
        if came != fits:
            raise DataError(
                "the model takes images of {}x{}x{} (rows x columns x channels), but the arrays hold images of "
                "{}x{}x{}: resize them first".format(*fits, *came)
            )
        labels = collection.labels if (collection.labels >= 0).all() else None
        images = Images(collection.pixels, labels, collection.classes)
        kinds = kinds_of(model, images)
        return cls(model, scaled(images, model.preprocessing), None if kinds is None else kinds == TRAINED)

    def finding(self, collection: Collection) -> Finding | None:
        """Report training images where new ones are expected."""
        if self.trained is None:
            return None
        where = {name: self.trained & (collection.parts == n) for n, name in enumerate(collection.part_names)}
        if len(where) > 1:
            where.pop("train", None)  # that is where they belong
        found = {name: which for name, which in where.items() if which.any()}
        if not found:
            return None
        serious = any(name in ("validation", "test") for name in found)
        told = [
            f"{int(which.sum()):,} of the {int((collection.parts == collection.part_names.index(name)).sum()):,} images"
            + (f" of the {SETS[name]}" if serious and name in SETS else "")
            for name, which in found.items()
        ]
        places = np.flatnonzero(np.any(list(found.values()), axis=0))
        cases = tuple(Case((n,), (collection.names[n],), "") for n in places.tolist())
        return Finding(
            "trained-on",
            SERIOUS if serious else NOTE,
            f"The model was trained on {' and '.join(told)}.",
            "They say nothing about new images: lanewise evaluate leaves them out.",
            cases,
        )

    def new(self, copies: Sequence[tuple[int, ...]]) -> NDArray[np.bool_]:
        """Which images are new to the model: neither they nor copies of them were trained on."""
        assert self.trained is not None
        known = self.trained.copy()
        for group in copies:
            known[list(group)] |= known[list(group)].any()
        return ~known

    def evaluated(self, places: NDArray[np.int64], classes: Sequence[str]) -> NDArray[np.float64]:
        """The model's probabilities of some classes for the images at `places`: (N, classes).

        Raises
        ------
        DataError
            The model does not know one of the classes.
        """
        names = list(self.model.class_names)
        if missing := [name for name in classes if name not in names]:
            raise DataError(f"labels were not tested: the model knows no class {missing[0]!r}")
        found = self.model.predict_proba(self.images.pixels[places])[:, [names.index(name) for name in classes]]
        return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12), np.float64)


def left_out(count: int, new: int) -> str:
    """Say how many labels the model did not test."""
    them = "them" if count > 1 else "it"
    return (
        f"{counted(count, 'image', 'was/were')} left out of testing labels, because the model was trained on {them} or "
        f"on copies; it tested the {new:,} others."
    )
