"""What `lanewise compare` says and leaves behind."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from lanewise.cli import compare, experimenting
from lanewise.cli.output import FORMER_KEYS, Output
from lanewise.experiments import trial as trials
from lanewise.experiments.compare import Comparison
from lanewise.experiments.rows import MethodRow
from lanewise.experiments.trial import Roles
from tests.cli.conftest import run

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
SMALL = ("--network", "conv 2@3x3 same, relu, conv 2@3x3 same, relu, max 2, dense 4, relu, dense 1", "--epochs", 2)


@pytest.fixture(autouse=True)
def own_journals(tmp_path, monkeypatch):
    monkeypatch.setattr(experimenting, "cache_folder", lambda kind: tmp_path / kind)


def test_a_line_a_training_the_table_and_the_conclusion(photos):
    result = run("compare", photos, *SMALL, "--seeds", 1)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[2].startswith("1/5 ")
    assert "fully connected, seed 0" in lines[2]
    assert "Hand-made features  fixed sobel" in result.stdout
    (said,) = (line for line in lines if line.startswith("Conclusion"))
    assert "Each was trained once" in said
    assert "5 trainings had been done before" in run("compare", photos, *SMALL, "--seeds", 1).stdout


def test_json_and_files(photos, here):
    result = run("compare", photos, *SMALL, "--seeds", 2, "--bank", "sobel", "-o", "out", "--json")
    told = json.loads(result.stdout)
    assert told["rows"][0]["name"] == "fully connected"
    assert told["rows"][1]["network"].startswith("fixed sobel, relu")
    assert told["kept_back"] is True
    assert told["seeds"] == [0, 1]
    kept = json.loads((here / "out" / "compare.json").read_text())
    assert kept["sentence"] == told["sentence"]
    keys = set(told).union(*told["rows"], *told["differences"]) - set(FORMER_KEYS.values())
    assert {key for key in keys if f"`{key}`" not in PAGE.read_text()} == set()


def test_stopped_by_the_user_it_says_how_to_go_on(photos, monkeypatch):
    def train(sets, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "train", train)
    result = run("compare", photos, *SMALL)
    assert result.exit_code == 130
    assert "the same command resumes" in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_cannot_be_compared_is_one_line(photos):
    result = run("compare", photos, "--network", "dense 1")
    assert result.exit_code == 1
    assert "does not begin with a convolution" in result.stderr
    assert result.stderr.count("\n") == 1


def test_on_a_narrow_terminal_there_are_two_tables():
    row = MethodRow("hand-made features", "", 0.9, (0.9,), (0.85, 0.95), 0.9, 0.0, 280_100, 9, 2_138_404, 3.0, ((),))
    found = Comparison((0,), 0, Roles("test", "validation", 1_000), (row,), ())
    for width, count in ((120, 1), (80, 2)):
        console = Console(width=width, file=io.StringIO())
        tables = list(compare._tables(Output(console, False, False), found))
        assert len(tables) == count
        for table in tables:
            console.print(table)
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        assert shown.count("hand-made features") == count
        assert all(head in shown for head in found.table()[0])
        assert "2,138,404" in shown
