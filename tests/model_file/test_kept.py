"""Files that version 0.1.0 wrote, one of each kind, are read by every later version and predict the same."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lanewise import Model
from lanewise.model_file.metadata import from_properties, to_properties

DATA = Path(__file__).parent / "data"


def as_trained(name: str, images: np.ndarray) -> np.ndarray:
    """The images as the model `name` was trained on them."""
    floats = (images / 255).astype(np.float32)
    without_red = floats * np.array([0, 1, 1], np.float32)
    others = {"grey": images[..., :1], "dead_channel": without_red, "floats": floats, "started": floats}
    return others.get(name, images)


@pytest.mark.parametrize(
    "name", ["bytes", "grey", "floats", "started", "dead_channel", "layers", "sigmoid", "textless", "folder"]
)
def test_files_of_the_first_version_load(name, tmp_path):
    kept = np.load(DATA / "expected.npz")
    model = Model.load(DATA / f"{name}.onnx")
    assert model.provenance["version"] == "0.1.0"
    assert [record["epoch"] for record in model.history] == [1, 2, 3]
    x = as_trained(name, kept["images"])
    assert np.abs(model.predict_proba(x) - kept[name]).max() < 1e-6
    model.save(tmp_path / "again.onnx")
    again = Model.load(tmp_path / "again.onnx")
    assert np.array_equal(again.predict_proba(x), model.predict_proba(x))
    assert again.preprocessing == model.preprocessing


def test_an_offset_of_minus_zero_comes_back_as_it_was():
    offset = Model.load(DATA / "dead_channel.onnx").preprocessing.offset
    assert offset[0] == 0
    assert np.signbit(offset[0])


def test_names_of_before_are_read_as_those_of_today():
    """Files between two versions held both the number of images and their hashes."""
    model = Model.load(DATA / "bytes.onnx")
    hashes = {"form": "bytes"}
    texts = to_properties(replace(model, provenance={}))
    folds = {"pictures": 9, "folds": 3}
    texts["provenance"] = json.dumps({"pictures": 9, "images": hashes, "cross_validation": None, "judged": folds})
    told = from_properties(texts).provenance
    assert (told["images"], told["seen"], told["evaluated"]["images"]) == (9, hashes, 9)
