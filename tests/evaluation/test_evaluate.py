"""Figures of a model against scikit-learn's, against Wilson's own numbers, and by hand."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support, top_k_accuracy_score

from lanewise.data.arrays import DIGITS_FILE
from lanewise.data.images import Images
from lanewise.errors import DataError, LanewiseWarning, OptionError
from lanewise.evaluation.evaluate import evaluate, images_for, wilson
from lanewise.evaluation.result import Evaluation
from lanewise.model import Model, Preprocessing
from lanewise.network.graph import build
from lanewise.network.initial import initial_parameters
from lanewise.network.text import parse


class Oracle:
    """A model that answers what it is told to."""

    def __init__(self, probabilities, classes):
        self.probabilities, self.classes = np.asarray(probabilities, np.float32), tuple(classes)
        self.preprocessing = Preprocessing(2, 2, 1, "uint8", scale=(1 / 255,), offset=(0.0,))

    def predict_proba(self, x):
        assert len(x) == len(self.probabilities)
        return self.probabilities


def images(labels, classes, names=()):
    return Images(np.zeros((len(labels), 2, 2, 1), np.uint8), np.array(labels, np.int32), tuple(classes), names)


def digits_model(classes=tuple("0123456789")):
    graph = build(parse("dense 10, softmax"), (1, 8, 8))
    preprocessing = Preprocessing(8, 8, 1, "uint8", scale=(1 / 255,), offset=(0.0,))
    return Model(graph, tuple(initial_parameters(graph, 0)), classes, preprocessing, "dense 10, softmax")


@pytest.fixture(scope="module")
def drawn():
    """200 answers over 5 classes: one is never there, one is never given as the answer."""
    random = np.random.default_rng(1)
    labels = random.choice([0, 1, 2, 3], 200)
    probabilities = random.dirichlet(np.ones(5), 200)
    probabilities[:, 3] = 0.0
    probabilities[np.arange(200), labels] += 0.4 * (labels != 3)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return labels, probabilities, evaluate(Oracle(probabilities, "abcde"), images(labels, "abcde"), split="test")


def test_class_figures_are_scikit_learns(drawn):
    labels, probabilities, found = drawn
    expected = precision_recall_fscore_support(
        labels, probabilities.argmax(axis=1), labels=range(5), zero_division=np.nan
    )
    none = [[math.nan if value is None else value for value in row] for row in per_class_columns(found)]
    np.testing.assert_allclose(none[0], expected[0])
    np.testing.assert_allclose(none[1], expected[1])
    np.testing.assert_allclose(none[2], expected[2])
    assert none[3] == expected[3].tolist()


def per_class_columns(found):
    return zip(*((one.precision, one.recall, one.f1, one.count) for one in found.per_class), strict=True)


def test_what_cannot_be_divided_is_none(drawn):
    *_, found = drawn
    never_answered, never_there = found.per_class[3], found.per_class[4]
    assert (never_answered.precision, never_answered.recall, never_answered.f1) == (None, 0.0, 0.0)
    assert (never_there.count, never_there.recall, never_there.precision) == (0, None, 0.0)


def test_confusion_has_true_classes_in_rows(drawn):
    labels, probabilities, found = drawn
    expected = confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(5))
    assert found.confusion.tolist() == expected.tolist()
    assert found.correct == expected.trace()
    assert found.accuracy == expected.trace() / 200


def test_confusions_come_most_frequent_first():
    answers = np.eye(3)[[1, 1, 2, 0, 2, 2]]
    found = evaluate(Oracle(answers, "abc"), images([0, 0, 0, 1, 1, 2], "abc"))
    assert found.confusions() == [("a", "b", 2), ("a", "c", 1), ("b", "a", 1), ("b", "c", 1)]


def test_loss_is_the_mean_cross_entropy(drawn):
    labels, probabilities, _ = drawn
    kept = labels != 3  # a probability of 0 has its own test
    found = evaluate(Oracle(probabilities[kept], "abcde"), images(labels[kept], "abcde"))
    assert found.loss == pytest.approx(log_loss(labels[kept], probabilities[kept], labels=range(5)), rel=1e-5)


def test_loss_of_a_certain_mistake_is_finite():
    assert evaluate(Oracle([[1, 0]], "ab"), images([1], "ab")).loss == pytest.approx(24 * math.log(2))


def test_mistakes_are_the_most_confident_first_and_named():
    answers = [[0.1, 0.9], [0.7, 0.3], [0.4, 0.6], [0.2, 0.8]]
    names = ("a/one.png", "b/two.png", "a/three.png", "b/four.png")
    found = evaluate(Oracle(answers, ["cat", "dog"]), images([0, 1, 0, 1], ["cat", "dog"], names), most_mistakes=2)
    assert [(m.image, m.true, m.predicted) for m in found.mistakes] == [
        ("a/one.png", "cat", "dog"),
        ("b/two.png", "dog", "cat"),
    ]
    assert [m.probability for m in found.mistakes] == pytest.approx([0.9, 0.7])


def test_images_from_arrays_are_named_by_position():
    found = evaluate(Oracle([[1, 0], [1, 0]], "ab"), images([0, 1], "ab"))
    assert [mistake.image for mistake in found.mistakes] == [1]


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)],
)
def test_interval_is_that_of_newcombes_table(correct, count, low, high):
    """R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    assert wilson(correct, count) == pytest.approx((low, high), abs=6e-5)


def test_interval_holds_its_share():
    assert all(low <= k / 37 <= high for k in range(38) for low, high in [wilson(k, 37)])


def test_json_is_json(drawn):
    *_, found = drawn
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["per_class"][3] == {
        "class": "d",
        "count": found.per_class[3].count,
        "precision": None,
        "recall": 0.0,
        "f1": 0.0,
    }
    assert told["interval"] == list(found.interval)
    assert set(told) == set(Evaluation.__dataclass_fields__)


def test_images_of_other_classes_are_refused():
    with pytest.raises(DataError, match="classes a, c, the model's are a, b"):
        evaluate(Oracle([[1, 0]], "ab"), images([0], "ac"))


@pytest.mark.parametrize("none", [Images(np.zeros((1, 2, 2, 1), np.uint8), None, ("a", "b")), images([], "ab")])
def test_no_labelled_images_are_refused(none):
    with pytest.raises(DataError, match="no labelled images"):
        evaluate(Oracle(np.zeros((len(none), 2)), "ab"), none)


@pytest.mark.parametrize(("split", "count"), [(None, 359), ("test", 359), ("train", 1438)])
def test_parts_of_the_digits(split, count):
    found, part = images_for(digits_model(), "digits", split=split)
    assert (len(found), part) == (count, split or "test")
    assert found.classes == tuple("0123456789")


def test_a_part_that_is_not_there_is_named():
    with pytest.raises(DataError, match="digits has no validation images; it has test and train"):
        images_for(digits_model(), "digits", split="validation")


def test_labels_follow_the_order_of_the_models_classes(tmp_path):
    """A model whose classes are numbers, in another order than the file's."""
    backwards = tuple(range(9, -1, -1))
    found, _ = images_for(digits_model(backwards), "digits", split="train")
    with np.load(DIGITS_FILE) as file:
        assert (9 - found.labels).tolist() == file["y_train"].tolist()
    assert evaluate(digits_model(backwards), found, split="train").count == 1438


def test_parts_of_a_folder(tmp_path):
    from PIL import Image

    for part, count in (("train", 3), ("Val", 2), ("test", 1)):
        for label in "ab":
            (tmp_path / part / label).mkdir(parents=True)
            for n in range(count):
                Image.new("L", (8, 8), 20 * n).save(tmp_path / part / label / f"{n}.png")
    graph = build(parse("dense 1, sigmoid"), (1, 8, 8))
    preprocessing = Preprocessing(8, 8, 1, "uint8", (1 / 255,), (0.0,), "stretch")
    model = Model(graph, tuple(initial_parameters(graph, 0)), ("a", "b"), preprocessing)
    counts = {split: len(images_for(model, tmp_path, split=split)[0]) for split in ("train", "validation", "test")}
    assert counts == {"train": 6, "validation": 4, "test": 2}
    assert images_for(model, tmp_path)[1] == "test"
    with pytest.raises(DataError, match="holds no folder 'train'"):
        images_for(model, tmp_path / "train", split="train")


def test_evaluate_takes_what_train_takes(tmp_path):
    from PIL import Image

    from lanewise.data.load import load

    model = digits_model()
    sets = load("digits")
    x, y = sets.test.pixels, sets.test.labels
    by_images = evaluate(model, sets.test, split="test")
    for source in ("digits", sets, (x, y), sets.test):
        assert evaluate(model, source).accuracy == by_images.accuracy
    assert evaluate(model, x, y).count == 359
    assert evaluate(model, "digits").split == evaluate(model, sets).split == "test"
    assert evaluate(model, sets, split="train").count == 1438
    for n in range(4):
        (tmp_path / str(n)).mkdir()
        Image.fromarray(x[n, :, :, 0]).resize((20, 20)).save(tmp_path / str(n) / "a.png")
    assert evaluate(model, tmp_path).count == evaluate(model, str(tmp_path)).count == 4
    with pytest.raises(DataError, match=r"evaluate\(model, x, y\)"):
        evaluate(model, x)
    with pytest.raises(DataError, match="omit `y`"):
        evaluate(model, "digits", y)
    with pytest.raises(OptionError, match="unknown split 'tset'"):
        evaluate(model, "digits", split="tset")


def test_images_that_the_model_was_trained_on_are_left_out_and_that_is_said():
    import lanewise
    from lanewise.data.load import load

    train = load("digits").train
    few, more = train.take(np.arange(300)), train.take(np.arange(310))
    model = lanewise.train(few, network="dense 10", epochs=1, notes=lambda note: None)
    found = evaluate(model, more.pixels, more.labels)
    held = model.provenance["seen"]["held_out"]["count"]
    assert (found.split, found.count) == ("validation", held + 10)
    assert [(group.name, group.count) for group in found.groups] == [("held out", held), ("new", 10)]
    with pytest.warns(LanewiseWarning, match="was trained on"):
        assert evaluate(model, more, split="all").count == 310
    learned = images_for(model, (few.pixels, few.labels))[0]
    assert len(learned) == held
    trained, _ = images_for(model, (few.pixels, few.labels))[0], None
    known = [name for name in map(str, range(300)) if f"image {name}" not in trained.names]
    with pytest.warns(LanewiseWarning, match="this is the training accuracy"):
        assert evaluate(model, few.take(np.array(list(map(int, known))))).split == "train"


@pytest.mark.parametrize("top", [1, 2, 4])
def test_top_accuracy_is_scikit_learns(drawn, top):
    labels, probabilities, _ = drawn
    found = evaluate(Oracle(probabilities, "abcde"), images(labels, "abcde"), split="test", top=top)
    expected = top_k_accuracy_score(labels, probabilities.astype(np.float32), k=top, labels=range(5))
    assert found.top is not None
    assert (found.top.n, found.top.accuracy) == (top, pytest.approx(expected))
    assert found.top.interval == wilson(found.top.correct, 200)
    assert json.loads(json.dumps(found.to_json()))["top"]["correct"] == found.top.correct


def test_of_equally_probable_classes_the_first_are_on_top():
    found = evaluate(Oracle([[0.25] * 4] * 4, "abcd"), images([0, 1, 2, 3], "abcd"), split="test", top=2)
    assert found.top is not None
    assert (found.correct, found.top.correct) == (1, 2)
    assert sorted(one.rank for one in found.mistakes) == [2, 3, 4]


@pytest.mark.parametrize("top", [0, -1, 6, True, 2.0])
def test_a_top_that_makes_no_sense(drawn, top):
    labels, probabilities, plain = drawn
    assert plain.top is None
    with pytest.raises(OptionError, match=r"give at most|must be a whole number"):
        evaluate(Oracle(probabilities, "abcde"), images(labels, "abcde"), split="test", top=top)
