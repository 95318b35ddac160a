"""`lanewise.train` as a user sees it, on small images that can be learned in a moment."""

import os
import signal
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lanewise
from lanewise.data.images import ImageSets
from lanewise.data.load import load
from lanewise.data.split import stratified_split
from lanewise.errors import DataError, LanewiseError, NetworkError, OptionError, TooLargeError
from lanewise.network.filters import bank
from lanewise.training.optimizers import LEARNING_RATES

QUICK: dict[str, Any] = {"network": "conv 8@3x3 same, relu, max 2, dense 10", "epochs": 4, "augment": "none"}


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.fixture(scope="module")
def model(digits):
    return lanewise.train(digits, **QUICK)


def accuracy(model, images):
    return (model.predict_proba(images.pixels).argmax(axis=1) == images.labels).mean()


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a.parameters, b.parameters, strict=True))


def test_learns(model, digits):
    assert accuracy(model, digits.test) > 0.9
    assert model.network == "conv 8@3x3 same, relu, max 2, dense 10, softmax"
    assert [record["epoch"] for record in model.history] == [1, 2, 3, 4]
    assert model.history[-1]["loss"] < model.history[0]["loss"]
    assert model.provenance["batch_size"] == 64
    assert model.provenance["steps"] == 4 * -(-model.provenance["images"] // 64)


def test_the_default_learns_well(digits):
    assert accuracy(lanewise.train(digits, epochs=20), digits.test) > 0.96


def test_many_easy_images_get_a_small_network_and_few_epochs(digits, monkeypatch):
    monkeypatch.setattr("lanewise.training.recipe.MANY", 1000)
    monkeypatch.setattr(
        "lanewise.training.recipe.default_epochs",
        lambda count, batch_size, *, effort, **_: 1 + effort.easy,
    )
    said: list[str] = []
    quick = lanewise.train(digits, notes=said.append)
    assert quick.network == "conv 8@3x3 same, relu, max 2, dense 100, relu, dense 10, softmax"
    assert quick.provenance["epochs"] == 2
    assert any("few filters and few epochs" in sentence for sentence in said)
    monkeypatch.setattr("lanewise.training.recipe.MANY", 10**6)
    assert "conv 16@3x3" in lanewise.train(digits).network


@pytest.mark.usefixtures("all_processors")
def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(model, digits):
    assert same(model, lanewise.train(digits, threads=1, **QUICK))
    assert same(model, lanewise.train(digits, threads=3, **QUICK))
    assert not same(model, lanewise.train(digits, seed=1, **QUICK))


def test_how_steps_are_cut_into_native_calls_changes_nothing(model, digits, monkeypatch):
    monkeypatch.setattr("lanewise.training.loop.CHUNK_SECONDS", 0.0)
    assert same(model, lanewise.train(digits, **QUICK))


def test_arrays_learn_like_images_and_labels_stay_as_given(digits):
    x, y = digits.train.pixels[:, :, :, 0], digits.train.labels + 5
    model = lanewise.train(x, y, **QUICK)
    assert model.classes == tuple(range(5, 15))
    predicted = model.predict(digits.test.pixels)
    assert predicted.dtype.kind == "i"
    assert (predicted == digits.test.labels + 5).mean() > 0.9


def test_a_model_goes_on_learning(model, digits):
    before = accuracy(model, digits.test)
    further = lanewise.train(digits, start=model, epochs=4, augment="none", seed=3)
    assert further.network == model.network
    assert further.preprocessing == model.preprocessing
    assert further.history[0]["loss"] < model.history[0]["loss"] / 2
    assert accuracy(further, digits.test) >= before - 0.02
    with pytest.raises(OptionError, match='begins with "flatten, dense 10, softmax", the model with "conv 8@3x3 same,'):
        lanewise.train(digits, start=model, network="dense 10")


@pytest.mark.parametrize("rate", [None, 1.0])
def test_going_on_never_ruins_a_model(digits, rate):
    """The start is the first candidate for the best weights, whatever the rate does to them afterwards."""
    good = lanewise.train(digits, network=QUICK["network"], epochs=12, seed=1)
    _, out = stratified_split(digits.train.labels, 0.1, 1)
    held = digits.train.take(out)
    said: list[str] = []
    options: dict[str, Any] = {"learning_rate": rate, "schedule": "constant", "epochs": 2, "seed": 1}
    further = lanewise.train(digits, start=good, notes=said.append, **options)
    before = accuracy(good, held)
    assert accuracy(further, held) >= before
    assert further.provenance["start"]["validation_accuracy"] == pytest.approx(before)
    assert any(f"accuracy of {100 * before:.1f} % on the 143 validation images" in sentence for sentence in said)
    if rate is None:
        assert further.provenance["learning_rate"] == pytest.approx(0.005)
    else:
        assert same(further, good)
        assert any("No epoch was better" in sentence for sentence in said)


def test_a_start_that_nothing_is_held_out_for_is_not_evaluated_and_that_is_said(model, digits):
    said: list[str] = []
    further = lanewise.train(digits, start=model, epochs=1, validation_fraction=0, notes=said.append)
    assert further.provenance["start"] is None
    assert any("No images are held out" in sentence for sentence in said)


def test_a_new_end_is_trained_at_the_full_rate_and_the_start_is_no_candidate(model, digits):
    further = lanewise.train(digits, start=model, network="conv 8@3x3 same, relu, dense 10", epochs=1)
    assert further.provenance["learning_rate"] == pytest.approx(0.05)
    assert further.provenance["start"] is None


def test_the_model_s_own_network_goes_on_as_it_would_alone(model, digits):
    given = lanewise.train(digits, start=model, network=model.network, epochs=1, augment="none")
    assert same(given, lanewise.train(digits, start=model, epochs=1, augment="none"))


def test_frozen_layers_of_a_model_stay_while_the_others_learn(model, digits, tmp_path):
    said: list[str] = []
    text = "conv 8@3 same frozen, relu, max 2, dropout 0.25, dense 10"
    further = lanewise.train(digits, start=model, network=text, epochs=2, validation_fraction=0, notes=said.append)
    assert "Weights from the starting model: conv1 (frozen), dense1." in said
    assert further.network == "conv 8@3x3 same frozen, relu, max 2, dropout 0.25, dense 10, softmax"
    assert stays(model, further) == [True, True, False, False]
    assert further.preprocessing == model.preprocessing
    further.save(tmp_path / "frozen.onnx")
    loaded = lanewise.Model.load(tmp_path / "frozen.onnx")
    on = lanewise.train(digits, start=loaded, epochs=1, validation_fraction=0)
    assert stays(model, on) == [True, True, False, False]
    thawed = lanewise.train(digits, start=loaded, network=QUICK["network"], epochs=1, validation_fraction=0)
    assert stays(model, thawed) == [False] * 4


def stays(before, after):
    return [np.array_equal(a, b) for a, b in zip(before.parameters, after.parameters, strict=True)]


def test_other_classes_are_learned_from_the_same_features(model, digits):
    half = digits.train.take(np.flatnonzero(digits.train.labels < 5))
    few = replace(half, classes=tuple("abcde"))
    text = "conv 8@3 same frozen, relu, max 2, dense {}"
    said: list[str] = []
    taught = lanewise.train(few, start=model, network=text.format(5), epochs=3, augment="none", notes=said.append)
    assert "Weights from the starting model: conv1 (frozen); initialised at random: dense1." in said
    assert taught.classes == tuple("abcde")
    assert np.array_equal(taught.parameters[0], model.parameters[0])
    assert accuracy(taught, few) > 0.95
    other = replace(digits.train, classes=tuple("abcdefghij"))
    said.clear()
    lanewise.train(other, start=model, network=text.format(10), epochs=1, notes=said.append)
    assert "Weights from the starting model: conv1 (frozen); initialised at random: dense1." in said
    alone = lanewise.train(digits, network="dense 10", epochs=1)
    with pytest.raises(OptionError, match="no weights but those of its last layer"):
        lanewise.train(other, start=alone, network="dense 10")


def test_fixed_filters_are_kept_and_saved(digits, tmp_path):
    text = "fixed sobel+laplacian+blur+sharpen, relu, max 2, dense 10"
    fixed = lanewise.train(digits, network=text, epochs=4, augment="none")
    assert accuracy(fixed, digits.test) > 0.9
    assert fixed.network == text + ", softmax"
    assert np.array_equal(fixed.parameters[0][:, 0], bank(["sobel", "laplacian", "blur", "sharpen"]))
    fixed.save(tmp_path / "fixed.onnx")
    loaded = lanewise.Model.load(tmp_path / "fixed.onnx")
    assert (loaded.network, loaded.graph) == (fixed.network, fixed.graph)
    assert np.array_equal(loaded.predict_proba(digits.test.pixels), fixed.predict_proba(digits.test.pixels))
    further = lanewise.train(digits, start=loaded, epochs=1, validation_fraction=0)
    assert stays(fixed, further) == [True, False, False]
    with pytest.raises(OptionError, match="shares no weights"):
        lanewise.train(digits, start=loaded, network="fixed prewitt+laplacian+blur+sharpen, relu, max 2, dense 10")
    with pytest.raises(NetworkError, match="nothing to learn"):
        lanewise.train(digits, network="fixed sobel, max 2, dense 10 frozen")


def test_a_budget_is_kept(digits, clock):
    model = lanewise.train(digits, network="dense 10", budget=1.0)
    assert 0.9 < clock.now <= 1.0
    assert model.history[-1]["learning_rate"] < 0.005  # the schedule came to its end
    assert len(model.history) > 5


def test_the_best_weights_are_restored(digits):
    """A rate that ruins what was learned at its peak: the weights must be those of the best epoch."""
    model = lanewise.train(digits, network="dense 10", epochs=6, learning_rate=2.0, schedule="constant", augment="none")
    best = model.history[model.provenance["best_epoch"] - 1]["validation_accuracy"]
    held = lanewise.train(digits, network="dense 10", epochs=1, augment="none")
    assert best >= held.history[0]["validation_accuracy"] - 0.2
    _, out = stratified_split(digits.train.labels, 0.1, 0)
    assert accuracy(model, digits.train.take(out)) == pytest.approx(best)


def test_early_stopping_stops(digits):
    few = ImageSets(digits.train.take(np.arange(100)), digits.train.take(np.arange(100, 140)))
    said: list[str] = []
    slowly: dict[str, Any] = {"network": "dense 10", "epochs": 40, "learning_rate": 1e-9, "augment": "none"}
    model = lanewise.train(few, notes=said.append, **slowly)
    assert any("What may help: a learning rate of 0.05;" in note for note in said)
    assert model.provenance["stopped_early"]
    assert 20 < len(model.history) < 40
    rates = [epoch["learning_rate"] for epoch in model.history]
    assert rates[-1] < 0.1 * max(rates), "the rate falls to 0 before the end"
    assert model.provenance["best_epoch"] == len(model.history), "the last weights, which nobody chose"
    whole = lanewise.train(few, notes=said.append, early_stopping=False, **slowly)
    assert len(whole.history) == 40


def test_images_of_no_weight_are_as_good_as_absent(digits):
    few = digits.train.take(np.arange(300))
    weights = np.ones(300)
    weights[250:] = 0
    spoiled = few.pixels.copy()
    spoiled[250:] = 255
    a = lanewise.train(few.pixels, few.labels, sample_weight=weights, **QUICK)
    b = lanewise.train(spoiled, few.labels, sample_weight=weights, **QUICK)
    assert same(a, b)


def test_balanced_classes_help_the_rare_one():
    random = np.random.default_rng(0)
    y = np.array([0] * 950 + [1] * 50)
    x = random.normal(0, 1, (1000, 4, 4)).astype(np.float32)
    x[y == 1] += 0.35
    plain = lanewise.train(x, y, network="dense 1", epochs=10)
    fair = lanewise.train(x, y, network="dense 1", epochs=10, class_weight="balanced")
    assert (fair.predict(x[y == 1]) == 1).mean() > (plain.predict(x[y == 1]) == 1).mean() + 0.2


def test_progress_is_told(digits):
    told = []
    lanewise.train(digits, progress=told.append, **QUICK)
    assert [p.epoch for p in told if p.epoch_done] == [1, 2, 3, 4]
    assert told[-1].fraction == 1
    assert told[-1].validation_accuracy is not None
    assert all(p.validation_accuracy is None for p in told if not p.epoch_done)


def test_an_epoch_that_was_not_evaluated_shows_no_figure_of_another(digits):
    told = []
    few = ImageSets(digits.train.take(np.arange(100)), digits.train.take(np.arange(100, 400)))
    model = lanewise.train(few, progress=told.append, network="dense 10", epochs=20)
    done = [p for p in told if p.epoch_done]
    assert [p.validation_accuracy for p in done] == [record["validation_accuracy"] for record in model.history]
    assert [p.epoch for p in done if p.validation_accuracy is not None] == [9, 18, 20]
    assert all(p.images_per_second > 0 for p in told)


def test_winograd_can_be_turned_off(digits):
    options: dict[str, Any] = {"network": "conv 16@3x3 same, relu, conv 32@3x3 same, relu, dense 10", "epochs": 1}
    fast, direct = (lanewise.train(digits, winograd=winograd, **options) for winograd in (True, False))
    assert not same(fast, direct)
    assert all(np.allclose(p, q, atol=1e-3) for p, q in zip(fast.parameters, direct.parameters, strict=True))


def test_notes_say_what_was_chosen(digits):
    said = []
    lanewise.train(digits, epochs=1, notes=said.append)
    text = " ".join(said)
    assert "143 of 1,438 training images are held out" in text
    assert "Network chosen: conv 16@3x3" in text
    assert "shifted by up to 1x1" in text


def test_training_that_diverges_starts_again_more_slowly(digits, monkeypatch):
    monkeypatch.setitem(LEARNING_RATES, "sgd", 3000.0)
    said = []
    pixels = digits.train.pixels.astype(np.float32)
    with pytest.raises(LanewiseError, match="diverged"):
        lanewise.train(pixels, digits.train.labels, learning_rate=1e9, network="dense 30, relu, dense 10", epochs=3)
    with suppress(LanewiseError):
        lanewise.train(pixels, digits.train.labels, network="dense 30, relu, dense 10", epochs=3, notes=said.append)
    assert any("starting again with a learning rate of 1e+03" in sentence for sentence in said)


def test_ctrl_c_gives_the_best_so_far(digits):
    press = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT))

    def progress(told):
        if told.epoch == 3 and press.ident is None:
            press.start()  # from beside, as a user does: it may come in the middle of a native call

    network = "conv 8@3x3 same, relu, max 2, dense 10"
    model = lanewise.train(digits, network=network, epochs=10_000, early_stopping=False, progress=progress)
    assert model.provenance["interrupted"]
    assert accuracy(model, digits.test) > 0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, not 0"),
        ({"epochs": 2, "budget": 3.0}, "not both"),
        ({"budget": -1.0}, "budget"),
        ({"optimizer": "adam"}, "sgd, adamw, muon"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"momentum": float("nan")}, "momentum"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"threads": 0}, "threads"),
        ({"schedule": "step"}, "one-cycle"),
        ({"class_weight": "even"}, "balanced"),
        ({"class_weight": {"eleven": 2.0}}, "eleven"),
        ({"class_weight": {"1": -2.0}}, "not negative"),
        ({"class_weight": {str(n): 0.0 for n in range(10)}}, "every image weight 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(digits, options, said):
    with pytest.raises(OptionError, match=said):
        lanewise.train(digits, **options)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.ones(7), "1438"),
        (np.full(1438, -1.0), r"sample_weight\[0\] is -1"),
        (np.zeros(1438), "all of sample_weight"),
    ],
)
def test_weights_that_make_no_sense_are_refused(digits, weights, said):
    with pytest.raises(DataError, match=said):
        lanewise.train(digits.train.pixels, digits.train.labels, sample_weight=weights)


def test_a_network_too_large_for_memory_is_refused_before_it_is_made(digits):
    with pytest.raises(TooLargeError, match="GB of memory"):
        lanewise.train(digits, network="dense 1000000, relu, dense 500, relu, dense 10")


def test_arrays_need_labels(digits):
    with pytest.raises(DataError, match="labels"):
        lanewise.train(digits.train.pixels)
    with pytest.raises(DataError, match="leave `y` out"):
        lanewise.train("digits", digits.train.labels)


def test_an_interrupt_between_a_evaluatement_and_its_record_keeps_the_model(monkeypatch, digits):
    from lanewise.training.loop import Loop

    record, times = Loop.record, []

    def interrupted(self, epoch):
        times.append(epoch.number)
        if len(times) == 2:
            raise KeyboardInterrupt
        record(self, epoch)

    monkeypatch.setattr(Loop, "record", interrupted)
    model = lanewise.train(digits, network="dense 10", epochs=30, threads=1, seed=1)
    assert model.provenance["interrupted"]
    assert [one["epoch"] for one in model.history] == list(range(1, len(model.history) + 1))
    assert model.provenance["best_epoch"] <= len(model.history)


@pytest.mark.parametrize("scale", [1e-40, 1e-44])
def test_values_too_small_for_float32_are_refused(scale):
    x = (np.random.default_rng(0).random((20, 8, 8)) * scale).astype(np.float32)
    with pytest.raises(DataError, match="float32 cannot compute with"):
        lanewise.train(x, np.arange(20) % 2, network="dense 2", epochs=1, folds=0, verbose=0)


def test_values_at_the_end_of_float32_are_computed_with():
    random = np.random.default_rng(0)
    x = random.random((20, 8, 8)).astype(np.float32)
    x[random.random(x.shape) < 0.01] = 3e38
    model = lanewise.train(x, np.arange(20) % 2, network="dense 2", epochs=1, folds=0, verbose=0)
    assert np.isfinite(model.predict_proba(x)).all()


def test_muon_leaves_a_network_without_convolutions_to_sgd(digits):
    told: list[str] = []
    options = {"epochs": 1, "folds": 0, "threads": 1, "notes": told.append}
    model = lanewise.train(digits, network="dense 10", optimizer="muon", **options)
    assert any("Muon" in note and "SGD" in note for note in told)
    assert model.provenance["optimizer"] == "sgd"
    twin = lanewise.train(digits, network="dense 10", **options)
    assert [a.tobytes() for a in model.parameters] == [a.tobytes() for a in twin.parameters]
    told.clear()
    model = lanewise.train(digits, network="conv 4@3x3, relu, dense 10", optimizer="muon", **options)
    assert (model.provenance["optimizer"], model.provenance["weight_decay"]) == ("muon", 0.1)
    assert not any("Muon" in note for note in told)
