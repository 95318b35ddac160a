"""A killed `lanewise train` says at the next start how it is resumed, and the command that it says does it."""

from __future__ import annotations

import math
import os
import shlex
from contextlib import closing
from typing import Any

import pytest

import lanewise
from lanewise.model import Model
from lanewise.training import checkpoint
from lanewise.training.loop import Loop
from tests.cli.conftest import failed, misused, run

TRAIN = ("train", "digits", "--network", "dense 10", "--epochs", 4, "--threads", 1)


class KilledError(BaseException):
    """Ends all, as a signal would."""


@pytest.fixture(autouse=True)
def _written_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SHARE", math.inf)


def dies(monkeypatch: pytest.MonkeyPatch, of: Any, name: str, after: int = 1, error: type = KilledError) -> None:
    """Let the process die when something is called so many times."""
    whole, count = getattr(of, name), 0

    def called(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == after:
            monkeypatch.setattr(of, name, whole)
            raise error
        return whole(*args, **options)

    monkeypatch.setattr(of, name, called)


def killed(
    monkeypatch: pytest.MonkeyPatch, *words: Any, of: Any = Loop, name: str = "one_epoch", after: int = 3
) -> None:
    dies(monkeypatch, of, name, after)
    with pytest.raises(KilledError):
        run(*words)


def weights(path: str) -> bytes:
    return b"".join(array.tobytes() for array in Model.load(path).parameters)


def test_a_killed_training_is_told_and_resumed_by_the_command_that_is_told(here, monkeypatch):
    assert run(*TRAIN, "-o", "whole.onnx").exit_code == 0
    assert os.listdir(here) == ["whole.onnx"], "there is no trace of a checkpoint"
    killed(monkeypatch, *TRAIN)
    other = run(*TRAIN[:4], "--epochs", 1)
    (line,) = [line for line in other.stdout.splitlines() if "digits.checkpoint holds a training" in line]
    assert "ended after 2 of 4 epochs (" in line
    command = line.partition("to resume it, run ")[2].partition(";")[0]
    words = shlex.split(command)
    assert words[0] == "lanewise"
    resumed = run(*words[1:])
    assert "Training goes on after 2 of 4 epochs" in resumed.stdout
    assert weights("digits-2.onnx") == weights("whole.onnx")
    assert sorted(os.listdir(here)) == ["digits-2.onnx", "digits.onnx", "whole.onnx"]
    assert "Resume" not in run(*TRAIN).stdout


def test_a_new_training_leaves_an_older_checkpoint_alone(here, monkeypatch):
    killed(monkeypatch, *TRAIN)
    kept = (here / "digits.checkpoint").read_bytes()
    killed(monkeypatch, *TRAIN, "--seed", 1)
    assert (here / "digits.checkpoint").read_bytes() == kept
    said = run(*TRAIN).stdout
    assert said.count("holds a training") == 2
    assert "Training goes on" in run(*TRAIN, "--seed", 1, "--resume").stdout, "it is found by its command"
    assert not (here / "digits-2.checkpoint").exists()
    assert (here / "digits.checkpoint").exists()


def test_other_options_are_refused_in_one_line(monkeypatch):
    killed(monkeypatch, *TRAIN, "--quiet")
    line = failed(run(*TRAIN, "--quiet", "--resume", "--momentum", 0.5, "--class-weight", "balanced"))
    assert "momentum: 0.9 then, 0.5 now" in line
    assert "class weight: none then, balanced now" in line
    killed(monkeypatch, *TRAIN, "--quiet", "--checkpoint", "mine")
    assert "holds a training that ended" in failed(run(*TRAIN, "--quiet", "--checkpoint", "mine"))


@pytest.mark.parametrize(("of", "name"), [("lanewise.cli.training", "evaluate"), ("lanewise.cli.saving", "amend")])
def test_killed_while_it_evaluates_and_saves(of, name, here, monkeypatch):
    """The model is there already, and is its own: it is replaced, without --force, by the whole one."""
    words = (*TRAIN, "-o", "m.onnx", "--checkpoint", "c", "--resume")
    killed(monkeypatch, *words, of=__import__(of, fromlist=["x"]), name=name, after=1)
    assert "evaluated" not in Model.load("m.onnx").provenance
    assert run(*words).exit_code == 0
    assert "evaluated" in Model.load("m.onnx").provenance
    assert os.listdir(here) == ["m.onnx"]
    assert "m.onnx exists already" in misused(run(*words)), "now there is nothing to resume"


def test_by_default_too_the_model_that_was_saved_is_replaced(here, monkeypatch):
    (here / "digits.onnx").write_text("precious")
    killed(monkeypatch, *TRAIN, of=__import__("lanewise.cli.saving", fromlist=["x"]), name="amend", after=1)
    assert run(*TRAIN, "--resume").exit_code == 0
    assert (here / "digits.onnx").read_text() == "precious"
    assert "evaluated" in Model.load("digits-2.onnx").provenance
    assert sorted(os.listdir(here)) == ["digits-2.onnx", "digits.onnx"]


def test_a_training_that_the_user_ends_goes_on_if_its_checkpoint_was_named(here, monkeypatch):
    """As where a queue of jobs sends SIGTERM: the best model so far is saved, and replaced when it has gone on."""
    words = (*TRAIN, "-o", "m.onnx", "--checkpoint", "c", "--resume")
    dies(monkeypatch, Loop, "one_epoch", 3, KeyboardInterrupt)
    result = run(*words)
    assert result.exit_code == 130
    assert "Resume              lanewise train digits" in result.stdout
    assert Model.load("m.onnx").provenance["interrupted"]
    assert run(*words).exit_code == 0
    assert not Model.load("m.onnx").provenance["interrupted"]
    assert run(*TRAIN, "-o", "whole.onnx").exit_code == 0
    assert weights("m.onnx") == weights("whole.onnx")
    assert sorted(os.listdir(here)) == ["m.onnx", "whole.onnx"]
    dies(monkeypatch, Loop, "one_epoch", 3, KeyboardInterrupt)
    assert run(*TRAIN, "-o", "other.onnx").exit_code == 130
    assert not [name for name in os.listdir(here) if "checkpoint" in name], "nobody asked for one"


def test_a_checkpoint_of_another_model_is_left_alone(here, monkeypatch):
    """That of street-2 is not the second of street."""
    words = ("train", "digits", "--network", "dense 10", "--threads", 1)
    killed(monkeypatch, *words, "--epochs", 3, "-o", "street-2.onnx", after=2)
    said = run(*words, "--epochs", 1, "-o", "street.onnx", "--resume")
    assert "there is no checkpoint street.checkpoint, so training begins" in said.stdout
    assert sorted(os.listdir(here)) == ["street-2.checkpoint", "street.onnx"]
    assert "Training goes on" in run(*words, "--epochs", 3, "-o", "street-2.onnx", "--resume").stdout


@pytest.mark.skipif(os.name != "posix", reason="files are not held elsewhere")
def test_a_training_that_still_runs_is_not_begun_a_second_time(here, monkeypatch):
    killed(monkeypatch, *TRAIN)
    with closing(checkpoint.Keeper("digits.checkpoint", resume=True)):
        line = failed(run(*TRAIN, "--resume"))
    assert "digits.checkpoint is of a training that is still running" in line
    assert "Training goes on" in run(*TRAIN, "--resume").stdout


@pytest.mark.parametrize("other", ["--checkpoint", "--history", "--report"])
def test_each_output_has_a_file_of_its_own(other, here):
    assert f"--output and {other} name the same file" in misused(run(*TRAIN, "-o", "a.html", other, "./a.html"))
    assert not os.listdir(here)


def test_python_and_the_command_share_a_format(here, monkeypatch):
    killed(monkeypatch, *TRAIN, "--checkpoint", "c")
    with pytest.raises(lanewise.LanewiseError, match=r"holds a training .* run lanewise train digits"):
        lanewise.train("digits", checkpoint="c")
