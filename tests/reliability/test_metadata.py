"""Changed metadata in every command: a few cases of the stress run, and those that once ended in tracebacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

import lanewise
from lanewise import Model
from lanewise.errors import DataError, ModelFileError
from tests.reliability import metadata
from tests.reliability.running import failures


def test_every_reader_answers_in_one_line_or_rightly() -> None:
    assert failures(metadata.trial, range(64)) == []


def _with(change: dict[str, Any], key: str, path: Path, file: int = 0) -> Path:
    proto = onnx.load_from_string(metadata.sound()[file])
    entry = next(one for one in proto.metadata_props if one.key == key)
    value = json.loads(entry.value)
    for name, new in change.items():
        *way, last = name.split(".")
        place = value
        for step in way:
            place = place[int(step) if isinstance(place, list) else step]
        place[int(last) if isinstance(place, list) else last] = new
    entry.value = json.dumps(value)
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("file", "change"),
    [
        (0, {"evaluated.accuracy": "x"}),
        (0, {"evaluated.accuracy": 7}),
        (0, {"evaluated.interval": ["a", "b"]}),
        (0, {"evaluated.interval": [0.5]}),
        (0, {"candidates": "many"}),
        (1, {"cross_validation.confusion": [[1, 2], [3]]}),
        (1, {"cross_validation.confusion": [[1]]}),
        (1, {"cross_validation.folds": 1}),
        (1, {"cross_validation.correct": 10**6}),
        (1, {"cross_validation": {"folds": 5}}),
        (2, {"start": {"validation_loss": []}}),
    ],
)
def test_figures_are_checked_when_read(file: int, change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="wrong value for"):
        Model.load(_with(change, "provenance", tmp_path / "m.onnx", file))


def test_files_of_every_kind_of_training_load(tmp_path: Path) -> None:
    for number in range(3):
        Model.load(_with({}, "provenance", tmp_path / "m.onnx", number))


def test_a_record_without_accuracy_makes_a_report(tmp_path: Path) -> None:
    path = _with({}, "history", tmp_path / "m.onnx")
    model = Model.load(path)
    records = [{"epoch": one["epoch"]} for one in model.history]
    changed = Model(**{**metadata._fields(model), "history": tuple(records)})
    lanewise.write_report(changed, str(metadata._folder() / "images"), tmp_path / "page.html")
    assert "<html" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("sign", ["\n", "\x1b", "\u202e", "\u2028", "\0"])
def test_errors_are_one_line_whatever_a_name_holds(sign: str) -> None:
    assert str(DataError(f"label a{sign}b")).isprintable()
