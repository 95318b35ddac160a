"""The figures of the command against those that a reader can check on paper."""

import json
from dataclasses import replace

import pytest

from lanewise.errors import ModelFileError
from lanewise.explain import drawing, matrices
from lanewise.model import Model
from tests.cli.conftest import failed, misused, run


def layers(text, shape):
    return json.loads(run("inspect", text, "--input", shape, "--json").stdout)["layers"]


@pytest.mark.parametrize(
    ("text", "shape", "weights"),
    [
        ("conv 1@2x2", "4x4x1", 4),
        ("dense 100", "4x4", 1_600),
        ("conv 100@2x2", "4x4x1", 400),
        ("conv 6@5x5", "32x32x1", 150),
    ],
)
def test_weights_of_the_article(text, shape, weights):
    assert layers(text, shape)[-1]["weights"] == weights
    assert f" {weights:,} " in run("inspect", text, "--input", shape).stdout


def test_a_layer_in_all_its_numbers():
    (_, conv) = layers("conv 6@5x5", "32x32x1")
    assert conv == {
        "name": "conv1",
        "layer": "conv 6@5x5",
        "inputs": ["input"],
        "output_shape": [28, 28, 6],
        "weights": 150,
        "biases": 6,
        "learned_weights": 150,
        "learned_biases": 6,
        "connections": 117_600,
        "density": 25 / 1024,
        "sparsity": 1 - 25 / 1024,
        "mean_sharing": 784.0,
        "max_sharing": 784,
        "dense_weights": 4_816_896,
        "multiply_adds": 117_600,
        "receptive_field": [5, 5],
    }


def test_the_table_shows_every_number():
    shown = run("inspect", "conv 6@5x5, relu, max 2", "--input", "32x32x1").stdout
    row = next(line for line in shown.splitlines() if line.startswith("conv 6@5x5 "))
    assert row.split() == [
        *("conv", "6@5x5", "28x28x6", "150", "6", "117,600", "5x5", "117,600", "2.4", "%", "784", "4,816,896")
    ]
    pool = next(line for line in shown.splitlines() if line.startswith("max 2 "))
    assert pool.split() == [*("max", "2", "14x14x6", "-", "-", "-", "6x6", "4,704", "0.085", "%", "-", "-")]
    whole = next(line for line in shown.splitlines() if line.startswith("in all"))
    assert whole.split() == ["in", "all", "150", "6", "117,600", "122,304", "4,816,896"]


def test_plain_words_for_a_convolutional_network():
    told = json.loads(run("inspect", "conv 6@5x5", "--input", "32x32x1", "--json").stdout)
    assert "leave out 97.6 % of all possible connections" in told["meaning"]
    assert "each used 784 times per image" in told["meaning"]
    assert "32,113 times as many" in told["meaning"]
    assert told["totals"]["dense_weights"] == 4_816_896
    assert told["model"] is None


def test_what_nobody_learns_is_told_apart():
    text = "fixed sobel+blur, relu, conv 4@3 frozen, dense 2"
    fixed = run("inspect", text, "--input", "6x7x2").stdout
    assert "fixed sobel+blur" in fixed
    assert "trainable" in fixed
    assert "has 430 weights, of which 160 are trained; fully connected" in " ".join(fixed.split())
    told = json.loads(run("inspect", text, "--input", "6x7x2", "--json").stdout)
    assert [(one["weights"], one["learned_weights"]) for one in told["layers"] if one["weights"]] == [
        (54, 0),
        (216, 0),
        (160, 160),
    ]
    assert told["totals"]["learned_weights"] == 160
    assert "4 of them are trained." in run("inspect", "dense 2 frozen, dense 2", "--input", "1x3x1").stdout
    shown = run("inspect", "conv 2@3, dense 2", "--input", "6x7x2").stdout
    assert "trainable" not in shown
    assert "has 116 weights; fully connected" in " ".join(shown.split())


def test_plain_words_for_networks_without_convolutions_or_weights():
    dense = run("inspect", "dense 100, relu, dense 1, sigmoid", "--input", "30x30x3").stdout
    assert "Every layer with weights is fully connected: each of the 270,100 weights" in dense
    assert "No layer has weights" in run("inspect", "max 2", "--input", "4x4").stdout


def test_a_layer_that_reads_another_than_the_one_before_says_so():
    shown = run("inspect", "residual(conv 1@3 same, relu)", "--input", "4x4").stdout
    assert "add of relu1, input" in shown


def test_narrow_terminals_get_two_tables(monkeypatch):
    monkeypatch.setattr("lanewise.cli.output.PIPE_WIDTH", 70)
    shown = run("inspect", "conv 6@5x5", "--input", "32x32x1").stdout
    assert sum(line.startswith("conv 6@5x5 ") for line in shown.splitlines()) == 2
    assert "4,816,896" in shown
    assert max(map(len, shown.partition("In plain")[0].splitlines())) <= 70


def test_a_model_file(digits_model):
    path, _ = digits_model
    shown = run("inspect", path).stdout
    assert "10 classes: 0, 1, 2" in shown
    assert "1,295 images for 4 epochs" in shown
    told = json.loads(run("inspect", path, "--json").stdout)
    assert told["classes"] == list("0123456789")
    assert told["network"] == "dense 10, softmax"
    assert told["provenance"]["epochs"] == 4


def test_a_typo_has_a_caret_under_it():
    result = run("inspect", "conv 6@5x5, rleu", "--input", "32x32x1")
    assert (result.exit_code, result.stdout) == (1, "")
    first, text, caret = result.stderr.splitlines()
    assert first.startswith("lanewise: ")
    assert text[caret.index("^") : caret.rindex("^") + 1] == "rleu"


@pytest.mark.parametrize("shape", ["32", "32x", "0x4x1", "4x4x1x1", "x", "-4x4", "4x4x0", "ax4", "9" * 20 + "x1"])
def test_shapes_that_are_none(shape):
    assert "is no shape of images" in misused(run("inspect", "dense 10", "--input", shape))


def test_text_needs_a_shape_and_a_model_has_one(digits_model):
    assert "like --input 30x30x3" in misused(run("inspect", "dense 10"))
    assert "--input" in misused(run("inspect", digits_model[0], "--input", "8x8x1"))


def test_a_model_file_that_is_missing_is_no_network_text():
    assert '"gone.onnx"' in failed(run("inspect", "gone.onnx"))


def test_a_network_too_large_is_refused():
    assert "weights" in failed(run("inspect", "dense 100000, dense 100000", "--input", "100x100x3"))


def test_what_is_too_large_to_draw_is_told_before_it_is_expanded(here, monkeypatch):
    monkeypatch.setattr(matrices, "available_memory", lambda: 117_599 * drawing.BYTES)
    monkeypatch.setattr("lanewise.explain.expand", None)
    told = failed(run("inspect", "conv 6@5x5", "--input", "32x32x1", "--connections", "c.svg"))
    assert "the image of conv1's matrix has 117,600 entries" in told
    assert not list(here.iterdir())


def test_connections_are_drawn(here, digits_model):
    network = ("conv 1@2x2", "--input", "4x4x1")
    shown = run("inspect", *network, "--connections", "conv.svg").stdout
    assert "of conv1 are drawn in conv.svg" in " ".join(shown.split())
    drawn = (here / "conv.svg").read_text()
    assert drawn.count("<svg") == 1
    told = json.loads(
        run("inspect", digits_model[0], "--connections", "dense.png", "--layer", "dense1", "--json").stdout
    )
    assert told["drawing"] == "dense.png"
    assert (here / "dense.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(run("inspect", *network, "--json").stdout)["drawing"] is None


@pytest.mark.parametrize(
    ("options", "status", "problem"),
    [
        (("--connections", "there.svg"), 2, "there.svg exists already: choose another name"),
        (("--layer", "conv1"), 2, "--layer: says what to draw: give --connections FILE too"),
        (("--connections", "a.svg", "--layer", "conv3"), 1, "no layer 'conv3'; did you mean 'conv1'"),
        (("--connections", "a.svg", "--layer", "max1"), 1, "depends on the image, and none was given"),
        (("--connections", "a.gif"), 1, "a.gif: an image ends in .svg, .png or .pdf"),
        (("--connections", "no/a.svg"), 1, "no/a.svg cannot be written: No such file"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_line(options, status, problem, here):
    (here / "there.svg").write_text("mine")
    result = run("inspect", "conv 2@3, max 2", "--input", "8x8x1", *options)
    assert problem in (failed(result) if status == 1 else misused(result))
    assert (here / "there.svg").read_text() == "mine"


def test_a_network_without_weights_has_no_first_layer_to_draw():
    result = run("inspect", "average 2", "--input", "8x8x1", "--connections", "a.svg")
    assert "No layer of the network has weights: choose one with --layer" in misused(result)
    assert run("inspect", "average 2", "--input", "8x8", "--connections", "a.svg", "--layer", "average1").exit_code == 0


@pytest.mark.parametrize(
    ("figures", "line"),
    [
        (
            {"split": "test", "images": 359, "accuracy": 353 / 359, "interval": [0.964, 0.992]},
            "Test accuracy       98.3 %  (95 % interval 96.4 to 99.2 %, 359 images)",
        ),
        ({"split": "validation", "images": 40, "accuracy": 1, "interval": [0.9, 1]}, "Validation accuracy 100.0 %"),
        ({"split": "test", "images": 0, "accuracy": 1.0, "interval": [0.9, 1.0]}, None),
        ({"split": "hearsay", "images": 4, "accuracy": 1.0, "interval": [0.9, 1.0]}, None),
        ({"split": "[red]boo", "images": 4, "accuracy": 1.0, "interval": [0.9, 1.0]}, None),
        (None, None),
    ],
)
def test_a_model_says_how_good_it_was(digits_model, tmp_path, figures, line):
    model = Model.load(digits_model[0])
    path = tmp_path / "model.onnx"
    replace(model, provenance={**model.provenance, "evaluated": figures}).save(path)
    said = run("inspect", path).stdout
    assert (line in said) if line else ("accuracy" not in said and "boo" not in said)


def test_figures_that_no_reader_takes_are_not_saved(digits_model, tmp_path):
    model = Model.load(digits_model[0])
    wrong = {"split": "test", "images": 4, "accuracy": "good", "interval": [0.9, 1.0]}
    with pytest.raises(ModelFileError, match="'provenance' has a wrong value for 'evaluated'"):
        replace(model, provenance={**model.provenance, "evaluated": wrong}).save(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        (
            {"network": "Small", "origin": "the package small", "licence": "Apache-2.0"},
            "Start               Small; from the package small; licence Apache-2.0",
        ),
        (
            {"network": "Small\x1b", "origin": "there", "licence": "none"},
            "Start               Small\\x1b; from there; licence none",
        ),
        ({"network": 3}, None),
        ("Apache-2.0", None),
    ],
)
def test_a_model_says_whose_weights_it_began_with(digits_model, tmp_path, origin, line):
    model = Model.load(digits_model[0])
    replace(model, provenance={**model.provenance, "pretrained": origin}).save(tmp_path / "model.onnx")
    lines = [one for one in run("inspect", str(tmp_path / "model.onnx")).stdout.splitlines() if one.startswith("Start")]
    assert lines == ([] if line is None else [line])
