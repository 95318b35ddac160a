"""Folds, the interval that allows for a choice, and budgets that end in time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lanewise
from lanewise.data.images import ImageSets
from lanewise.data.load import load
from lanewise.data.seen import hashes_of
from lanewise.errors import LanewiseWarning, OptionError
from lanewise.evaluation.evaluate import cross_validated, evaluate, wilson
from lanewise.proportions import over_folds
from lanewise.training import crossvalidation
from lanewise.training.best_weights import Choice
from lanewise.training.crossvalidation import default_folds, fold_of_each
from tests.cli.conftest import run


@pytest.fixture(scope="module")
def few():
    return load("digits").train.take(np.arange(200))


def quiet(note):
    """Say nothing."""


def test_each_image_is_in_one_fold_and_copies_are_together():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 90).astype(np.int32)
    pixels = random.integers(0, 255, (90, 2, 2, 1)).astype(np.uint8)
    fold = fold_of_each(labels, hashes_of(pixels), 5, 0)
    assert np.bincount(fold).tolist() == [18] * 5
    for label in range(3):
        counts = np.bincount(fold[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    pixels[40:50] = pixels[7]
    together = fold_of_each(labels, hashes_of(pixels), 5, 0)
    assert len(set(together[[7, *range(40, 50)]])) == 1


def test_folds_evaluate_every_image_once_and_the_final_model_has_all(few):
    said = []
    options: dict[str, Any] = {"network": "dense 10", "epochs": 5, "folds": 4, "augment": "none"}
    model = lanewise.train(few, notes=said.append, **options)
    figures = model.provenance["cross_validation"]
    assert (figures["folds"], figures["images"]) == (4, 200)
    assert np.sum(figures["confusion"]) == 200
    assert figures["correct"] == np.trace(figures["confusion"])
    assert model.provenance["images"] == 200
    assert any(
        "4-fold cross-validation accuracy" in note and "No image was evaluated by a network" in note for note in said
    )
    assert sum(note.startswith("Fold ") for note in said) == 4
    found = cross_validated(model)
    assert (found.split, found.count, found.interval) == ("folds", 200, tuple(figures["interval"]))
    low, high = wilson(found.correct, 200)
    assert found.interval[0] < low < high < found.interval[1]
    with pytest.warns(LanewiseWarning, match="Its 4-fold cross-validation accuracy is"):
        assert evaluate(model, few).split == "train"
    again = lanewise.train(few, notes=quiet, threads=1, **options)
    assert again.provenance["cross_validation"] == figures
    assert all(np.array_equal(a, b) for a, b in zip(model.parameters, again.parameters, strict=True))


def test_what_folds_found_is_told_by_inspect_and_in_notebooks(few, tmp_path):
    model = lanewise.train(few, network="dense 10", epochs=3, folds=2, augment="none", notes=quiet)
    share = f"{100 * model.provenance['cross_validation']['accuracy']:.1f} %"
    model.save(tmp_path / "m.onnx")
    (line,) = (line for line in run("inspect", tmp_path / "m.onnx").stdout.splitlines() if "Cross-validated" in line)
    assert share in line
    assert f"{share}</div>" in model._repr_html_()
    assert "cross-validated images: 200" in cross_validated(model)._repr_html_()


def test_labels_of_noise_get_the_accuracy_of_guessing():
    """What leaks from a fold into its network would show: on noise, there is nothing to learn but the images."""
    random = np.random.default_rng(1)
    x, y = random.normal(0, 1, (300, 6, 6)).astype(np.float32), random.integers(0, 3, 300)
    model = lanewise.train(x, y, network="dense 60, relu, dense 3", epochs=30, folds=5, notes=quiet)
    low, high = model.provenance["cross_validation"]["interval"]
    assert low < 1 / 3 < high
    assert (model.predict(x) == y).mean() > 0.6


def test_the_interval_over_folds_is_that_of_nadeau_and_bengio():
    """For many images Wilson's interval is the plain one: p ± t sqrt((1/K + 1/(K-1)) v), v a fold's variance."""
    low, high = over_folds(60_000, 100_000, 5)
    half = 2.7764 * (((1 / 5 + 1 / 4) * 0.6 * 0.4 / 20_000) ** 0.5)
    assert (low, high) == pytest.approx((0.6 - half, 0.6 + half), abs=1e-4)


def test_few_images_get_folds_by_default_and_it_is_said(few):
    said = []
    model = lanewise.train(few, network="dense 10", notes=said.append)
    assert model.provenance["cross_validation"]["folds"] == 5
    assert any("too few to hold any out" in note for note in said)
    plain = lanewise.train(few, network="dense 10", folds=0, notes=said.append)
    assert plain.provenance["cross_validation"] is None
    assert any("--folds 5" in note for note in said)
    given = lanewise.train(few, network="dense 10", epochs=2, notes=quiet)
    assert given.provenance["cross_validation"] is None


def test_the_preset_counts_in_the_time_of_folds(few, monkeypatch):
    """'best' trains for three times the epochs, 'quick' for half of them."""
    monkeypatch.setattr(crossvalidation, "SPEED", 1e8)
    monkeypatch.setattr(crossvalidation, "SECONDS", 1e9)
    seconds = {}
    for preset in ("quick", "good", "best"):
        said: list[str] = []
        assert default_folds("dense 300, relu, dense 10", few, None, preset, said.append) == 5
        seconds[preset] = int(said[0].partition("(about ")[2].partition(" s)")[0])
    assert seconds["best"] == pytest.approx(3 * seconds["good"], rel=0.1)
    assert seconds["quick"] == pytest.approx(seconds["good"] / 2, rel=0.1)


def test_folds_that_would_say_nothing_are_refused(few):
    model = lanewise.train(few, network="dense 10", epochs=1, notes=quiet)
    with pytest.raises(OptionError, match="was trained on these images"):
        lanewise.train(few, start=model, folds=5)
    with pytest.raises(OptionError, match="a validation set already"):
        lanewise.train(ImageSets(few, few), folds=5)
    for folds in (1, -2, True, 2.5):
        with pytest.raises(OptionError, match="folds must be a whole number of at least 2"):
            lanewise.train(few, folds=folds)


def test_ctrl_c_in_a_fold_keeps_a_model(few):
    def stop(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    model = lanewise.train(few, network="dense 10", epochs=4, folds=5, progress=stop, notes=quiet)
    assert model.provenance["interrupted"]
    assert model.provenance["images"] == 160


def test_a_budget_ends_after_some_epochs_and_stops_early(few, clock):
    said = []
    model = lanewise.train(few, network="dense 10", budget=60, early_stopping=False, folds=0, notes=said.append)
    assert len(model.history) == 201
    assert any("Stopped after 201 epochs, 3 times as many as the default" in note for note in said)
    options: dict[str, Any] = {
        "network": "dense 10",
        "budget": 60,
        "learning_rate": 1e-9,
        "folds": 0,
        "augment": "none",
    }
    early = lanewise.train(few, notes=quiet, **options)
    assert early.provenance["stopped_early"]
    assert len(early.history) < 201


def test_images_that_chose_the_weights_have_a_wider_interval(few):
    model = lanewise.train(few, network="dense 10", epochs=6, notes=quiet)
    assert model.provenance["candidates"] > 1
    found = evaluate(model, few)
    low, high = wilson(found.correct, found.count)
    assert found.interval[0] < low
    new = load("digits").test
    evaluated = evaluate(model, new)
    assert evaluated.interval == wilson(evaluated.correct, evaluated.count)
    odd = replace(model, provenance={**model.provenance, "candidates": "rubbish"})
    assert evaluate(odd, few).interval == (low, high)


def coverage(tries, images, evaluations, stay, seed=0):
    """How often the interval holds the true accuracy of the weights chosen: evaluations that agree on most images."""
    random = np.random.default_rng(seed)
    held = 0
    for _ in range(tries):
        curve = 0.7 + 0.05 * random.normal(0, 1, evaluations).cumsum() / evaluations**0.5
        curve = np.clip(curve, 0.3, 0.95)
        choice = Choice()
        place, chosen = random.random(images), (0, 0)
        for epoch, accuracy in enumerate(curve, 1):
            fresh = random.random(images) > stay  # images whose answer is drawn anew
            place = np.where(fresh, random.random(images), place)
            right = place < accuracy
            if choice.add(epoch, right.mean(), 1 - right.mean(), right):
                chosen = epoch, right.sum()
        low, high = wilson(int(chosen[1]), images, choice.effective())
        held += low <= curve[chosen[0] - 1] <= high
    return held / tries


@pytest.mark.parametrize("stay", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("images", "evaluations"), [(40, 60), (40, 8), (100, 100)])
def test_the_interval_holds_the_accuracy_of_weights_that_were_chosen(images, evaluations, stay):
    assert coverage(200, images, evaluations, stay) >= 0.93  # of 200, 0.95 has a standard error of 0.015
