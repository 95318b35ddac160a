"""The images of a search: in each size that is tried, without the test set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lanewise.data.held_out import hold_out
from lanewise.data.images import ImageSets
from lanewise.data.load import Source
from lanewise.training.options import TrainOptions
from lanewise.training.sources import sets_of


class SearchedSets:
    """The images in each size that is tried, without the test set, which no trial may see."""

    def __init__(self, source: Source | ImageSets, reading: dict[str, Any]) -> None:
        self.source, self.size = source, reading.get("size")
        self.reading = reading
        self.known: dict[str, ImageSets] = {}
        self.tested = False
        self.sets = self.at(None)

    def at(self, size: Any) -> ImageSets:
        """The images in a size."""
        key = str(size or self.size)
        if key not in self.known:
            y = None
            source: Any = self.source
            if isinstance(source, tuple):
                source, y = source
            reading = {**self.reading, **({} if size is None else {"size": size})}
            sets = sets_of(source, y, TrainOptions(**reading))
            self.tested = sets.test is not None
            self.known = dict(list(self.known.items())[-1:])  # two sizes at most are in memory
            self.known[key] = replace(sets, test=None)
        return self.known[key]

    def count(self, fraction: float | None, seed: int) -> int:
        """How many images choose."""
        if self.sets.validation is not None:
            return len(self.sets.validation)
        share: Any = TrainOptions.__dataclass_fields__["validation_fraction"].default if fraction is None else fraction
        train = self.sets.train
        return len(hold_out(train, np.arange(len(train)), share, seed, None).held)


def plain(value: Any) -> Any:
    """Values as JSON would give them back, so that they compare equal."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    return value if isinstance(value, str | int | float | bool | None) else str(value)
