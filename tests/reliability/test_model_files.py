"""Models of every kind of training come back from their files as they were."""

from __future__ import annotations

import numpy as np
import pytest

import lanewise
from lanewise.errors import NetworkError
from lanewise.model_file import Contents
from tests.model_file.models import contents
from tests.reliability import model_files
from tests.reliability.running import failures


@pytest.mark.parametrize("first", range(0, 24, 8))
def test_what_was_trained_comes_back(first: int) -> None:
    assert failures(model_files.trial, range(first, first + 8)) == []


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_channel_whose_mean_is_zero(zero: float, tmp_path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 4, 4, 3)).astype(np.float32)
    x[..., 0] = zero
    model = lanewise.train(x, np.arange(30) % 2, network="dense 2", epochs=1)
    assert model_files.differs(model, x, tmp_path / "m.onnx") is None


@pytest.mark.parametrize(
    "label",
    [
        np.str_("a"),
        np.int64(3),
        np.bool_(True),
        np.float32(0.5),
        -0.0,
        1 << 63,
        (1 << 64) - 1,
        "\udcff",
        "a\x00b\n",
        "",
    ],
)
def test_labels_that_a_file_keeps(label: object, tmp_path) -> None:
    made = contents("dense 2, softmax")
    model = lanewise.Model(made.graph, made.parameters, (label, "other"), made.preprocessing)  # type: ignore[arg-type]
    x = np.zeros((1, *made.preprocessing.shape), np.uint8)
    assert model_files.differs(model, x, tmp_path / "m.onnx") is None


@pytest.mark.parametrize("label", [None, b"a", float("nan"), float("inf"), 1 << 64, (1,), np.datetime64("2026")])
def test_labels_that_no_file_keeps_are_refused_at_once(label: object) -> None:
    made = contents("dense 2, softmax")
    with pytest.raises(NetworkError, match="cannot be saved"):
        Contents(made.graph, made.parameters, (label, "other"), made.preprocessing)  # type: ignore[arg-type]


def test_a_model_that_would_not_load_is_not_written_over_an_older_file(tmp_path) -> None:
    made = contents("dense 2, softmax")
    path = tmp_path / "m.onnx"
    path.write_bytes(b"older")
    broken = Contents(made.graph, made.parameters, made.classes, made.preprocessing, history=({"loss": 1},))
    with pytest.raises(lanewise.LanewiseError, match=r"could not be loaded again: .* lacks its epoch.*older file"):
        lanewise.model_file.write(broken, path)
    assert path.read_bytes() == b"older"
