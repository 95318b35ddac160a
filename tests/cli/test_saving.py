"""Where a trained model goes: nothing is lost, whatever happens."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

import lanewise
from lanewise import saving
from lanewise.errors import ModelFileError
from lanewise.model import Model
from tests.cli.conftest import FAST, error_of, failed, misused, run, told


def test_nothing_that_is_there_is_replaced(photos, here):
    (here / "photos.onnx").write_text("precious")
    run("train", photos, *FAST)
    run("train", photos, *FAST)
    assert (here / "photos.onnx").read_text() == "precious"
    assert sorted(os.listdir(here)) == ["photos-2.onnx", "photos-3.onnx", "photos.onnx"]


def test_a_named_file_is_replaced_by_force_only(photos, here, fake):
    (here / "mine.onnx").write_text("precious")
    assert "mine.onnx exists already" in misused(run("train", photos, *FAST, "-o", "mine.onnx"))
    assert fake.given == {}
    assert (here / "mine.onnx").read_text() == "precious"
    assert run("train", photos, *FAST, "-o", "mine.onnx", "--force").exit_code == 0
    assert Model.load(here / "mine.onnx").classes == ("dark", "light")


def test_a_folder_as_output_gets_the_default_name(photos, here):
    (here / "models").mkdir()
    assert told(photos, *FAST, "-o", "models")["model"] == os.path.join("models", "photos.onnx")


def test_a_device_is_never_replaced(photos):
    assert "not a regular file" in misused(run("train", photos, *FAST, "-o", "/dev/null", "--force"))


def test_a_place_that_cannot_be_written_is_told_before_learning(photos, fake):
    assert "choose another place" in failed(run("train", photos, *FAST, "-o", "no/such/folder/model.onnx"))
    assert fake.given == {}


def test_trying_the_place_leaves_nothing_behind(photos, here):
    error_of("train", photos, "--network", "dense 1", "--only", "nothing-*")
    assert os.listdir(here) == []


def test_a_disk_that_is_full_at_the_end_loses_no_model(photos, tmp_path, monkeypatch):
    write = saving.write_new

    def full(path, data):
        if "here" in os.fspath(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    folder = tmp_path / "here" / "out"
    folder.mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(sys.modules["lanewise.model_file.write"], "write_new", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    result = run("train", photos, *FAST, "-o", folder, "--json")
    assert result.exit_code == 1
    assert "No space left on device; it was saved as" in result.stderr
    path = json.loads(result.stdout)["model"]
    assert path.startswith(str(tmp_path / "temporary"))
    assert Model.load(path).classes == ("dark", "light")


def test_a_file_that_appeared_while_learning_survives(photos, here, fake, monkeypatch):
    given = lanewise.train

    def train(*arguments, **options):
        (here / "mine.onnx").write_text("precious")
        return given(*arguments, **options)

    monkeypatch.setattr(lanewise, "train", train)
    assert told(photos, *FAST, "-o", "mine.onnx")["model"] == "mine-2.onnx"
    assert (here / "mine.onnx").read_text() == "precious"


def test_stopped_training_is_evaluated_and_saved_with_status_130(photos, here, fake):
    fake.provenance = {"interrupted": True}
    result = run("train", photos, *FAST)
    assert result.exit_code == 130
    assert "stopped by you" in result.stdout
    assert "Saved               photos.onnx" in result.stdout
    assert Model.load(here / "photos.onnx").provenance["interrupted"] is True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_in_a_real_process_keep_the_model(tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "lanewise", "train", "digits", "--network", "dense 10", "--epochs", "1000000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("Epoch"):
            break
    process.send_signal(number)
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait() == 130, rest
    assert "digits.onnx" in rest
    assert Model.load(tmp_path / "digits.onnx").provenance["interrupted"] is True


def test_signals_are_handled_as_before_when_a_command_is_done(photos, here):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    told(photos, *FAST)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_saved_model_says_how_good_it_was(photos, here):
    said = told(photos, *FAST)
    figures = Model.load(here / "photos.onnx").provenance["evaluated"]
    assert figures == {
        "split": said["split"],
        "images": said["count"],
        "accuracy": said["accuracy"],
        "interval": said["interval"],
    }


def test_a_model_is_there_even_if_its_figures_cannot_be_added(photos, here, monkeypatch):
    calls = []

    def full(self, path):
        calls.append(path)
        raise ModelFileError("No space left on device")

    monkeypatch.setattr(Model, "save", full)
    assert told(photos, *FAST)["model"] == "photos.onnx"
    assert len(calls) == 1
    assert "evaluated" not in Model.load(here / "photos.onnx").provenance
