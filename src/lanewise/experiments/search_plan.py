"""What a search is to do, checked before anything is trained: the space, the images, the settings all workers share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lanewise.brief import short
from lanewise.data.images import ImageSets
from lanewise.data.load import Source, has_its_size
from lanewise.errors import DataError, NetworkError, OptionError
from lanewise.experiments.journal import fingerprint
from lanewise.experiments.search_found import OBJECTIVES, SearchRow
from lanewise.experiments.search_images import SearchedSets, plain
from lanewise.experiments.space import default_space, space_of
from lanewise.training.default_rate import default_learning_rate, with_steps
from lanewise.training.effort import effort_for
from lanewise.training.options import TrainOptions
from lanewise.training.recipe import network_for
from lanewise.training.task import Progress
from lanewise.version import __version__

READING = ("size", "channels", "fit", "group_by", "groups", "strict")
"""Options that say how images are read."""


@short
@dataclass(frozen=True, slots=True)
class SearchProgress:
    """How far a search is: `done` of `total` trials, and one of them: `row`, if it has just ended, or `training`."""

    done: int
    total: int
    number: int
    row: SearchRow | None = None
    training: Progress | None = None
    waiting: bool = False


class Plan:
    """A search, checked; the parameters are those of `search`.

    Attributes
    ----------
    space : Space
    fixed : dict
        Options that all trials share.
    images : SearchedSets
    count : int
        Number of validation images.
    first : list of dict
        Choices to try first.
    """

    def __init__(
        self,
        source: Source | ImageSets,
        trials: int,
        network: str | Sequence[str] | None,
        objectives: str | Sequence[str],
        folder: str | os.PathLike[str] | None,
        storage: str | None,
        study: str,
        heartbeat: float,
        options: dict[str, Any],
    ) -> None:
        if not isinstance(trials, int) or trials < 1:
            raise OptionError(f"trials must be a whole number of at least 1, not {trials!r}")
        if not heartbeat > 0:
            raise OptionError(f"heartbeat must be a number of seconds above 0, not {heartbeat!r}")
        self.trials, self.name, self.storage, self.heartbeat = trials, study, storage, heartbeat
        self.objectives = check_objectives(objectives)
        self.folder = None if folder is None else Path(folder)
        given = {name: value for name, value in options.items() if value is not None}
        for name in ("checkpoint", "resume"):
            if given.get(name):
                raise OptionError(f"a search with a folder keeps a checkpoint of each trial itself: leave {name} out")
        self.space, fixed = space_of(network or "auto", given)
        TrainOptions(**fixed)  # a typing error shows before images are read
        self.sizes = self.space.options.get("size")
        if self.sizes is not None and has_its_size(source):
            raise OptionError("sizes can be searched where images are files: these have a size already")
        first_size = {} if self.sizes is None else {"size": str(self.sizes).partition(",")[0].partition("..")[0]}
        self.images = SearchedSets(source, {name: fixed.pop(name) for name in READING if name in fixed} | first_size)
        self.first: list[dict[str, Any]] = []
        if network is None and not self.space.options:
            self._take_defaults(fixed)
        if self.space.count() <= 1:
            raise OptionError(
                "there is nothing to choose: give alternatives, like the network 'conv {16..64}@{3x3,5x5}, ...' or the "
                "learning rate 0.01..0.3"
            )
        self.fixed = {name: value for name, value in fixed.items() if name != "threads"}
        self.threads = fixed.get("threads")
        self._check_images()
        self._check_networks()
        self.count = self._validation_images(self.fixed)

    def _validation_images(self, fixed: Mapping[str, Any]) -> int:
        return self.images.count(fixed.get("validation_fraction"), int(fixed.get("seed", 0)))

    def _take_defaults(self, fixed: dict[str, Any]) -> None:
        """Search what nothing was said of; the first trial is what training does untouched."""
        train = self.images.sets.train
        shape, classes = (train.channels, *train.size), len(train.classes)
        effort = effort_for(train, preset=fixed.get("preset", "good"))
        graph, _ = network_for("auto", shape, classes, effort=effort)
        held = 0 if self.images.sets.validation is not None else self._validation_images(fixed)
        usual = with_steps(TrainOptions(**fixed), graph, len(train) - held, effort, new=True)
        fixed["optimizer"] = usual.optimizer  # a rate that is searched, and so given, would else mean SGD
        options, networks = default_space(shape, classes, fixed, effort)
        self.space, _ = space_of(networks, options)
        rate = default_learning_rate(usual.optimizer, graph, usual.batch_size)
        usual_choices = {"learning_rate": rate, "augment": "auto"}
        self.first = [{name: value for name, value in usual_choices.items() if name in self.space.options}]
        if len(networks) > 1:
            self.first[0]["network"] = 1

    def _check_images(self) -> None:
        sets = self.images.sets
        if sets.validation is None and self.fixed.get("validation_fraction") == 0:
            raise OptionError("a search chooses by validation images: without any, validation_fraction cannot be 0")
        if sets.validation is not None and (sets.validation.labels is None or not len(sets.validation)):
            raise DataError("the validation images have no labels, so nothing can be chosen by them")

    def _check_networks(self) -> None:
        """Refuse a network of which neither the smallest nor the largest choice can be built, with its caret."""
        train = self.images.sets.train
        for one in self.space.networks:
            problems = []
            for end in (0, -1):
                values = [brace.alternatives.ends()[end] for brace in one.braces]
                try:
                    network_for(one.filled(values), (train.channels, *train.size), len(train.classes))
                except NetworkError as error:
                    problems.append(error)
            if len(problems) == 2:
                raise problems[0]

    def settings(self) -> dict[str, Any]:
        """What all workers must agree on."""
        settings = {
            "images": fingerprint(self.images.sets),
            "version": __version__,
            "space": self.space.to_json(),
            "objectives": list(self.objectives),
            # groups are in the fingerprint, and may be as many as the images
            "options": {**self.images.reading, **self.fixed, "groups": None},
        }
        found: dict[str, Any] = plain(settings)
        return found


def check_objectives(given: str | Sequence[str]) -> tuple[str, ...]:
    """The objectives, if they are known and make sense together."""
    names = tuple(one.strip() for one in (given.split(",") if isinstance(given, str) else given))
    for one in names:
        if one not in OBJECTIVES:
            raise OptionError(f'unknown objective "{one}": choose of {", ".join(OBJECTIVES)}')
    if not names or names[0] not in ("accuracy", "loss") or len(set(names)) < len(names):
        raise OptionError(
            f"the objectives {','.join(names)!r} are not one of accuracy and loss, or that and costs: "
            "accuracy,weights, for example"
        )
    return names
