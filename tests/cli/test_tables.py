"""Tables as CSV, and options by the names that other programs have for them."""

import csv

import pytest

from lanewise.cli.group import ALIASES, in_our_words, lanewise
from tests.cli.conftest import misused, run


def test_predictions_as_csv(photos, photos_model):
    assert run("predict", photos_model, photos, "--csv", "out.csv").exit_code == 0
    with open("out.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "class", "probability", "dark", "light"]
    assert len(rows) == 24
    assert all(row["class"] in row["file"] for row in rows)
    assert "exists already" in misused(run("predict", photos_model, photos, "--csv", "out.csv"))
    assert run("predict", photos_model, photos, "--csv", "out.csv", "--force").exit_code == 0


@pytest.mark.parametrize("place", ["missing/out.csv", "."])
def test_a_table_that_cannot_be_written_is_refused_before_the_work(place, photos, photos_model):
    assert "--csv" in misused(run("predict", photos_model, photos, "--csv", place))


def test_history_as_csv_with_options_by_other_names(photos):
    options = ("--network", "dense 1", "-e", 3, "--lr=0.01", "--batch", 8, "--history", "history.csv", "-q")
    assert run("train", photos, *options).exit_code == 0
    with open("history.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert {"loss", "accuracy"} < set(rows[0])


def test_every_alias_means_an_option_that_some_command_has():
    known = {name for one in lanewise.commands.values() for param in one.params for name in param.opts}
    assert set(ALIASES.values()) <= known


def test_what_follows_two_dashes_is_left_alone():
    assert in_our_words(lanewise.commands["predict"], ["-k", "3", "--", "-k"]) == ["--top", "3", "--", "-k"]
