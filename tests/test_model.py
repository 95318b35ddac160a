"""A model predicts from whatever holds images, and survives saving, loading and pickling."""

import pickle

import numpy as np
import onnx
import pytest
from PIL import Image

import lanewise
from lanewise.engine import schedule, single, single_parts
from lanewise.errors import DataError, ModelFileError, OptionError
from lanewise.model import Model
from tests.model_file.models import contents, evaluated, foreign, pixels

pytestmark = pytest.mark.usefixtures("all_processors")

TEXT = "conv 4@3 same, relu, max 2, dropout 0.5, dense 3, softmax"


def made(text=TEXT, classes=None, **options) -> Model:
    parts = contents(text, **options)
    return Model(
        parts.graph,
        parts.parameters,
        parts.classes if classes is None else classes,
        parts.preprocessing,
        parts.network,
        parts.history,
        parts.provenance,
    )


def test_predicting_takes_as_many_threads_as_it_may(monkeypatch):
    used = []
    run_threads = schedule.run_threads

    def counted(function, job, threads):
        used.append(threads)
        run_threads(function, job, threads)

    monkeypatch.setattr(schedule, "run_threads", counted)
    monkeypatch.setattr(single, "run_threads", counted)
    monkeypatch.setattr("lanewise.processors.processors", lambda: 4)
    for constant in ("ENOUGH", "LEAST"):
        monkeypatch.setattr(single_parts, constant, 1)
    model = made()
    x = pixels(model, 100)
    whole = model.predict_proba(x)
    for threads in (1, np.int64(3), 9):
        assert np.array_equal(model.predict_proba(x, threads=threads), whole)
    assert model.predict(x, threads=2).tolist() == model.predict(x).tolist()
    assert used == [4, 1, 3, 4, 2, 4]  # no more than there are processors
    one = model.predict_one(x[0])
    for threads in (1, np.int64(3), 9):
        assert np.array_equal(model.predict_one(x[0], threads=threads), one)
    assert used[6:] == [4, 1, 3, 4]


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads_are_a_whole_number(threads):
    model = made()
    with pytest.raises(OptionError, match="threads must be a whole number of at least 1"):
        model.predict(pixels(model, 1), threads=threads)
    with pytest.raises(OptionError, match="threads must be a whole number of at least 1"):
        model.predict_one(pixels(model, 1)[0], threads=threads)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_probabilities_are_those_of_the_reference(dtype):
    model = made(dtype=dtype)
    x = pixels(model, 37)
    found = model.predict_proba(x)
    assert found.dtype == np.float32
    assert found == pytest.approx(evaluated(model, x), rel=1e-5, abs=1e-7)
    assert model.predict(x).tolist() == [model.classes[k] for k in evaluated(model, x).argmax(axis=1)]


def test_a_sigmoid_gives_two_probabilities():
    model = made("dense 1, sigmoid", classes=("no", "yes"))
    x = pixels(model, 20)
    p = evaluated(model, x)
    assert model.predict_proba(x) == pytest.approx(np.hstack([1 - p, p]), abs=1e-6)
    assert model.predict(x).tolist() == ["yes" if q > 0.5 else "no" for q in p.ravel()]
    assert set(model.predict(x)) == {"no", "yes"}


@pytest.mark.parametrize(
    ("classes", "kind"), [((3, 1, 2), "i"), (("a", "b", "c"), "U"), ((1, "a", 2.5), "O"), ((0.5, 1.5, 2.5), "f")]
)
def test_labels_come_back_as_they_were(classes, kind):
    model = made(classes=classes)
    found = model.predict(pixels(model, 30))
    assert found.dtype.kind == kind
    assert set(found.tolist()) <= set(classes)


def test_one_image_is_a_batch_of_one():
    model = made()
    x = pixels(model, 2)
    assert np.array_equal(model.predict_proba(x[1]), model.predict_proba(x)[1:])
    grey = made(shape=(1, 9, 7))
    x = pixels(grey, 2)
    expected = grey.predict_proba(x)
    assert np.array_equal(grey.predict_proba(x[..., 0]), expected)
    assert np.array_equal(grey.predict_proba(x[1]), expected[1:])
    assert np.array_equal(grey.predict_proba(x[1, :, :, 0]), expected[1:])
    assert grey.predict_proba(x[:0]).shape == (0, 3)


@pytest.mark.parametrize("kind", [np.int64, np.float64, np.float32, np.uint16])
def test_the_same_numbers_in_another_type_give_the_same_answer(kind):
    for dtype in ("uint8", "float32"):
        model = made(dtype=dtype)
        x = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 3)).astype(np.uint8)
        assert np.array_equal(model.predict_proba(x.astype(kind)), model.predict_proba(x))
        assert np.array_equal(model.predict_proba(x.tolist()), model.predict_proba(x))


def changed(place, value):
    x = np.full((4, 9, 7, 3), 100.0)
    x[place] = value
    return x


@pytest.mark.parametrize(
    ("x", "problem"),
    [
        (np.zeros((2, 7, 9, 5), np.uint8), r"images of 5 channels do not fit this model, which takes \(N, 9, 7, 3\)"),
        (np.zeros((2, 9, 7), np.uint8), r"shape \(2, 9, 7\) does not fit"),
        (np.zeros(3), r"shape \(3,\) does not fit"),
        (changed((2, 0, 0, 0), np.nan), "image 2 holds NaN or infinity"),
        (changed((3, 8, 6, 2), np.inf), "image 3 holds NaN or infinity"),
        (changed((1, 0, 0, 0), 1e300), "image 1 holds NaN or infinity"),
        (
            np.full((2, 9, 7, 3), 0.5),
            "lie within 0 to 1, but the model was trained on values from 0 to 255: multiply by 255",
        ),
        (np.array(["a", "b"]), "no such file or folder: a"),
        (np.array([["a", "b"]]), "images must be numbers, but the array holds <U1"),
        ([np.zeros((2, 2)), np.zeros(3)], r"shape \(3,\) is no image"),
        (None, "images must be numbers, but the array holds object"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(x, problem):
    with pytest.raises(DataError, match=problem):
        made().predict(x)


def test_files_are_decoded_as_in_training(tmp_path):
    model = made()
    x = pixels(model, 3)
    for number, image in enumerate(x):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    expected = model.predict_proba(x)
    names = [str(tmp_path / f"{number}.png") for number in range(3)]
    assert np.array_equal(model.predict_proba(names), expected)
    assert np.array_equal(model.predict_proba(tmp_path), expected)
    assert np.array_equal(model.predict_proba(tmp_path / "1.png"), expected[1:2])
    assert model.predict(names[2]).shape == (1,)


def test_files_of_other_sizes_are_resized(tmp_path):
    Image.new("L", (70, 90), 200).save(tmp_path / "a.png")
    model = made()
    assert np.array_equal(
        model.predict_proba(tmp_path / "a.png"), model.predict_proba(np.full((9, 7, 3), 200, np.uint8))
    )


def test_a_float_model_takes_files_too(tmp_path):
    Image.new("RGB", (7, 9), (10, 20, 30)).save(tmp_path / "a.png")
    model = made(dtype="float32")
    expected = model.predict_proba(np.full((9, 7, 3), (10, 20, 30), np.float32))
    assert np.array_equal(model.predict_proba(tmp_path / "a.png"), expected)


def test_files_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    Image.new("L", (7, 9)).save(tmp_path / "good.png")
    with pytest.raises(DataError, match=r"bad\.png is no usable image"):
        made().predict([tmp_path / "good.png", tmp_path / "bad.png"])
    with pytest.raises(DataError, match="no such file or folder"):
        made().predict("nowhere.png")


def test_save_and_load_give_the_same_model(tmp_path):
    model = made()
    model.save(tmp_path / "m.onnx")
    back = Model.load(tmp_path / "m.onnx")
    x = pixels(model, 20)
    assert type(back) is Model
    assert np.array_equal(back.predict_proba(x), model.predict_proba(x))
    assert (back.graph, back.classes, back.network) == (model.graph, model.classes, model.network)
    assert (back.history, back.provenance) == (model.history, model.provenance)


def test_a_file_from_elsewhere_predicts(tmp_path):
    onnx.save(
        foreign("float[N,3,9,7] x => float[N,2] y", "a = Flatten(x) y = MatMul(a, w)", w=(189, 2)), tmp_path / "m"
    )
    model = Model.load(tmp_path / "m", classes=["left", "right"])
    assert set(model.predict(pixels(model, 50))) == {"left", "right"}
    assert any("softmax was added" in note for note in model.notes)
    with pytest.raises(ModelFileError, match="at most 5 are read"):
        Model.load(tmp_path / "m", most_bytes=5)


def test_a_model_can_be_pickled_after_it_predicted():
    model = made()
    x = pixels(model, 4)
    expected = model.predict_proba(x)
    back = pickle.loads(pickle.dumps(model))
    assert np.array_equal(back.predict_proba(x), expected)
    with pytest.raises(ValueError, match="read-only"):
        back.parameters[0][0] = 0


def test_it_says_what_it_is():
    assert repr(made()) == f"<Model: 9x7x3 images, 3 classes, {TEXT}>"


@pytest.mark.parametrize("classes", [2, 3])
def test_one_image_alone_gets_the_same_answer(classes):
    random = np.random.default_rng(3)
    x = random.integers(0, 256, (40, 9, 7, 3), dtype=np.uint8)
    model = lanewise.train(x, random.integers(0, classes, 40), epochs=2)
    for image, row in zip(x[:5], model.predict_proba(x[:5]), strict=True):
        one = model.predict_one(image)
        assert one.shape == (classes,)
        assert one == pytest.approx(row, abs=1e-5)
        assert model.predict_one(image.astype(np.float64)) == pytest.approx(row, abs=1e-5)
    with pytest.raises(DataError, match="one image of shape"):
        model.predict_one(x[:5])
