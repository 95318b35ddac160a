"""Progress from Python: a bar, lines, nothing; and no display that fails ends training."""

from __future__ import annotations

import io
import sys
import types
from dataclasses import replace
from typing import Any

import pytest

import lanewise
from lanewise.cli.output import open_output
from lanewise.cli.progress import Lines
from lanewise.training.progress import Watch, image, watched
from lanewise.training.task import Progress

FAST: dict[str, Any] = {"network": "dense 10", "epochs": 3, "augment": "none"}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def report(epoch=2):
    return Progress(epoch, 4, 0.5, 0.5, 0.75, None, 0.8, 0.1, 1234567.5, 1.0, 300.0, True)


@pytest.mark.parametrize("verbose", [None, 0])
def test_nothing_is_printed_where_nobody_watches(verbose, capsys):
    lanewise.train("digits", verbose=verbose, **FAST)
    assert capsys.readouterr() == ("", "")


def test_a_line_an_epoch_and_the_accuracy(capsys):
    lanewise.train("digits", verbose=2, **FAST)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert [line[:9] for line in lines[:3]] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]
    assert lines[3].startswith("Trained: validation accuracy ")


@pytest.mark.parametrize("verbose", [None, 1])
def test_a_terminal_gets_a_bar(verbose, monkeypatch):
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    lanewise.train("digits", verbose=verbose, **FAST)
    assert "━" in terminal.getvalue()
    assert "Trained: validation accuracy" in terminal.getvalue()


def test_own_progress_takes_the_place_of_the_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    lanewise.train("digits", progress=lambda now: None, **FAST)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("verbose", [1, 2])
def test_a_terminal_that_goes_away_does_not_end_training(verbose, monkeypatch):
    class Broken(Terminal):
        writes = 0

        def write(self, text):
            self.writes += 1
            if self.writes > 2:
                raise BrokenPipeError("gone")
            return len(text)

    monkeypatch.setattr(sys, "stderr", Broken())
    assert len(lanewise.train("digits", verbose=verbose, **FAST).history) == 3


@pytest.mark.parametrize("stream", [None, "closed"])
def test_there_need_be_no_standard_error(stream, monkeypatch):
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    for verbose in (None, 1, 2):
        assert lanewise.train("digits", verbose=verbose, **FAST | {"epochs": 1}).history


def test_ctrl_c_while_the_display_ends_does_not_lose_the_model():
    class Late:
        def __call__(self, now):
            pass

        def close(self, said):
            raise KeyboardInterrupt

    Watch(Late(), None).close()


def test_a_notebook_gets_a_bar_below_the_cell(monkeypatch):
    shown = []
    handle = types.SimpleNamespace(update=shown.append)
    display = types.ModuleType("IPython.display")
    display.HTML = str  # type: ignore[attr-defined]
    display.display = lambda first, display_id: shown.append(first) or handle  # type: ignore[attr-defined]
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    ipython.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    lanewise.train("digits", **FAST)
    assert any("<progress" in one and "Epoch 3/3" in one for one in shown)
    assert "Trained: validation accuracy" in shown[-1]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_bar_cuts_nothing(width):
    from rich.console import Console

    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    console.print(image(report(), width))
    text = " ".join(stream.getvalue().split())
    for part in (
        "50 %",
        "5 min 0 s left",
        "loss 0.5000",
        "validation 80.0 %",
        "1,234,568 images/s",
        "best model so far",
    ):
        assert part in text, text
    assert "…" not in text


def test_user_errors_in_progress_are_the_users():
    def fail(now):
        raise ZeroDivisionError

    with watched(0, fail) as watch, pytest.raises(ZeroDivisionError):
        watch(report())


def test_folds_are_named_and_their_work_counts_as_a_part_of_all(capsys):
    seen = []
    lanewise.train("digits", verbose=2, folds=2, progress=seen.append, **FAST)
    lines = capsys.readouterr().err.splitlines()
    assert next(line[:19] for line in lines if line.startswith("Fold 1/2")) == "Fold 1/2  epoch 1/6"
    assert sum(line.startswith("Fold 2/2") for line in lines) == 6  # as many steps as the final model
    assert sum(line.startswith("Fold 2 of 2: trained in") for line in lines) == 1
    assert [line[:9] for line in lines[-4:-1]] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]
    assert lines[-1].startswith("Trained: 2-fold cross-validation accuracy ")
    assert [now.fraction for now in seen] == sorted(now.fraction for now in seen)
    assert seen[-1].fraction == 1
    assert (seen[0].fold, seen[-1].fold, seen[0].folds) == (1, 3, 2)
    plain = []
    lanewise.train("digits", progress=plain.append, folds=0, **FAST)
    assert {(now.fold, now.folds) for now in plain} == {(0, 0)}


def test_lines_of_the_command_go_on_in_the_next_fold(capsys):
    lines = Lines(open_output(False))
    for fold, seconds in ((1, 30.0), (1, 60.0), (2, 1.0), (2, 31.0)):
        lines(replace(report(), fold=fold, folds=5, seconds=seconds))
    lines.close()
    assert [line[:8] for line in capsys.readouterr().out.splitlines()] == ["Fold 1/5"] * 2 + ["Fold 2/5"] * 2
