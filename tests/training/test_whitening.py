"""Filters that whiten: what comes out of them on the images they were worked out from, and how exactly."""

from __future__ import annotations

import numpy as np
import pytest

import lanewise
from lanewise.errors import NetworkError
from lanewise.network.graph import build
from lanewise.network.initial import initial_parameters
from lanewise.network.layers import Conv2D
from lanewise.network.reference import forward
from lanewise.network.text import parse
from lanewise.training.whitening import EPSILON, STEPS, TrainingPixels, covariance, eigen, filters, whiten


def photographs(count: int = 40, seed: int = 0) -> np.ndarray:
    """Noise smoothed along rows and columns, so that neighbours are alike, in colours that are alike."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(size=(count, 14, 13, 1)) + 0.3 * rng.normal(size=(count, 14, 13, 3))
    smooth = rough[:, 1:, 1:] + rough[:, :-1, 1:] + rough[:, 1:, :-1] + rough[:, :-1, :-1]
    return np.clip(smooth * 30 + 128, 0, 255).astype(np.uint8)


def training(pixels: np.ndarray, chosen: np.ndarray | None = None) -> TrainingPixels:
    mine = pixels if chosen is None else pixels[chosen]
    mean, std = mine.mean(axis=(0, 1, 2)), mine.std(axis=(0, 1, 2))
    return TrainingPixels(pixels, np.arange(len(pixels)) if chosen is None else chosen, mean, np.where(std > 0, std, 1))


@pytest.mark.parametrize("size", [1, 2, 5, 12, 27])
def test_eigenvectors_are_those_of_the_library(size: int) -> None:
    rough = np.random.default_rng(size).normal(size=(size, size))
    matrix = rough @ rough.T
    values, vectors = eigen(matrix)
    assert values == pytest.approx(np.linalg.eigvalsh(matrix)[::-1], rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(size), atol=1e-12)
    np.testing.assert_allclose(matrix @ vectors.T, vectors.T * values, atol=1e-10)
    assert (vectors[np.arange(size), np.abs(vectors).argmax(axis=1)] > 0).all()


def test_eigenvectors_of_equal_eigenvalues() -> None:
    values, vectors = eigen(np.diag([2.0, 3.0, 2.0, 0.0]))
    assert values.tolist() == [3, 2, 2, 0]
    assert vectors.tolist() == np.eye(4)[[1, 0, 2, 3]].tolist()


@pytest.mark.parametrize("text", ["conv 12@2x2 whiten", "conv 9@3x1 whiten dilation 2x1"])
def test_what_comes_out_is_decorrelated_and_of_one_size(text: str) -> None:
    pixels = photographs()
    graph, said = build(parse(text), (3, 13, 12)), []
    own = training(pixels)
    weight, bias = whiten(graph, initial_parameters(graph, 0), own, said.append)
    x = ((pixels - own.mean) / own.std).transpose(0, 3, 1, 2)
    out = forward(graph, [weight, bias], x)[-1].transpose(1, 0, 2, 3).reshape(len(weight), -1)
    layer = graph.nodes[1].layer
    assert isinstance(layer, Conv2D)
    values, _ = eigen(covariance(layer, own.some()))
    np.testing.assert_allclose(np.cov(out, bias=True), np.diag(values / (values + EPSILON)), atol=1e-2)
    kernel = "x".join(map(str, layer.kernel))
    assert said == [f"conv1 starts from the principal axes of {kernel} patches of 40 images."]


def test_the_covariance_is_that_of_patches() -> None:
    pixels = photographs(3)
    own = training(pixels)
    x = own.some() / STEPS
    patches = [x[n, :, r : r + 2, c : c + 3].ravel() for n in range(3) for r in range(12) for c in range(10)]
    np.testing.assert_allclose(covariance(Conv2D(1, (2, 3)), own.some()), np.cov(np.array(patches).T, bias=True))


def test_later_filters_are_negatives() -> None:
    layer = Conv2D(20, (2, 2), initial="whiten")
    weight = filters(layer, covariance(layer, training(photographs()).some()))
    assert weight.shape == (20, 3, 2, 2)
    assert np.array_equal(weight[12:], -weight[:8])


def test_only_the_training_images_count_and_their_order_does_not() -> None:
    pixels, chosen = photographs(60), np.arange(0, 60, 2)
    layer = Conv2D(24, (2, 2), initial="whiten")
    first = filters(layer, covariance(layer, training(pixels, chosen).some()))
    other = pixels.copy()
    other[1::2] = 255 - other[1::2] // 3
    assert np.array_equal(first, filters(layer, covariance(layer, training(other, chosen).some())))
    assert np.array_equal(first, filters(layer, covariance(layer, training(pixels, chosen[::-1]).some())))
    assert not np.array_equal(first, filters(layer, covariance(layer, training(pixels).some())))


@pytest.mark.parametrize("count", [1, 2])
def test_images_without_variety_give_finite_filters(count: int) -> None:
    layer = Conv2D(8, (2, 2), initial="whiten")
    flat = training(np.full((count, 5, 5, 1), 7, np.uint8))
    weight = filters(layer, covariance(layer, flat.some()))
    assert np.abs(weight).max() == pytest.approx(EPSILON**-0.5)


def test_training_starts_from_them_and_leaves_frozen_ones() -> None:
    pixels, labels = photographs(), np.arange(40) % 2
    text = "conv 12@2x2 whiten frozen, relu, conv 12@3x3 identity, relu, global average, dense 2, softmax"
    made = [lanewise.train(pixels, labels, network=text, epochs=1, threads=n, progress=None) for n in (1, 2)]
    assert made[0].network == text
    first, second = (model.parameters[0] for model in made)
    assert first.tobytes() == second.tobytes()
    drawn = initial_parameters(made[0].graph, 0)
    assert not np.array_equal(first, drawn[0])
    out = np.tensordot(first.reshape(12, -1), first.reshape(12, -1), (1, 1))
    np.testing.assert_allclose(out - np.diag(np.diag(out)), 0, atol=1e-3 * out.max())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv 25@2x2 whiten", "at most 24 filters here: patches of 2x2 with 3 channels have 12 principal axes"),
        ("conv 4@14x2 whiten same", "needs patches that fit into the image of 13x12"),
        ("conv 4@10x10 whiten", "of at most 256 numbers; its kernel of 10x10 with 3 channels sees 300"),
        ("conv 3@2x2 groups 3 whiten", "is for one group"),
        ("relu, conv 4@2x2 whiten", "is for a layer that reads the image itself"),
        ("conv 4@2x2 whiten identity", "initial is given twice"),
    ],
)
def test_what_cannot_be(text: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        build(parse(text), (3, 13, 12))
