"""From images to an evaluated and saved model."""

import json
import shutil

import numpy as np
import pytest

from lanewise.data.arrays import DIGITS_FILE
from lanewise.model import Model
from tests.cli.conftest import FAST, error_of, make_images, run, told


def test_json_is_one_object_with_what_was_promised(digits_model):
    path, record = digits_model
    assert record["model"] == str(path)
    assert record["split"] == "test"
    assert (record["count"], record["classes"]) == (359, list("0123456789"))
    assert record["accuracy"] == record["correct"] / 359 > 0.8
    assert record["interval"][0] < record["accuracy"] < record["interval"][1]
    assert record["network"] == "dense 10, softmax"
    assert [figures["class"] for figures in record["per_class"]] == record["classes"]
    assert sum(map(sum, record["confusion"])) == 359
    assert 0 < record["seconds"] <= record["total_seconds"]
    assert record["epochs"] == len(record["history"]) == 4
    assert record["interrupted"] is False
    assert record["skipped"] == []
    assert any("held out" in note for note in record["notes"])


def test_the_accuracy_is_that_of_the_saved_model(digits_model):
    path, record = digits_model
    with np.load(DIGITS_FILE) as file:
        predicted = Model.load(path).predict(file["x_test"])
        assert (predicted == file["y_test"].astype(str)).mean() == pytest.approx(record["accuracy"])


def test_what_is_said_on_the_way(photos, here):
    result = run("train", photos, *FAST)
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout
    for text in (
        "Images            ",
        "8x8, grey, 2 classes",
        "dark (12), light (12)",
        "24 training images",
        "Network             dense 1, sigmoid",
        "64 weights and 1 bias; all layers are fully connected",
        "8x8x1 -> 64 -> 1",
        "held out",
        "Epoch 3/3 ",
        "Validation accuracy ",
        "chose the best weights",
        "precision",
        "Saved               photos.onnx",
        "lanewise predict photos.onnx IMAGE...",
    ):
        assert text in lines
    assert lines.count("dense 1, sigmoid") == 1
    assert lines.index("Images") < lines.index("Network") < lines.index("Epoch") < lines.index("Saved")
    assert (here / "photos.onnx").is_file()


def test_quiet_says_the_results_only(photos):
    result = run("train", photos, *FAST, "-q")
    assert [line[:20].rstrip() for line in result.stdout.splitlines()] == ["Validation accuracy", "Saved"]


def test_json_keeps_standard_output_clean(photos):
    result = run("train", photos, *FAST, "--json")
    assert json.loads(result.stdout)["split"] == "validation"
    assert "Epoch" in result.stderr
    assert "precision" not in result.stderr
    assert run("train", photos, *FAST, "--json", "-q").stderr == ""


def test_held_out_images_are_those_that_chose_the_weights(photos):
    """The figure of the command is that of the training loop, so both mean the same images."""
    record = told(photos, *FAST, "--validation-fraction", 0.25, "--seed", 7)
    shown = [(epoch["validation_accuracy"], epoch["validation_loss"]) for epoch in record["history"]]
    assert (record["split"], record["count"]) == ("validation", 6)
    assert (record["accuracy"], pytest.approx(record["loss"], rel=1e-4)) in shown


def test_without_held_out_images_the_figure_is_a_training_figure(photos):
    record = told(photos, *FAST, "--validation-fraction", 0)
    assert (record["split"], record["count"]) == ("train", 24)
    assert "Training accuracy" in run("train", photos, *FAST, "--validation-fraction", 0).stdout


@pytest.mark.parametrize(("parts", "split"), [(("train", "val"), "validation"), (("train", "val", "test"), "test")])
def test_parts_of_a_folder_are_called_what_they_are(tmp_path, parts, split):
    for seed, part in enumerate(parts):
        make_images(tmp_path / "root" / part, {"dark": 6, "light": 6}, seed=seed)
    record = told(tmp_path / "root", *FAST)
    assert (record["split"], record["count"]) == (split, 12)


def test_copies_of_training_images_in_a_test_folder_do_not_count_as_new(tmp_path):
    root = tmp_path / "root"
    make_images(root / "train", {"dark": 6, "light": 6})
    make_images(root / "test", {"dark": 4, "light": 4}, seed=1)
    for n, path in enumerate(sorted((root / "train").rglob("*.png"))):
        shutil.copy(path, root / "test" / path.parent.name / f"copy{n}.png")
    record = told(root, *FAST)
    assert record["split"] == "test"
    assert 8 <= record["count"] <= 10  # two copies may be of held-out images
    assert any("and is evaluated on the other" in note for note in record["notes"])


def test_only_evaluates_what_matches_apart(photos):
    record = told(photos, *FAST, "--validation-fraction", 0, "--only", "da-*", "--only", "*-00.png")
    assert [(one["pattern"], one["count"]) for one in record["only"]] == [("da-*", 12), ("*-00.png", 2)]
    assert record["count"] == 24
    assert "  da-*              " in run("train", photos, *FAST, "--only", "da-*").stdout


def test_a_pattern_that_matches_nothing_is_told_before_learning(photos, fake):
    assert "'street-*'" in error_of("train", photos, *FAST, "--only", "street-*")
    assert fake.given == {}


def test_options_reach_training(photos, fake):
    run(
        *("train", photos, "--network", "dense 2", "--budget", "1.5m", "--batch-size", 32, "--optimizer", "adamw"),
        *(
            "--learning-rate",
            0.01,
            "--weight-decay",
            0.002,
            "--ema",
            0.99,
            "--schedule",
            "cosine",
            "--label-smoothing",
            0.1,
        ),
        *("--augment", "shift", "--zoom", 1.5, "--rotate", 10, "--brightness", 0.2, "--contrast", 0.3),
        *(
            "--saturation",
            0,
            "--erase",
            0.25,
            *("--mixup", 0.5, "--cutmix", 0.4, "--flip", "alternating", "--bias-scaler", 8),
            "--class-weight",
            "balanced",
            "--validation-fraction",
            0.2,
            "--no-early-stopping",
        ),
        "--no-winograd",
        *("--threads", 1, "--seed", 3),
    )
    del fake.given["progress"], fake.given["notes"], fake.given["checkpoint"]
    assert fake.given == {
        "verbose": 0,
        "network": "dense 2, softmax",
        "start": None,
        "winograd": False,
        "budget": 90.0,
        "batch_size": 32,
        "optimizer": "adamw",
        "learning_rate": 0.01,
        "weight_decay": 0.002,
        "ema": 0.99,
        "bias_scaler": 8.0,
        "schedule": "cosine",
        "label_smoothing": 0.1,
        "augment": "shift",
        "flip": "alternating",
        "zoom": 1.5,
        "rotate": 10.0,
        "brightness": 0.2,
        "contrast": 0.3,
        "saturation": 0.0,
        "erase": 0.25,
        "mixup": 0.5,
        "cutmix": 0.4,
        "class_weight": "balanced",
        "validation_fraction": 0.2,
        "early_stopping": False,
        "threads": 1,
        "seed": 3,
    }


def test_size_and_colour(photos):
    assert "6x4, colour" in run("train", photos, *FAST, "--size", "6x4", "--colour").stdout
    assert "8x8, grey" in run("train", photos, *FAST, "--grey").stdout


def test_images_of_many_sizes_are_resized_and_that_is_said(tmp_path):
    make_images(tmp_path / "mixed", {"dark": 4, "light": 4})
    make_images(tmp_path / "mixed" / "dark" / "more", {"wide": 3}, size=(20, 10))
    result = run("train", tmp_path / "mixed", *FAST)
    assert result.exit_code == 0
    assert "11 images of 2 sizes in mixed were stretched to" in result.stdout


def test_going_on_from_a_model(photos, photos_model):
    record = told(photos, "--start", photos_model, "--epochs", 1)
    assert record["network"] == "dense 1, sigmoid"
    assert record["history"][0]["accuracy"] > 0.9  # it did not start from nothing


def test_going_on_from_a_model_with_a_network_that_begins_as_its_own(photos, photos_model, here):
    first = told(photos, "--network", "conv 4@3 same, relu, max 2, dense 1", "--output", "first.onnx")
    text = "conv 4@3x3 same frozen, relu, max 2, dense 8, relu, dense 1"
    result = run("train", photos, "--start", "first.onnx", "--network", text, "--epochs", 1)
    assert result.exit_code == 0
    out = " ".join(result.stdout.split())
    assert "Weights from the starting model: conv1 (frozen); initialised at random: dense1, dense2." in out
    assert ", of which " in out
    assert "are trainable; fully connected" in out
    assert first["network"] not in out
    assert "shares no weights" in error_of("train", photos, "--start", "first.onnx", "--network", "conv 5@3, dense 1")


def test_going_on_from_a_model_of_other_classes(tmp_path, photos_model):
    make_images(tmp_path / "other", {"big": 6, "small": 6})
    result = run("train", tmp_path / "other", "--start", photos_model, "--output", tmp_path / "other.onnx")
    assert result.exit_code == 0, result.output
    out = " ".join(result.stdout.split())
    assert "photos.onnx up to its 64 features, then dense 1, sigmoid 65 weights and biases, of which the last 65" in out
    assert Model.load(tmp_path / "other.onnx").classes == ("big", "small")


def test_a_pretrained_start(photos, tmp_path):
    result = run("train", photos, "--start", "lite0", "--output", tmp_path / "photos.onnx")
    assert result.exit_code == 0, result.output
    assert "lite0 up to its 1,280 features, then dense 1, sigmoid" in result.stdout
    model = Model.load(tmp_path / "photos.onnx")
    assert model.preprocessing.shape == (224, 224, 3)
    assert model.provenance["pretrained"]["licence"] == "Apache-2.0"
    assert 'did you mean "lite0"?' in error_of("train", photos, "--start", "lite")


def test_a_budget_is_kept(photos, clock):
    record = told(photos, "--network", "dense 1", "--budget", "0.3s")
    assert 0.2 < record["seconds"] <= 0.3
