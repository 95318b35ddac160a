"""The drawing of a network: a row a node, lines from each to its readers, bars by the counts of `summary`."""

import re

import pytest

from lanewise.network.graph import build
from lanewise.network.text import parse
from lanewise.report.drawing import network_rows
from tests.report import models


def rows_of(text, shape=(1, 8, 8)):
    return network_rows(build(parse(text), shape))


def test_counts_are_those_of_the_summary():
    rows = rows_of("conv 6@5x5, relu, max 2, dense 10", (1, 32, 32))
    assert [row.name for row in rows] == ["input", "conv1", "relu1", "max1", "flatten1", "dense1"]
    conv = rows[1]
    assert (conv.summary.weights, conv.summary.dense_weights) == (150, 4_816_896)
    assert 0 < conv.own < conv.dense == 1
    assert conv.shape == "28 × 28 × 6"
    assert [row.boxed for row in rows] == [True, True, False, True, False, True]


def lanes_of(svg):
    """Where lines begin in a row, from the left."""
    (edges,) = re.findall(r'class="edge" d="([^"]*)"', svg)
    return sorted({int(x) for x in re.findall(r"M(\d+) ", edges)}), "C" in edges


def test_straight_networks_have_one_lane():
    for row in rows_of("conv 2@3, relu, dense 3"):
        assert lanes_of(row.svg) == ([10], False)


def test_shortcuts_run_beside():
    rows = rows_of("residual(conv 1@3 same, relu), dense 2")
    (start, conv, relu, add) = (row.svg for row in rows[:4])
    assert lanes_of(start)[1]
    assert lanes_of(add)[1]
    # the shortcut passes the body on its lane, left of the body's own line
    for passed in (conv, relu):
        assert lanes_of(passed) == ([10, 22], False)


@pytest.mark.parametrize("make", [models.every_layer, models.real_numbers, models.digits])
def test_every_layer_is_drawn(make):
    graph = make().graph
    rows = network_rows(graph)
    assert len(rows) == len(graph.nodes)
    assert all(0 <= row.own <= 1 and 0 <= row.dense <= 1 and "nan" not in row.svg for row in rows)
