"""Maps against slow ways to the same numbers, and against networks whose answer is known by construction."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise.errors import DataError, OptionError, ShapeError
from lanewise.explain import feature_maps, gradient_map, graph_for, maps, neuron, occlusion_map
from lanewise.network.graph import build
from lanewise.network.reference import forward
from lanewise.network.text import parse
from tests.explain.support import image, model
from tests.model_file.models import evaluated

TEXT = "conv 4@3 same, relu, max 2, dropout 0.5, dense 3, softmax"


def test_every_layer_has_its_map():
    made = model(TEXT)
    x = image(made)
    found = feature_maps(made, x)
    names = ["input", "conv1", "relu1", "max1", "dropout1", "flatten1", "dense1", "softmax1"]
    assert [one.name for one in found] == names
    assert [one.text for one in found][1:4] == ["conv 4@3x3 same", "relu", "max 2"]
    assert [one.shape for one in found][:5] == [(3, 9, 7), (4, 9, 7), (4, 9, 7), (4, 4, 3), (4, 4, 3)]
    expected = forward(made.graph, made.parameters, made.preprocessing.apply(x[None]))
    assert all(np.array_equal(one.values, value[0]) for one, value in zip(found, expected, strict=True))
    assert found[-1].values == pytest.approx(made.predict_proba(x)[0], abs=1e-6)


def test_a_image_may_be_a_file_or_grey(tmp_path):
    made = model(TEXT)
    x = image(made)
    Image.fromarray(x).save(tmp_path / "x.png")
    assert np.array_equal(feature_maps(made, tmp_path / "x.png")[0].values, feature_maps(made, x)[0].values)
    grey = model(TEXT, (1, 9, 7))
    y = image(grey)
    assert np.array_equal(feature_maps(grey, y[:, :, 0])[-1].values, feature_maps(grey, y)[-1].values)


def test_the_package_is_there_as_lanewise_explain():
    assert lanewise.explain.feature_maps is feature_maps
    assert "explain" in dir(lanewise)


def test_maps_need_neither_scipy_nor_matplotlib():
    asked = "import sys, lanewise.explain; print(*{'scipy', 'matplotlib'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.parametrize("label", ["class 0", "class 2"])
def test_the_gradient_is_the_gradient_of_the_score_by_raw_pixels(label):
    text = "conv 4@3 same, tanh, average 2, dense 3"
    made = model(f"{text}, softmax", dtype="float32")
    made = replace(made, preprocessing=replace(made.preprocessing, scale=(0.5, -2.0, 1.5)))
    x = image(made).astype(np.float64)
    graph, scale, offset = build(parse(text), (3, 9, 7)), made.preprocessing.scale, made.preprocessing.offset
    changes = np.eye(x.size).reshape(-1, *x.shape) * 1e-5

    def scores(pixels):
        return forward(graph, made.parameters, (pixels * scale + offset).transpose(0, 3, 1, 2))[-1]

    gradients = (scores(x + changes) - scores(x - changes))[:, int(label[-1])] / 2e-5
    expected = np.abs(gradients.reshape(x.shape)).max(axis=2)
    assert gradient_map(made, image(made), label) == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_by_default_the_most_probable_class_is_explained():
    made = model(TEXT)
    x = image(made)
    best = made.predict(x)[0]
    others = [label for label in made.classes if label != best]
    for explain in (gradient_map, occlusion_map):
        assert np.array_equal(explain(made, x), explain(made, x, best))
        assert not any(np.array_equal(explain(made, x), explain(made, x, other)) for other in others)


def test_one_sigmoid_explains_two_classes():
    made = replace(model("conv 4@3 same, relu, dense 1, sigmoid"), classes=("no", "yes"))
    x = image(made)
    assert gradient_map(made, x).any()
    assert np.array_equal(gradient_map(made, x, "no"), gradient_map(made, x, "yes"))
    assert occlusion_map(made, x, "no") == pytest.approx(-occlusion_map(made, x, "yes"), abs=1e-6)


def test_a_map_is_not_flattened_by_a_confident_answer():
    """The gradient of a probability of 1 is 0; that of the score is not."""
    made = model("dense 3, softmax")
    sure = replace(made, parameters=(made.parameters[0] * 1000, made.parameters[1]))
    x = image(made)
    assert sure.predict_proba(x).max() == 1
    assert gradient_map(sure, x).min() > 0


@pytest.mark.parametrize(
    "text",
    [
        "dense 3, softmax",
        "conv 4@3 same, relu, dense 1, sigmoid",
        "conv 3@9x7 pad 0, flatten, softmax",
        "conv 2@9x7 pad 0, dense 2, softmax",
        "conv 3@3 same, global average, softmax",
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_occlusion_of_a_sure_answer_is_not_blank(text, dtype):
    """The last weights are so large that all probabilities are 0 or 1."""
    made = model(text, dtype=dtype)
    if text.endswith("sigmoid"):
        made = replace(made, classes=("no", "yes"))
    made = replace(made, classes=made.classes[: max(2, made.graph.output_shape[0])])
    last = made.parameters[-2:] if len(made.parameters[-1].shape) == 1 else made.parameters[-1:]
    sure = replace(made, parameters=(*made.parameters[: -len(last)], *(10_000 * one for one in last)))
    x = image(made)
    assert sure.predict_proba(x).max() == 1
    lost = occlusion_map(sure, x)
    assert np.isfinite(lost).all()
    assert (np.abs(lost) > 1).mean() > 0.5


def lost_slowly(made, x, size, step, label):
    """The definition, a pixel at a time."""
    (rows, columns, _), wanted = x.shape, made.classes.index(label)

    def sure(pixels):
        probability = evaluated(made, pixels)[0, wanted]
        return np.log(probability / (1 - probability))

    mean = np.rint(np.clip(-np.array(made.preprocessing.offset) / made.preprocessing.scale, 0, 255))
    before = sure(x[None])
    starts = [
        [*range(0, whole - part, by), whole - part] for whole, part, by in zip((rows, columns), size, step, strict=True)
    ]
    lost = [[[] for _ in range(columns)] for _ in range(rows)]
    for top in starts[0]:
        for left in starts[1]:
            covered = x.copy()
            covered[top : top + size[0], left : left + size[1]] = mean
            drop = before - sure(covered[None])
            for r in range(top, top + size[0]):
                for c in range(left, left + size[1]):
                    lost[r][c].append(drop)
    return np.array([[np.mean(drops) for drops in row] for row in lost])


@pytest.mark.parametrize(("size", "step"), [((3, 3), (1, 1)), ((4, 2), (3, 2)), ((9, 7), (1, 1)), ((2, 5), (2, 5))])
def test_occlusion_is_what_the_log_odds_lose(size, step):
    made = model(TEXT)
    made = replace(made, preprocessing=replace(made.preprocessing, scale=(0.01,) * 3, offset=(-0.507, -1.0, -3.0)))
    x = image(made)
    found = occlusion_map(made, x, "class 1", size, step)
    assert found == pytest.approx(lost_slowly(made, x, size, step, "class 1"), abs=1e-6)


def looks_at(place):
    """A network that answers by one pixel."""
    made = replace(model("dense 1, sigmoid", (1, 12, 10)), classes=("dark", "bright"))
    weights = np.zeros((12, 10), np.float32)
    weights[place] = 1
    preprocessing = replace(made.preprocessing, scale=(0.02,), offset=(-2.0,))
    return replace(made, parameters=(weights.reshape(1, -1), np.zeros(1, np.float32)), preprocessing=preprocessing)


def test_both_maps_show_the_pixel_that_decides():
    made, x = looks_at((3, 7)), np.full((12, 10), 250, np.uint8)
    gradient, lost = gradient_map(made, x), occlusion_map(made, x, size=2, step=1)
    assert np.argwhere(gradient).tolist() == [[3, 7]]
    assert gradient[3, 7] == pytest.approx(0.02)
    assert np.unravel_index(lost.argmax(), lost.shape) == (3, 7)
    assert np.argwhere(lost).min(axis=0).tolist() == [2, 6]
    assert np.argwhere(lost).max(axis=0).tolist() == [4, 8]
    assert lost.max() == pytest.approx(0.02 * 250 - 2)  # from the score to 0, where the odds are even


def test_covering_what_has_the_mean_colour_changes_nothing():
    made = looks_at((3, 7))
    assert not occlusion_map(made, np.full((12, 10), 100, np.uint8)).any()


def test_one_number_stands_for_both_sides_and_defaults_suit_the_size():
    made, small = model(TEXT), model("dense 3, softmax", (1, 1, 2))
    x = image(made)
    assert np.array_equal(occlusion_map(made, x, size=3, step=2), occlusion_map(made, x, None, (3, 3), (2, 2)))
    assert np.array_equal(occlusion_map(made, x), occlusion_map(made, x, None, (2, 1), 1))
    assert occlusion_map(small, image(small)).shape == (1, 2)


def test_portions_change_nothing(monkeypatch):
    made = model(TEXT)
    x = image(made)
    whole = occlusion_map(made, x)
    monkeypatch.setattr(maps, "MOST_COPIES", 3 * x.nbytes)
    assert np.array_equal(occlusion_map(made, x), whole)


def test_float_images_are_covered_exactly():
    made = model(TEXT, dtype="float32")
    assert occlusion_map(made, image(made)).any()
    mean = np.broadcast_to(-np.array(made.preprocessing.offset) / made.preprocessing.scale, (9, 7, 3))
    assert occlusion_map(made, mean) == pytest.approx(np.zeros((9, 7)), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"label": "cat"}, "knows no class 'cat'; it knows class 0, class 1, class 2"),
        ({"size": 8}, "a patch of 8x8 does not fit into an image of 9x7: choose a smaller one"),
        ({"size": 2, "step": 3}, "a patch of 2x2 moved by 3x3 leaves pixels out: choose a step of 2x2 at most"),
        ({"size": 0}, "the size of a patch is a number of pixels from 1, or .rows, columns., not 0"),
        ({"size": "3x3"}, "the size of a patch .* not '3x3'"),
        ({"size": (3, 3, 3)}, "the size of a patch"),
        ({"size": 3, "step": 1.5}, "the step of a patch .* not 1.5"),
    ],
)
def test_options_that_make_no_sense_are_named(options, problem):
    made = model(TEXT)
    with pytest.raises(OptionError, match=problem):
        occlusion_map(made, image(made), **options)


def test_one_image_at_a_time():
    made = model(TEXT)
    for explain in (feature_maps, gradient_map, occlusion_map):
        with pytest.raises(DataError, match="one image is explained at a time, but 2 were given: choose one of them"):
            explain(made, np.zeros((2, 9, 7, 3), np.uint8))
        with pytest.raises(DataError, match="not fit this model"):
            explain(made, np.zeros((9, 9, 5), np.uint8))


def test_labels_may_be_numbers_or_written_so():
    made = replace(model(TEXT), classes=(7, 8, 9))
    x = image(made)
    for label in (8, "8", np.int64(8)):
        assert np.array_equal(gradient_map(made, x, label), gradient_map(replace(made, classes=(0, "b", 2)), x, "b"))


def test_the_name_of_a_file_is_no_model():
    x = np.zeros((9, 7, 3), np.uint8)
    for explain in (feature_maps, gradient_map, occlusion_map):
        with pytest.raises(OptionError, match=r"not 'my.onnx': lanewise.Model.load\(FILE\) gives one"):
            explain("my.onnx", x)
    with pytest.raises(OptionError, match="a trained model is needed, not a Graph"):
        feature_maps(model(TEXT).graph, x)
    with pytest.raises(OptionError, match="a trained model is needed, not a NoneType"):
        neuron(None, x, "conv1", 0)
    with pytest.raises(ShapeError, match=r"the shape of an image is .* not 32"):
        graph_for("conv 1@2x2", 32)
