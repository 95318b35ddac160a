"""CNNClassifier under scikit-learn's own checks, and what those do not ask about."""

from __future__ import annotations

import io
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from lanewise import CNNClassifier, estimator
from lanewise.data.images import Images
from lanewise.data.seen import HELD, TRAINED
from lanewise.errors import DataError, NetworkError, OptionError
from lanewise.evaluation.unseen import kinds_of
from lanewise.network.filters import bank
from lanewise.network.layers import Dense, Softmax
from lanewise.training import progress
from lanewise.training.fit import train
from tests.tracks import tracks

PAGE = Path(__file__).parents[1] / "docs" / "scikit-learn.md"
X, Y = load_digits(return_X_y=True)
IMAGES = X.reshape(-1, 8, 8)


def quick(**options):
    """A classifier of the digits that learns within a few hundredths of a second."""
    defaults: dict[str, Any] = {"image_shape": (8, 8), "epochs": 4, "random_state": 0, "augment": "none", "threads": 1}
    return CNNClassifier(**defaults | options)


# None is expected to fail. scikit-learn itself skips two that need pandas, where that is not installed, and one about
# arrays of other libraries, which it runs only if SCIPY_ARRAY_API=1 is set before SciPy is imported; it passes then.
@parametrize_with_checks([CNNClassifier()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_learns_digits():
    classifier = CNNClassifier(image_shape=(8, 8), random_state=0).fit(X[:1400], Y[:1400])
    assert classifier.score(X[1400:], Y[1400:]) > 0.95
    assert classifier.network_.startswith("conv")
    assert classifier.n_features_in_ == 64
    assert classifier.n_iter_ == len(classifier.history_) > 1
    assert classifier.history_[-1]["epoch"] == classifier.n_iter_
    assert classifier.history_[-1]["validation_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("strings", np.array(["no", "yes"])),
        ("objects", np.array(["no", "yes"], object)),
        ("numbers", np.array([-7, 300])),
        ("booleans", np.array([False, True])),
        ("floats", np.array([1.0, 2.0])),
    ],
)
def test_labels_come_back_as_they_were(name, labels, tmp_path):
    y = labels[(Y > 4).astype(int)]
    classifier = quick().fit(X[:300], y[:300])
    assert classifier.classes_.tolist() == labels.tolist()
    assert classifier.predict(X[:300]).dtype == y.dtype
    assert classifier.score(X[:300], y[:300]) > 0.8
    assert classifier.model_.classes == tuple(labels.tolist())
    classifier.model_.save(tmp_path / "model.onnx")


def test_predict_may_abstain():
    """As the model does, by the images that `fit` held out; labels of any type."""
    y = np.array([f"digit {label}" for label in Y])
    classifier = quick(epochs=3, validation_fraction=0.4).fit(X[:1000], y[:1000])
    answers, plain = classifier.predict(X[1000:], abstain=0.02), classifier.predict(X[1000:])
    named = np.array([answer is not None for answer in answers])
    assert answers.dtype == object
    assert 0.2 < named.mean() < 1
    assert np.array_equal(answers[named], plain[named])
    assert (plain[named] != y[1000:][named]).mean() < 0.7 * (plain != y[1000:]).mean()
    expected = classifier.model_.predict(IMAGES[1000:], abstain=0.02)
    assert np.array_equal(answers, expected)
    with pytest.raises(OptionError, match="cannot be promised"):
        classifier.predict(X, abstain=1e-4)
    with pytest.raises(NotFittedError):
        quick().predict(X, abstain=0.05)
    unsure = quick(early_stopping=False).fit(X[:100], y[:100])
    with pytest.raises(OptionError, match="needs images that were held out"):
        unsure.predict(X, abstain=0.05)


def test_images_of_two_three_and_four_dimensions_are_the_same():
    flat = quick().fit(X[:200], Y[:200])
    assert hasattr(flat, "n_features_in_")
    square = quick(image_shape=None).fit(IMAGES[:200], Y[:200])
    full = quick(image_shape=(8, 8, 1)).fit(IMAGES[:200, :, :, None].tolist(), Y[:200])
    assert not hasattr(square, "n_features_in_")
    expected = flat.predict_proba(X[:200])
    for classifier in (flat, square, full):
        for x in (X[:200], IMAGES[:200], IMAGES[:200, ..., None]):
            assert np.array_equal(classifier.predict_proba(x), expected)


def test_a_fit_on_images_forgets_the_features_of_a_fit_on_rows():
    classifier = quick(image_shape=None, epochs=1).fit(X[:50], Y[:50])
    assert classifier.n_features_in_ == 64
    classifier.fit(IMAGES[:50], Y[:50])
    assert not hasattr(classifier, "n_features_in_")


def test_colour_bytes_stay_bytes_and_equal_numbers_predict_alike():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 5, 7, 3), np.uint8)
    y = np.arange(60) % 3
    classifier = CNNClassifier(epochs=2, random_state=0).fit(pixels, y)
    assert classifier.model_.preprocessing.shape == (5, 7, 3)
    assert classifier.model_.preprocessing.dtype == "uint8"
    assert np.array_equal(classifier.predict_proba(pixels), classifier.predict_proba(pixels.astype(float)))
    with pytest.raises(DataError, match="lie within 0 to 1, but the model was trained on values from 0 to 255"):
        classifier.predict(pixels / 255)
    with pytest.raises(DataError, match=r"integers 0 to 255, but X\[0\]"):
        classifier.predict(pixels / 1.01)
    classifier.partial_fit(pixels.astype(float), y)
    assert classifier.model_.preprocessing.dtype == "uint8"


def test_rows_may_come_in_any_order():
    order = np.random.default_rng(0).permutation(300)
    weights = 1.0 + np.arange(300) % 3
    one = quick(augment="auto").fit(X[:300], Y[:300], weights)
    other = quick(augment="auto").fit(X[:300][order], Y[:300][order], weights[order])
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X))


def test_a_weight_is_a_number_of_copies():
    weights = np.arange(200) % 3
    weighted = quick(batch_size=32).fit(X[:200], Y[:200], weights)
    repeated = quick(batch_size=32).fit(X[:200].repeat(weights, axis=0), Y[:200].repeat(weights))
    unweighted = quick(batch_size=32).fit(X[:200], Y[:200])
    assert np.array_equal(weighted.predict_proba(X), repeated.predict_proba(X))
    assert not np.array_equal(weighted.predict_proba(X), unweighted.predict_proba(X))


def test_equal_images_with_different_labels_stay_apart():
    x, y = np.repeat(IMAGES[:2], 2, axis=0), np.array([0, 1, 0, 1])
    weights = np.array([3.0, 1.0, 1.0, 3.0])
    classifier = CNNClassifier(epochs=200, random_state=0).fit(x, y, weights)
    # the share of class 0 among the copies of each image
    assert np.allclose(classifier.predict_proba(x)[::2, 0], [0.75, 0.25], atol=0.05)


@pytest.mark.filterwarnings("ignore:Training did not begin")  # images that are all the same say nothing
def test_class_weights():
    x, y = np.zeros((8, 2, 2)), np.array([0, 1, 1, 1, 0, 1, 1, 1])
    plain, balanced, named = (
        CNNClassifier(epochs=200, random_state=0, class_weight=weight).fit(x, y)
        for weight in (None, "balanced", {0: 3, 1: 1})
    )
    assert np.allclose(plain.predict_proba(x)[0], [0.25, 0.75], atol=0.05)
    assert np.allclose(balanced.predict_proba(x)[0], 0.5, atol=0.05)
    assert np.allclose(named.predict_proba(x)[0], 0.5, atol=0.05)
    as_floats = CNNClassifier(epochs=200, random_state=0, class_weight={0: 3, 1: 1}).fit(x, y.astype(float))
    assert np.array_equal(as_floats.predict_proba(x), named.predict_proba(x))
    with pytest.raises(OptionError, match="class_weight names 7"):
        CNNClassifier(class_weight={7: 2}).fit(x, y)


def test_partial_fit_goes_on():
    classifier = quick(epochs=None)
    scores = []
    for _ in range(6):
        for part in range(0, 1200, 400):
            classifier.partial_fit(X[part : part + 400], Y[part : part + 400], classes=np.unique(Y))
        scores.append(classifier.score(X[1200:], Y[1200:]))
    assert scores[-1] > max(0.85, scores[0])
    assert classifier.n_iter_ == 18
    assert [record["epoch"] for record in classifier.history_] == list(range(1, 19))
    before = classifier.predict_proba(X[:10])
    classifier.partial_fit(X[:1], Y[:1])  # one image, of one of the classes
    assert not np.array_equal(classifier.predict_proba(X[:10]), before)


def test_passes_of_partial_fit_differ_and_can_be_repeated(tmp_path):
    one, other = quick(batch_size=16), quick(batch_size=16)
    one.partial_fit(X[:100], Y[:100], classes=range(10)).partial_fit(X[:100], Y[:100])
    other.partial_fit(X[:100], Y[:100], classes=range(10))
    assert one._seed(1) != one._seed(0)
    other = pickle.loads(pickle.dumps(other)).partial_fit(X[:100], Y[:100])
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X))


def test_partial_fit_says_what_is_wrong():
    with pytest.raises(DataError, match="first partial_fit needs classes"):
        quick().partial_fit(X[:100], Y[:100])
    with pytest.raises(OptionError, match="balanced"):
        quick(class_weight="balanced").partial_fit(X[:100], Y[:100], classes=range(10))
    classifier = quick().partial_fit(X[:100], Y[:100], classes=range(10))
    with pytest.raises(DataError, match=r"y\[1\] is 12, which is none of the classes \[0, 1"):
        classifier.partial_fit(X[:3], [0, 12, 1])
    with pytest.raises(DataError, match=r"the classes are \[0, 1\], but the network was trained on"):
        classifier.partial_fit(X[:3], [0, 0, 1], classes=[0, 1])
    with pytest.raises(ValueError, match="X has 63 features, but CNNClassifier is expecting 64"):
        classifier.partial_fit(X[:3, 1:], Y[:3])


def test_warm_start_goes_on_with_frozen_layers():
    """What was learned stays where the network says so, however it was saved in between."""
    classifier = quick(warm_start=True).fit(X[:500], Y[:500])
    before, (first, *rest) = classifier.model_.parameters, classifier.network_.split(", ")
    classifier = pickle.loads(pickle.dumps(classifier))
    classifier.set_params(network=", ".join([f"{first} frozen", *rest]), early_stopping=False)
    classifier.fit(X[:500], Y[:500])
    after = classifier.model_.parameters
    assert [np.array_equal(a, b) for a, b in zip(before, after, strict=True)][:3] == [True, True, False]
    assert "frozen" in classifier.network_
    assert "frozen" in clone(classifier).network
    classifier.partial_fit(X[500:600], Y[500:600])
    assert np.array_equal(classifier.model_.parameters[0], before[0])


def test_fixed_filters():
    classifier = quick(network="fixed sobel+blur+sharpen, relu, max 2, dense 10", epochs=8).fit(X[:1000], Y[:1000])
    assert classifier.score(X[1000:], Y[1000:]) > 0.85
    assert np.array_equal(classifier.model_.parameters[0][:, 0], bank(["sobel", "blur", "sharpen"]))


def test_warm_start_goes_on():
    classifier = quick(warm_start=True).fit(X[:500], Y[:500])
    first = classifier.history_[-1]["loss"]
    classifier.set_params(network=classifier.network_).fit(X[:500], Y[:500])
    assert classifier.n_iter_ == 8
    assert classifier.history_[-1]["loss"] < first
    with pytest.raises(DataError, match="give the same ones, or fit a new classifier"):
        classifier.fit(X[:500], Y[:500] > 4)
    with pytest.raises(OptionError, match=r'shares no weights .* it begins with "flatten, dense 10, softmax"'):
        classifier.set_params(network="dense 10").fit(X[:500], Y[:500])
    classifier.set_params(warm_start=False).fit(X[:500], Y[:500])
    assert classifier.n_iter_ == 4
    assert classifier.network_ == "dense 10, softmax"


def test_random_states():
    def probabilities(state):
        return quick(random_state=state, epochs=1).fit(X[:100], Y[:100]).predict_proba(X[:10])

    assert np.array_equal(probabilities(3), probabilities(3))
    assert not np.array_equal(probabilities(3), probabilities(4))
    assert not np.array_equal(probabilities(None), probabilities(None))
    state = np.random.RandomState(3)
    drawn = probabilities(state)
    assert np.array_equal(drawn, probabilities(3))
    assert not np.array_equal(drawn, probabilities(state))


@pytest.mark.parametrize("options", [{}, {"early_stopping": False}, {"validation_fraction": 0.5}])
@pytest.mark.parametrize("count", [2, 3, 12])
def test_a_handful_of_images_is_learned_whole(count, options):
    classifier = CNNClassifier(image_shape=(8, 8), random_state=0, augment="none", **options)
    assert classifier.fit(X[:count], Y[:count]).score(X[:count], Y[:count]) == 1
    assert classifier.history_[-1]["validation_accuracy"] is None


def test_images_are_held_out_only_where_that_helps():
    def evaluated(y, **options):
        return quick(**options).fit(X[: len(y)], y).history_[-1]["validation_accuracy"] is not None

    single = np.where(np.arange(200) == 0, 10, Y[:200])
    assert evaluated(Y[:200])
    assert not evaluated(Y[:99])
    assert not evaluated(single)  # a class with one image
    assert not evaluated(Y[:200], early_stopping=False)
    assert not evaluated(Y[:200], validation_fraction=0)
    for fraction in (1.5, -0.1):
        with pytest.raises(OptionError, match="validation_fraction"):
            quick(validation_fraction=fraction).fit(X, Y)


def test_one_class_is_refused():
    with pytest.raises(DataError, match="y holds only one class, 'a'"):
        quick().fit(X[:3], ["a"] * 3)
    with pytest.raises(DataError, match="weight is not 0 are of only one class, 'a'"):
        quick().fit(X[:3], ["a", "b", "a"], [1, 0, 1])
    with pytest.raises(ValueError, match=r"(?i)sample.weight"):
        quick().fit(X[:3], ["a", "b", "a"], [0, 0, 0])


def test_shapes_that_do_not_fit():
    with pytest.raises(DataError, match=r"X has 64 features but image_shape \(8, 9\) needs 72"):
        quick(image_shape=(8, 9)).fit(X, Y)
    with pytest.raises(DataError, match=r"images of shape \(8, 8\) but image_shape \(8, 9\) is needed"):
        quick(image_shape=(8, 9)).fit(IMAGES, Y)
    for shape in (8, (8,), (8, 8, 1, 1), (8.0, 8), (0, 64), "8x8"):
        with pytest.raises(OptionError, match="give \\(rows, columns\\) or"):
            quick(image_shape=shape).fit(X, Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        quick().fit(IMAGES, Y[:-1])
    with pytest.raises(ValueError, match="infinity or a value too large"):
        quick().fit(X * 1e300, Y)
    with pytest.raises(ValueError, match="NaN"):
        quick().fit(np.full((2, 8, 8), np.nan), [0, 1])
    with pytest.raises(NotFittedError):
        quick().predict(IMAGES)
    with pytest.raises(DataError, match=r"shape \(8, 7\) but image_shape \(8, 8, 1\) is needed"):
        quick(epochs=1).fit(X[:20], Y[:20]).predict(IMAGES[:, :, 1:])


def test_networks_are_text_or_layers():
    layers = (Dense(10), Softmax())
    classifier = quick(network=layers).fit(X[:100], Y[:100])
    assert classifier.network_ == "dense 10, softmax"
    assert clone(classifier).network == layers
    with pytest.raises(NetworkError, match="the network ends with 9 outputs"):
        quick(network="dense 9").fit(X, Y)


def test_pickle_and_joblib_keep_the_bits(tmp_path):
    classifier = quick(epochs=1).fit(X[:100], Y[:100])
    expected = classifier.predict_proba(X)
    assert np.array_equal(pickle.loads(pickle.dumps(classifier)).predict_proba(X), expected)
    joblib.dump(classifier, tmp_path / "classifier.joblib")
    assert np.array_equal(joblib.load(tmp_path / "classifier.joblib").predict_proba(X), expected)


def test_searches_pipelines_and_calibration():
    classifier = quick(network="dense 10", epochs=20)
    pipeline = make_pipeline(MinMaxScaler(), classifier)
    grid = {"network": ["dense 10", (Dense(20), Dense(10))], "learning_rate": [0.001, 0.2]}
    grid = {f"cnnclassifier__{name}": values for name, values in grid.items()}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X[:400], Y[:400])
    assert search.best_params_["cnnclassifier__learning_rate"] == 0.2
    assert search.score(X[400:800], Y[400:800]) > 0.7
    assert cross_val_score(classifier, IMAGES[:400], Y[:400], cv=2, scoring="roc_auc_ovr").min() > 0.9
    calibrated = CalibratedClassifierCV(classifier, cv=2).fit(X[:400], Y[:400])
    assert calibrated.score(X[400:800], Y[400:800]) > 0.7


def test_options_reach_the_training(monkeypatch):
    given = {}

    def spy(images, **options):
        given.update(options)
        return train(images, **options)

    monkeypatch.setattr(estimator, "train", spy)
    options: dict[str, Any] = {
        "network": "dense 10, softmax",
        "epochs": 2,
        "batch_size": 32,
        "optimizer": "adamw",
        "learning_rate": 0.003,
        "weight_decay": 0.07,
        "ema": 0.9,
        "augment": "shift",
        "validation_fraction": 0.2,
        "early_stopping": True,
        "threads": 2,
    }
    classifier = quick(**options).fit(X[:200], Y[:200])
    assert {name: given[name] for name in options} == options
    classifier.partial_fit(X[:200], Y[:200])
    one_pass = {"network": "auto", "epochs": 1, "budget": None, "schedule": "constant", "validation_fraction": 0}
    assert {name: given[name] for name in options | one_pass} == options | one_pass
    quick(epochs=None, budget=0.1, early_stopping=False).fit(X[:200], Y[:200])
    assert given["epochs"] is None
    assert given["budget"] == 0.1
    assert not given["early_stopping"]


def test_a_budget_of_time(clock):
    classifier = quick(epochs=None, budget=0.5).fit(X[:500], Y[:500])
    assert classifier.n_iter_ > 1
    assert 0.4 < classifier.model_.provenance["seconds"] <= 0.5


def test_verbose_prints_and_otherwise_all_is_quiet(capsys):
    quick().fit(X[:300], Y[:300])
    assert capsys.readouterr() == ("", "")
    for verbose in (True, 2, 10):
        quick(verbose=verbose).fit(X[:300], Y[:300])
        out, told = capsys.readouterr()
        assert out == ""
        assert "conv 16@3x3" in told
        assert re.search(r"^Epoch 4/4  loss \S+  accuracy \S+ %  validation \S+ %  \S+ images/s$", told, re.MULTILINE)
        assert "Trained: validation accuracy" in told


def test_verbose_shows_the_bar_of_train(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    quick(verbose=1).fit(X[:300], Y[:300])
    assert "━" in terminal.getvalue()
    terminal.close()  # whoever watched has gone
    quick(verbose=1).fit(X[:300], Y[:300])


def test_an_interruption_is_told_of(monkeypatch):
    def interrupt(report):
        raise KeyboardInterrupt

    monkeypatch.setattr(progress._Lines, "__call__", lambda lines, report: interrupt(report))
    with pytest.warns(UserWarning, match="Training was interrupted"):
        classifier = quick(verbose=1).fit(X[:300], Y[:300])
    assert classifier.predict(X).shape == Y.shape


def test_scikit_learn_is_asked_for_only_when_it_is_needed():
    program = """
import sys, lanewise
assert "sklearn" not in sys.modules

class Absent:
    def find_spec(self, name, *rest):
        if name == "sklearn":
            raise ModuleNotFoundError("No module named 'sklearn'", name=name)

sys.meta_path.insert(0, Absent())
try:
    lanewise.CNNClassifier
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'pip install "lanewise[sklearn]"' in done.stdout


def test_the_page_about_scikit_learn_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)


def test_the_page_about_scikit_learn_tells_of_every_parameter():
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in CNNClassifier().get_params() if f"`{name}`" not in text] == []


def test_groups_stay_on_one_side_whatever_the_order_of_rows():
    images = tracks(16, 6)
    x, y, track = images.pixels, images.labels, np.arange(96) // 6
    options = {"network": "dense 2", "epochs": 3, "augment": "none", "random_state": 0, "validation_fraction": 0.25}
    model = CNNClassifier(**options).fit(x, y, groups=track).model_
    assert model.provenance["groups"] == {"by": "groups", "count": 16}
    kinds = kinds_of(model, Images(x, y, ("a", "b")))
    assert all(len(set(kinds[track == one])) == 1 for one in range(16))
    assert set(kinds) == {HELD, TRAINED}
    order = np.random.default_rng(0).permutation(96)
    again = CNNClassifier(**options).fit(x[order], y[order], groups=track[order]).model_
    assert all((a == b).all() for a, b in zip(model.parameters, again.parameters, strict=True))
    with pytest.raises(ValueError, match="one group per image"):
        CNNClassifier(**options).fit(x, y, groups=track[1:])
