"""Labels of any type come back with it: from training, from files, from the estimator; or are refused in one line."""

from __future__ import annotations

import datetime as dt
import enum
import pickle
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

import lanewise
from lanewise import CNNClassifier, Model
from lanewise.errors import DataError, LanewiseWarning, ModelFileError
from lanewise.labels import plain, typed

COUNT = 40
PLACES = np.arange(COUNT) % 2
IMAGES = (np.random.default_rng(0).integers(0, 60, (COUNT, 4, 4)) + 180 * PLACES[:, None, None]).astype(np.uint8)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Word(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


def _pandas(make: Callable[[Any], Any]) -> Any:
    return make(pytest.importorskip("pandas"))


def _each(*pair: Any) -> list[Any]:
    return [pair[n] for n in PLACES]


DAYS = dt.date(2020, 1, 1), dt.date(2021, 5, 4)
TIMES = dt.datetime(2020, 1, 1), dt.datetime(2021, 5, 4, 3, 2, 1, 7)
LABELS: dict[str, Callable[[], Any]] = {
    "days": lambda: np.array(["2020-01-01", "2021-05-04"], "M8[D]")[PLACES],
    "nanoseconds": lambda: np.array(["2020-01-01", "2021-05-04T03:02:01.000000007"], "M8[ns]")[PLACES],
    "months": lambda: np.array(["2020-01", "2021-05"], "M8[M]")[PLACES],
    "spans": lambda: np.array([1, -2], "m8[s]")[PLACES],
    "dates": lambda: _each(*DAYS),
    "times": lambda: _each(*TIMES),
    "times of pandas": lambda: _pandas(lambda pd: pd.Series(_each(*map(pd.Timestamp, TIMES)))),
    "times of zones": lambda: _pandas(lambda pd: pd.Series(_each(*TIMES)).dt.tz_localize("UTC")),
    "categories": lambda: _pandas(lambda pd: pd.Series(_each("u", "v")).astype("category")),
    "categories of numbers": lambda: _pandas(lambda pd: pd.Categorical(_each(7, 5))),
    "Int64": lambda: _pandas(lambda pd: pd.Series(_each(7, 5), dtype="Int64")),
    "boolean": lambda: _pandas(lambda pd: pd.Series(_each(True, False), dtype="boolean")),
    "string": lambda: _pandas(lambda pd: pd.Series(_each("u", "v"), dtype="string")),
    "bytes": lambda: np.array([b"cat", b"d"])[PLACES],
    "bytes that are no UTF-8": lambda: np.array([b"cat", b"\xff\xfe"])[PLACES],
    "objects of bytes": lambda: np.array(_each(b"cat", b"d"), object),
    "objects of booleans": lambda: np.array(_each(True, np.False_), object),
    "booleans": lambda: PLACES == 1,
    "booleans and numbers": lambda: np.array(_each(True, 0), object),
    "whole numbers and floats": lambda: np.array(_each(1, 2.0), object),
    "decimals": lambda: _each(Decimal("1.50"), Decimal("20")),
    "fractions": lambda: _each(Fraction(1, 2), Fraction(1, 3)),
    "identifiers": lambda: _each(UUID(int=1), UUID(int=2)),
    "text of an enumeration": lambda: _each(Word.RED, Word.BLUE),
    "int8": lambda: np.array([-1, 1], np.int8)[PLACES],
    "float16": lambda: np.array([1, 2], np.float16)[PLACES],
    "minus zero": lambda: np.array([-0.0, 1.0])[PLACES],
    "column": lambda: PLACES[:, None],
    "column of text": lambda: np.array(["u", "v"])[PLACES][:, None],
    "variable text": lambda: np.array(["u", "vv"], np.dtypes.StringDType())[PLACES],
}

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "members": (lambda: _each(Colour.RED, Colour.BLUE), "label.name"),
    "text and numbers": (lambda: _each("a", 1), r"str\(label\)"),
    "none": (lambda: np.array(_each("a", None), object), "label 1 is None"),
    "not a time": (lambda: np.array(["2020", "NaT"], "M8[D]")[PLACES], "label 1 is NaT"),
    "missing": (lambda: _pandas(lambda pd: pd.Series(_each(1, None), dtype="Int64")), "label 1 is missing"),
    "missing text": (lambda: _pandas(lambda pd: pd.Series(_each("a", None), dtype="string")), "label 1 is missing"),
    "masked": (lambda: np.ma.array(PLACES, mask=PLACES == 1), "label 1 is missing"),
    "nan": (lambda: np.array([0, np.nan])[PLACES], "[Nn]a[Nn]"),
    "one column a class": (lambda: np.eye(2)[PLACES], "argmax|1d array"),
    "tuples": (lambda: _each((1, 2), (3, 4)), "argmax|1d array"),
}


@pytest.fixture(scope="module")
def trained() -> Model:
    return lanewise.train(IMAGES, PLACES, network="dense 2", epochs=15, folds=0, verbose=0, validation_fraction=0)


def _same(found: Any, y: Any) -> bool:
    given = np.asarray(y).reshape(-1)
    return bool(np.all(found == given)) and all(
        type(a) is type(b) or isinstance(b, str) or a == b for a, b in zip(found.tolist(), given.tolist(), strict=True)
    )


@pytest.mark.parametrize("name", LABELS)
def test_they_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    y = LABELS[name]()
    model = lanewise.train(IMAGES, y, network="dense 2", epochs=15, folds=0, verbose=0, validation_fraction=0)
    assert _same(model.predict(IMAGES), y)
    model.save(tmp_path / "m.onnx")
    loaded = Model.load(tmp_path / "m.onnx")
    assert loaded.predict(IMAGES).dtype == model.predict(IMAGES).dtype
    assert _same(loaded.predict(IMAGES), y)
    with pytest.warns(LanewiseWarning, match="was trained on"):
        assert lanewise.evaluate(loaded, IMAGES, y, split="all").accuracy == 1


@pytest.mark.parametrize("name", LABELS)
def test_the_estimator_gives_them_back(name: str) -> None:
    y = LABELS[name]()
    shaped = np.asarray(y).reshape(-1) if name.startswith("column") else y
    classifier = CNNClassifier("dense 2", epochs=15, validation_fraction=0).fit(IMAGES, shaped)
    assert _same(classifier.predict(IMAGES), y)
    assert classifier.score(IMAGES, shaped) == 1
    assert _same(pickle.loads(pickle.dumps(classifier)).predict(IMAGES), y)
    assert np.all(classifier.model_.predict(IMAGES) == np.asarray(y).reshape(-1))
    again = classifier.set_params(warm_start=True, epochs=1).fit(IMAGES, shaped)
    assert _same(again.predict(IMAGES), y)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_label_is_refused_in_one_line(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(DataError, match=words) as raised:
        lanewise.train(IMAGES, make(), network="dense 2", epochs=1)
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(ValueError, match=r"[a-z]"):
        CNNClassifier("dense 2", epochs=1).fit(IMAGES, make())


@pytest.mark.parametrize("seed", range(20))
def test_plain_and_typed_are_inverse(seed: int) -> None:
    draw = np.random.default_rng(seed)
    units = ("D", "h", "s", "ms", "us", "ns", "M", "Y")
    times = draw.integers(-(10**6), 10**6, 9).astype(f"M8[{units[seed % len(units)]}]")
    words = np.array(
        [bytes(draw.integers(1, 256, int(draw.integers(1, 5))).astype(np.uint8).tolist()) for _ in range(9)]
    )
    exact = [Decimal(int(n)).scaleb(-int(k)) for n, k in draw.integers(1, 9, (9, 2))]
    for labels in (times, words, np.array(exact, object), draw.integers(-99, 99, 9).astype(np.int16)):
        text, kind = plain(labels)
        assert np.array_equal(typed(text.tolist(), kind), labels)


def test_a_type_that_does_not_fit_is_refused(trained: Model, tmp_path: Path) -> None:
    import onnx

    trained.save(tmp_path / "m.onnx")
    for kind in ("date", "datetime64[D]", "nonsense", "Decimal", "UUID", "bytes", "x" * 999):
        proto = onnx.load(tmp_path / "m.onnx")
        entry = proto.metadata_props.add()
        entry.key, entry.value = "label_type", kind
        (tmp_path / "changed.onnx").write_bytes(proto.SerializeToString())
        with pytest.raises(ModelFileError, match="the labels are no"):
            Model.load(tmp_path / "changed.onnx")


@pytest.mark.parametrize("name", ["days", "dates", "bytes", "decimals", "int8"])
def test_weights_are_by_labels_of_any_type(name: str) -> None:
    y = LABELS[name]()
    one = np.asarray(y)[0]
    for key in (one, one.tolist() if isinstance(one, np.generic) else one):
        lanewise.train(IMAGES, y, network="dense 2", epochs=1, folds=0, verbose=0, class_weight={key: 2.0})
