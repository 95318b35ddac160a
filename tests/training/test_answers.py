"""How a trained model answers: by mirror images, too, where training showed them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lanewise
from lanewise.data.load import load
from lanewise.errors import OptionError
from lanewise.kernels.augmentation import Augment
from lanewise.notes import unheard
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
    before, _ = saved.provenance["temperature"]["loss"]
    assert before == pytest.approx(best["validation_loss"], abs=1e-5)
    (note,) = [note for note in said if "Test-time augmentation" in note] or [None]
    assert (note is not None) == asked
    if note is not None:
        assert f"the accuracy is {100 * held.accuracy:.1f} %, without it" in note
        assert "--no-tta" in note
        assert note.count(" images/s") == 2


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


@pytest.fixture(scope="module")
def calibrated(digits, tmp_path_factory):
    """Trained with much label smoothing, which makes probabilities too low; as it comes back from a file."""
    said: list[str] = []
    options = QUICK | {"network": "conv 8@3x3 same, relu, max 2, dense 10", "epochs": 6, "label_smoothing": 0.4}
    model = lanewise.train(digits.train, augment="none", validation_fraction=0.4, notes=said.append, **options)
    model.save(path := tmp_path_factory.mktemp("calibrated") / "m.onnx")
    return lanewise.Model.load(path), said


def test_probabilities_are_calibrated_by_the_held_out_images(calibrated, digits):
    model, said = calibrated
    known = model.provenance["temperature"]
    assert known["value"] < 0.8
    held = lanewise.evaluate(model, digits.train, split="validation")
    assert (known["images"], known["loss"][1]) == (held.count, pytest.approx(held.loss, abs=1e-4))
    assert known["loss"][0] == pytest.approx(model.history[-1]["validation_loss"], abs=1e-4)
    assert known["loss"][1] < known["loss"][0] - 0.1
    (note,) = [note for note in said if "temperature" in note]
    assert f"divided by a temperature of {known['value']:.2f}" in note
    assert held.accuracy == model.history[-1]["validation_accuracy"]


def test_cross_validation_calibrates_the_final_model(digits):
    """By the answers of networks that had not seen an image; its accuracy stays, and nothing is promised."""
    said: list[str] = []
    options = QUICK | {"network": "dense 10", "epochs": 3, "label_smoothing": 0.5, "augment": "none", "folds": 2}
    some = digits.train.take(np.arange(400))
    model = lanewise.train(some, notes=said.append, **options)
    known = model.provenance["temperature"]
    assert known["value"] < 0.8
    assert known["images"] == 400
    assert known["loss"][0] == pytest.approx(model.provenance["cross_validation"]["loss"], abs=1e-5)
    assert known["loss"][1] < known["loss"][0] - 0.05
    (note,) = [note for note in said if "temperature" in note]
    assert "on the 400 images of cross-validation from" in note
    assert model.provenance.get("abstention") is None
    plain = lanewise.train(some, **options | {"folds": 0, "validation_fraction": 0})
    tested = [lanewise.evaluate(one, digits.test) for one in (model, plain)]
    assert tested[0].accuracy == tested[1].accuracy
    assert tested[0].loss < tested[1].loss - 0.05  # what cross-validation said holds for new images


def test_a_model_abstains_by_what_the_held_out_images_say(calibrated, digits):
    model, _ = calibrated
    kept = model.provenance["abstention"]
    held = lanewise.evaluate(model, digits.train, split="validation", abstain=0.02)
    assert (kept["images"], kept["wrong"]) == (held.count, held.count - held.correct)
    assert held.abstention is not None
    assert (1 + held.abstention.wrong) / (1 + held.abstention.named) <= 0.02
    assert 0.5 * held.count < held.abstention.named < held.count
    tested = lanewise.evaluate(model, digits.test, abstain=0.02).abstention
    answers, all_answers = model.predict(digits.test.pixels, abstain=0.02), model.predict(digits.test.pixels)
    named = np.array([answer is not None for answer in answers])
    assert answers.dtype == object
    np.testing.assert_array_equal(answers[named], all_answers[named])
    truth = np.array(digits.test.classes)[digits.test.labels]
    assert (tested.named, tested.wrong) == (named.sum(), (answers[named] != truth[named]).sum())
    assert tested.error == tested.wrong / tested.named <= 0.05
    with pytest.raises(OptionError, match="cannot be promised"):
        model.predict(digits.test.pixels, abstain=0.0001)
    with pytest.raises(OptionError, match="cannot be promised"):
        lanewise.evaluate(model, digits.test, abstain=0.0001)


def test_without_images_that_are_surely_new_nothing_is_promised(digits):
    some = digits.train.take(np.arange(300))
    no_validation = lanewise.train(some, augment="none", validation_fraction=0, **QUICK)
    going_on = lanewise.train(some, augment="none", start=no_validation, epochs=1, notes=unheard)
    for model in (no_validation, going_on):
        assert not model.provenance.keys() & {"temperature", "abstention"}
        with pytest.raises(OptionError, match="this model has none"):
            model.predict(digits.test.pixels, abstain=0.1)
