"""The image shows what the matrix holds: read back from its pixels and its words."""

import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from lanewise.errors import MissingPackageError, OptionError
from lanewise.explain import draw_connections, expand
from lanewise.explain.drawing import MOST_CELLS
from lanewise.network.graph import build
from lanewise.network.text import parse

ARTICLE = expand(build(parse("conv 1@2x2"), (1, 4, 4)), "conv1")


def cells(axes):
    return np.asarray(axes.images[0].get_array())


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda one: hasattr(one, "get_text")))


def coloured(pixels):
    return np.ptp(pixels, axis=-1) > 0.05


def test_the_inputs_of_an_output_have_the_colours_of_their_weights():
    figure = draw_connections(ARTICLE, (0, 1, 2))
    inputs, output, matrix = figure.axes
    assert np.argwhere(coloured(cells(inputs))).tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]
    assert [text.get_text() for text in inputs.texts] == ["0", "1", "2", "3"]
    assert np.argwhere(cells(output)[..., 0] < 0.5).tolist() == [[1, 2]]
    palette = [cells(inputs)[place] for place in ((1, 2), (1, 3), (2, 2), (2, 3))]
    assert len({tuple(one) for one in palette}) == 4
    pixels = cells(matrix)
    entries = ARTICLE.matrix.tocoo()
    for row, column, index in zip(*entries.coords, ARTICLE.weight_index, strict=True):
        assert pixels[row, column].tolist() == palette[index].tolist()
    assert coloured(pixels).sum() == 36
    assert "conv1: output (0, 1, 2) is tied to 4 of 16 inputs" in words(figure)
    assert "36 connections of 144 possible ones, by 4 weights" in words(figure)


def test_the_row_of_the_output_is_marked():
    matrix = draw_connections(ARTICLE, (0, 1, 2)).axes[2]
    assert sorted(line.get_ydata()[0] for line in matrix.lines) == [4.5, 5.5]  # type: ignore[type-var]
    assert [label.get_text() for label in matrix.get_yticklabels()] == ["output\n(0, 1, 2)"]


def test_other_filters_are_grey_and_maps_lie_side_by_side():
    layer = expand(build(parse("conv 2@2 stride 2"), (3, 4, 6)), "conv1")
    inputs, _, matrix = draw_connections(layer, (1, 0, 1)).axes
    # three maps of 4x6 on a sheet of 2x2, a cell between them
    assert cells(inputs).shape == (9, 13, 3)
    places = [[r + top, c + left] for top, left in ((0, 2), (0, 9), (5, 2)) for r in (0, 1) for c in (0, 1)]
    assert sorted(np.argwhere(coloured(cells(inputs))).tolist()) == sorted(places)
    pixels = cells(matrix)
    assert not coloured(pixels[:6]).any()
    assert coloured(pixels[6:]).sum() == 6 * 12
    assert (pixels[:6] < 0.9).all(axis=2).sum() == 6 * 12


def test_a_dense_layer_shares_nothing():
    layer = expand(build(parse("dense 3"), (1, 2, 5)), "dense1")
    figure = draw_connections(layer, 1)
    inputs, _, matrix = figure.axes
    assert coloured(cells(matrix)).any(axis=1).tolist() == [False, True, False]
    assert cells(inputs).shape == (3, 4, 3)  # 10 features, folded
    assert [text.get_text() for text in inputs.texts] == [str(n) for n in range(10, 20)]
    assert "inputs: 10 features" in words(figure)


def test_a_pool_has_one_colour():
    layer = expand(build(parse("average 2"), (1, 4, 4)), "average1")
    figure = draw_connections(layer, (0, 0, 0))
    pixels = cells(figure.axes[2])
    assert len(np.unique(pixels[coloured(pixels)], axis=0)) == 1
    assert not figure.axes[0].texts
    assert words(figure).endswith("16 connections of 64 possible ones")


def test_a_network_is_coloured_by_value():
    graph = build(parse("conv 2@3 same, average 2, dense 3, softmax"), (1, 8, 8))
    whole = expand(graph)
    figure = draw_connections(whole, 2)
    pixels, values = cells(figure.axes[2]), whole.matrix.toarray()
    strong = np.abs(values) > np.abs(values).max() / 3
    assert np.array_equal((pixels[..., 0] > pixels[..., 2])[strong], values[strong] > 0)
    assert "the network up to dense1: output (2) is tied to 64 of 64 inputs" in words(figure)


def test_large_matrices_are_drawn_with_several_entries_to_a_dot():
    layer = expand(build(parse("conv 4@3 same"), (1, 32, 32)), "conv1")
    figure = draw_connections(layer, (3, 31, 31))
    pixels = cells(figure.axes[2])
    assert pixels.shape == (MOST_CELLS, MOST_CELLS, 3)
    assert not coloured(pixels[: MOST_CELLS * 3 // 4]).any()
    assert coloured(pixels[MOST_CELLS * 3 // 4 :]).any(axis=1).all()
    assert [int(one) for one in figure.axes[2].get_yticks()] == [MOST_CELLS - 1]


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_same_image_has_the_same_bytes(kind, tmp_path):
    for name in ("a", "b"):
        draw_connections(ARTICLE, (0, 1, 1), tmp_path / f"{name}.{kind}")
    first = (tmp_path / f"a.{kind}").read_bytes()
    assert first == (tmp_path / f"b.{kind}").read_bytes()
    if kind == "svg":
        assert ET.fromstring(first).tag.endswith("svg")
    elif kind == "png":
        with Image.open(tmp_path / "a.png") as image:
            assert image.size == (1800, 750)


def test_mistakes_are_named(tmp_path, monkeypatch):
    with pytest.raises(
        OptionError, match=r"conv1 gives images of 3x3 with 1 channel, so it has no value at \(0, 3, 0\)"
    ):
        draw_connections(ARTICLE, (0, 3, 0))
    with pytest.raises(OptionError, match=r"a\.gif: an image ends in \.svg, \.png or \.pdf"):
        draw_connections(ARTICLE, (0, 0, 0), tmp_path / "a.gif")
    with pytest.raises(OptionError, match=r"missing/a\.svg cannot be written: No such file"):
        draw_connections(ARTICLE, (0, 0, 0), tmp_path / "missing" / "a.svg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r"needs matplotlib: pip install .lanewise\[report\]"):
        draw_connections(ARTICLE, (0, 0, 0))
