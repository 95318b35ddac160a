"""What parses trains: networks from the grammar, and those that users met."""

from __future__ import annotations

import pytest

from tests.reliability import networks
from tests.reliability.running import failures

MET = [
    ("conv 4@1 frozen, max 2, dense 2, softmax", (1, 8, 8)),
    ("conv 4@7 same frozen, max 2, conv 3@2 frozen, max 1x2, dense 2, softmax", (1, 8, 8)),
    ("conv 4@3x3 same, relu, conv 4@3x3 same stride 2, dense 2, softmax", (1, 1, 16)),
    ("5 * (conv 16@3x3 same stride 2, relu), dense 2, softmax", (1, 16, 16)),
    ("conv 4@3x1 same, relu, conv 4@1 stride 1x2, relu, dense 2, softmax", (1, 4, 1)),
    ("conv 4@3 same, relu, conv 4@3 same stride 5x2, dense 2, softmax", (2, 3, 4)),
]


@pytest.mark.parametrize(
    ("text", "shape", "target"),
    [(*met, target) for n, met in enumerate(MET) for target in ("host", networks.TARGETS[1 + n % 2])],
)
def test_networks_that_users_met(text: str, shape: tuple[int, int, int], target: str) -> None:
    assert networks.compare(text, shape, 20, target) is None


@pytest.mark.parametrize("first", [0, 10, 20, *(pytest.param(n, marks=pytest.mark.slow) for n in (30, 40, 50))])
def test_networks_made_from_the_grammar(first: int) -> None:
    assert failures(networks.trial, range(first, first + 10)) == []
