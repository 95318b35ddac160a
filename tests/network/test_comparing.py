"""What two graphs have in common."""

import pytest

from lanewise.network.comparing import comparable, shared_parameters
from lanewise.network.graph import build
from lanewise.network.text import parse

OWN = "conv 4@3 same, relu, max 2, conv 5@3 nobias, relu, dense 6, relu, dense 3"


def graph(text, shape=(2, 12, 11)):
    return build(parse(text), shape)


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (OWN, 7),
        (f"{OWN}, softmax", 7),
        ("conv 4@3 same frozen, relu, max 2, conv 5@3 nobias frozen, relu, dense 6 frozen, relu, dense 3", 7),
        (
            "conv 4@3 pad 1, dropout, relu, max 2 stride 2, conv 5@3 nobias, dropout 0.1, relu, dense 6, relu, dense 3",
            7,
        ),
        ("conv 4@3 same, relu, max 2, conv 5@3 nobias, relu, dense 6, relu, dense 4", 5),
        ("conv 4@3 same, relu, max 2, conv 5@3 nobias, relu, dense 6", 5),
        ("conv 4@3 same, relu, max 2, conv 5@3 nobias, tanh, dense 6, relu, dense 3", 3),
        ("conv 4@3 same, relu, max 2, conv 5@3, relu, dense 6, relu, dense 3", 2),
        ("conv 4@3 same, relu, average 2, conv 5@3 nobias, relu, dense 6, relu, dense 3", 2),
        ("conv 4@3, relu, max 2, conv 5@3 nobias, relu, dense 6, relu, dense 3", 0),
        ("relu, conv 4@3 same, relu, max 2, conv 5@3 nobias", 0),
        ("residual(conv 4@3 same, relu | conv 4@1)", 2),
    ],
)
def test_parameters_are_shared_up_to_the_first_difference(other, shared):
    assert shared_parameters(graph(OWN), graph(other)) == shared
    assert shared_parameters(graph(other), graph(OWN)) == shared


def test_images_of_another_shape_share_nothing():
    assert shared_parameters(graph(OWN), graph(OWN, (2, 11, 12))) == 0


def test_fixed_filters_are_shared_by_name():
    sobel, prewitt, conv = map(
        graph, ("fixed sobel, dense 3", "fixed prewitt, dense 3", "conv 4@3 same groups 2 nobias")
    )
    assert shared_parameters(sobel, sobel) == 3
    assert shared_parameters(sobel, prewitt) == shared_parameters(sobel, conv) == 0
    assert comparable(sobel) == comparable(prewitt)  # all that a file shows


def test_a_batch_normalisation_is_shared_whether_frozen_or_not():
    trained, frozen, other = (
        graph(f"conv 4@3 nobias, batchnorm{option}, relu, dense 3") for option in ("", " frozen", " 0.5")
    )
    assert shared_parameters(trained, frozen) == len(trained.parameters) == 7
    assert shared_parameters(trained, other) == 1
