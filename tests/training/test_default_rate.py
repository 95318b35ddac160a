"""The learning rate that suits a network and a batch."""

from __future__ import annotations

import pytest

import lanewise
from lanewise.network.graph import build
from lanewise.network.text import parse
from lanewise.training.default_rate import default_learning_rate, depth
from lanewise.training.recipe import plain_network

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


@pytest.mark.parametrize("size", [8, 28, 47])
def test_default_networks_keep_the_full_rate(size: int) -> None:
    graph = build(parse(plain_network((3, size, size), 10)), (3, size, size))
    assert default_learning_rate("sgd", graph) == 0.05


def test_training_takes_it() -> None:
    digits = lanewise.load("digits")
    text = "conv 8@3x3 same, relu, " * 12 + "max 2, dense 10"
    model = lanewise.train(digits, network=text, epochs=12, folds=0, threads=1, notes=lambda note: None)
    assert model.provenance["learning_rate"] == pytest.approx(0.05 * (9 / 13) ** 2)
    assert model.history[-1]["validation_accuracy"] > 0.8
    small = lanewise.train(digits, network="dense 10", batch_size=4, epochs=1, folds=0, threads=1)
    assert small.provenance["learning_rate"] == 0.0125
