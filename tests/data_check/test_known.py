"""Images that a model was trained on never pass for new ones in `lanewise.check`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import lanewise
from lanewise.cli.group import lanewise as command
from lanewise.data_check import check, label_errors
from lanewise.data_check.page import render
from lanewise.errors import DataError
from lanewise.notes import unheard

QUICK: dict[str, Any] = {"network": "conv 2@3x3, relu, max 4, dense 2", "epochs": 3, "size": 16, "notes": unheard}


@pytest.fixture
def never_trained(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a network was trained")

    monkeypatch.setattr(label_errors, "train", refuse)


@pytest.fixture
def model(photos):
    """One that learned from 48 photographs of a folder in parts."""
    return lanewise.train(photos / "train", folds=0, **QUICK)


def test_training_images_are_left_out_whatever_they_are_called_and_held_out_ones_are_evaluated(
    photos, model, never_trained
):
    found = lanewise.check(photos / "train", model=model)
    held = 48 - model.provenance["images"]
    one = found.of("trained-on")
    assert one.severity == "note"
    assert f"trained on {48 - held} of the 48 images" in one.message
    shutil.copy(photos / "train/apple/00.png", photos / "train/leaf/other.png")
    seen = lanewise.check(photos / "train", model=model).of("trained-on").cases
    assert {case.names[0] for case in one.cases} <= {case.names[0] for case in seen}


def test_only_images_new_to_the_model_are_evaluated_by_it(photos, model, never_trained, monkeypatch):
    evaluated = []
    monkeypatch.setattr(
        check.Known,  # type: ignore[attr-defined]
        "evaluated",
        lambda self, places, classes: evaluated.extend(places) or np.full((len(places), 2), 0.5),
    )
    shutil.copy(photos / "train/apple/05.png", photos / "test/leaf/copy.png")
    found = lanewise.check(photos, model=model)
    names = {found.collection.names[n] for n in evaluated}
    trained = {case.names[0] for case in found.of("trained-on").cases}
    kinds = model.provenance["seen"]["trained_on"]["count"]
    assert not names & trained
    assert "test/leaf/copy.png" not in names
    assert {name for name in names if name.startswith("test/")} == {
        f"test/{label}/{n:02}.png" for label in ("apple", "leaf") for n in range(8)
    }
    assert any(f"{kinds + 1} images were left out" in sentence for sentence in found.not_done)


def test_training_images_in_the_test_set_are_serious(photos, model):
    assert lanewise.check(photos, model=model, labels=False).of("trained-on") is None
    learned = lanewise.train(photos / "test", folds=0, validation_fraction=0, **QUICK)
    found = lanewise.check(photos, model=learned, labels=False)
    assert found.items[0].kind == "trained-on"
    assert found.items[0].severity == "serious"
    assert found.items[0].message == "The model was trained on 16 of the 16 images of the test set."
    assert "Images that the model was trained on" in render(found)


@pytest.mark.parametrize("scale", [lambda x: x, lambda x: x / 255, lambda x: x / 127.5 - 1])
def test_arrays_on_any_scale_are_known_again(scale):
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (60, 8, 8, 3)).astype(np.uint8), np.arange(60) % 2
    learned = lanewise.train(scale(x[:40]), y[:40], network="dense 2", epochs=1, folds=0, notes=unheard)
    found = lanewise.check(x, y, model=learned)
    trained = learned.provenance["images"]
    assert len(found.of("trained-on").cases) == trained
    assert max(case.images[0] for case in found.of("trained-on").cases) < 40
    assert f"tested the {60 - trained} others" in found.not_done[-1]


def test_a_model_that_does_not_say_what_it_was_trained_on_evaluates_nothing(photos, model, monkeypatch):
    trained = []
    monkeypatch.setattr(label_errors, "cross_validated", lambda *args: trained.append(1) or np.full((64, 2), 0.5))
    silent = replace(model, provenance={})
    found = lanewise.check(photos, model=silent)
    assert trained
    assert "does not record its training images" in found.not_done[0]


def test_a_model_of_other_images_or_classes_is_told_in_one_line(photos, model):
    x = np.zeros((20, 5, 5, 3), np.uint8)
    with pytest.raises(DataError, match="takes images of 16x16x3"):
        lanewise.check(x, np.arange(20) % 2, model=model)
    (photos / "test" / "apple").rename(photos / "test" / "pear")
    shutil.rmtree(photos / "train")
    assert "knows no class 'pear'" in lanewise.check(photos, model=model).not_done[0]


def test_the_command_takes_a_model(photos, model, tmp_path):
    model.save(tmp_path / "m.onnx")
    result = CliRunner().invoke(command, ["check", str(photos), "--model", str(tmp_path / "m.onnx"), "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["model"].endswith("m.onnx")
    assert "left out of testing labels" in answer["not_done"][0]
