"""The learning rate that suits a network and a batch."""

from __future__ import annotations

import pytest

import lanewise
from lanewise.network.channelwise import BatchNorm
from lanewise.network.graph import build
from lanewise.network.sensitivity import averaged, breadth, depth
from lanewise.network.text import parse
from lanewise.notes import unheard
from lanewise.training.default_rate import default_learning_rate
from lanewise.training.recipe import Difficulty, Effort, default_network

PLAIN = "conv 4@3x3 same, relu, "


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("dense 3", 1),
        (PLAIN * 12 + "dense 3", 13),
        (PLAIN + "residual(conv 4@3x3 same, relu, conv 4@3x3 same), relu, " * 8 + "dense 3", 3),
        ("conv 4@3x3 same, batchnorm, relu, " * 12 + "dense 3", 1),
        (PLAIN * 3 + "layernorm, " + PLAIN * 4 + "dense 3", 5),
        ("concat(conv 4@1x1 | conv 4@1x1, relu, conv 4@3x3 same), dense 3", 3),
        ("fixed sobel, relu, dense 3", 1),
    ],
)
def test_depth(text: str, layers: int) -> None:
    assert depth(build(parse(text), (1, 8, 8))) == layers


def rate(layers: int, batch_size: int | None = None, optimizer: str = "sgd") -> float:
    return default_learning_rate(optimizer, build(parse(PLAIN * layers + "dense 3"), (1, 8, 8)), batch_size)


def test_deep_networks_and_small_batches_get_less() -> None:
    assert [rate(layers) for layers in (1, 8)] == [0.05, 0.05]
    assert rate(12) == pytest.approx(0.05 * (9 / 13) ** 2)
    assert [rate(1, batch) for batch in (16, 64, 128)] == [0.05] * 3
    assert rate(1, 4) == 0.0125
    assert rate(1, 512) == 0.1
    assert rate(1, 10**6) == 0.2
    assert rate(12, 4, "adamw") == rate(1, 512, "adamw") == 0.002
    assert [rate(12, batch, "muon") for batch in (4, 64, 512)] == [0.005, 0.02, 0.04]


@pytest.mark.parametrize(
    ("text", "wide"),
    [
        ("dense 3", 0),  # it sees the image itself
        ("dense 200, relu, dense 3", 200 / 1600),
        ("3 * (dense 32, relu), dense 3", 32 / 1600),
        ("4 * (dense 32, relu), dense 3", 64 / 1600),
        ("conv 50@3x3 same, relu, dense 3", 50 * 64 / 1600),
        ("conv 50@3x3 same, relu, max 2, dense 3", 50 * 16 / 1600),
        ("conv 8@7x7 same, relu, conv 2@5x5 same, relu, dense 3", 200 / 400),
        ("conv 8@7x7 same, relu, conv 8@5x5 same groups 8, relu, max 8, dense 3", 49 / 400),
        # normalised before the next layer of weights, whatever is between
        ("conv 32@1x1, conv 2@5x5 same, batchnorm, relu, max 8, dense 3", 1 / 400),
        ("conv 32@1x1, conv 2@5x5 same, relu, max 2, layernorm, max 4, dense 3", 1 / 400),
        ("conv 50@3x3 same, batchnorm, relu, dense 3", 2),
        ("residual(conv 32@1x1 | conv 32@1x1), residual(conv 32@5x5 same), batchnorm, max 8, dense 3", 2),
        ("conv 50@3x3 same, relu, fixed blur, dense 3", 2),
    ],
)
def test_breadth(text: str, wide: float) -> None:
    assert breadth(build(parse(text), (1, 8, 8))) == pytest.approx(wide)


@pytest.mark.parametrize(
    ("text", "few"),
    [
        (PLAIN + "global average, dense 3", True),
        (PLAIN * 3 + "global average, dropout 0.5, dense 3", True),
        (PLAIN * 4 + "global average, dense 3", False),
        (PLAIN + "max 2, dense 3", False),
        ("global average, dense 3", False),
        (PLAIN + "batchnorm, global average, dense 3", False),
        (PLAIN + "residual(conv 4@3x3 same), global average, dense 3", False),
    ],
)
def test_few_layers_before_a_global_average(text: str, few: bool) -> None:
    assert averaged(build(parse(text + ", softmax"), (1, 8, 8))) == few


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("conv 100@3x3 same, relu, dense 3", 0.05 / 4),
        ("conv 100@3x3 same nobias, batchnorm, relu, dense 3", 0.2 / 4),
        (PLAIN * 2 + "global average, dense 3", 0.1),
        ("conv 32@1x1, relu, conv 4@7x7 same, relu, global average, dense 3", 0.05 * 4 / 3.92),
        ("conv 64@1x1, relu, conv 4@7x7 same, relu, global average, dense 3", 0.05 * 4 / 7.84),
        ("conv 100@3x3 same, relu, " + PLAIN * 12 + "conv 100@3x3 same, relu, dense 3", 0.05 * (9 / 15) ** 2 / 4),
    ],
)
def test_broad_layers_and_averages(text: str, rate: float) -> None:
    graph = build(parse(text + ", softmax"), (1, 8, 8))
    assert default_learning_rate("sgd", graph) == pytest.approx(rate)
    assert default_learning_rate("adamw", graph) == 0.002


@pytest.mark.parametrize("difficulty", Difficulty)
@pytest.mark.parametrize("size", [1, 3, 8, 16, 28, 45, 47, 48, 64, 224])
def test_default_networks_keep_the_full_rate(size: int, difficulty: Difficulty) -> None:
    for width in (1, 4):
        graph = build(parse(default_network((3, size, size), 10, effort=Effort(difficulty, width))), (3, size, size))
        normalised = any(isinstance(node.layer, BatchNorm) for node in graph.nodes)
        assert default_learning_rate("sgd", graph) == (0.2 if normalised else 0.05)


def test_training_takes_it() -> None:
    digits = lanewise.load("digits")
    text = "conv 8@3x3 same, relu, " * 12 + "max 2, dense 10"
    model = lanewise.train(digits, network=text, optimizer="sgd", epochs=12, folds=0, threads=1, notes=unheard)
    assert model.provenance["learning_rate"] == pytest.approx(0.05 * (9 / 13) ** 2)
    assert model.history[-1]["validation_accuracy"] > 0.8
    small = lanewise.train(digits, network="dense 10", batch_size=4, epochs=1, folds=0, threads=1)
    assert small.provenance["learning_rate"] == 0.0125
