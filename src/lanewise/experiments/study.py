"""A study in a database: what any number of workers share, and how none of its trials is lost.

Each trial is one training. It is claimed when the database gives it a number, and its worker gives a sign of life every
few seconds. One without is failed, and what it was to try is queued again under a new number; `root` is the number that
it had first. A worker may be killed at any moment:

before its first sign of life   whoever sees it running without one for long enough takes it for dead
while it trains                 so does the database, by its own clock
after a trial failed, before it was queued again     whoever sees that queues it

Two workers may do the same at once. So each looks, once it has a trial, whether it is one of those that count
(`standing`), by the order of numbers that all see alike, and gives it back if not.
"""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypeVar

import numpy as np
import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from lanewise.errors import LanewiseError, MissingPackageError, OptionError
from lanewise.experiments.journal import differences
from lanewise.wording import shown

T = TypeVar("T")

RANDOM = 5
"""Trials of each bracket that are drawn at random, before others are drawn by what they came to."""

POPULATION = 16
"""Of a generation, for several objectives."""

SHORTEST, REDUCTION = 11, 3
"""Percent of a training after which the first trials may be stopped, and of so many one goes on."""

ATTEMPTS = 4
"""How often a trial is begun, if its worker dies each time: perhaps it is what kills it."""

GRACE = 6
"""Signs of life that may be missing."""

PATIENCE = 300.0
"""Seconds for which a database that was there may be away."""

SETTINGS = "lanewise"


class LostDatabaseError(LanewiseError):
    """The database went away while a search ran."""


class PerTrial(BaseSampler):
    """Draws each trial by a sampler of its own, seeded with the trial's number.

    Resumed or not, a trial with the same trials before it is drawn alike, and two workers that begin at once do not
    draw the same.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self.make, self.seed = make, seed
        self.inner = make(seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Take a new sampler."""
        entropy = np.random.SeedSequence([self.seed, trial.number]).generate_state(1)
        with quiet():
            self.inner = self.make(int(entropy[0]))
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What is drawn at once."""
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw that.

        Parameters
        ----------
        study, trial, search_space
            As in Optuna.
        """
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one value.

        Parameters
        ----------
        study, trial, param_name, param_distribution
            As in Optuna.
        """
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Note how a trial ended.

        Parameters
        ----------
        study, trial, state, values
            As in Optuna.
        """
        self.inner.after_trial(study, trial, state, values)


def sampler(objectives: int, seed: int) -> BaseSampler:
    """TPE for one objective, NSGA-II for several."""
    if objectives > 1:
        return PerTrial(lambda seed: NSGAIISampler(population_size=POPULATION, seed=seed), seed)
    return PerTrial(lambda seed: TPESampler(n_startup_trials=RANDOM, multivariate=True, group=True, seed=seed), seed)


def pruner(objectives: int) -> BasePruner:
    """Hyperband over the percent of a training for one objective; with several, no trial is stopped."""
    if objectives > 1:
        return NopPruner()
    return HyperbandPruner(min_resource=SHORTEST, max_resource=100, reduction_factor=REDUCTION)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what Optuna says of methods that it calls experimental, and of each trial."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.filterwarnings("ignore", "Heartbeat of storage is supposed")  # it has one of ours, too: `alive`
            warnings.filterwarnings("ignore", "The reported value is ignored")  # two workers had the same trial
            yield
    finally:
        optuna.logging.set_verbosity(level)


def root(trial: FrozenTrial) -> int:
    """The number that a trial had when it was begun for the first time."""
    return int(trial.user_attrs.get("root", trial.number))


def attempt(trial: FrozenTrial) -> int:
    """How often it was begun before."""
    return int(trial.user_attrs.get("attempt", 0))


def deaths(trial: FrozenTrial) -> int:
    """How often its worker died, rather than was stopped by a user, before and with this attempt."""
    died = trial.state == TrialState.FAIL and not {"reason", "interrupted"} & set(trial.user_attrs)
    return int(trial.user_attrs.get("deaths", 0)) + died


def standing(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count, each in its last attempt, in the order of their first numbers."""
    last: dict[int, FrozenTrial] = {}
    for trial in trials:  # by number, so that of two for the same attempt the first counts
        if "surplus" in trial.user_attrs:
            continue
        before = last.get(root(trial))
        if before is None or attempt(trial) > attempt(before):
            last[root(trial)] = trial
    return [last[number] for number in sorted(last)]


def lost(trial: FrozenTrial) -> bool:
    """Whether it failed for no fault of its own, and is to be begun again."""
    return trial.state == TrialState.FAIL and "reason" not in trial.user_attrs and deaths(trial) < ATTEMPTS


def over(trial: FrozenTrial) -> bool:
    """Whether nothing is to come of it any more."""
    return trial.state.is_finished() and not lost(trial)


class Study:
    """A study, as one worker sees it.

    Parameters
    ----------
    url : str or None
        Of the database; None keeps it in memory.
    name : str
    settings : mapping
        What all trials share. A study that was begun with others is refused.
    directions : sequence of "maximize" or "minimize"
        One for each objective.
    seed : int
        Of what is drawn.
    heartbeat : float
        Seconds between two signs of life.
    first : sequence of mappings
        Values to try first.

    Raises
    ------
    OptionError
        The database cannot be reached, or the study there is another one.
    """

    def __init__(
        self,
        url: str | None,
        name: str,
        settings: Mapping[str, Any],
        directions: Sequence[Literal["maximize", "minimize"]],
        seed: int,
        heartbeat: float,
        first: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.name, self.where, self.heartbeat = name, "memory" if url is None else _without_password(url), heartbeat
        self.settings = settings
        self.seen: list[FrozenTrial] = []  # when it was last looked
        self.silent: dict[int, float] = {}
        with quiet(), self._at_the_start():
            self.storage = InMemoryStorage() if url is None else _opened(url, heartbeat)
            draws, stops = sampler(len(directions), seed), pruner(len(directions))
            try:
                self.study = optuna.create_study(
                    storage=self.storage, study_name=name, directions=directions, sampler=draws, pruner=stops
                )
            except DuplicatedStudyError:
                self.study = optuna.load_study(storage=self.storage, study_name=name, sampler=draws, pruner=stops)
                self._compare(directions)
            else:
                self.study.set_user_attr(SETTINGS, dict(settings))
                for values in first:
                    self.study.enqueue_trial(dict(values))

    @contextmanager
    def _at_the_start(self) -> Iterator[None]:
        try:
            yield
        except (StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
            raise OptionError(f"the database {self.where} cannot be used: {_why(error)}") from None
        except RuntimeError as error:
            raise OptionError(f"the database {self.where} is of another version of Optuna: {error}") from None

    def _compare(self, directions: Sequence[str]) -> None:
        kept = self.study.user_attrs.get(SETTINGS)
        way_out = "give another --study (study= in Python)"
        if kept is None:
            if self.study.get_trials(deepcopy=False):
                raise OptionError(f"the study {self.name!r} in {self.where} is not one of lanewise search: {way_out}")
            self.study.set_user_attr(SETTINGS, dict(self.settings))  # who made it was killed, or is just about to
        elif kept != self.settings:
            raise OptionError(
                f"the study {self.name!r} in {self.where} was begun with other "
                f"{differences(kept, self.settings) or 'settings'}: {way_out}"
            )
        if [one.name.lower() for one in self.study.directions] != list(directions):
            raise OptionError(f"the study {self.name!r} in {self.where} has other objectives: {way_out}")

    def close(self) -> None:
        """Leave the database."""
        if isinstance(self.storage, RDBStorage):
            self.storage.remove_session()
            self.storage.engine.dispose()

    def trials(self) -> list[FrozenTrial]:
        """All there are now, whatever became of them."""
        self.seen = self.patiently(lambda: self.study.get_trials(deepcopy=False))
        return self.seen

    def patiently(self, do: Callable[[], T]) -> T:
        """Do what takes the database, again and again for some minutes if it is away.

        Raises
        ------
        LostDatabaseError
            It is away for longer.
        """
        until, pause = time.monotonic() + PATIENCE, 0.2
        while True:
            try:
                with quiet():
                    return do()
            except (StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
                if time.monotonic() >= until:
                    raise LostDatabaseError(
                        f"the database {self.where} is away: {_why(error)}; finished trials are in it, and the same "
                        "command resumes"
                    ) from None
            time.sleep(pause)
            pause = min(2 * pause, 10.0)

    def claim(self, count: int) -> optuna.Trial | bool:
        """A trial to train, if one of `count` is left; else whether all of them are over."""
        self.patiently(self.mend)
        trials = standing(self.seen)
        ours = trials[:count]
        if len(trials) >= count and not any(one.state == TrialState.WAITING for one in ours):
            return all(map(over, ours))
        trial = self.patiently(self.study.ask)
        if isinstance(self.storage, RDBStorage):
            self.patiently(lambda: self.beat(trial.number))
        if trial.number not in [one.number for one in standing(self.trials())[:count]]:
            self.give_back(trial)
            return False
        return trial

    def settled(self) -> bool:
        """Whether all trials that were begun are over."""
        self.patiently(self.mend)
        return all(map(over, standing(self.seen)))

    def give_back(self, trial: optuna.Trial) -> None:
        """Leave a trial that does not count."""
        self.note(trial, "surplus", True)
        self.tell(trial, TrialState.FAIL)

    def queue(self, values: Mapping[str, Any]) -> None:
        """Let these be the choices of a trial that is claimed next."""
        self.patiently(lambda: self.study.enqueue_trial(dict(values)))

    def behind(self, trial: optuna.Trial, value: float, step: int) -> bool:
        """Note how a trial is doing; whether it should stop, as others were so much better at that step, or have it.

        Parameters
        ----------
        trial : Trial
        value : float
            Of the objective.
        step : int
            Percent of the training that is done.
        """
        try:
            with quiet():
                trial.report(value, step)
                return trial.should_prune()
        except (StorageInternalError, sqlalchemy.exc.SQLAlchemyError):  # the database may come back
            return False
        except (
            optuna.exceptions.UpdateFinishedTrialError
        ):  # others took this worker for dead, and begin the trial again
            return True

    def catch_up(self, trial: optuna.Trial, step: int) -> None:
        """Note how a trial was doing before a step at which it goes on, by what its earlier attempts noted."""
        number = next(root(one) for one in self.seen if one.number == trial.number)
        earlier = [one for one in self.seen if root(one) == number and one.number != trial.number]
        known = {at: value for one in earlier for at, value in one.intermediate_values.items() if at < step}
        for before, value in sorted(known.items()):
            self.behind(trial, value, before)

    def mend(self) -> None:
        """Fail trials whose workers are dead, and queue again what failed for no fault of its own."""
        if isinstance(self.storage, RDBStorage):
            optuna.storages.fail_stale_trials(self.study)
        changed = False
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and "worker" not in trial.user_attrs:
                since = self.silent.setdefault(trial.number, time.monotonic())
                if time.monotonic() - since > GRACE * self.heartbeat:
                    with suppress(ValueError):  # another worker was faster
                        self.study.tell(trial.number, state=TrialState.FAIL)
                    changed = True
        for trial in standing(self.trials() if changed else self.seen):
            if lost(trial):
                values = trial.system_attrs.get("fixed_params", {}) | trial.params
                known = {"root": root(trial), "attempt": attempt(trial) + 1, "deaths": deaths(trial)}
                self.study.enqueue_trial(values, user_attrs=known)
                changed = True
        if changed:
            self.trials()

    def beat(self, number: int) -> None:
        """Give a sign of life."""
        if isinstance(self.storage, RDBStorage):
            study = self.storage.get_study_id_from_name(self.name)
            self.storage.record_heartbeat(self.storage.get_trial_id_from_study_id_trial_number(study, number))

    @contextmanager
    def alive(self, trial: optuna.Trial, worker: str) -> Iterator[None]:
        """Give signs of life while a trial is trained."""
        self.note(trial, "worker", worker)
        stop = threading.Event()

        def beating() -> None:
            while not stop.wait(self.heartbeat):
                with suppress(Exception):  # the database may come back
                    self.beat(trial.number)
            if isinstance(self.storage, RDBStorage):
                self.storage.remove_session()

        thread = threading.Thread(target=beating, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def note(self, trial: optuna.Trial, name: str, value: Any) -> None:
        """Write down something of a trial, unless others took it for dead.

        Parameters
        ----------
        trial : Trial
        name : str
        value : Any
            That JSON can hold.
        """
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.patiently(lambda: trial.set_user_attr(name, value))

    def tell(self, trial: optuna.Trial, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Write down how a trial ended; whether that was of use, as others had not taken its worker for dead.

        Parameters
        ----------
        trial : Trial
        state : TrialState
        values : sequence of float, optional
            The objectives, of a complete trial.
        """
        try:
            self.patiently(lambda: self.study.tell(trial, values, state))
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            return False
        return True

    def importances(self, objective: int) -> dict[str, float]:
        """How much each choice matters for an objective, the shares of all, the largest first; empty if too little is
        known."""
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        complete = [one for one in standing(self.trials()) if one.state == TrialState.COMPLETE]
        if len(complete) < RANDOM:
            return {}
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = optuna.importance.get_param_importances(
                    self.study, evaluator=evaluator, target=lambda one: one.values[objective]
                )
            except (ValueError, RuntimeError):  # all came to the same
                return {}
        return {name: value for name, value in found.items() if math.isfinite(value)}


def sqlite(path: Any) -> str:
    """The address of a database in a file."""
    return sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def _opened(url: str, heartbeat: float) -> BaseStorage:
    """The storage at an address, made if there is none."""
    try:
        address = sqlalchemy.engine.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        raise OptionError(
            f"{_without_password(url)!r} is no address of a database: give one like sqlite:///search.db or "
            "postgresql://user@host/name"
        ) from None
    if address.drivername in ("postgresql", "postgres"):  # the second is what hosts of databases often write
        address = address.set(drivername="postgresql+psycopg")
    waits = {"sqlite": {"timeout": 60}, "postgresql": {"connect_timeout": 10}}
    name = address.get_backend_name()
    kwargs = {"connect_args": waits.get(name, {}), "pool_pre_ping": name != "sqlite"}
    text = address.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    for patience in (0.2, 0.4, 0.8, 1.6, 0.0):
        try:
            return RDBStorage(
                text,
                engine_kwargs=kwargs,
                heartbeat_interval=math.ceil(heartbeat),
                grace_period=math.ceil(GRACE * heartbeat),
            )
        except ImportError as error:
            raise MissingPackageError(_driver_of(address.drivername, error)) from error
        except sqlalchemy.exc.NoSuchModuleError:
            raise OptionError(
                f"{address.drivername}:// is no database that is known here: give one like sqlite:///search.db or "
                "postgresql://user@host/name"
            ) from None
        except sqlalchemy.exc.SQLAlchemyError as error:  # another worker may be making the tables just now
            again = isinstance(error, sqlalchemy.exc.IntegrityError) or "already exists" in str(error)
            if not (patience and (again or "locked" in str(error))):
                raise
        time.sleep(patience)
    raise AssertionError


DRIVERS = {"psycopg": '"lanewise[search]"', "MySQLdb": "mysqlclient", "psycopg2": "psycopg2-binary"}
"""What brings the modules by which databases are reached, where it is not called as they are."""


def _driver_of(name: str, error: ImportError) -> str:
    """Which package an address needs, in a line.

    Parameters
    ----------
    name : str
        What stands before ://.
    error : ImportError
        Optuna's, whose cause is the module that is missing.
    """
    module = getattr(error.__cause__, "name", None)
    if module is None:
        return f"{name}:// needs a package that cannot be imported: {error.__cause__ or error}".splitlines()[0]
    module = module.partition(".")[0]
    other = ", or write mysql+pymysql:// and pip install pymysql" if module == "MySQLdb" else ""
    return f"{name}:// needs the module {module}: pip install {DRIVERS.get(module, module)}{other}"


def _without_password(url: str) -> str:
    """An address fit to be shown."""
    try:
        return shown(sqlalchemy.engine.make_url(url).render_as_string(hide_password=True))
    except sqlalchemy.exc.ArgumentError:
        return shown(url.partition("@")[2] or url)


def _why(error: BaseException) -> str:
    """The reason in one line."""
    while isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(getattr(error, "orig", None) or error).split())
