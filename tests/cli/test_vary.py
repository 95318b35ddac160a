"""What `lanewise vary` asks for, says and leaves behind."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from lanewise.cli import experimenting, vary
from lanewise.cli.output import FORMER_KEYS, Output
from lanewise.experiments import trial as trials
from lanewise.experiments.rows import Row
from lanewise.experiments.vary import VaryProgress
from tests.cli.conftest import failed, misused, run

TEXT = "{dense 4,conv 2@3x3,conv 2@9x9}, relu, dense 1"
PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"


@pytest.fixture(autouse=True)
def own_journals(tmp_path, monkeypatch):
    """No test knows what another has trained."""
    monkeypatch.setattr(experimenting, "cache_folder", lambda kind: tmp_path / kind)


@pytest.fixture
def trained(monkeypatch):
    """The options of each training."""
    real, given = trials.train, []  # type: ignore[attr-defined]

    def train(sets, **options):
        given.append(options)
        return real(sets, **options)

    monkeypatch.setattr(trials, "train", train)
    return given


def test_a_line_a_network_then_the_table(photos, trained):
    result = run("vary", photos, "--network", TEXT, "--epochs", 2, "--seeds", 2)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert "8x8x1, 2 classes" in lines[0]
    assert "20 training images, evaluated on 4 held-out images" in lines[1]
    assert "3 combinations, 2 seeds each" in lines[2]
    assert lines[3].startswith("2/4 ")
    assert lines[4].startswith("4/4 ")
    assert lines[4].endswith("conv 2@3x3, relu, dense 1")
    assert "accuracy %" in lines[6]
    assert [line for line in lines if line.startswith("Most accurate")]
    (told,) = (line for line in lines if line.startswith("Impossible"))
    assert "conv 2@9x9, relu, dense 1: conv1 (conv 2@9x9): its kernel of 9x9 is larger" in told
    assert [one["seed"] for one in trained] == [0, 1, 0, 1]


def test_options_go_to_training(photos, trained):
    run("vary", photos, "--network", "dense 1", "--budget", "0.2s", "--batch-size", 8, "--learning-rate", 0.01)
    (given,) = trained
    assert (given["budget"], given["batch_size"], given["learning_rate"]) == (0.2, 8, 0.01)


@pytest.mark.parametrize("fraction", [0, 0.2])
def test_it_says_which_images_choose_the_weights(photos, fraction):
    result = run("vary", photos, "--network", "dense 1", "--epochs", 1, "--validation-fraction", fraction)
    said = " ".join(result.stdout.split())
    assert "held out of the training set" in said
    assert ("are chosen on other held-out images" in said) == (fraction > 0)


def test_the_same_command_again_repeats_nothing(photos, trained):
    command = ("vary", photos, "--network", TEXT, "--epochs", 2)
    run(*command)
    assert len(trained) == 2
    assert "2 trainings had been done before" in run(*command).stdout
    assert len(trained) == 2
    run("vary", photos, "--network", TEXT, "--epochs", 3)
    assert len(trained) == 4
    next(photos.glob("dark/*.png")).unlink()
    run(*command)
    assert len(trained) == 6


def test_json_and_files(photos, here, trained):
    pytest.importorskip("matplotlib")
    command = ("vary", photos, "--network", TEXT, "--epochs", 2, "-o", "grid", "--plot", "p.png")
    result = run(*command, "--json")
    told = json.loads(result.stdout)
    assert told["folder"] == "grid"
    assert told["image"] == "p.png"
    assert told["kept_back"] is True
    assert [row["text"] for row in told["rows"]] == ["dense 4, relu, dense 1", "conv 2@3x3, relu, dense 1"]
    assert sorted(path.name for path in (here / "grid").iterdir()) == ["vary.json", "vary.jsonl"]
    kept = json.loads((here / "grid" / "vary.json").read_text())
    assert kept["rows"] == told["rows"]
    assert kept["pictures"] == kept["images"] == told["pictures"], "programs of before read the file, too"
    keys = set(told).union(*told["rows"], *told["impossible"]) - set(FORMER_KEYS.values())
    assert {key for key in keys if f"`{key}`" not in PAGE.read_text()} == set()
    assert "p.png exists" in failed(run(*command))
    assert run(*command, "--force", "-q").exit_code == 0
    run("vary", photos, "--network", TEXT, "--epochs", 2, "-o", "grid")
    assert (here / "grid" / "vary.svg").exists()
    assert len(trained) == 2
    refused = run("vary", photos, "--network", TEXT, "--epochs", 3, "-o", "grid")
    assert refused.exit_code == 1
    assert "grid/vary.jsonl was kept with other options (epochs: 2 then, 3 now): give another folder" in refused.stderr


def test_stopped_by_the_user_it_says_how_to_go_on(photos, monkeypatch):
    real, count = trials.train, []  # type: ignore[attr-defined]

    def train(sets, **options):
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt
        return real(sets, **options)

    monkeypatch.setattr(trials, "train", train)
    command = ("vary", photos, "--network", TEXT, "--epochs", 2)
    result = run(*command)
    assert result.exit_code == 130
    assert "the same command resumes" in result.stderr
    assert "1 training had been done before" in run(*command).stdout


def test_slips_are_told_before_images_are_read(here):
    assert "nothing.gif: an image ends in" in failed(run("vary", "no", "--network", "dense 2", "--plot", "nothing.gif"))
    result = run("vary", "no", "--network", "dense {2")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "not closed" in result.stderr
    assert "no folder" in failed(run("vary", "no", "--network", "dense 2", "--plot", "none/p.svg"))
    assert "--network" in misused(run("vary", "no"))
    assert "--seeds" in misused(run("vary", "no", "--network", "dense 2", "--seeds", 0))
    (here / "file").write_text("")
    assert "file is a file: -o takes a folder" in failed(run("vary", "no", "--network", "dense 10", "-o", "file"))
    assert "there are 2; give one" in misused(run("vary", "no", "--network", "dense 2", "--network", "dense 1"))


@pytest.mark.parametrize("name", ["vary.json", "vary.svg"])
def test_files_that_no_run_wrote_are_left_alone(photos, here, name):
    (here / "own").mkdir()
    (here / "own" / name).write_text("mine")
    command = ("vary", photos, "--network", "dense 1", "--epochs", 1, "-o", "own")
    assert f"own/{name} exists and is not of an earlier run" in failed(run(*command))
    assert (here / "own" / name).read_text() == "mine"
    assert run(*command, "--force").exit_code == 0
    (here / "own" / "vary.jsonl").unlink()  # as one is told to, to begin again
    assert run(*command).exit_code == 0


def test_results_of_version_0_1_0_are_replaced_as_ours(photos, here):
    (here / "own").mkdir()
    (here / "own" / "vary.json").write_text('{"pictures": "photos", "rows": []}')
    assert run("vary", photos, "--network", "dense 1", "--epochs", 1, "-o", "own").exit_code == 0


def test_a_reason_is_told_once(photos):
    result = run("vary", photos, "--network", "{conv 1@9x9,conv 2@3x3}, {relu,tanh}, dense 1", "--epochs", 1)
    (told,) = (line for line in result.stdout.splitlines() if line.startswith("Impossible"))
    assert "conv 1@9x9, relu, dense 1 and 1 more: conv1" in told


@pytest.mark.parametrize(("width", "columns"), [(120, 7), (80, 5)])
def test_the_growing_table_fits_the_terminal(width, columns):
    console = Console(width=width, height=9, force_terminal=True, file=io.StringIO())
    row = Row("conv 16@3x3 same, relu, max 2, dense 10, softmax", "", 0.9, (0.85, 0.95), 0.01, 1_000, 20_000, 3.0)
    rows = [replace(row, weights=n) for n in range(1, 9)]
    shown = vary._image(Output(console, False, False), VaryProgress(9, 24, row.text, 0, row), rows, 100)
    table = shown.renderables[0]
    assert (len(table.columns), table.row_count) == (columns, 4)
    console.print(shown)
    assert len(console.file.getvalue().splitlines()) <= 8  # type: ignore[attr-defined]
    assert console.file.getvalue().count("85.0 to 95.0") == console.file.getvalue().count("3.0 s") == 4  # type: ignore[attr-defined]
    assert "weights" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_plot_and_the_folder_of_results_have_names_of_their_own(here, photos):
    """Told before anything is trained, not after."""
    words = ("vary", photos, "--network", TEXT, "--epochs", 2, "-o", "r.svg", "--plot", "./r.svg")
    assert "--output and --plot name the same file" in misused(run(*words))
    assert not (here / "r.svg").exists()
