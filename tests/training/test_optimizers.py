"""Which optimizer suits a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lanewise
from lanewise.data.images import Images
from lanewise.network.graph import build
from lanewise.network.text import parse
from lanewise.training.default_rate import normalised, settled
from lanewise.training.recipe import Difficulty, Effort, default_network

BLOCK = "conv 4@3x3 same, batchnorm"
RESIDUAL = f"{BLOCK}, residual({BLOCK}), global average, dense 2, softmax"


@pytest.fixture(scope="module")
def pictures() -> Images:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 12, 12, 1)).astype(np.uint8)
    return Images(pixels, (np.arange(48) % 2).astype(np.int32), ("a", "b"))


@pytest.mark.parametrize(
    ("text", "optimizer"),
    [
        (RESIDUAL, "muon"),
        ("conv 4@3x3, relu, dense 2, softmax", "sgd"),
        ("fixed sobel, conv 4@3x3, relu, dense 2, softmax", "sgd"),
        ("conv 4@3x3 frozen, conv 4@3x3, relu, dense 2, softmax", "sgd"),
        ("dense 4, relu, dense 2, softmax", "sgd"),
        (default_network((3, 32, 32), 10), "muon"),
        (default_network((3, 32, 32), 10, effort=Effort(Difficulty.HARD)), "muon"),
        (default_network((3, 64, 64), 10), "muon"),
    ],
)
def test_several_convolutions_are_trained_by_muon(text: str, optimizer: str) -> None:
    graph = build(parse(text), (3, 64, 64))
    assert settled("auto", graph, usual=True) == optimizer
    assert settled("auto", graph, usual=False) == "sgd"
    assert settled("adamw", graph, usual=True) == "adamw"


def test_batch_normalisation_of_fixed_filters_alone_is_none() -> None:
    fixed = "fixed sobel, batchnorm, conv 4@3x3, global average, dense 2, softmax"
    assert not normalised(build(parse(fixed), (1, 8, 8)))


@pytest.mark.parametrize(
    ("options", "optimizer"),
    [
        ({}, "muon"),
        ({"learning_rate": 0.1}, "sgd"),
        ({"weight_decay": 0.0}, "sgd"),
        ({"learning_rate": 0.1, "optimizer": "muon"}, "muon"),
        ({"optimizer": "sgd"}, "sgd"),
    ],
)
def test_a_model_says_what_trained_it(options: dict[str, object], optimizer: str, pictures: Images) -> None:
    model = lanewise.train(pictures, network=RESIDUAL, epochs=1, folds=0, **options)  # type: ignore[arg-type]
    assert model.provenance["optimizer"] == optimizer


def test_a_model_that_is_trained_on_is_left_to_sgd(pictures: Images) -> None:
    model = lanewise.train(pictures, network=RESIDUAL, epochs=1, folds=0)
    assert lanewise.train(pictures, start=model, epochs=1, folds=0).provenance["optimizer"] == "sgd"


def test_many_hard_images_are_trained_in_large_steps_by_muon(pictures: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate follows the size of steps, as if that had been given."""
    monkeypatch.setattr("lanewise.training.recipe.MANY", 30)
    monkeypatch.setattr("lanewise.training.recipe.FINE", 12)
    monkeypatch.setattr("lanewise.training.recipe.log2", lambda share: 9)
    pixels = np.random.default_rng(0).integers(0, 255, (700, 12, 12, 1)).astype(np.uint8)
    images = Images(pixels, (np.arange(700) % 2).astype(np.int32), ("a", "b"))
    options: dict[str, Any] = {"network": RESIDUAL, "epochs": 1, "notes": lambda note: None}
    plain = {"network": RESIDUAL.replace(", batchnorm", "")}
    changes: tuple[dict[str, Any], ...] = ({}, {"batch_size": 512}, {"optimizer": "sgd"}, plain)
    found = [lanewise.train(images, **options | more) for more in changes]
    assert [one.provenance["batch_size"] for one in found] == [512, 512, 128, 128]
    assert [one.provenance["learning_rate"] for one in found] == [0.12, 0.12, 0.2, 0.02]
