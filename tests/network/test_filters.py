"""Banks of fixed filters: what they give on images whose answer is known, and what kernels are said to resemble."""

import numpy as np
import pytest

from lanewise.errors import NetworkError
from lanewise.network.filters import BANKS, COSINES, HAND_MADE, bank, labels, resembles
from lanewise.network.graph import build
from lanewise.network.initial import initial_parameters
from lanewise.network.reference import forward
from lanewise.network.text import parse

EDGES = ("sobel", "prewitt", "scharr", "laplacian", "gabor")
RIGHT, DOWN = np.meshgrid(np.arange(9.0), np.arange(9.0))


def response(name, image):
    """What the filters of `name` give in the middle of an image, by label."""
    graph = build(parse(f"fixed {name} valid"), (1, *image.shape))
    values = forward(graph, initial_parameters(graph, 0), image[None, None])[-1][0]
    middle = [value[value.shape[0] // 2, value.shape[1] // 2] for value in values]
    return dict(zip(labels([name]), middle, strict=True))


@pytest.mark.parametrize("name", HAND_MADE)
def test_even_areas_give_nothing_or_stay(name):
    for value in response(name, np.full((9, 9), 3.0)).values():
        assert value == pytest.approx(0 if name in EDGES else 3, abs=1e-6)


@pytest.mark.parametrize(("name", "strength"), [("sobel", 8), ("prewitt", 6), ("scharr", 8)])
def test_slopes_point_to_the_right_and_down(name, strength):
    assert response(name, RIGHT) == {f"{name} x": strength, f"{name} y": 0}
    assert response(name, 5 - DOWN) == {f"{name} x": 0, f"{name} y": -strength}


def test_second_derivatives_sharpening_and_smoothing():
    assert response("laplacian", RIGHT**2 + 3 * DOWN**2) == {"laplacian": 2 + 6}
    point = np.zeros((9, 9))
    point[4, 4] = 9
    assert response("sharpen", point) == {"sharpen": 45}
    assert response("blur", point) == {"blur": pytest.approx(1)}
    assert response("gaussian", point) == {"gaussian": pytest.approx(9 / 4)}
    assert response("identity", point) == {"identity": 9}
    assert response("emboss", 4 - RIGHT - DOWN)["emboss"] < -4  # it gets darker to the lower right


@pytest.mark.parametrize("angle", [0, 45, 90, 135])
def test_gabor_likes_stripes_of_its_own_direction(angle):
    radians = np.deg2rad(angle)
    stripes = np.cos(np.pi / 2 * ((RIGHT - 4) * np.cos(radians) + (DOWN - 4) * np.sin(radians)))
    found = response("gabor", stripes)
    assert max(found, key=found.get) == f"gabor {angle}°"
    assert found[f"gabor {angle}°"] > 2 * max(value for label, value in found.items() if label != f"gabor {angle}°")


def test_gabor_is_the_same_on_every_machine():
    kernels = bank(["gabor"])
    assert (kernels.sum(axis=(1, 2)) == 0).all()
    assert (kernels * 4096 == np.round(kernels * 4096)).all()
    assert (kernels[0, 2] * 4096).tolist() == [-2200, -136, 4672, -136, -2200]
    assert (kernels[1] == kernels[1].T).all()
    assert (kernels[1, :, ::-1] == kernels[3]).all()
    assert (kernels[2] == kernels[0].T).all()


@pytest.mark.parametrize("name", COSINES)
def test_cosines_are_a_basis_and_the_same_on_every_machine(name):
    kernels = bank([name]).astype(np.float64)
    count, size, _ = kernels.shape
    assert (count, labels([name])[size]) == (size * size, "dct 1,0")
    flat = kernels.reshape(count, count)
    assert flat @ flat.T == pytest.approx(np.eye(count), abs=1e-3)
    assert (kernels[1:].sum(axis=(1, 2)) == 0).all()
    assert (kernels * 4096**2 == np.round(kernels * 4096**2)).all()
    if size == 3:
        assert (kernels[1, 0] * 4096**2).tolist() == [2365 * 2896, 0, -2365 * 2896]
        assert (kernels[7] == kernels[5].T).all()


def test_a_harmonic_block_is_a_convolution():
    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(4, 18, 1, 1)), random.normal(size=4)
    cosines = bank(["dct3"]).astype(np.float64)
    kernels = np.einsum("oin,nuv->oiuv", weight.reshape(4, 2, 9), cosines)
    x = random.normal(size=(2, 2, 6, 5))
    block = build(parse("fixed dct3, conv 4@1x1"), (2, 6, 5))
    plain = build(parse("conv 4@3x3 same"), (2, 6, 5))
    fixed = initial_parameters(block, 0)[0]
    assert forward(block, [fixed, weight, bias], x)[-1] == pytest.approx(forward(plain, [kernels, bias], x)[-1])


def test_smaller_filters_lie_in_the_middle_of_the_largest():
    assert bank(["sobel", "identity"]).shape == (3, 3, 3)
    assert bank(["identity"]).shape == (1, 1, 1)
    mixed = bank(["blur", "gabor", "identity"])
    assert (mixed.shape, mixed.dtype) == ((6, 5, 5), np.float32)
    assert (mixed[0, 1:4, 1:4] == BANKS["blur"]["blur"]).all()
    assert np.count_nonzero(mixed[0]) == 9
    assert (mixed[5, 2, 2], np.count_nonzero(mixed[5])) == (1, 1)
    assert labels(["blur", "sobel"]) == ("blur", "sobel x", "sobel y")


def test_each_filter_is_applied_to_each_channel():
    graph = build(parse("fixed laplacian+identity+sobel stride 2x1"), (3, 6, 5))
    (weight,) = initial_parameters(graph, 3)
    assert weight.shape == graph.parameters[0].shape == (12, 1, 3, 3)
    assert (weight[:, 0] == np.concatenate([bank(["laplacian", "identity", "sobel"])] * 3)).all()
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 5))
    y = forward(graph, [weight], x)[-1]
    assert y.shape == (2, 12, 3, 5)
    assert (y[:, 1::4] == x[:, :, 1::2]).all()  # "same" of six rows by steps of two pads below alone


@pytest.mark.parametrize("names", [["sobel", "nought"], []])
def test_unknown_names(names):
    for function in (bank, labels):
        with pytest.raises(NetworkError, match="known are identity, blur"):
            function(names)


@pytest.mark.parametrize("name", HAND_MADE)
@pytest.mark.parametrize("factor", [1, -0.01, 300])
def test_each_filter_resembles_itself(name, factor):
    kernels = bank([name])
    for kernel, label, found in zip(kernels, labels([name]), resembles(factor * kernels), strict=True):
        assert (found.label, found.turns, found.negative) == (label, 0, factor < 0)
        assert found.score == pytest.approx(1)
        assert found.filter == pytest.approx(np.sign(factor) * kernel)


def test_resemblance_turns_and_shifts():
    (found,) = resembles(np.rot90(bank(["emboss"]), axes=(1, 2)) * 2)
    assert (found.label, found.turns, found.negative, str(found)) == ("emboss", 1, False, "emboss, turned by 90°")
    shifted = np.zeros((1, 5, 4))
    shifted[0, 2:, 1:] = -BANKS["sobel"]["sobel y"]
    (found,) = resembles(shifted)
    assert str(found) == "sobel y, negative"
    assert found.score == pytest.approx(1)
    assert (found.filter == shifted[0]).all()


def test_the_square_of_the_score_is_the_share_that_is_explained():
    sobel, blur = BANKS["sobel"]["sobel x"], BANKS["blur"]["blur"]  # squares add up to 12 and 1/9, products to 0
    edge, flat = resembles([sobel + 9 * blur, 0.5 * sobel - 9 * blur])
    assert (str(edge), edge.score**2) == ("sobel x", pytest.approx(12 / 21))
    assert (str(flat), flat.score**2) == ("blur, negative", pytest.approx(9 / 12))


@pytest.mark.parametrize(("size", "half", "twentieth"), [(3, 0.66, 0.83), (5, 0.51, 0.64)])
def test_what_chance_scores(size, half, twentieth):
    scores = [one.score for one in resembles(np.random.default_rng(1).normal(size=(2000, size, size)))]
    assert np.quantile(scores, [0.5, 0.95]) == pytest.approx([half, twentieth], abs=0.015)


def test_resemblance_of_small_and_empty_kernels():
    assert [one.score for one in resembles(np.zeros((2, 3, 3)))] == [0, 0]
    assert resembles(np.zeros((0, 3, 3))) == ()
    one, two = resembles([[[-2.0]]])[0], resembles([[[1, -1], [1, -1]]])[0]
    assert (one.label, one.negative, one.score) == ("identity", True, 1)
    assert two.filter.shape[0] >= 2
    for wrong in (np.zeros((3, 3)), np.zeros((2, 0, 3))):
        with pytest.raises(ValueError, match="an array"):
            resembles(wrong)
