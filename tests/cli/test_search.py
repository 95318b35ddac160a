"""What `lanewise search` asks for, says and leaves behind."""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from lanewise import Model
from lanewise.experiments import search_worker
from tests.cli.conftest import failed, misused, run

COMMAND = ("--network", "dense {2..4}, relu, dense 1", "--learning-rate", "0.01..0.3", "--epochs", 2, "--trials", 3)


def test_a_line_a_trial_then_the_best_and_what_to_do_with_it(photos, here):
    result = run("search", photos, *COMMAND)
    assert result.exit_code == 0, result.output
    said = result.stdout
    assert "22 training images, 2 held out for validation" in said
    assert "network: dense {2..4}, relu, dense 1" in said
    assert "learning_rate: 0.01..0.3 log" in said
    assert [line[:3] for line in said.splitlines() if line.startswith(("1/3", "2/3", "3/3"))] == ["1/3", "2/3", "3/3"]
    lines = {line[:20].strip(): line[20:] for line in said.splitlines()}
    assert lines["Page"] == "photos-search/search.html"
    assert sorted(path.suffix for path in (here / "photos-search").iterdir()) == [".db", ".html", ".onnx"]
    repeated = run(*shlex.split(lines["Again"])[1:])
    assert repeated.exit_code == 0, repeated.output
    one, two = Model.load(lines["Model"]), Model.load(shlex.split(lines["Again"])[-1])
    for a, b in zip(one.parameters, two.parameters, strict=True):
        np.testing.assert_array_equal(a, b)
    again = run("search", photos, *COMMAND, "--json")
    record = json.loads(again.stdout)
    assert record["model"] == lines["Model"]
    assert f"{record['command']} -o search-{record['best']}.onnx" == lines["Again"]
    assert "1/3" not in again.stderr  # nothing was done again


def test_ctrl_c_keeps_what_is_finished(photos, monkeypatch):
    def pressed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(search_worker, "train", pressed)
    result = run("search", photos, *COMMAND)
    assert result.exit_code == 130
    assert "lanewise: stopped: photos-search keeps the finished trials, and the same command resumes" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--network", "dense 1"), "there is nothing to choose: give alternatives"),
        (("--learning-rate", "0.3..0.1"), "learning_rate: the range 0.3..0.1 is empty"),
        (("--augment", "shift,turn"), 'unknown augmentation "turn"'),
        (("--objectives", "accuracy,size"), 'unknown objective "size"'),
        (("--validation-fraction", "0"), "validation_fraction cannot be 0"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_read_or_made(photos, here, arguments, problem):
    assert problem in failed(run("search", photos, *arguments))
    assert not list(here.iterdir())


def test_a_database_out_of_reach_is_one_line(photos):
    result = run("search", photos, *COMMAND, "--storage", "postgresql://me:secret@127.0.0.1:1/x")
    assert result.exit_code == 1
    assert result.stderr.startswith("lanewise: the database postgresql://me:***@127.0.0.1:1/x cannot be used: ")
    assert result.stderr.count("\n") == 1


def test_mistakes_in_a_network_have_a_caret(photos):
    result = run("search", photos, "--network", "conv {8..}@3x3, dense 1")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[2].index("^") == result.stderr.splitlines()[1].index("{")


def test_epochs_and_budget_do_not_go_together(photos):
    assert "Give --epochs or --budget" in misused(run("search", photos, "--epochs", 2, "--budget", "1s"))


def test_without_optuna_it_says_what_to_install(photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert failed(run("search", photos)) == 'lanewise: a search needs optuna: pip install "lanewise[search]"\n'


def test_a_table_names_the_files_and_the_commands_say_so(photos, here):
    files = [path for path in sorted(Path(photos).rglob("*")) if path.is_file()]
    rows = [f"{path.relative_to(photos).as_posix()},{path.parent.name}" for path in files]
    Path("kinds.csv").write_text("\n".join(["picture,kind", *rows]))
    table = ("--labels", "kinds.csv", "--path-column", "picture", "--label-column", "kind")
    result = run("search", photos, *COMMAND, *table, "--json")
    assert result.exit_code == 0, result.output
    command = json.loads(result.stdout)["command"]
    assert " ".join(table) in command
    assert run(*shlex.split(command)[1:]).exit_code == 0
