from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from lanewise.data.images import Images
from lanewise.errors import NetworkError
from lanewise.network.layers import Dense, Sigmoid, Softmax
from lanewise.network.text import parse
from lanewise.training.default_rate import default_learning_rate
from lanewise.training.recipe import (
    MANY,
    USUAL,
    Difficulty,
    Effort,
    default_batch_size,
    default_epochs,
    default_label_smoothing,
    default_network,
    difficulty_of,
    network_for,
)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "size",
    [
        (1, 1),
        (1, 30),
        (2, 2),
        (3, 3),
        (3, 40),
        (5, 4),
        (8, 8),
        (28, 28),
        (30, 45),
        (47, 90),
        (48, 48),
        (96, 64),
        (224, 200),
        (512, 512),
    ],
)
@pytest.mark.parametrize("classes", [2, 3, 100])
def test_the_default_network_fits_any_image(channels, size, classes):
    graph, text = network_for("auto", (channels, *size), classes)
    assert graph.output_shape == ((1,) if classes == 2 else (classes,))
    assert isinstance(graph.nodes[-1].layer, Sigmoid if classes == 2 else Softmax)
    assert network_for(text, (channels, *size), classes) == (graph, text)
    assert graph.parameter_count < 1_500_000


def test_the_default_network_is_a_text_to_go_on_from():
    assert default_network((3, 30, 30), 2) == (
        "conv 16@3x3 same, relu, max 2, conv 32@3x3 same, relu, max 2, conv 64@3x3 same, relu, max 2, "
        "dropout 0.25, dense 100, relu, dense 1, sigmoid"
    )


def test_large_images_get_batch_normalisation_and_residual_blocks():
    assert default_network((3, 48, 64), 5) == (
        "conv 16@3x3 same nobias, max 2, batchnorm, relu, conv 32@3x3 same nobias, max 2, batchnorm, relu, "
        "residual(conv 32@3x3 same nobias, batchnorm, relu, conv 32@3x3 same nobias, batchnorm), relu, "
        "conv 64@3x3 same nobias, max 2, batchnorm, relu, "
        "residual(conv 64@3x3 same nobias, batchnorm, relu, conv 64@3x3 same nobias, batchnorm), relu, "
        "conv 128@3x3 same nobias, max 2, batchnorm, relu, "
        "residual(conv 128@3x3 same nobias, batchnorm, relu, conv 128@3x3 same nobias, batchnorm), relu, "
        "global average, dropout 0.25, dense 5, softmax"
    )
    assert "batchnorm" not in default_network((3, 47, 64), 5)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("conv 8@3x3, relu, dense 2", 0.05),
        ("conv 8@3x3, batchnorm, relu, dense 2", 0.2),
        ("residual(conv 3@3x3 same, batchnorm), relu, dense 2", 0.2),
        ("conv 8@3x3, batchnorm frozen, relu, dense 2", 0.05),
        ("fixed dct3, batchnorm, conv 8@1x1, relu, dense 2", 0.05),
        ("fixed dct3, batchnorm, conv 8@1x1, batchnorm, relu, dense 2", 0.2),
    ],
)
def test_batch_normalisation_bears_a_higher_learning_rate(text, rate):
    graph, _ = network_for(text, (3, 8, 8), 2)
    assert default_learning_rate("sgd", graph) == rate
    assert default_learning_rate("adamw", graph) == 0.002
    assert default_learning_rate("muon", graph) == (0.02 if rate == 0.05 else 0.06)


def test_the_last_activation_may_be_left_out():
    assert network_for("dense 10", (1, 8, 8), 10)[1] == "dense 10, softmax"
    assert network_for("dense 1", (1, 8, 8), 2)[1] == "dense 1, sigmoid"
    assert network_for("dense 2", (1, 8, 8), 2)[1] == "dense 2, softmax"
    assert network_for((Dense(3),), (1, 8, 8), 3)[1] == "dense 3, softmax"


@pytest.mark.parametrize(
    ("text", "classes", "hint"),
    [
        ("dense 9", 10, "dense 10, softmax"),
        ("conv 10@3", 10, "10 x 6 x 6"),
        ("dense 1", 3, "dense 3, softmax"),
        ("dense 1, softmax", 2, "dense 1, sigmoid"),
        ("dense 3, sigmoid", 3, "dense 3, softmax"),
    ],
)
def test_a_network_that_does_not_fit_the_classes_is_refused_with_what_would(text, classes, hint):
    with pytest.raises(NetworkError, match=hint):
        network_for(text, (1, 8, 8), classes)


def test_every_default_network_parses():
    assert parse(default_network((1, 8, 8), 10))


def test_few_images_make_small_steps():
    assert [default_batch_size(n) for n in (1, MANY - 1, MANY, 10**7)] == [64, 64, 128, 128]
    numbers = (0, 1, 5_000, 9_000, 20_000, MANY, 10**7)
    assert [default_batch_size(n, large=True) for n in numbers] == [64, 64, 64, 128, 256, 512, 512]


def test_small_data_is_seen_more_often():
    assert [default_epochs(n, 128) for n in (1, 100, 600, 3000, 60_000, 10**7)] == [200, 200, 60, 50, 8, 8]
    assert [default_epochs(n, 64, photographs=True) for n in (100, 400, 3000)] == [150, 150, 50]


def stripes(count: int) -> Images:
    """A bright row, whose place is the class."""
    labels = (np.arange(count) % 8).astype(np.int32)
    pixels = np.random.default_rng(0).integers(0, 40, (count, 8, 8, 1)).astype(np.uint8)
    pixels[np.arange(count), labels] += 200
    return Images(pixels, labels, tuple(map(str, range(8))))


def test_a_small_network_and_few_epochs_are_for_many_images_that_are_easy():
    easy = stripes(MANY)
    assert difficulty_of(easy) is Difficulty.EASY
    assert difficulty_of(stripes(MANY - 1)) is Difficulty.USUAL
    random = np.random.default_rng(0)
    mislabelled = easy.labels.copy()
    mislabelled[random.random(MANY) < 0.15] = 0  # their neighbours now say otherwise
    assert difficulty_of(replace(easy, labels=mislabelled)) is Difficulty.USUAL
    assert difficulty_of(replace(easy, labels=None)) is Difficulty.USUAL


@pytest.mark.parametrize(
    ("size", "hard"), [((15, 40), False), ((16, 16), True), ((32, 32), True), ((47, 47), True), ((48, 48), False)]
)
def test_images_are_hard_if_neighbours_say_little_of_their_class(size, hard):
    random = np.random.default_rng(2)
    labels = (np.arange(400) % 8).astype(np.int32)
    images = Images(random.integers(0, 255, (400, *size, 3)).astype(np.uint8), labels, tuple(map(str, range(8))))
    assert difficulty_of(images) is (Difficulty.HARD if hard else Difficulty.USUAL)
    shown = images.pixels // 8
    for image, label in zip(shown, labels, strict=True):
        image[label * size[0] // 8 :][: size[0] // 8] = 255  # bright rows, whose place is the class
    assert difficulty_of(replace(images, pixels=shown)) is Difficulty.USUAL
    assert difficulty_of(replace(images, labels=np.zeros(400, np.int32))) is Difficulty.USUAL


def test_hard_images_get_a_residual_network_and_more_epochs():
    assert default_network((3, 32, 32), 10, effort=Effort(Difficulty.HARD)) == (
        "conv 32@3x3 same nobias, max 2, batchnorm, relu, conv 64@3x3 same nobias, max 2, batchnorm, relu, "
        "residual(conv 64@3x3 same nobias, batchnorm, relu, conv 64@3x3 same nobias, batchnorm), relu, "
        "conv 128@3x3 same nobias, max 2, batchnorm, relu, "
        "residual(conv 128@3x3 same nobias, batchnorm, relu, conv 128@3x3 same nobias, batchnorm), relu, "
        "global average, dropout 0.25, dense 10, softmax"
    )
    hard = partial(default_epochs, effort=Effort(Difficulty.HARD))
    assert [hard(n, 64) for n in (20, 900, 9_000, 45_000, 10**6)] == [200, 52, 16, 8, 8]
    assert default_label_smoothing(False, Effort(Difficulty.HARD)) == default_label_smoothing(True, USUAL) == 0.1
    assert default_label_smoothing(False, Effort(Difficulty.EASY)) == default_label_smoothing(False, USUAL) == 0


def test_what_is_frequent_is_not_easy_for_that():
    # nine in ten are of one class: to take all for that one is right as often as any neighbour
    noise = np.random.default_rng(1).integers(0, 255, (MANY, 8, 8, 1)).astype(np.uint8)
    labels = (np.arange(MANY) % 10 == 9).astype(np.int32)
    assert difficulty_of(Images(noise, labels, ("a", "b"))) is Difficulty.USUAL


def test_the_default_for_many_easy_images():
    assert default_network((1, 28, 28), 10, effort=Effort(Difficulty.EASY)) == (
        "conv 8@3x3 same, relu, max 2, conv 16@3x3 same, relu, max 2, conv 32@3x3 same, relu, max 2, "
        "dense 100, relu, dense 10, softmax"
    )
    easy = Effort(Difficulty.EASY)
    text = default_network((1, 28, 28), 10, effort=easy)
    assert network_for("auto", (1, 28, 28), 10, effort=easy)[1] == text
    assert network_for("dense 10, softmax", (1, 28, 28), 10, effort=easy)[1] == "dense 10, softmax"
    assert [default_epochs(n, 128, effort=easy) for n in (MANY, 54_000, 10**7)] == [5, 4, 4]
