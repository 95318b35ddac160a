"""Grids of experiments: the right networks, evaluated on the right images, never twice, whatever interrupts."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import lanewise
from lanewise.data.images import ImageSets
from lanewise.errors import DataError, LanewiseError, NetworkError, OptionError
from lanewise.evaluation.evaluate import evaluate
from lanewise.experiments import trial as trials
from lanewise.experiments.grid import Impossible
from lanewise.experiments.rows import Row
from lanewise.experiments.trial import Roles, Trial, from_entry, prepared
from lanewise.experiments.vary import Grid, vary
from tests.experiments.conftest import stripes

TEXT = "conv {2,4}@3x3, relu, {max,average} 2, dense 1"


@pytest.fixture
def counted(monkeypatch):
    """How often something was really trained; one epoch each."""
    real, done = trials.train, []  # type: ignore[attr-defined]

    def train(sets, **options):
        done.append((options["network"], options["seed"]))
        return real(sets, **options)

    monkeypatch.setattr(trials, "train", train)
    return done


def test_every_network_is_trained_with_every_seed_and_evaluated_by_the_test_images(sets, counted):
    reports = []
    grid = lanewise.vary(sets, TEXT + ", sigmoid", seeds=(3, 5), epochs=2, progress=reports.append)
    assert [row.text for row in grid.rows] == [
        f"conv {filters}@3x3, relu, {pool} 2, dense 1, sigmoid" for filters in (2, 4) for pool in ("max", "average")
    ]
    assert counted == [(row.network, seed) for row in grid.rows for seed in (3, 5)]
    assert (grid.count, grid.kept_back, grid.seeds, grid.recalled) == (64, False, (3, 5), 0)
    by_hand = [
        evaluate(lanewise.train(sets, network=grid.rows[0].network, seed=seed, epochs=2), sets.test).accuracy
        for seed in (3, 5)
    ]
    assert grid.rows[0].accuracy == pytest.approx(np.mean(by_hand))
    assert grid.rows[0].weights == 2 * 9 + 18
    assert [report.done for report in reports if report.row] == [2, 4, 6, 8]
    assert {report.total for report in reports} == {8}


def test_what_is_finished_is_not_done_again(sets, counted, tmp_path):
    first = vary(sets, TEXT, epochs=1, folder=tmp_path)
    assert len(counted) == 4
    again = vary(sets, TEXT, epochs=1, folder=tmp_path, threads=1)
    assert len(counted) == 4
    assert again.recalled == 4
    assert again.rows == first.rows
    more = vary(sets, TEXT.replace("{2,4}", "{2,3}"), epochs=1, folder=tmp_path, seeds=(0, 1))
    assert more.recalled == 2
    assert len(counted) == 4 + 6


def test_changed_images_and_settings_are_noticed(sets, tmp_path):
    vary(sets, "dense 1", epochs=1, folder=tmp_path)
    with pytest.raises(OptionError, match="kept with other options"):
        vary(sets, "dense 1", epochs=2, folder=tmp_path)
    other = ImageSets(sets.train, None, stripes(64, 3))
    with pytest.raises(OptionError, match="kept with other images"):
        vary(other, "dense 1", epochs=1, folder=tmp_path)


def test_an_entry_that_makes_no_sense_is_done_again(sets, counted, tmp_path):
    vary(sets, "dense 1", epochs=1, folder=tmp_path)
    path = tmp_path / "vary.jsonl"
    for damage in ('"right": "zz', '"wrong": "', '"right": "00'):
        path.write_text(path.read_text().replace('"right": "', damage))
        before = len(counted)
        vary(sets, "dense 1", epochs=1, folder=tmp_path)
        assert len(counted) == before + (damage != '"right": "00')


def test_trials_come_back_as_they_were():
    trial = Trial(np.arange(11) % 3 == 0, 0.5, 1.25, ((0.5, None), (0.75, 0.5)))
    back = from_entry(json.loads(json.dumps(trial.to_entry())), 11)
    assert (back.right == trial.right).all()
    assert (back.train_accuracy, back.seconds, back.curve) == (0.5, 1.25, trial.curve)


def test_impossible_combinations_are_listed_and_the_others_done(sets):
    grid = vary(sets, "conv 2@{3x3,9x9}, dense 1", epochs=1)
    assert [row.text for row in grid.rows] == ["conv 2@3x3, dense 1"]
    assert [one.text for one in grid.impossible] == ["conv 2@9x9, dense 1"]
    assert "conv 2@9x9, dense 1: conv1" in str(grid)
    with pytest.raises(NetworkError, match="none of the 2"):
        vary(sets, "conv {2,4}@9x9, dense 1", epochs=1)


def test_training_that_fails_is_listed_too(sets, monkeypatch):
    real = trials.train  # type: ignore[attr-defined]

    def train(sets, **options):
        if "tanh" in options["network"]:
            raise LanewiseError("training diverged\nin epoch 3")
        return real(sets, **options)

    monkeypatch.setattr(trials, "train", train)
    reports = []
    grid = vary(sets, "dense 4, {tanh,relu}, dense 1", epochs=1, progress=reports.append)
    assert grid.impossible == (Impossible("dense 4, tanh, dense 1", "training diverged"),)
    assert len(grid.rows) == 1
    assert reports[-1].done == reports[-1].total == 2
    with pytest.raises(LanewiseError, match="diverged"):
        vary(sets, "dense 4, tanh, dense 1", epochs=1)


def test_without_test_images_a_fifth_is_kept_for_all_seeds_alike():
    train = stripes(100, 1)
    one, kept = prepared(ImageSets(train), None, None)
    two, _ = prepared(ImageSets(train), None, None)
    assert (kept.kept_back, kept.evaluated_by, kept.chosen_by) == (True, "kept back", "held out")
    assert (len(one.train), len(one.test)) == (80, 20)
    assert (one.test.pixels == two.test.pixels).all()
    every = np.concatenate([one.train.pixels, one.test.pixels]).reshape(100, -1)
    assert sorted(map(bytes, every)) == sorted(map(bytes, train.pixels.reshape(100, -1)))
    with pytest.raises(DataError, match="no class has a second image"):
        prepared(ImageSets(stripes(2, 1)), None, None)


def test_seeds_are_checked(sets):
    for seeds in ((), (1, 1), 3):
        with pytest.raises(OptionError, match="not a list of distinct numbers"):
            vary(sets, "dense 1", seeds=seeds)


def test_costs_are_named():
    with pytest.raises(OptionError, match="cost: 'time' is unknown; known are 'weights' and 'seconds'"):
        grid_of().best("time")


def row(text, accuracy, weights, seconds=1.0):
    return Row(text, text, accuracy, (accuracy - 0.1, accuracy), 0.01, weights, 10 * weights, seconds)


def grid_of(*rows):
    return Grid((0,), 0, Roles("test", "validation", 100), rows, ())


def test_the_best_trade_offs_are_those_that_nothing_beats():
    grid = grid_of(row("a", 0.7, 30, 9), row("b", 0.9, 20, 5), row("c", 0.8, 10, 6), row("d", 0.9, 40, 1))
    grid = grid_of(*grid.rows, row("e", 0.75, 10, 8), row("f", 0.8, 15, 7))
    assert [one.text for one in grid.best("weights")] == ["c", "b"]
    assert [one.text for one in grid.best("seconds")] == ["d"]
    lines = str(grid).splitlines()[: 1 + len(grid.rows)]
    assert [line.split()[-1] for line in lines] == ["network", "b", "d", "c", "f", "e", "a"]
    marks = [set(line.split()[-3:-1]) & {"weights", "time"} for line in lines[1:]]
    assert marks == [{"weights"}, {"time"}, {"weights"}, set(), set(), set()]
    assert grid.to_json()["best"] == {"weights": ["c", "b"], "seconds": ["d"]}


KILLED = """
import os, signal
from lanewise.cli import main
from lanewise.engine.trainer import Trainer
from lanewise.experiments.journal import Journal
add, run, kept = Journal.add, Trainer.run, []
def keep(self, training, outcome):
    add(self, training, outcome)
    kept.append(training)
def die(self, pixels, steps):
    if len(kept) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return run(self, pixels, steps)
Journal.add, Trainer.run = keep, die
main()
"""


def test_a_killed_process_goes_on_where_it_was(tmp_path, sets):
    """A real process, killed in the middle of the third training."""
    np.savez(
        tmp_path / "p.npz",
        x_train=sets.train.pixels,
        y_train=sets.train.labels,
        x_test=sets.test.pixels,
        y_test=sets.test.labels,
    )
    network = "conv {2,3}@3x3, relu, {max,average} 2, dense 1"
    options = ["vary", str(tmp_path / "p.npz"), "--network", network, "-o", str(tmp_path / "o"), "--epochs", "3"]
    journal = tmp_path / "o" / "vary.jsonl"
    killed = subprocess.run([sys.executable, "-c", KILLED, *options, "--json"], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    finished = journal.read_bytes()
    with open(journal, "ab") as file:
        file.write(b'{"training": "torn')
    done = finished.count(b'"training"')
    assert done == 2
    result = subprocess.run(
        [sys.executable, "-m", "lanewise", *options, "--json"], capture_output=True, text=True, check=True
    )
    record = json.loads(result.stdout)
    assert record["recalled"] == done
    assert len(record["rows"]) == 4
    assert journal.read_bytes().startswith(finished)
    assert journal.read_bytes().count(b'"outcome"') == 4


@pytest.mark.parametrize(
    ("parts", "told", "evaluating"),
    [
        (
            ("validation", "test"),
            ("test", "validation"),
            "All are evaluated on the 30 images of the test set; the best weights of each are chosen on the validation "
            "set.",
        ),
        (
            ("test",),
            ("test", "held out"),
            "All are evaluated on the 30 images of the test set; the best weights of each are chosen on other held-out "
            "images.",
        ),
        (
            ("validation",),
            ("validation", "held out"),
            "There is no test set, so all are evaluated on the 20 images of the validation set; the best weights of "
            "each are chosen on other held-out images.",
        ),
    ],
)
def test_the_sets_that_are_there_are_used_and_said(parts, told, evaluating, monkeypatch):
    there = {"validation": stripes(20, 2), "test": stripes(30, 3)}
    given = ImageSets(stripes(60, 1), **{name: there[name] for name in parts})
    learned = []
    real = trials.train  # type: ignore[attr-defined]

    def train(sets, **options):
        learned.append(sets)
        return real(sets, **options)

    monkeypatch.setattr(trials, "train", train)
    grid = vary(given, "dense 1", epochs=1)
    assert learned[0].train is given.train, "nothing is split off"
    assert learned[0].validation is (there["validation"] if told[1] == "validation" else None)
    assert grid.count == len(there[told[0]])
    found = grid.to_json()
    assert (found["evaluated_by"], found["chosen_by"], found["kept_back"]) == (*told, False)
    assert found["evaluating"] == evaluating + " So few images show only large differences."
    assert replace(grid.evaluating, count=100).sentence == evaluating.replace("20 ", "100 ").replace("30 ", "100 ")  # type: ignore[type-var]
    assert evaluating in str(grid)
