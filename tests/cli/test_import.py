"""`lanewise import`: a file from elsewhere becomes a model, with what it did not say itself."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from PIL import Image

from lanewise import Model
from tests.cli.conftest import failed, misused, run
from tests.model_file.models import foreign
from tests.model_file.models import run as run_onnx

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def stranger(tmp_path):
    """A file as PyTorch would write it, for colour images of 6x5, and its weights beside it."""
    text = "c = Conv(x, w) r = Relu(c) a = GlobalAveragePool(r) f = Flatten(a) y = Gemm(f, d)"
    path = tmp_path / "net.onnx"
    model = foreign("float[N,3,6,5] x => float[N,3] y", text, w=(4, 3, 2, 2), d=(4, 3))
    onnx.save(model, path, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    return path


def imported(*arguments):
    result = run("import", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_names_and_preprocessing_are_part_of_the_model(stranger, here):
    (here / "names.txt").write_text("cat\n dog \nowl\n\n", encoding="utf-8")
    said = imported(stranger, "--external-data", "--classes", "names.txt", "--preprocess", "imagenet")
    assert (said["model"], said["classes"]) == ("net.onnx", ["cat", "dog", "owl"])
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    Image.fromarray(pixels).save("image.png")
    x = ((pixels / 255 - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)[np.newaxis]
    logits = run_onnx(onnx.load(stranger), x)
    expected = np.exp(logits) / np.exp(logits).sum()
    (answer,) = json.loads(run("predict", "net.onnx", "image.png", "--top", 3, "--json").stdout)["predictions"]
    order = [("cat", "dog", "owl").index(one["class"]) for one in answer["top"]]
    assert [one["probability"] for one in answer["top"]] == pytest.approx(expected[0, order], abs=1e-6)


@pytest.mark.parametrize(
    ("options", "scale", "offset"),
    [
        (("--preprocess", "unit"), 1 / 255, 0),
        (("--preprocess", "symmetric"), 2 / 255, -1),
        (("--preprocess", "bytes"), 1, 0),
        (("--mean", "0.5"), 1 / 255, -0.5),
        (("--mean", "0.5,0.25,0", "--std", "0.5"), 2 / 255, (-1, -0.5, 0)),
    ],
)
def test_each_way_to_prepare_images(stranger, options, scale, offset):
    imported(stranger, "--external-data", *options)
    preprocessing = Model.load("net.onnx").preprocessing
    assert preprocessing.scale == pytest.approx((scale,) * 3)
    assert preprocessing.offset == pytest.approx(np.broadcast_to(offset, 3))
    assert (preprocessing.dtype, preprocessing.value_range, preprocessing.resize) == ("uint8", (0, 255), "stretch")


def test_nothing_is_replaced_unasked(stranger, here):
    assert imported(stranger, "--external-data")["model"] == "net.onnx"
    assert imported(stranger, "--external-data")["model"] == "net-2.onnx"
    assert "exists already" in misused(run("import", stranger, "--external-data", "-o", "net.onnx"))
    before = (here / "net.onnx").read_bytes()
    said = imported(stranger, "--external-data", "-o", "net.onnx", "--preprocess", "unit", "--force")
    assert said["model"] == "net.onnx"
    assert (here / "net.onnx").read_bytes() != before


def test_what_is_missing_or_wrong_is_said_in_one_line(stranger, here):
    assert "`lanewise import FILE --external-data`" in failed(run("import", stranger))
    assert "give it, or them" in misused(run("import", stranger, "--preprocess", "unit", "--mean", "1"))
    assert "no list of numbers" in misused(run("import", stranger, "--mean", "1;2"))
    assert "one finite number, or one for each" in failed(run("import", stranger, "--external-data", "--mean", "1,2"))
    assert "standard deviations are above 0" in failed(run("import", stranger, "--external-data", "--std", "0"))
    assert "cannot be read" in misused(run("import", stranger, "--classes", "nowhere.txt"))
    (here / "two.txt").write_text("a\nb\n")
    assert "2 classes do not fit" in failed(run("import", stranger, "--external-data", "--classes", "two.txt"))
    imported(stranger, "--external-data", "--preprocess", "unit")
    assert "prepares its images itself" in failed(run("import", "net.onnx", "--preprocess", "unit"))
    assert sorted(one.name for one in here.iterdir()) == ["net.onnx", "two.txt"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a\n\nb\n", "line 2 of 'names.txt' is empty; each line names a class"),
        (b"\n\n", "0 classes do not fit"),
        (b"", "0 classes do not fit"),
        (b"a\nb\na\n", "two classes have the same label, 'a': numbers 1 and 3"),
        (b"a\nb\n", "2 classes do not fit"),
        (b"a\nb\nc\nd\n", "4 classes do not fit"),
        (bytes(range(256)), "it is not text"),
        ("a\nb\nc\n".encode("utf-16"), "it is not text"),
    ],
)
def test_names_that_make_no_classes_are_refused_in_one_line(stranger, here, content, problem):
    (here / "names.txt").write_bytes(content)
    result = run("import", stranger, "--external-data", "--classes", "names.txt")
    assert problem in (misused(result) if result.exit_code == 2 else failed(result))


@pytest.mark.parametrize(
    "content", ["a b\nc\u2028d\ne\x0bf\n", "\ufeffa b\r\nc\u2028d\r\n e\x0bf", "a b\rc\u2028d\re\x0bf"]
)
def test_a_name_is_a_line_whatever_ends_lines(stranger, here, content):
    (here / "names.txt").write_bytes(content.encode())
    said = imported(stranger, "--external-data", "--classes", "names.txt")
    assert said["classes"] == ["a b", "c\u2028d", "e\x0bf"]


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--mean", "nan", "one finite number, or one for each of 3 channels"),
        ("--mean", "1e39", "one finite number for each of 3 channels"),
        ("--std", "1e-45", "one finite number for each of 3 channels"),
        ("--std", "inf", "one finite number, or one for each of 3 channels"),
        ("--std", "-1", "standard deviations are above 0"),
        ("--mean", ",".join(["1"] * 5000), "mean is 5,000 numbers: one finite number"),
    ],
)
def test_numbers_that_prepare_nothing_are_refused_in_one_line(stranger, option, value, problem):
    assert problem in failed(run("import", stranger, "--external-data", option, value))


def test_what_it_says(stranger):
    said = run("import", stranger, "--external-data").stdout
    assert "images must be prepared as its author did" in said
    assert "in net.onnx" in said
    assert "prepared" not in run("import", stranger, "--external-data", "--preprocess", "unit").stdout
