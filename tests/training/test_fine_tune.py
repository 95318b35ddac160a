"""Fine-tuning: the last stages of a start are trained behind its new last layer, and count only if that is better."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

import lanewise
from lanewise import limits
from lanewise.errors import NetworkError, OptionError, TooLargeError
from lanewise.network.cutting import behind, stages, until
from lanewise.network.graph import build
from lanewise.network.initial import initial_parameters
from lanewise.network.reference import forward
from lanewise.network.text import parse
from lanewise.training import fine_tune, new_head

TEXTS = [
    "conv 4@3x3 same, relu, max 2, residual(conv 4@3x3 same, relu), conv 6@3x3, relu, global average, dense 3",
    "conv 4@3x3 same, batchnorm, relu, max 2, gate(global average, dense 4, sigmoid), max 2, dense 3",
    "conv 4@3x3 same stride 2, relu, concat(conv 2@3x3 same | conv 3@1x1), average 2, conv 4@1x1, dense 3",
    "conv 4@3x3 same, relu, global average, dense 3",
    "dense 5, relu, dense 3",
]


@pytest.fixture(scope="module", autouse=True)
def _soon():
    """The new last layer is trained in a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(new_head, "STEPS", 60)
        patch.setattr(new_head, "WEIGHT_DECAYS", (0.001,))
        yield


@pytest.fixture(scope="module")
def head_alone(start, high):
    return lanewise.train(high, start=start)


@pytest.fixture(scope="module")
def tuned(start, high):
    said: list[str] = []
    return lanewise.train(high, start=start, finetune=1, learning_rate=0.02, notes=said.append), said


def _accuracy(model, images):
    return (model.predict(images.pixels) == np.array(model.classes)[images.labels]).mean()


def _same(one, other):
    return [np.array_equal(*pair) for pair in zip(one.parameters, other.parameters, strict=True)]


@pytest.mark.parametrize("text", TEXTS)
def test_the_parts_of_a_network_cut_between_stages_compute_what_it_computes(text):
    graph = build(parse(text), (2, 12, 10))
    parameters = initial_parameters(graph, 0)
    images = np.random.default_rng(0).normal(size=(3, 2, 12, 10))
    whole = forward(graph, parameters, images)[-1]
    starts = stages(graph)
    assert starts[0] == 0
    for at in starts:
        (front, before), (last, after) = until(graph, at), behind(graph, at)
        assert sorted((*before, *after)) == list(range(len(parameters)))
        maps = forward(front, [parameters[n] for n in before], images)[-1]
        assert np.array_equal(forward(last, [parameters[n] for n in after], maps)[-1], whole)


def test_a_stage_ends_where_maps_get_smaller():
    graph = build(parse(TEXTS[0]), (2, 12, 10))
    assert [graph.nodes[at].name for at in stages(graph)] == ["input", "add1"]
    assert [len(stages(build(parse(text), (2, 12, 10)))) for text in TEXTS] == [2, 2, 2, 1, 1]


def test_the_last_stage_is_trained_and_nothing_before_it(tuned, start, head_alone, high, tmp_path):
    model, said = tuned
    assert said[-1].startswith("Fine-tuning took the accuracy on the 71 validation images from ")
    assert any(sentence.startswith("10 epochs of fine-tuning at a learning rate of 0.02 took ") for sentence in said)
    assert model.provenance["finetuned"] == 1
    assert head_alone.provenance["finetuned"] == 0
    assert _same(model, start)[:4] == [True] * 4  # conv1 and the residual block
    assert not any(_same(model, head_alone)[4:])
    assert model.history[model.provenance["best_epoch"] - 1]["validation_accuracy"] > max(
        record["validation_accuracy"] for record in head_alone.history if record["validation_accuracy"] is not None
    )
    assert _accuracy(model, high.test) >= _accuracy(head_alone, high.test)
    model.save(tmp_path / "tuned.onnx")
    outputs = model.predict_proba(high.test.pixels)
    session = onnxruntime.InferenceSession(tmp_path / "tuned.onnx")
    assert np.abs(session.run(None, {"images": high.test.pixels})[0] - outputs).max() < 1e-5


def test_the_figures_are_those_of_the_whole_network(tuned, high):
    model, _ = tuned
    found = lanewise.evaluate(model, high.train)
    record = model.history[model.provenance["best_epoch"] - 1]
    assert found.accuracy == pytest.approx(record["validation_accuracy"])
    assert found.loss == pytest.approx(record["validation_loss"], abs=1e-5)


def test_what_is_no_better_on_the_validation_images_is_not_kept(start, high, head_alone):
    said: list[str] = []
    model = lanewise.train(high, start=start, finetune="all", learning_rate=0.3, epochs=1, notes=said.append)
    assert said[-1].startswith("No epoch was better on the 71 validation images than the starting model")
    assert all(_same(model, head_alone))
    assert model.provenance["finetuned"] == 0


def test_batch_normalisations_stay_as_they_are(start, high):
    text = "conv 8@3x3 same, batchnorm, relu, max 2, conv 16@3x3, batchnorm, relu, global average, dense 5"
    low = lanewise.train(replace(high.train, classes=tuple("vwxyz")), network=text, epochs=1)
    model = lanewise.train(high.train, start=low, finetune="all", epochs=2, validation_fraction=0, notes=list)
    assert model.provenance["finetuned"] == 2
    roles = [parameter.role for parameter in model.graph.parameters][:-2]
    same = _same(model, low)
    assert {role: {same[n] for n, one in enumerate(roles) if one == role} for role in roles} == {
        "weight": {False},
        "bias": {False},
        "scale": {True},
        "shift": {True},
        "mean": {True},
        "variance": {True},
    }
    assert model.network == low.network  # nothing is frozen in what comes out


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(start, high, tuned, tmp_path, monkeypatch):
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path))
    model = lanewise.train(high, start=start, finetune=1, learning_rate=0.02, threads=1)
    assert all(_same(model, tuned[0]))


@pytest.mark.parametrize("features", [True, False], ids=["while maps are computed", "in the first epoch"])
def test_ctrl_c_keeps_the_new_last_layer(features, start, high, head_alone, tmp_path, monkeypatch):
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path))

    def press(now):
        if now.tuning and bool(now.features) == features:
            raise KeyboardInterrupt

    said: list[str] = []
    model = lanewise.train(high, start=start, finetune=1, progress=press, notes=said.append)
    assert "Fine-tuning was interrupted. The new last layer alone is kept." in said
    assert model.provenance["interrupted"]
    assert model.provenance["finetuned"] == 0
    assert all(_same(model, head_alone))


def test_divergence_at_a_rate_that_was_given_keeps_the_new_last_layer(start, high, head_alone):
    with pytest.warns(lanewise.LanewiseWarning, match="given up: training diverged"):
        model = lanewise.train(high, start=start, finetune=1, learning_rate=1e9)
    assert all(_same(model, head_alone))


def test_a_rate_of_ours_is_lowered_where_training_diverges(start, high, monkeypatch):
    monkeypatch.setattr(fine_tune, "LEARNING_RATES", {"sgd": 300.0})
    said: list[str] = []
    lanewise.train(high, start=start, finetune=1, epochs=2, notes=said.append)
    assert any("starting again with a learning rate of 10." in sentence for sentence in said)


def test_without_validation_images_it_is_kept_and_said(start, high):
    said: list[str] = []
    model = lanewise.train(high.train, start=start, finetune=1, epochs=1, validation_fraction=0, notes=said.append)
    assert "No images are held out, so whether fine-tuning makes the model better or worse is unknown." in said
    assert model.provenance["finetuned"] == 1


def test_a_budget_is_for_all_of_it(start, high, clock):
    said: list[str] = []
    lanewise.train(high, start=start, finetune=1, budget=4.0, notes=said.append)
    assert any("of fine-tuning" in sentence for sentence in said)
    assert clock.now <= 4.5


def test_progress_tells_which_part_it_is(start, high, tmp_path, monkeypatch):
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path))
    seen: list[lanewise.Progress] = []
    lanewise.train(high, start=start, finetune=True, epochs=2, progress=seen.append)
    parts = [(now.tuning, now.features > 0) for now in seen]
    assert list(dict.fromkeys(parts))[-3:] == [(False, False), (True, True), (True, False)]
    assert seen[-1].epoch == 2


def test_maps_that_do_not_fit_into_memory_are_refused(start, high, monkeypatch):
    monkeypatch.setattr(limits, "available_memory", lambda: 2 * 4 * 717 * 16 * 4 * 4 - 1)
    with pytest.raises(TooLargeError, match="maps before these stages needs") as error:
        lanewise.train(high, start=start, finetune=1)
    assert "or 'all', which needs none" in str(error.value)


def test_what_turns_out_not_to_fit_keeps_the_new_last_layer(start, high, head_alone, monkeypatch):
    def refuse(*arguments):
        raise TooLargeError("this network needs too much")

    monkeypatch.setattr(fine_tune, "run", refuse)
    with pytest.warns(lanewise.LanewiseWarning, match="given up: this network needs too much"):
        model = lanewise.train(high, start=start, finetune="all")
    assert all(_same(model, head_alone))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"finetune": 3}, "the start has 2 stages, not 3: give fewer to finetune, or 'all'"),
        ({"finetune": -1}, "finetune must be a number of stages, or 'all', not -1"),
        ({"finetune": 1.5}, "finetune must be a number of stages, or 'all', not 1.5"),
        ({"finetune": "some"}, "finetune must be a number of stages, or 'all', not 'some'"),
        ({"finetune": 1, "start": None}, "finetune is about a model to start from: give one too"),
        ({"finetune": 1, "network": "dense 5"}, "finetune is about the network of the start: leave out network"),
        ({"cut": "conv1", "start": None}, "cut is about a model to start from: give one too"),
        ({"cut": 3}, "cut must be the name of a layer, like 'conv5', not 3"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(options, said, start, high):
    with pytest.raises(OptionError) as error:
        lanewise.train(high, **{"start": start, **options})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"finetune": 1}, {"cut": "conv1"}])
def test_a_start_with_the_same_classes_is_trained_as_a_whole(options, start, high):
    same = replace(high.train, classes=start.class_names)
    with pytest.raises(OptionError, match=f"all of it is trained: leave out {next(iter(options))}"):
        lanewise.train(same, start=start, **options)


@pytest.mark.parametrize(("layer", "features"), [("relu1", 16), ("add1", 16), ("relu3", 32), ("global1", 32)])
def test_a_network_is_cut_at_a_layer(layer, features, start, high, tmp_path):
    said: list[str] = []
    model = lanewise.train(high, start=start, cut=layer, notes=said.append)
    assert any(sentence.startswith(f"{features} features of each") for sentence in said)
    assert _accuracy(model, high.test) > 0.5
    model.save(tmp_path / "model.onnx")
    loaded = lanewise.Model.load(tmp_path / "model.onnx")
    assert np.array_equal(loaded.predict(high.test.pixels), model.predict(high.test.pixels))


@pytest.mark.parametrize(
    ("layer", "hint"), [("conf2", "did you mean 'conv2'?"), ("zzz", "its last are "), ("input", "its last are ")]
)
def test_a_layer_that_does_not_exist_is_refused(layer, hint, start, high):
    with pytest.raises(NetworkError, match="has no layer") as error:
        lanewise.train(high, start=start, cut=layer)
    assert hint in str(error.value)
