"""Searches: what is tried, what is kept, and that nothing is lost, whatever happens to workers and databases."""

import math
import re
import signal
import sys
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import lanewise
from lanewise.data.arrays import from_arrays
from lanewise.data.images import ImageSets
from lanewise.errors import LanewiseError, MissingPackageError, NetworkError, NetworkTextError, OptionError
from lanewise.experiments import search_worker as searching
from lanewise.experiments import study as studies
from lanewise.experiments.search import search
from lanewise.experiments.search_found import SearchRow, front
from lanewise.experiments.search_plan import Plan
from lanewise.experiments.space import Space
from lanewise.experiments.study import Study, sqlite, standing
from lanewise.training import checkpoint
from tests.cli.conftest import make_images

SPACE: Any = {"network": "dense {2..3}, relu, dense 1", "learning_rate": "0.01..0.3", "epochs": 3, "augment": "none"}


@pytest.fixture
def counted(monkeypatch):
    """The options of each training."""
    real, done = searching.train, []  # type: ignore[attr-defined]

    def train(sets, **options):
        done.append({name: options.get(name) for name in ("network", "learning_rate", "size", "seed")})
        return real(sets, **options)

    monkeypatch.setattr(searching, "train", train)
    return done


def told(found):
    return [(row.number, row.state, row.params, row.accuracy, row.loss) for row in found.rows]


def test_the_best_trial_is_trained_again_to_the_same_bits(sets, tmp_path, counted):
    reports = []
    found = lanewise.search(sets, trials=5, folder=tmp_path / "tried", progress=reports.append, **SPACE)
    assert len(counted) == len(found.rows) == 5
    assert [one.row.number for one in reports if one.row] == [0, 1, 2, 3, 4]
    assert reports[-1].done == reports[-1].total == 5
    assert found.best is found.complete[0]
    assert found.best.accuracy == max(row.accuracy or 0 for row in found.complete)
    again = lanewise.train(sets, folds=0, **{k: v for k, v in found.settings().items() if k != "folds"})
    kept = found.model()
    assert kept.provenance["seed"] == 0
    for one, two in zip(again.parameters, kept.parameters, strict=True):
        np.testing.assert_array_equal(one, two)
    assert [path.name for path in (tmp_path / "tried").glob("*.onnx")] == [f"search-{found.best.number}.onnx"]
    assert found.command(images="my photos").startswith("lanewise train 'my photos' --network 'dense ")
    assert f"--epochs 3 --augment none --learning-rate {found.best.options['learning_rate']}" in found.command()


def test_the_test_set_is_not_looked_at(sets):
    spoiled = replace(sets.test, pixels=np.zeros_like(sets.test.pixels), labels=1 - sets.test.labels)
    results = [search(replace(sets, test=test), trials=2, **SPACE) for test in (sets.test, spoiled)]
    assert told(results[0]) == told(results[1])
    assert [one.images.sets.test for one in [Plan(sets, 1, None, "accuracy", None, None, "s", 1, {})]] == [None]
    assert "the test set was not looked at" in results[0].evaluating


def test_what_falls_behind_is_stopped(sets, monkeypatch):
    monkeypatch.setattr(Study, "behind", lambda self, trial, value, step: trial.number % 2 == 1 and step >= 50)
    found = search(sets, trials=3, **(SPACE | {"epochs": 4}))
    assert [row.state for row in found.rows] == ["complete", "stopped", "complete"]
    stopped = found.rows[1]
    assert (stopped.epochs, stopped.fraction, stopped.values) == (2, 0.5, ())
    assert stopped.accuracy is not None
    assert "stopped at 50 %" in str(found)


def test_hyperband_stops_what_is_worse_after_as_much_training():
    study = Study(None, "s", {}, ["maximize"], 0, 1.0)
    stopped = []
    for n in range(30):
        trial = study.claim(30)
        with study.alive(trial, "me"):
            behind = study.behind(trial, 0.5 + n % 3 / 10, 12)
            stopped.append(behind)
            study.tell(trial, TrialState.PRUNED if behind else TrialState.COMPLETE, None if behind else [0.9])
    assert any(stopped)
    assert not any(stopped[2::3])  # the best third never is


def test_a_search_goes_on_as_if_it_had_not_been_stopped(sets, tmp_path, counted):
    at_once = search(sets, trials=6, **SPACE)
    assert search(sets, trials=6, **SPACE).rows == replace_workers(at_once)
    counted.clear()
    search(sets, trials=4, folder=tmp_path, **SPACE)
    found = search(sets, trials=6, folder=tmp_path, **SPACE)
    assert len(counted) == 6
    assert told(found) == told(at_once)
    assert search(sets, trials=6, folder=tmp_path, threads=1, **SPACE).rows == found.rows
    assert len(counted) == 6


def replace_workers(found):
    class Alike(tuple):
        def __eq__(self, other):
            return [replace(row, seconds=0, worker="") for row in self] == [
                replace(row, seconds=0, worker="") for row in other
            ]

        __hash__ = tuple.__hash__

    return Alike(found.rows)


def test_nothing_is_trained_twice_and_a_small_space_has_an_end(sets, counted):
    found = search(sets, trials=20, network="dense {1,2,3}, relu, dense 1", augment="none,shift", epochs=1)
    assert len(counted) == len(found.rows) == 6
    assert len({(row.network, row.options["augment"]) for row in found.rows}) == 6
    assert found.told.endswith("; all 6 combinations were tried")
    assert found.told in str(found)


def test_a_space_ends_where_different_choices_are_the_same_network(sets, counted):
    """Counted by its choices, it would never end."""
    shared = ["dense {1,2}, relu, dense 1", "dense {2,3}, relu, dense 1"]
    found = search(sets, trials=20, network=shared, epochs=1)
    assert len(counted) == len({row.network for row in found.rows}) == 3
    assert found.told.endswith("; all 3 combinations were tried")
    again = search(sets, trials=2, network=shared, epochs=1)
    assert len(again.rows) == 2
    assert "combinations" not in again.told


def test_several_objectives_give_a_front(sets, tmp_path):
    found = search(
        sets, trials=8, network="dense {1..3}, relu, dense {1..3}, relu, dense 1", epochs=2,
        objectives="accuracy,weights,latency", folder=tmp_path,
    )  # fmt: skip
    assert {row.state for row in found.rows} == {"complete"}
    assert all(row.latency > 0 for row in found.rows)
    points = {row.number: (-row.accuracy, row.weights, row.latency) for row in found.rows}
    best = {
        n for n, one in points.items()
        if not any(other != one and all(a <= b for a, b in zip(other, one, strict=True)) for other in points.values())
    }  # fmt: skip
    assert {row.number for row in found.front()} <= best
    assert {path.name for path in tmp_path.glob("*.onnx")} == {f"search-{row.number}.onnx" for row in found.front()}
    cheapest = found.trade_off("weights")
    assert [row.weights for row in cheapest] == sorted(row.weights or 0 for row in cheapest)
    assert set(found.importances) == {"accuracy", "weights", "latency"}
    with pytest.raises(OptionError, match="cost: 'size' is unknown"):
        found.trade_off("size")


def test_of_equals_on_the_front_the_first_is_kept():
    rows = [
        SearchRow(n, "complete", {}, None, {}, values)
        for n, values in enumerate([(0.9, 5), (0.9, 5), (0.8, 6), (0.7, 1)])
    ]
    assert [row.number for row in front(rows, ("accuracy", "weights"))] == [0, 3]


def test_sizes_can_be_searched(sets, tmp_path):
    photos = make_images(tmp_path / "photos", {"dark": 12, "light": 12})
    found = search(photos, trials=4, size="8,4", network="dense 1", epochs=1, objectives="accuracy,weights")
    assert {(row.options["size"], row.weights) for row in found.rows} == {("8", 64), ("4", 16)}
    with pytest.raises(OptionError, match="sizes can be searched where images are files"):
        search(sets, trials=2, size="8,4", network="dense 1", epochs=1)


def test_without_a_space_the_default_one_begins_with_the_default(sets):
    found = search(sets, trials=1, epochs=1)
    assert found.space["learning_rate"] == "0.01..0.5 log"
    assert found.rows[0].params == {"network": 1, "learning_rate": 0.05, "augment": "auto"}
    assert found.rows[0].network == found.space["network"][0]


@pytest.mark.parametrize(("power", "rate"), [(6, 0.06), (9, 0.12)], ids=["few", "many"])
def test_the_first_trial_is_what_training_does_untouched(power, rate, monkeypatch):
    """With the network, the optimizer and the rate that it would choose; of hard images, and of many, too."""
    monkeypatch.setattr("lanewise.training.recipe.log2", lambda share: power)
    rng = np.random.default_rng(0)
    noise = ImageSets(from_arrays(rng.integers(0, 255, (80, 16, 16, 1)).astype(np.uint8), np.arange(80) % 2))
    found = search(noise, trials=1, epochs=1)
    alone = lanewise.train(noise, epochs=1, notes=lambda note: None)
    assert "batchnorm" in found.rows[0].network
    assert found.rows[0].network == alone.network
    assert found.fixed["optimizer"] == alone.provenance["optimizer"] == "muon"
    assert found.rows[0].params["learning_rate"] == alone.provenance["learning_rate"] == rate


def test_a_network_that_cannot_be_is_told_with_its_reason(sets):
    found = search(sets, trials=2, network="conv 2@{3x3,9x9}, dense 1", epochs=1)
    assert sorted(row.state for row in found.rows) == ["complete", "failed"]
    assert "9x9 is larger" in next(row.reason for row in found.rows if row.reason)
    with pytest.raises(NetworkError, match="9x9 is larger"):
        search(sets, trials=2, network="conv {2,4}@9x9, dense 1")
    with pytest.raises(NetworkError, match="rleu"):
        search(sets, trials=2, network="dense {2,4}, rleu, dense 1")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"network": "dense 1"}, "there is nothing to choose: give alternatives"),
        ({"network": "dense 1", "learning_rate": 0.1}, "there is nothing to choose"),
        ({"network": "dense {1}"}, "there is nothing to choose"),
        ({"network": "dense {1,1}"}, "stands twice"),
        ({"trials": 0}, "trials must be a whole number of at least 1, not 0"),
        ({"heartbeat": 0}, "heartbeat must be a number of seconds above 0"),
        ({"objectives": "accuracy,size"}, 'unknown objective "size": choose of accuracy, loss, weights'),
        ({"objectives": "weights"}, "the objectives 'weights' are not one of accuracy and loss"),
        ({"validation_fraction": 0}, "without any, validation_fraction cannot be 0"),
        ({"checkpoint": "x"}, "a search with a folder keeps a checkpoint of each trial itself: leave checkpoint out"),
        ({"resume": True}, "leave resume out"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        (
            {"storage": "redis://me:secret@host"},
            "^redis:// is no database that is known here: give one like sqlite:///",
        ),
        ({"storage": "nonsense"}, "'nonsense' is no address of a database: give one like"),
        ({"storage": "sqlite:////no/such/folder/x.db"}, "cannot be used: unable to open database file"),
        (
            {"storage": "postgresql://me:secret@127.0.0.1:1/x"},
            r"postgresql://me:\*\*\*@127.0.0.1:1/x cannot",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(sets, options, problem):
    with pytest.raises((OptionError, NetworkTextError), match=problem) as caught:
        search(sets, **options)
    assert "\n" not in str(caught.value) or "network" in options
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "module", "told"),
    [
        (
            "mysql",
            "MySQLdb",
            "mysql:// needs the module MySQLdb: pip install mysqlclient, or write mysql+pymysql:// and",
        ),
        ("mysql+pymysql", "pymysql", "mysql+pymysql:// needs the module pymysql: pip install pymysql"),
        ("postgres", "psycopg", 'postgresql+psycopg:// needs the module psycopg: pip install "lanewise[search]"'),
    ],
)
def test_a_database_whose_driver_is_missing_says_what_to_install(sets, monkeypatch, url, module, told):
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Without(module), *sys.meta_path])
    with pytest.raises(MissingPackageError, match=f"^{re.escape(told)}") as caught:
        search(sets, storage=f"{url}://me:secret@host/x", **SPACE)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


class Without:
    """Imports as if a module were not installed."""

    def __init__(self, module):
        self.module = module

    def find_spec(self, name, *_):
        if name == self.module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_another_study_under_the_same_name_is_refused_by_what_differs(sets, tmp_path):
    search(sets, trials=1, folder=tmp_path, **SPACE)
    changes: Any = [
        ({"learning_rate": "0.01..0.2"}, r"space \(learning_rate: 0.01..0.3 log then, 0.01..0.2 log now\)"),
        ({"epochs": 2}, r"options \(epochs: 3 then, 2 now\)"),
        ({"objectives": "loss"}, "objectives"),
    ]
    for change, named in changes:
        with pytest.raises(OptionError, match=named) as caught:
            search(sets, trials=1, folder=tmp_path, **{**SPACE, **change})
        assert "the study 'search' in sqlite:///" in str(caught.value)
    fewer = replace(sets, train=sets.train.take(np.arange(100)))
    with pytest.raises(OptionError, match="begun with other images: give another --study"):
        search(fewer, trials=1, folder=tmp_path, **SPACE)
    assert len(search(fewer, trials=1, folder=tmp_path, study="fewer", **SPACE).rows) == 1
    with optuna_quiet():
        optuna.create_study(storage=sqlite(tmp_path / "search.db"), study_name="own").add_trial(
            optuna.create_trial(value=1.0)
        )
    with pytest.raises(OptionError, match=r"the study 'own' in .* is not one of lanewise search"):
        search(sets, trials=1, folder=tmp_path, study="own", **SPACE)


def optuna_quiet():
    return studies.quiet()


def test_any_folder_will_do(sets, tmp_path):
    folder = tmp_path / "a {b} %c? #d"
    assert len(search(sets, trials=1, folder=folder, **SPACE).rows) == 1
    assert (folder / "search.db").exists()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "search.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(OptionError, match="file is not a database"):
        search(sets, trials=1, folder=tmp_path / "broken", **SPACE)


def test_without_optuna_it_says_what_to_install(sets, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingPackageError, match=r'^a search needs optuna: pip install "lanewise\[search\]"$'):
        search(sets)


def ended(found):
    return [(row.state, row.deaths) for row in found.rows]


def test_ctrl_c_loses_no_trial(sets, tmp_path, monkeypatch):
    real = searching.train  # type: ignore[attr-defined]

    def pressed(sets, **options):
        raise KeyboardInterrupt

    for _ in range(4):  # as often than a worker may die
        monkeypatch.setattr(searching, "train", pressed)
        with pytest.raises(KeyboardInterrupt):
            search(sets, trials=2, folder=tmp_path, **SPACE)
    monkeypatch.setattr(searching, "train", real)
    found = search(sets, trials=2, folder=tmp_path, **SPACE)
    assert ended(found) == [("complete", 0), ("complete", 0)]
    assert told(found)[0] == told(search(sets, trials=1, **SPACE))[0]


@pytest.fixture
def each_epoch(monkeypatch):
    """A checkpoint after each epoch, however short."""
    monkeypatch.setattr(checkpoint, "SHARE", math.inf)


def test_ctrl_c_keeps_the_checkpoint_of_the_trial(sets, tmp_path, each_epoch):
    epochs = []

    def pressed(now):
        if now.training is not None and now.training.epoch_done:
            epochs.append(now.training.epoch)
            if len(epochs) == 2:
                signal.raise_signal(signal.SIGINT)

    options = SPACE | {"epochs": 5}
    with pytest.raises(KeyboardInterrupt):
        search(sets, trials=1, folder=tmp_path, progress=pressed, **options)
    assert sorted(path.suffix for path in tmp_path.glob("search-0-*")) == [".before", ".checkpoint"]
    found = search(sets, trials=1, folder=tmp_path, progress=pressed, **options)
    assert epochs == [1, 2, 2, 3, 4, 5]  # it is kept after what is told of an epoch
    assert told(found) == told(search(sets, trials=1, **options))
    assert not list(tmp_path.glob("*.checkpoint*"))


def test_a_trial_that_is_over_leaves_no_checkpoint(sets, tmp_path, monkeypatch, each_epoch):
    """Stopped or complete, here or elsewhere."""
    tmp_path.joinpath("search-0-0123456789ab.checkpoint").write_bytes(b"")  # of a worker that died on this machine
    tmp_path.joinpath("search-0-5-0123456789ab.checkpoint").write_bytes(b"")  # of the study search-0
    there = []

    def behind(self, trial, value, step):
        there.append(len(list(tmp_path.glob(f"search-{trial.number}-*.checkpoint"))))
        return trial.number == 1 and step >= 50

    monkeypatch.setattr(Study, "behind", behind)
    found = search(sets, trials=2, folder=tmp_path, **(SPACE | {"epochs": 4}))
    assert [row.state for row in found.rows] == ["complete", "stopped"]
    assert there[-1] == 1
    assert [path.name for path in tmp_path.glob("*.checkpoint*")] == ["search-0-5-0123456789ab.checkpoint"]


def test_a_trial_that_goes_on_is_compared_as_if_it_had_not_ended(tmp_path):
    study = Study(sqlite(tmp_path / "s.db"), "s", {}, ["maximize"], 0, 1.0)
    first = study.claim(1)
    for step, value in ((12, 0.6), (40, 0.7), (60, 0.75)):
        study.behind(first, value, step)
    study.tell(first, TrialState.FAIL)
    again = study.claim(1)
    study.catch_up(again, 60)
    trials = study.trials()
    assert [one.intermediate_values for one in trials] == [{12: 0.6, 40: 0.7, 60: 0.75}, {12: 0.6, 40: 0.7}]
    assert [name for name in trials[1].system_attrs if name.startswith("completed_rung")]
    study.close()


class Killed(BaseException):
    """What leaves no time to tell anything to a database."""


def die_in_training(sets, tmp_path, monkeypatch):
    """A worker that is killed while it trains: its trial stays as it was."""
    real = searching.train  # type: ignore[attr-defined]

    def killed(sets, **options):
        raise Killed

    monkeypatch.setattr(searching, "train", killed)
    with monkeypatch.context() as patch:
        patch.setattr(Study, "tell", lambda *_: None)
        with pytest.raises(Killed):
            search(sets, trials=2, folder=tmp_path, heartbeat=0.2, **SPACE)
    monkeypatch.setattr(searching, "train", real)


def test_the_trial_of_a_killed_worker_is_begun_again(sets, tmp_path, monkeypatch):
    die_in_training(sets, tmp_path, monkeypatch)
    found = search(sets, trials=2, folder=tmp_path, heartbeat=0.2, **SPACE)
    assert ended(found) == [("complete", 1), ("complete", 0)]
    assert told(found)[0] == told(search(sets, trials=1, **SPACE))[0]


@pytest.mark.slow
def test_a_trial_that_kills_its_workers_is_given_up(sets, tmp_path, monkeypatch):
    for _ in range(studies.ATTEMPTS):
        die_in_training(sets, tmp_path, monkeypatch)
        time.sleep(3.1)
    found = search(sets, trials=2, folder=tmp_path, heartbeat=0.2, **SPACE)
    assert {row.state for row in found.rows[1:]} == {"complete"}
    assert (found.rows[0].state, found.rows[0].reason) == ("failed", "its workers died 4 times")


def test_a_worker_killed_before_its_first_sign_of_life_loses_no_trial(sets, tmp_path):
    url = sqlite(tmp_path / "search.db")
    searched = Plan(sets, 2, SPACE["network"], "accuracy", None, None, "search", 0.2, dict(SPACE) | {"network": None})
    study = Study(url, "search", searched.settings(), ["maximize"], 0, 0.2)
    with studies.quiet():
        study.study.ask()  # and no more
    study.close()
    found = search(sets, trials=2, folder=tmp_path, heartbeat=0.2, **SPACE)
    assert ended(found) == [("complete", 1), ("complete", 0)]


def test_a_worker_taken_for_dead_neither_fails_nor_counts_twice(sets, tmp_path, monkeypatch):
    """As one that was stopped for a while, as a laptop is."""
    real, done = searching.train, []  # type: ignore[attr-defined]

    def train(given, **options):
        model = real(given, **options)
        if not done:
            done.append(1)
            with studies.quiet():
                other = optuna.load_study(study_name="search", storage=sqlite(tmp_path / "search.db"))
                other.tell(0, state=TrialState.FAIL)
        return model

    monkeypatch.setattr(searching, "train", train)
    found = search(sets, trials=2, folder=tmp_path, **SPACE)
    assert ended(found) == [("complete", 1), ("complete", 0)]


def test_a_worker_taken_for_dead_at_any_time_goes_on_with_other_trials(sets, tmp_path, monkeypatch):
    """Before it has drawn its choices, or between two epochs: the database takes no more of that trial."""
    real, dead = Space.draw, []

    def pronounced_dead(number):
        dead.append(number)
        with studies.quiet():
            optuna.load_study(study_name="search", storage=sqlite(tmp_path / "search.db")).tell(
                number, state=TrialState.FAIL
            )

    def draw(self, trial):
        if not dead:
            pronounced_dead(trial.number)
        return real(self, trial)

    def progress(now):
        if len(dead) == 1 and now.training is not None and now.training.epoch == 1 and now.training.epoch_done:
            pronounced_dead(1)

    monkeypatch.setattr(Space, "draw", draw)
    found = search(sets, trials=2, folder=tmp_path, progress=progress, **SPACE)
    assert dead == [0, 1]
    assert ended(found)[0] == ("complete", 2)
    assert ended(found)[1] in (("complete", 0), ("stopped", 0))  # it was first


# Filters of warnings are those of the process, so that one thread's end takes them from the other.
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed")
def test_two_workers_share_a_study(sets, tmp_path, counted):
    results = []

    def work():
        results.append(search(sets, trials=4, folder=tmp_path, **(SPACE | {"epochs": 2})))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert len(counted) == 4
    assert told(results[0]) == told(results[1])
    assert {row.state for row in results[0].rows} <= {"complete", "stopped"}


def test_a_database_that_is_away_for_a_while_is_waited_for(sets, tmp_path, monkeypatch):
    fails = iter([True] * 3)
    real = optuna.study.Study.tell

    def tell(self, *arguments, **options):
        if next(fails, False):
            raise optuna.exceptions.StorageInternalError("gone")
        return real(self, *arguments, **options)

    monkeypatch.setattr(optuna.study.Study, "tell", tell)
    assert search(sets, trials=1, folder=tmp_path, **SPACE).rows[0].state == "complete"
    fails = iter([True] * 100)
    monkeypatch.setattr(studies, "PATIENCE", 0.3)
    with pytest.raises(LanewiseError, match="is away: gone; finished trials are in it, and the same command resumes"):
        search(sets, trials=2, folder=tmp_path, heartbeat=0.2, **SPACE)
    fails = iter(())
    found = search(sets, trials=2, folder=tmp_path, heartbeat=0.2, **SPACE)
    assert [row.state for row in found.rows] == ["complete", "complete"]


def frozen(number, state, **attrs):
    return optuna.trial.FrozenTrial(
        number=number, state=state, value=None, datetime_start=None, datetime_complete=None, params={},
        distributions={}, user_attrs=attrs, system_attrs={}, intermediate_values={}, trial_id=number,
    )  # fmt: skip


def test_which_trials_count():
    trials = [
        frozen(0, TrialState.FAIL, worker="a"),
        frozen(1, TrialState.COMPLETE),
        frozen(2, TrialState.FAIL, surplus=True),
        frozen(3, TrialState.RUNNING, root=0, attempt=1),
        frozen(4, TrialState.WAITING, root=0, attempt=1),  # queued by another worker at the same time
        frozen(5, TrialState.RUNNING),
    ]
    assert [one.number for one in standing(trials)] == [3, 1, 5]


def test_the_page_stands_alone_and_says_how_to_go_on(sets, tmp_path):
    found = search(sets, trials=6, folder=tmp_path, study="<b>", **SPACE)
    found.save_page(tmp_path / "page.html", "my photos")
    text = (tmp_path / "page.html").read_text()
    assert "<b>" not in text.replace("&lt;b&gt;", "")
    assert "lanewise train &#39;my photos&#39; --network &#39;dense" in text
    assert "What mattered" in text
    assert text.count("<svg") == 3
    assert "http" not in text.replace("http://www.w3.org", "")
    record = found.to_json()
    assert record["best"] == found.best.number
    assert len(record["rows"]) == 6


def test_images_of_a_study_may_come_as_files(tmp_path):
    photos = make_images(tmp_path / "photos", {"dark": 12, "light": 12})
    found = search(photos, trials=2, network="dense {1..8}, relu, dense 1", epochs=2, seed=3, size=8)
    model = lanewise.train(photos, **found.settings())
    for one, two in zip(model.parameters, found.model().parameters, strict=True):
        np.testing.assert_array_equal(one, two)
    assert found.settings()["folds"] == 0


def test_sets_with_a_validation_set_are_chosen_by_it(sets):
    both = ImageSets(sets.train, sets.test, None)
    found = search(both, trials=1, **SPACE)
    assert (found.count, found.own_split) == (64, False)
    assert "the 64 images of the validation set" in found.evaluating
