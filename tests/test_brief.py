"""Public values say in a few lines what they are; cards for notebooks are complete and safe."""

from __future__ import annotations

import csv
import importlib
import io
from dataclasses import replace

import numpy as np
import pytest

import lanewise
from lanewise import explain
from lanewise.card import evaluation_card, model_card
from lanewise.frames import csv_text, history_table, predictions_table


@pytest.fixture(scope="module")
def sets():
    return lanewise.load("digits")


@pytest.fixture(scope="module")
def model(sets):
    return lanewise.train(sets, network="conv 4@3x3, relu, max 2, dense 10", epochs=4)


def test_every_public_value_has_a_short_repr(sets, model):
    image = sets.train.pixels[0]
    values = [
        sets,
        sets.train,
        model,
        model.preprocessing,
        model.graph,
        *model.graph.nodes,
        lanewise.evaluate(model, sets),
        lanewise.check(sets, labels=False),
        explain.feature_maps(model, image),
        *explain.feature_maps(model, image),
        explain.receptive_field(model, "conv1", 1, 1),
        explain.expand(model, "conv1"),
        explain.neuron(model, image, "dense1", 3),
        *explain.summary(model.graph),
    ]
    for value in values:
        if isinstance(value, list | tuple):
            continue
        text = repr(value)
        assert len(text) <= 500, text
        assert text.count("\n") <= 3, text
        assert type(value).__name__ in text


def test_a_card_shows_what_there_is(model):
    card = model_card(model)
    assert "8&times;8 grey" in card
    assert "conv 4@3x3, relu, max 2, dense 10" in card
    assert "validation accuracy in epoch" in card
    assert card.count("<polyline") == 4
    assert f"{model.graph.parameter_count:,}" in card


def test_names_in_a_card_are_escaped(sets, model):
    evil = replace(model, classes=('<script>alert("x")</script>', "a\x1b[31m", *map(str, range(8))))
    found = lanewise.evaluate(model, sets)
    for card in (model_card(evil), evaluation_card(replace(found, classes=evil.classes))):
        assert "<script" not in card
        assert "\x1b" not in card
        assert "&lt;script&gt;" in card


@pytest.mark.parametrize(
    "history",
    [(), ({"epoch": 1},), ({"epoch": 1, "loss": 0.0}, {"epoch": 2, "loss": 0.0}), ({"loss": None}, {"loss": 1})],
)
def test_a_card_takes_any_history(model, history):
    assert "Lanewise model" in model_card(replace(model, history=history, provenance={}))


def test_tables_hold_what_was_predicted_and_how_training_went(sets, model):
    probabilities = model.predict_proba(sets.test.pixels[:5])
    columns, rows = predictions_table(probabilities, ("a,b", *model.classes[1:]))
    lines = list(csv.reader(io.StringIO(csv_text(columns, rows))))
    assert lines[0][:3] == ["class", "probability", "a,b"]
    assert np.allclose(np.array([line[2:] for line in lines[1:]], float), probabilities)
    columns, rows = history_table(model.history)
    assert columns[0] == "epoch"
    assert len(rows) == 4


def test_data_frames_need_pandas(model, monkeypatch):
    real = importlib.import_module

    def absent(name, *rest):
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
        return real(name, *rest)

    monkeypatch.setattr("lanewise.frames.import_module", absent)
    with pytest.raises(lanewise.LanewiseError, match="pip install pandas"):
        model.history_frame()
