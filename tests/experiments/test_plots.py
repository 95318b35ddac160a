"""The image shows every network and names the best trade-offs."""

import re

import pytest

from lanewise.errors import MissingPackageError, OptionError
from lanewise.experiments import plots
from lanewise.experiments.tables import plain_table, sparkline
from lanewise.figures import require_matplotlib
from tests.experiments.test_vary import grid_of, row

pytest.importorskip("matplotlib")


def many(count):
    return [row(f"conv {n}@3x3, relu, dense 1", 0.5 + 0.4 * (n * 37 % count) / count, 10 + 7 * n) for n in range(count)]


def test_every_network_is_a_point_and_the_best_are_named(tmp_path):
    grid = grid_of(*many(30))
    grid.save_plot(tmp_path / "g.svg")
    svg = (tmp_path / "g.svg").read_text()
    best = grid.best("weights")
    groups = svg.split('<g id="PathCollection_')[1:]
    points = [len(re.findall("<use", group.partition('<g id="matplotlib.axis')[0])) for group in groups]
    assert points == [30, 31]  # with the one of the legend
    assert best[-1].text in svg
    assert "accuracy on 100 test images, %" in svg
    assert "seconds to train" in svg
    assert "nothing cheaper is as accurate" in svg


def test_the_same_figures_make_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        grid_of(*many(5)).save_plot(tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("SVG", b"<?xml")])
def test_the_name_tells_the_format(tmp_path, ending, magic):
    grid_of(row("dense 1", 0.5, 0, 0.0)).save_plot(tmp_path / f"g.{ending}")
    assert (tmp_path / f"g.{ending}").read_bytes().startswith(magic)


def test_what_cannot_be_drawn_is_told(tmp_path, monkeypatch):
    grid = grid_of(*many(3))
    with pytest.raises(OptionError, match=r"g\.gif: an image ends in \.svg, \.png or \.pdf"):
        grid.save_plot(tmp_path / "g.gif")
    with pytest.raises(OptionError, match="cannot be written"):
        grid.save_plot(tmp_path / "nowhere" / "g.svg")
    with pytest.raises(OptionError, match="nothing to draw"):
        grid_of().save_plot(tmp_path / "g.svg")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r"pip install \"lanewise\[report\]\""):
        require_matplotlib()


def test_of_many_trade_offs_those_that_gain_most_are_named():
    best = [row(str(n), accuracy, n) for n, accuracy in enumerate((0.5, 0.501, 0.6, 0.7, 0.8, 0.801, 0.9, 0.901))]
    assert [one.text for one in plots._worth_naming(best)] == ["0", "2", "3", "4", "6", "7"]


def test_figures_as_text():
    assert plain_table(["n", "name"], [["1", "a"], ["10", "bb"]]) == [" n  name", " 1  a", "10  bb"]
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([]) == ""
    assert len(sparkline(list(range(100)))) == 20
    assert sparkline(list(range(100)))[-1] == "█"
