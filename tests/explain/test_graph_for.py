"""A network in words, laid out for images of a shape."""

import pytest

from lanewise import explain
from lanewise.errors import NetworkError, ShapeError
from lanewise.network.graph import build
from lanewise.network.text import parse


def test_the_shape_is_that_of_an_array_of_pixels():
    assert explain.graph_for("conv 2@3x3", (5, 7, 3)) == build(parse("conv 2@3x3"), (3, 5, 7))
    assert explain.graph_for("conv 2@3x3", (5, 7)) == build(parse("conv 2@3x3"), (1, 5, 7))


def test_what_does_not_fit_is_named():
    with pytest.raises(ShapeError, match=r"\(5,\)"):
        explain.graph_for("conv 2@3x3", (5,))
    with pytest.raises(NetworkError, match="conv1"):
        explain.graph_for("conv 2@9x9", (5, 7))
