"""Going on from a model from elsewhere: its scale and the order of its classes are found by the labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import lanewise
from lanewise import Model
from lanewise.data.arrays import from_arrays
from lanewise.data.load import load
from lanewise.errors import DataError, LanewiseWarning
from lanewise.notes import Caution
from lanewise.report import page
from lanewise.training.optimizers import LEARNING_RATES

OPTIONS: dict[str, Any] = {"epochs": 12, "batch_size": 32, "folds": 0, "verbose": 0}
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

Digits = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def digits() -> Digits:
    """Bytes and their labels: to train on, and others."""
    sets = load("digits")
    assert sets.test is not None
    assert sets.train.labels is not None
    assert sets.test.labels is not None
    return sets.train.pixels[:800], sets.train.labels[:800], sets.test.pixels, sets.test.labels


def _strip(model: Model, path: Path) -> Path:
    """The model's file without anything that Lanewise says of it."""
    model.save(path)
    proto = onnx.load(path)
    del proto.metadata_props[:]
    proto.producer_name = "other"
    onnx.save(proto, path)
    return path


@pytest.fixture(scope="module", params=["unit", "symmetric", "standardised"])
def stranger(request: Any, digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network from elsewhere that was trained on another scale than bytes."""
    x = digits[0] / np.float32(255)
    change = {"unit": lambda x: x, "symmetric": lambda x: 2 * x - 1, "standardised": lambda x: (x - x.mean()) / x.std()}
    model = lanewise.train(
        change[request.param](x),
        digits[1],
        network="conv 8@3 same, relu, max 2, dense 10",
        epochs=8,
        folds=0,
        verbose=0,
    )
    return _strip(model, tmp_path_factory.mktemp("m") / "m.onnx")


def _gone_on(start: Model, x: np.ndarray, y: Any, **options: Any) -> tuple[Model, list[str]]:
    said: list[str] = []
    return lanewise.train(x, y, start=start, epochs=1, notes=said.append, **options), said


def _begins_well(model: Model, x: np.ndarray, y: np.ndarray) -> None:
    assert model.provenance["start"]["validation_accuracy"] > 0.85
    assert np.mean(model.predict(x) == y) > 0.85  # without a warning that the scale is another: that is an error here


@pytest.mark.parametrize("seed", [0, 1])
def test_its_scale_is_found_and_said(stranger: Path, digits: Digits, seed: int) -> None:
    x, y, x_test, y_test = digits
    model, said = _gone_on(Model.load(stranger), x, y, seed=seed)
    _begins_well(model, x_test, y_test)
    assert any(isinstance(note, Caution) and "does not say which values" in note for note in said)
    floats, _ = _gone_on(Model.load(stranger), x / 255, y, seed=seed)
    _begins_well(floats, x_test / 255, y_test)


def test_what_comes_out_knows_its_scale(stranger: Path, digits: Digits, tmp_path: Path) -> None:
    x, y, x_test, _ = digits
    model, _ = _gone_on(Model.load(stranger), x, y)
    model.save(tmp_path / "m.onnx")
    loaded = Model.load(tmp_path / "m.onnx")
    assert loaded.preprocessing == model.preprocessing
    assert loaded.preprocessing.value_range == (0, 255)
    assert np.array_equal(loaded.predict_proba(x_test), model.predict_proba(x_test))
    with pytest.raises(DataError, match="lie within 0 to 1"):
        loaded.predict(x_test / 255)


def test_the_order_of_outputs_without_names_is_found(stranger: Path, digits: Digits) -> None:
    x, y, x_test, y_test = digits
    names = np.array(WORDS)
    model, said = _gone_on(Model.load(stranger), x, names[y])
    assert model.classes == WORDS
    assert any("outputs have no names" in note for note in said)
    _begins_well(model, x_test, names[y_test])
    assert lanewise.evaluate(model, x_test, names[y_test]).accuracy > 0.85


def test_classes_in_another_order_are_the_same_classes(stranger: Path, digits: Digits) -> None:
    x, y, x_test, y_test = digits
    names = np.array(WORDS)
    model, _ = _gone_on(Model.load(stranger, classes=WORDS), x, names[y])
    assert model.classes == WORDS
    _begins_well(model, x_test, names[y_test])


def test_numbers_stay_numbers(stranger: Path, digits: Digits) -> None:
    x, y, x_test, y_test = digits
    model, _ = _gone_on(Model.load(stranger), x, y + 1)
    assert model.classes == tuple(range(1, 11))
    _begins_well(model, x_test, y_test + 1)


def test_evaluate_finds_the_scale_too(stranger: Path, digits: Digits) -> None:
    _, _, x_test, y_test = digits
    with pytest.warns(LanewiseWarning, match="does not say which values"):
        found = lanewise.evaluate(Model.load(stranger), x_test, y_test)
    assert found.accuracy > 0.85


def test_answers_no_better_than_guessing_are_said(stranger: Path, digits: Digits) -> None:
    x, y, _, _ = digits
    start = Model.load(stranger)
    shuffled = replace(start, parameters=tuple(np.zeros_like(array) for array in start.parameters))
    _, said = _gone_on(shuffled, x, y)
    assert any("no more than by guessing" in note for note in said)


def test_going_on_too_fast_starts_again(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, _, _ = digits
    start = lanewise.train(x, y, network="conv 8@3 same, relu, max 2, dense 10", **OPTIONS)
    monkeypatch.setitem(LEARNING_RATES, "sgd", 30.0)
    model, said = _gone_on(start, x, y)
    assert any("too high; starting again" in note or "diverged; starting again" in note for note in said)
    assert model.provenance["learning_rate"] < 3.0


def test_a_report_finds_the_scale_for_all_of_its_figures(stranger: Path, digits: Digits, monkeypatch: Any) -> None:
    """The curve, the mistakes and the live network come from the model that the accuracy is of."""
    x, y = digits[2], digits[3]
    images = from_arrays(x, y)
    seen: list[Any] = []
    real = page.accuracy_of  # type: ignore[attr-defined]
    monkeypatch.setattr(page, "accuracy_of", lambda *given: seen.append(real(*given)) or seen[0])
    text = page.report_html(Model.load(stranger), images, "test", {"test": images})
    (evaluated,) = seen
    right = float((evaluated.probabilities.argmax(axis=1) == images.labels).mean())
    assert evaluated.here.accuracy == pytest.approx(right)
    assert right > 0.85
    assert f"{100 * right:.1f}" in text
