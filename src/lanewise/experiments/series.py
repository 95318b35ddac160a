"""Several networks, each trained with several seeds on the same images: what `compare` and `vary` have in common."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lanewise.data.images import ImageSets
from lanewise.data.load import Source
from lanewise.errors import OptionError
from lanewise.experiments.journal import Journal
from lanewise.experiments.trial import Roles, Trial, from_entry, prepared, settings_of, trial_of
from lanewise.training.checkpoint import SUFFIX, Keeper, keeper_of_part
from lanewise.training.task import Progress


@dataclass(frozen=True, slots=True)
class Found:
    """What is told of every experiment, beside its rows.

    Attributes
    ----------
    seeds : tuple of int
    recalled : int
        Trainings taken from the journal.
    evaluating : Roles
        Which images evaluate, and which chose the best weights.
    """

    seeds: tuple[int, ...]
    recalled: int
    evaluating: Roles

    @property
    def count(self) -> int:
        """Size of the evaluation set."""
        return self.evaluating.count

    @property
    def kept_back(self) -> bool:
        """Whether it was held out of the training set."""
        return self.evaluating.kept_back

    def to_json(self) -> dict[str, Any]:
        """All as values that JSON can hold."""
        return {**asdict(self), **self.evaluating.to_json()}


class Series:
    """The trainings of one experiment, none of which is done twice.

    Parameters
    ----------
    name : str
        Of the experiment: its journal is called so.
    source, size, channels, fit, group_by
        The images, as for `lanewise.load`.
    seeds : sequence of int
    folder : path, optional
        Where a journal is kept: trainings that it holds are not repeated. Beside it is a checkpoint of the one that is
        under way, from which it goes on.
    options : mapping
        Those of `lanewise.train`, which all trainings share; `groups` are those of the training images.

    Attributes
    ----------
    sets : ImageSets
        With the evaluation set as the test set.

    Raises
    ------
    DataError
        There is nothing to evaluate by.
    OptionError
        The seeds are not a list of distinct numbers, or the journal is of other images or settings.
    """

    def __init__(
        self,
        name: str,
        source: Source | ImageSets,
        size: str | int | tuple[int, int] | None,
        channels: int | None,
        fit: str | None,
        group_by: str | None,
        seeds: Sequence[int],
        folder: str | os.PathLike[str] | None,
        options: Mapping[str, Any],
    ) -> None:
        self.seeds = check_seeds(seeds)
        self.sets, self.evaluating = prepared(
            source, size, channels, options.get("validation_fraction"), fit, group_by, options.get("groups")
        )
        options = {name: value for name, value in options.items() if name != "groups"}  # images have them now
        journal = None if folder is None else Path(folder, f"{name}.jsonl")
        self.journal = None if journal is None else Journal(journal, settings_of(self.sets, options))
        self.options = options
        self.recalled = 0

    def trial(self, network: str, seed: int, progress: Callable[[Progress], None] | None = None) -> Trial:
        """Train a network and evaluate it, unless the journal holds the result.

        Parameters
        ----------
        network : str
        seed : int
        progress : callable, optional
            Given a `Progress` while training.
        """
        key = f"{network}; seed {seed}"
        entry = None if self.journal is None else self.journal.entries.get(key)
        known = None if entry is None else from_entry(entry, self.evaluating.count)
        if known is not None:
            self.recalled += 1
            return known
        with closing(self._keeper(key)) as keeper:
            trial = trial_of(self.sets, network, seed, self.options, progress, keeper)
            if self.journal is not None:
                self.journal.add(key, trial.to_entry())
            keeper.remove()
        return trial

    def _keeper(self, key: str) -> Keeper:
        """Where a training that a killed process began goes on; nowhere, if another process is at it."""
        if self.journal is None:
            return Keeper()
        number = hashlib.blake2b(key.encode(), digest_size=6).hexdigest()
        return keeper_of_part(self.journal.path.with_name(f"{self.journal.path.stem}-{number}{SUFFIX}"))

    def facts(self) -> dict[str, Any]:
        """The fields of `Found`."""
        return {"seeds": self.seeds, "recalled": self.recalled, "evaluating": self.evaluating}


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds, if there are any and none is there twice."""
    if not isinstance(seeds, Sequence) or not seeds or len(set(seeds)) < len(seeds):
        given = list(seeds) if isinstance(seeds, Sequence) else seeds
        raise OptionError(
            f"seeds: {given} is not a list of distinct numbers; give at least one, or for three seeds (0, 1, 2)"
        )
    return tuple(int(seed) for seed in seeds)
