"""Each neuron's sum against the value that the reference gives, and what a reader can check on paper."""

import numpy as np
import pytest

from lanewise.errors import OptionError
from lanewise.explain import feature_maps, neuron, receptive_field
from lanewise.network.layers import LRN, Activation, AvgPool2D, Conv2D, Flatten, LayerNorm, MaxPool2D, Softmax
from tests.cases import LAYER_CASES, NETWORK_CASES
from tests.explain.support import image, model


def some_places(shape, count):
    rng = np.random.default_rng(0)
    ends = [(0,) * len(shape), tuple(size - 1 for size in shape)]
    return ends + [tuple(int(rng.integers(size)) for size in shape) for _ in range(count)]


@pytest.mark.parametrize("case", [*LAYER_CASES, *NETWORK_CASES], ids=str)
def test_every_value_is_the_sum_that_is_told(case):
    made = model(f"{case.text}, flatten, softmax", case.input_shape, dtype="float32")
    x = image(made)
    maps = feature_maps(made, x)
    for one in maps[1:]:
        for place in some_places(one.shape, 2):
            told = neuron(made, x, one.name, place)
            assert told.value == one.values[place]
            if isinstance(one.layer, Softmax | LayerNorm | LRN) or (
                isinstance(one.layer, Activation) and one.layer.below is None
            ):
                assert told.sum is told.products is told.channel_sums is None
            else:
                assert told.sum == pytest.approx(one.values[place], rel=1e-9, abs=1e-12)
                assert told.bias + told.channel_sums.sum() == pytest.approx(told.sum, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("case", [*LAYER_CASES, *NETWORK_CASES], ids=str)
def test_the_patch_lies_where_it_says(case):
    made = model(f"{case.text}, flatten, softmax", case.input_shape, dtype="float32")
    x = image(made)
    maps = {one.name: one for one in feature_maps(made, x)}
    for one in list(maps.values())[1:]:
        for place in some_places(one.shape, 1):
            told = neuron(made, x, one.name, place)
            assert told.inside.shape == told.patch.shape
            if len(told.reads) > 1:
                assert told.patch.tolist() == [maps[name].values[place] for name in told.reads]
                continue
            before = maps[told.reads[0]]
            if isinstance(before.layer, Flatten) and told.rows:  # of a dense layer
                assert np.array_equal(told.patch.ravel(), before.values)
                continue
            values = before.values
            if values.ndim == 3:
                rows, columns = np.array(told.rows), np.array(told.columns)
                _, height, width = values.shape
                padded = np.pad(values, ((0, 0), (20, 20), (20, 20)))
                met = padded[np.ix_(np.array(told.channels), rows + 20, columns + 20)]
                assert np.array_equal(told.patch.ravel(), met.ravel())
                there = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
                assert np.array_equal(told.inside, np.broadcast_to(there, met.shape).reshape(told.inside.shape))
            else:
                assert np.array_equal(told.patch, values[list(told.channels)])
            if isinstance(one.layer, Conv2D | MaxPool2D | AvgPool2D):
                assert told.patch.shape == (len(told.channels), len(told.rows), len(told.columns))


def test_a_convolution_on_paper():
    made = model("conv 2@2 same, relu, flatten, softmax", (1, 2, 2), dtype="float32")
    x = image(made)
    told = neuron(made, x, "conv1", (1, 1, 0))
    kernel, bias = made.parameters[0][1, 0].astype(np.float64), float(made.parameters[1][1])
    below = feature_maps(made, x)[0].values[0]
    assert (told.text, told.reads, told.channels, told.rows, told.columns) == (
        *("conv 2@2x2 same", ("input",), (0,), (1, 2), (0, 1)),
    )
    assert told.patch[0].tolist() == [below[1].tolist(), [0, 0]]
    assert told.inside[0].tolist() == [[True, True], [False, False]]
    assert np.array_equal(told.weights[0], kernel)
    assert told.products[0, 0].tolist() == (below[1] * kernel[0]).tolist()
    assert told.sum == bias + below[1] @ kernel[0]
    assert told.field == receptive_field(made, "conv1", 1, 0)
    assert (told.field.slices, told.field.clipped) == ((slice(1, 2), slice(0, 2)), (0, 0, 1, 0))
    assert (told.activation, told.activated) == ("relu1", max(told.value, 0))


def test_a_maximum_is_its_first_winner():
    made = model("max 2, flatten, softmax", (1, 2, 4), dtype="float32")
    x = np.array([[-3, -1, 5, 5], [-1, -2, 5, 4]], np.float32)
    told = neuron(made, x, "max1", (0, 0, 0))
    low = feature_maps(made, x)[0].values[0]
    assert told.weights.tolist() == [[[0, 1], [0, 0]]]
    assert told.value == low[0, 1]
    assert neuron(made, x, "max1", (0, 0, 1)).weights.tolist() == [[[1, 0], [0, 0]]]


def test_padding_never_wins_and_counts_only_where_it_is_said():
    made = model("max 3 pad 1, flatten, softmax", (1, 3, 3), dtype="float32")
    low = np.full((3, 3, 1), -1e6, np.float32)
    assert neuron(made, low, "max1", (0, 0, 0)).value < -1e4
    for text, divisor in (("average 3 pad 1", 4), ("average 3 pad 1 count-padding", 9)):
        made = model(f"{text}, flatten, softmax", (1, 3, 3), dtype="float32")
        assert neuron(made, low, "average1", (0, 0, 0)).weights[0, 1:, 1:].tolist() == [[1 / divisor] * 2] * 2


def test_dense_layers_see_the_image_before_it_was_flattened():
    made = model("conv 4@3, relu, dense 5, dense 3, softmax")
    x = image(made)
    told = neuron(made, x, "dense1", 2)
    relu = feature_maps(made, x)[2].values
    assert told.position == (2,)
    assert np.array_equal(told.patch, relu)
    assert told.weights.shape == (4, 7, 5)
    assert np.array_equal(told.weights.ravel(), made.parameters[2][2])
    assert (len(told.channels), len(told.rows), len(told.columns)) == relu.shape
    assert told.activation is None
    second = neuron(made, x, "dense2", (1,))
    assert second.patch.shape == (5,)
    assert (second.rows, second.columns, second.activation) == ((), (), "softmax1")


def test_branches():
    made = model("concat(conv 2@1 | conv 3@3 same, relu), residual(relu), flatten, softmax")
    x = image(made)
    assert neuron(made, x, "join1", (1, 0, 0)).reads == ("conv1",)
    told = neuron(made, x, "join1", (4, 2, 3))
    assert (told.reads, told.channels, told.rows, told.columns) == (("relu1",), (2,), (2,), (3,))
    assert neuron(made, x, "add1", (4, 2, 3)).reads == ("relu2", "join1")


@pytest.mark.parametrize(
    ("node", "place", "problem"),
    [
        ("conv1", (4, 0, 0), r"conv1 gives images of 9x7 with 4 channels, so it has no value at \(4, 0, 0\); "),
        ("conv1", (0, 0, 7), r"\(channel, row, column\) goes from \(0, 0, 0\) to \(3, 8, 6\)"),
        ("conv1", (0, 0), "conv1 gives"),
        ("conv1", (0, -1, 0), "conv1 gives"),
        ("dense1", (0, 1), r"dense1 gives 3 features, .* \(feature,\) goes from \(0,\) to \(2,\)"),
        ("dense1", "x", "it has no value at 'x'"),
        ("dense1", True, "it has no value at True"),
        ("conv2", 0, "no layer 'conv2'; did you mean 'conv1'"),
        ("input", (0, 0, 0), "input is the image itself, which nothing is summed for: choose a layer after it"),
    ],
)
def test_what_is_not_there_is_named(node, place, problem):
    made = model("conv 4@3 same, relu, dense 3, softmax")
    with pytest.raises(OptionError, match=problem):
        neuron(made, image(made), node, place)
