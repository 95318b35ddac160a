"""Other classes for a model: its features stay, and the last layer is trained on them."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import lanewise
from lanewise.errors import DataError, NetworkError
from lanewise.network.cutting import features_at, until
from lanewise.network.graph import build
from lanewise.network.text import parse
from lanewise.pretrained import efficientnet_lite
from lanewise.training.new_head import with_new_head

LETTERS = "abcdefghij"


def test_a_head_is_trained_on_the_features(start, high, tmp_path):
    said: list[str] = []
    model = lanewise.train(high, start=start, notes=said.append)
    assert any(sentence.startswith("32 features of each of ") for sentence in said)
    assert any(sentence.startswith("Weight decay of the last layer: ") for sentence in said)
    assert (model.predict(high.test.pixels) == np.array(model.classes)[high.test.labels]).mean() > 0.85
    assert model.network == start.network
    assert model.classes == tuple("fghij")
    assert all(map(np.array_equal, model.parameters[:-2], start.parameters[:-2]))
    assert model.preprocessing == start.preprocessing
    model.save(tmp_path / "high.onnx")
    loaded = lanewise.Model.load(tmp_path / "high.onnx")
    outputs = model.predict_proba(high.test.pixels)
    assert np.array_equal(loaded.predict_proba(high.test.pixels), outputs)
    session = onnxruntime.InferenceSession(tmp_path / "high.onnx")
    assert np.abs(session.run(None, {"images": high.test.pixels})[0] - outputs).max() < 1e-5


def test_the_figures_of_training_are_those_of_the_whole_network(start, high):
    """The last layer was trained on scaled features; the model has the raw ones."""
    model = lanewise.train(high, start=start, seed=3)
    figure = lanewise.evaluate(model, high.train)
    record = model.history[model.provenance["best_epoch"] - 1]
    assert figure.accuracy == pytest.approx(record["validation_accuracy"])
    assert figure.loss == pytest.approx(record["validation_loss"], abs=1e-5)


@pytest.mark.usefixtures("all_processors")
def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(start, high, tmp_path, monkeypatch):
    models = []
    for threads in (1, 2):
        monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path / str(threads)))
        models.append(lanewise.train(high, start=start, threads=threads, seed=1))
    assert all(map(np.array_equal, *(model.parameters for model in models)))


@pytest.mark.parametrize("installed", [True, False])
def test_few_photographs_are_told_of_a_better_start(installed, tmp_path, monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "available", lambda: installed)
    random = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(5):
            pixels = random.integers(0, 256, (80, 100, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    said: list[str] = []
    options = {"folds": 0, "epochs": 1, "notes": said.append}
    lanewise.train(tmp_path / "pets", size=64, **options)
    (hint,) = (sentence for sentence in said if "--start lite0" in sentence)
    assert ('pip install "lanewise[pretrained]"' in hint) == (not installed)
    said.clear()
    lanewise.train(tmp_path / "pets", size=24, **options)
    assert not any("--start" in sentence for sentence in said)


def test_two_classes_get_one_output(start, high):
    two = replace(high.train.take(np.flatnonzero(high.train.labels < 2)), classes=("f", "g"))
    model = lanewise.train(two, start=start, epochs=5)
    assert model.network is not None
    assert model.network.endswith("global average, dense 1, sigmoid")
    assert model.predict_proba(two.pixels).shape == (len(two), 2)


def test_a_network_without_text_has_a_new_head_too(start, high, tmp_path):
    foreign = replace(start, classes=tuple("vwxyz"), network=None, provenance={}, history=())
    model = lanewise.train(high, start=foreign)
    assert model.network is None
    assert np.array_equal(model.parameters[-1], lanewise.train(high, start=start).parameters[-1])
    model.save(tmp_path / "model.onnx")
    loaded = lanewise.Model.load(tmp_path / "model.onnx")
    assert np.array_equal(loaded.predict(high.test.pixels), model.predict(high.test.pixels))


def test_without_validation_images_one_weight_decay_is_used(start, high):
    said: list[str] = []
    model = lanewise.train(high.train, start=start, validation_fraction=0, epochs=3, notes=said.append)
    assert model.provenance["weight_decay"] == 0.01
    assert not any("Weight decay" in sentence for sentence in said)


@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_a_weight_decay_that_was_given_is_used(start, high, decay):
    assert lanewise.train(high, start=start, weight_decay=decay, epochs=2).provenance["weight_decay"] == decay


def test_progress_begins_with_the_features(start, high, tmp_path, monkeypatch):
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path))
    seen: list[lanewise.Progress] = []
    lanewise.train(high, start=start, progress=seen.append)
    assert seen[0].features == 64
    fractions = [now.fraction for now in seen if not now.features]
    assert fractions == sorted(fractions)
    seconds = [now.seconds for now in seen if not now.features]
    assert seconds == sorted(seconds)
    assert fractions[-1] == 1
    assert seen[-1].epoch == seen[-1].epochs


def test_an_interruption_while_features_are_computed_ends_the_command(start, high, tmp_path, monkeypatch):
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path))

    def press(now):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lanewise.train(high, start=start, progress=press)


def test_an_interruption_later_gives_the_best_so_far(start, high):
    def press(now):
        if not now.features and now.epoch == 2:
            raise KeyboardInterrupt

    model = lanewise.train(high, start=start, progress=press)
    assert model.provenance["interrupted"]
    assert model.provenance["epochs"] >= 1


def test_an_interruption_of_a_later_trial_counts_too(start, high):
    seen: list[float] = []

    def press(now):
        seen.append(now.epochs)
        if not now.features and now.fraction > 0.6:
            raise KeyboardInterrupt

    said: list[str] = []
    model = lanewise.train(high, start=start, progress=press, notes=said.append)
    assert model.provenance["interrupted"]
    assert not any("Weight decay" in sentence for sentence in said)
    assert (model.predict(high.test.pixels) == np.array(model.classes)[high.test.labels]).mean() > 0.8


def test_a_budget_is_shared_by_all_trials(start, high, clock):
    model = lanewise.train(high, start=start, budget=4.0)
    assert 3.6 < clock.now <= 4.0
    assert model.history[-1]["learning_rate"] < 0.1 * max(record["learning_rate"] for record in model.history)


def test_augmentation_that_was_asked_for_is_not_dropped_in_silence(start, high):
    with pytest.warns(lanewise.LanewiseWarning, match="images are not augmented"):
        lanewise.train(high, start=start, augment="flip", epochs=2)


def test_images_of_another_shape_are_refused(start, high):
    pixels = np.repeat(high.train.pixels, 2, axis=1)
    with pytest.raises(DataError, match="hold images of 16x8x1, not 8x8x1"):
        lanewise.train(pixels, high.train.labels + 5, start=start)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("conv 4@3x3, relu, global average, dense 8, relu, dense 3", "global1"),
        ("conv 4@3x3, relu, dense 8, relu, dense 3", "relu2"),
        ("conv 4@3x3, dense 3", "flatten1"),
        ("concat(conv 4@3x3, global average | conv 2@3x3, global average), dense 3", "global2"),
        ("conv 4@3x3, gate(global average, dense 4, sigmoid), global average, dense 3", "global2"),
        ("conv 4@3x3, gate(global average, dense 4, sigmoid), dense 3", "flatten1"),
    ],
)
def test_a_network_is_cut_at_its_last_global_pooling_or_before_its_last_dense_layer(text, at):
    graph = build(parse(text), (1, 8, 8))
    assert graph.nodes[features_at(graph)].name == at


def test_branches_that_the_features_do_not_read_are_left_out():
    graph = build(parse("concat(conv 4@3x3, global average | conv 2@3x3, global average), dense 3"), (1, 8, 8))
    part, taken = until(graph, 4)
    assert [node.name for node in part.nodes] == ["input", "conv1", "global1"]
    assert taken == (2, 3)


def test_a_network_without_features_is_refused(digits):
    text = "conv 10@8x8, flatten, softmax"
    model = lanewise.train(digits, network=text, epochs=1)
    with pytest.raises(NetworkError, match="no features to start from"):
        with_new_head(model, 3)


@pytest.mark.parametrize("names", ["fghij", "01234"], ids=["other classes", "the same classes"])
def test_licence_and_origin_of_weights_go_with_all_that_is_made_of_them(names, start, high, tmp_path):
    origin = {"network": "Small", "origin": "the package small", "licence": "Apache-2.0"}
    pretrained = replace(start, provenance={**start.provenance, "pretrained": origin})
    images = replace(high.train, classes=tuple(names))
    model = lanewise.train(images, start=pretrained, epochs=1, validation_fraction=0, notes=list)
    model.save(tmp_path / "model.onnx")
    assert lanewise.Model.load(tmp_path / "model.onnx").provenance["pretrained"] == origin
    again = lanewise.train(images, start=model, epochs=1, validation_fraction=0, notes=list)
    assert again.provenance["pretrained"] == origin
    assert (
        "pretrained" not in lanewise.train(images, start=start, epochs=1, validation_fraction=0, notes=list).provenance
    )
