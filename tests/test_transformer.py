"""CNNFeatures under scikit-learn's own checks, and what those do not ask about."""

import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from lanewise import CNNFeatures, Model
from lanewise.errors import DataError, LanewiseWarning, ModelFileError, NetworkError, OptionError
from lanewise.network.graph import build
from lanewise.network.initial import initial_parameters
from lanewise.network.reference import forward
from lanewise.network.text import parse
from lanewise.preprocessing import Preprocessing

TEXT = "conv 8@3x3 same, relu, max 2, conv 6@3x3 same, relu6, global average, dense 3, softmax"


def _model(dtype="uint8", value_range=(0.0, 255.0)):
    graph = build(parse(TEXT), (3, 12, 10))
    span = 1.0 if value_range is None else value_range[1]
    preprocessing = Preprocessing(
        12, 10, 3, dtype, scale=(4 / span,) * 3, offset=(-2.0,) * 3, resize="stretch", value_range=value_range
    )
    return Model(graph, tuple(initial_parameters(graph, 0)), ("a", "b", "c"), preprocessing, network=TEXT)


MODEL = _model()
BYTES = np.random.default_rng(0).integers(0, 256, (9, 12, 10, 3), np.uint8)


@parametrize_with_checks([CNNFeatures(MODEL)])
@pytest.mark.filterwarnings("ignore::lanewise.LanewiseWarning")  # normal random numbers are no pixels
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def features():
    return CNNFeatures(MODEL).fit_transform(BYTES)


def test_features_are_what_the_network_gives(features):
    values = forward(MODEL.graph, MODEL.parameters, MODEL.preprocessing.apply(BYTES))
    assert features == pytest.approx(values[6], abs=1e-5)
    assert features.dtype == np.float32
    assert list(CNNFeatures(MODEL).fit(BYTES).get_feature_names_out()) == [f"cnnfeatures{n}" for n in range(6)]


@pytest.mark.parametrize(
    ("images", "options"),
    [
        (BYTES.reshape(9, -1), {}),
        (BYTES.reshape(9, -1), {"image_shape": (12, 10, 3)}),
        (BYTES.astype(float), {}),
        (BYTES.tolist(), {}),
    ],
    ids=["rows of the model's size", "rows", "floats", "lists"],
)
def test_the_same_images_in_other_forms_have_the_same_features(images, options, features):
    assert np.array_equal(CNNFeatures(MODEL, **options).fit_transform(images), features)


@pytest.mark.parametrize("kind", [list, np.array])
def test_files_are_read_at_the_size_of_the_model(kind, features, tmp_path):
    names = [str(tmp_path / f"{n}.png") for n in range(len(BYTES))]
    for name, pixels in zip(names, BYTES, strict=True):
        Image.fromarray(pixels).save(name)
    assert np.array_equal(CNNFeatures(MODEL).fit_transform(kind(names)), features)
    (tmp_path / "note.txt").write_text("no image")
    with pytest.raises(DataError, match=r"note\.txt is no usable image"):
        CNNFeatures(MODEL).fit(kind([*names, str(tmp_path / "note.txt")]))


@pytest.mark.parametrize(("dtype", "own"), [("uint8", (0.0, 255.0)), ("float32", (0.0, 1.0)), ("float32", (-1.0, 1.0))])
@pytest.mark.parametrize(("low", "high"), [(0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)])
def test_the_usual_scales_of_pixels_are_brought_to_that_of_the_model(dtype, own, low, high):
    share = BYTES / 255
    model = _model(dtype, own)
    exact = (own[0] + share * (own[1] - own[0])).astype(np.float32)
    expected = CNNFeatures(model).fit_transform(exact)
    assert CNNFeatures(model).fit_transform(low + share * (high - low)) == pytest.approx(expected, abs=1e-5)


def test_the_scale_is_that_of_the_images_of_fit():
    fitted = CNNFeatures(MODEL).fit(BYTES / 255)
    assert fitted.scale_ == (255.0, 0.0)
    dark = fitted.transform(BYTES[:1] / 255 / 300)
    assert dark == pytest.approx(CNNFeatures(MODEL).fit_transform(np.zeros_like(BYTES[:1])), abs=0.1)


def test_a_model_that_says_nothing_of_its_scale_takes_values_as_they_are():
    values = np.random.default_rng(1).normal(size=(4, 12, 10, 3))
    fitted = CNNFeatures(_model("float32", None)).fit(values)
    assert fitted.scale_ == (1.0, 0.0)


def test_values_that_are_no_pixels_are_stretched_with_a_warning():
    with pytest.warns(LanewiseWarning, match="Values from -3 to 5 are not on a usual scale of pixels"):
        fitted = CNNFeatures(MODEL).fit(np.linspace(-3, 5, 24).reshape(2, 12))
    assert fitted.scale_ == pytest.approx((255 / 8, 3 * 255 / 8))


def test_images_of_another_size_and_grey_ones_are_brought_to_the_model_s():
    grey = np.repeat(BYTES[..., :1], 2, axis=1)
    assert CNNFeatures(MODEL).fit_transform(grey[..., 0]).shape == (9, 6)
    assert np.array_equal(CNNFeatures(MODEL).fit_transform(grey), CNNFeatures(MODEL).fit_transform(grey[..., 0]))


def test_a_layer_may_be_named():
    fitted = CNNFeatures(MODEL, cut="relu1").fit(BYTES)
    values = forward(MODEL.graph, MODEL.parameters, MODEL.preprocessing.apply(BYTES))
    assert fitted.transform(BYTES) == pytest.approx(values[2].mean(axis=(2, 3)), abs=1e-5)
    assert len(fitted.get_feature_names_out()) == 8


def test_a_file_a_name_and_a_model_are_the_same(features, tmp_path):
    MODEL.save(tmp_path / "small.onnx")
    assert np.array_equal(CNNFeatures(str(tmp_path / "small.onnx")).fit_transform(BYTES), features)


def test_it_survives_pickling_and_cloning(features):
    fitted = pickle.loads(pickle.dumps(CNNFeatures(MODEL, threads=1).fit(BYTES)))
    assert np.array_equal(fitted.transform(BYTES), features)
    with pytest.raises(NotFittedError):
        clone(fitted).transform(BYTES)


def test_it_stands_in_a_pipeline():
    labels = np.arange(9) % 2
    bright = (BYTES // 2 + (labels * 120)[:, None, None, None]).astype(np.uint8)
    pipeline = make_pipeline(CNNFeatures(MODEL), LogisticRegression(C=1000, max_iter=1000)).fit(bright, labels)
    assert pipeline.score(bright, labels) == 1
    assert list(pipeline[:-1].get_feature_names_out())[:1] == ["cnnfeatures0"]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"model": 3}, OptionError, "model must be a Model, a file, or the name of a pretrained network, not 3"),
        ({"model": "lite9"}, ModelFileError, "no pretrained network of that name"),
        ({"cut": "conf2"}, NetworkError, "did you mean 'conv2'?"),
        ({"image_shape": (5, 5)}, DataError, "image_shape"),
        ({"image_shape": "large"}, OptionError, "image_shape"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(options, error, said):
    with pytest.raises(error) as raised:
        CNNFeatures(**{"model": MODEL, **options}).fit(BYTES.reshape(9, -1))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
