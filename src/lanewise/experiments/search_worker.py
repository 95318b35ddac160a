"""A worker of a search: claims trials of the study, trains them, and keeps the models of the best."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from optuna import Trial
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from lanewise.errors import LanewiseError, OptionError, ProgramError
from lanewise.experiments.search_found import OBJECTIVES, SearchRow, checkpoint_file, model_file, trial_of_checkpoint
from lanewise.experiments.search_images import plain
from lanewise.experiments.search_plan import Plan, SearchProgress
from lanewise.experiments.search_result import SearchResult
from lanewise.experiments.search_trial import figures_of, row_of
from lanewise.experiments.space import AtRandom, Setting
from lanewise.experiments.study import LostDatabaseError, Study, over, quiet, root, sqlite, standing
from lanewise.model import Model
from lanewise.notes import unheard
from lanewise.training.checkpoint import SUFFIX, Keeper, keeper_of_part
from lanewise.training.fit import train
from lanewise.training.task import Progress
from lanewise.wording import shown

FILE = "search.db"
PATIENT = 3
"""Choices in a row that were tried before; the next is drawn at random from what was not."""

DRAWS = 20_000
"""So many at random of which each was tried before mean that there are no others. How many a space has is not known
before, as different choices may be the same network: conv 8@3x3 {same,} {same,}, or two networks with some in common.
"""


class _Stopped(Exception):
    """A trial is not worth going on with."""


class Worker:
    """One of the workers of a search."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.models: dict[int, Model] = {}
        self.again = 0
        self.count = plan.space.count()

    def run(self, progress: Callable[[SearchProgress], None] | None) -> SearchResult:
        """Train trials until all are over, those of other workers, too."""
        url = self.plan.storage
        if self.plan.folder is not None:
            try:
                self.plan.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OptionError(f"{shown(self.plan.folder)} cannot be made: {error.strerror}") from None
            url = url or sqlite(self.plan.folder.absolute() / FILE)
        directions = [OBJECTIVES[one] for one in self.plan.objectives]
        seed = int(self.plan.fixed.get("seed", 0))
        study = Study(url, self.plan.name, self.plan.settings(), directions, seed, self.plan.heartbeat, self.plan.first)
        try:
            self._work(study, progress or (lambda report: None))
            study.trials()
            self._tidy(study)
            return self.result(study)
        finally:
            study.close()

    def _work(self, study: Study, say: Callable[[SearchProgress], None]) -> None:
        waits = False
        while True:
            trial = study.settled() if (full := self._all_chosen(study)) else study.claim(self.plan.trials)
            if trial is True:
                return
            if trial is False:
                if not waits and (full or len(self.rows(study)) >= self.plan.trials):
                    say(SearchProgress(self._done(study), self.plan.trials, -1, waiting=True))
                    waits = True
                time.sleep(min(1.0, self.plan.heartbeat) if waits else 0)
                continue
            waits = False
            self._try(study, trial, say)

    def _all_chosen(self, study: Study) -> bool:
        """Whether there is nothing that was not tried or is not being tried."""
        return self.count < self.plan.trials and len(self._chosen(study)) >= self.count

    def _chosen(self, study: Study) -> set[str]:
        return {one.user_attrs["setting"] for one in standing(study.seen) if "setting" in one.user_attrs}

    def _done(self, study: Study) -> int:
        return sum(map(over, standing(study.seen)[: self.plan.trials]))

    def _try(self, study: Study, trial: Trial, say: Callable[[SearchProgress], None]) -> None:
        """One trial, from its choices to its end in the database."""
        own = next(one for one in study.seen if one.number == trial.number)
        number = root(own)
        with study.alive(trial, f"{socket.gethostname()}:{os.getpid()}"):
            try:
                with quiet():
                    setting = study.patiently(lambda: self.plan.space.draw(trial))
            except UpdateFinishedTrialError:  # others took this worker for dead: the trial is begun again
                return
            if self._was_chosen(study, own, setting):
                self.again += 1
                study.give_back(trial)
                if self.again >= PATIENT:
                    if (new := self._something_new(study, trial.number)) is not None:
                        study.queue(new)
                    else:
                        self.count = len(self._chosen(study))
                return
            self.again = 0
            study.note(trial, "network", setting.network)
            study.note(trial, "options", plain(dict(setting.options)))
            study.note(trial, "setting", setting.key())
            with closing(self._keeper(study, number, setting)) as keeper:
                try:
                    figures, came_to = self._train(study, trial, setting, keeper, say)
                    state = TrialState.PRUNED if came_to is None else TrialState.COMPLETE
                    study.note(trial, "figures", figures)
                except (ProgramError, LostDatabaseError):
                    raise
                except LanewiseError as error:
                    study.note(trial, "reason", str(error).splitlines()[0])
                    came_to, state = None, TrialState.FAIL
                except BaseException as error:  # it will go on
                    if isinstance(error, KeyboardInterrupt):
                        study.note(trial, "interrupted", True)
                    study.tell(trial, TrialState.FAIL)
                    raise
                if study.tell(trial, state, came_to):
                    keeper.remove()
        study.trials()
        self._tidy(study)
        row = next(one for one in self.rows(study) if one.number == number)
        say(SearchProgress(self._done(study), self.plan.trials, number, row))

    def _was_chosen(self, study: Study, own: FrozenTrial, setting: Setting) -> bool:
        """Whether a trial before tries the same: nothing is trained twice."""
        others = (one for one in standing(study.trials()) if root(one) != root(own) and one.number < own.number)
        return any(one.user_attrs.get("setting") == setting.key() for one in others)

    def _something_new(self, study: Study, number: int) -> dict[str, Any] | None:
        """Choices at random that were not tried, where what comes of them is not known to be better."""
        chosen = self._chosen(study)
        for n in range(DRAWS):
            drawn = AtRandom((int(self.plan.fixed.get("seed", 0)), number, n))
            if self.plan.space.draw(drawn).key() not in chosen:
                return drawn.params
        return None

    def _train(
        self,
        study: Study,
        trial: Trial,
        setting: Setting,
        keeper: Keeper,
        say: Callable[[SearchProgress], None],
    ) -> tuple[dict[str, Any], list[float] | None]:
        """Train, and measure; no values if it fell behind the others and was stopped.

        Parameters
        ----------
        study : Study
        trial : Trial
        setting : Setting
        keeper : Keeper
            Has the checkpoint of the trial, if one was begun before.
        say : callable
            Given a `SearchProgress`.
        """
        number = root(next(one for one in study.seen if one.number == trial.number))
        done = self._done(study)
        last: list[Progress] = []
        alone = len(self.plan.objectives) == 1

        def report(now: Progress) -> None:
            say(SearchProgress(done, self.plan.trials, number, training=now))
            step = int(100 * now.fraction)
            if not now.epoch_done or now.validation_accuracy is None or not alone:
                return
            if step >= 100 or (last and int(100 * last[-1].fraction) >= step):
                return
            if not last:
                study.catch_up(trial, step)
            last.append(now)
            value = now.validation_loss if self.plan.objectives[0] == "loss" else now.validation_accuracy
            assert value is not None
            if study.behind(trial, value, step):
                raise _Stopped

        options = dict(setting.options)
        sets = self.plan.images.at(options.pop("size", None))
        network = {} if setting.network is None else {"network": setting.network}
        threads = {} if self.plan.threads is None else {"threads": self.plan.threads}
        told: dict[str, Any] = {"progress": report, "notes": unheard, "verbose": 0, "folds": 0, "checkpoint": keeper}
        try:
            model = train(sets, **{**self.plan.fixed, **network, **options, **threads, **told})
        except _Stopped:
            end = last[-1]
            return {
                "accuracy": end.validation_accuracy,
                "loss": end.validation_loss,
                "epochs": end.epoch,
                "seconds": round(end.seconds, 4),
                "fraction": round(end.fraction, 4),
            }, None
        if model.provenance["interrupted"]:
            raise KeyboardInterrupt
        figures = figures_of(model, "latency" in self.plan.objectives)
        self._keep(number, model)
        return figures, [float(figures[one.replace("-", "_")]) for one in self.plan.objectives]

    def _keeper(self, study: Study, number: int, setting: Setting) -> Keeper:
        """Where a trial goes on that another process of this folder began.

        Parameters
        ----------
        study : Study
        number : int
        setting : Setting
        """
        if self.plan.folder is None:
            return Keeper()
        training = json.dumps([study.settings, setting.key()])
        return keeper_of_part(self.plan.folder / checkpoint_file(self.plan.name, number, training))

    def _keep(self, number: int, model: Model) -> None:
        """Keep a model, before the database knows of it."""
        if self.plan.folder is None:
            self.models[number] = model
        else:
            model.save(self.plan.folder / model_file(self.plan.name, number))

    def _tidy(self, study: Study) -> None:
        """Drop the models of trials that others are better than, and checkpoints of those that are over."""
        rows = self.result(study, importances=False)
        kept = {row.number for row in rows.front()}
        ended = {row.number for row in rows.rows if row.state in ("complete", "stopped", "failed")}
        for number in ended - kept:
            self.models.pop(number, None)
            if self.plan.folder is not None:
                (self.plan.folder / model_file(self.plan.name, number)).unlink(missing_ok=True)
        for path in () if self.plan.folder is None else self.plan.folder.glob(f"*{SUFFIX}*"):
            if trial_of_checkpoint(self.plan.name, path.name) in ended:
                path.unlink(missing_ok=True)

    def rows(self, study: Study) -> list[SearchRow]:
        """All trials that count."""
        return [row_of(trial) for trial in standing(study.seen)]

    def result(self, study: Study, importances: bool = True) -> SearchResult:
        """What there is so far."""
        sets = self.plan.images.sets
        matter = {name: study.importances(n) for n, name in enumerate(self.plan.objectives)} if importances else {}
        return SearchResult(
            study=self.plan.name,
            where=study.where,
            objectives=self.plan.objectives,
            rows=tuple(self.rows(study)),
            trials=self.plan.trials,
            space=self.plan.space.to_json(),
            fixed=self.plan.fixed,
            reading={name: value for name, value in self.plan.images.reading.items() if name != "groups"},
            count=self.plan.count,
            own_split=sets.validation is None,
            tested=self.plan.images.tested,
            importances=matter,
            folder=self.plan.folder,
            models=dict(self.models),
        )
