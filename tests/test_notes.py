"""Notes reach whoever trains from Python: what harms as a warning at their own line, the rest in the log."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise.notes import Caution, Note, say


def test_a_caution_is_a_warning_at_the_line_that_called():
    with pytest.warns(lanewise.LanewiseWarning, match="40 files") as caught:
        say(Caution("40 files were left out"))
    assert caught[0].filename == __file__


def test_a_note_is_logged_and_not_a_warning(caplog):
    with caplog.at_level(logging.INFO, "lanewise"):
        say(Note("90 images are held out"))
    assert caplog.messages == ["90 images are held out"]


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for name, level in (("dark", 30), ("light", 180)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for n in range(6):
            pixels = random.integers(level, level + 40, (6, 6)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{n}.png")
    (tmp_path / "images" / "dark" / "bad.png").write_bytes(b"no image")
    return tmp_path / "images"


FAST: dict[str, Any] = {"network": "dense 2", "epochs": 2, "augment": "none"}


def heard(work):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    return [(str(one.message).partition(":")[0], one.category, one.filename) for one in caught]


SKIPPED = [("1 file in images skipped", lanewise.LanewiseWarning, __file__)]


def test_training_on_a_folder_warns_of_files_left_out_once_at_the_users_line(folder):
    assert heard(lambda: lanewise.train(folder, **FAST)) == SKIPPED


def test_a_loaded_set_is_warned_of_when_it_is_loaded_and_not_again(folder):
    sets = []
    assert heard(lambda: sets.append(lanewise.load(folder))) == SKIPPED
    models = []
    assert heard(lambda: models.append(lanewise.train(sets[0], **FAST))) == []
    assert heard(lambda: lanewise.evaluate(models[0], folder, split="all")) != []


def test_whoever_takes_notes_gets_no_warnings(folder):
    notes = []
    assert heard(lambda: lanewise.train(folder, notes=notes.append, **FAST)) == []
    assert sum("skipped" in note for note in notes) == 1


def test_the_rest_of_the_notes_are_logged(folder, caplog):
    with caplog.at_level(logging.INFO, "lanewise"), pytest.warns(lanewise.LanewiseWarning):
        lanewise.train(folder, **FAST)
    assert any("held out" in message for message in caplog.messages)
    assert not any("skipped" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("lr", "learning_rate"), ("batch", "batch_size"), ("val_split", "validation_fraction"), ("epoch", "epochs")],
)
def test_a_keyword_of_another_library_is_answered_with_ours(wrong, right):
    with pytest.raises(TypeError, match=rf"train\(\) has no argument '{wrong}'; did you mean '{right}'\?"):
        lanewise.train("digits", **{wrong: 1})
