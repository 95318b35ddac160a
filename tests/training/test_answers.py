"""How a trained model answers: by mirror images, too, where training showed them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lanewise
from lanewise.data.load import load
from lanewise.kernels.augmentation import Augment
from lanewise.training.answers import looks_twice

QUICK: dict[str, Any] = {"network": "conv 4@3x3 same, relu, max 2, dense 10", "epochs": 2, "folds": 0}


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_only_where_training_mirrored():
    assert looks_twice(True, Augment(flip_columns=True))
    for augment in (None, Augment(shift_columns=1), Augment(flip_rows=True)):
        assert not looks_twice(True, augment)
    assert not looks_twice(False, Augment(flip_columns=True))


@pytest.mark.parametrize("asked", [True, False])
def test_what_is_told_is_what_the_saved_model_answers(digits, asked, tmp_path):
    said: list[str] = []
    model = lanewise.train(digits.train, augment="flip", tta=asked, notes=said.append, **QUICK)
    model.save(tmp_path / "m.onnx")
    saved = lanewise.Model.load(tmp_path / "m.onnx")
    assert saved.tta == ("flip" if asked else None)
    held = lanewise.evaluate(saved, digits.train, split="validation")
    best = saved.history[saved.provenance["best_epoch"] - 1]
    assert held.accuracy == best["validation_accuracy"]
    assert held.loss == pytest.approx(best["validation_loss"], abs=1e-5)
    (note,) = [note for note in said if "Test-time augmentation" in note] or [None]
    assert (note is not None) == asked
    if note is not None:
        assert f"the accuracy is {100 * held.accuracy:.1f} %, without it" in note
        assert "--no-tta" in note
        assert note.count("images a second") == 1


def test_training_itself_is_the_same(digits):
    """It changes which weights are chosen at most: the loss of each epoch has the same bits."""
    losses = [
        [record["loss"] for record in lanewise.train(digits.train, augment="flip", tta=asked, **QUICK).history]
        for asked in (True, False)
    ]
    assert losses[0] == losses[1]


def test_cross_validation_evaluates_it(digits, monkeypatch):
    asked: list[str | None] = []
    predict = lanewise.Model.predict_proba
    monkeypatch.setattr(
        lanewise.Model,
        "predict_proba",
        lambda model, x, **options: asked.append(model.tta) or predict(model, x, **options),
    )
    some = digits.train.take(np.arange(100))
    lanewise.train(some, augment="flip", **QUICK | {"folds": 2, "epochs": 1})
    assert asked[:2] == ["flip", "flip"]


def test_going_on_from_a_model_goes_on_as_it_answers(digits):
    first = lanewise.train(digits.train, augment="flip", **QUICK)
    said: list[str] = []
    again = lanewise.train(digits.train, augment="flip", start=first, epochs=1, notes=said.append)
    assert again.tta == "flip"
    held = lanewise.evaluate(first, digits.train, split="validation")
    assert any(f"The starting model has an accuracy of {100 * held.accuracy:.1f} %" in note for note in said)
