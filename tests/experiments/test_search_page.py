"""What docs/search.md says runs as it says it."""

import re
import warnings
from pathlib import Path

import pytest

from lanewise.cli.search import search

PAGE = (Path(__file__).parents[2] / "docs" / "search.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_it_names_the_options_that_take_alternatives():
    said = re.search(r"Alternatives may be given for (.*?)\. All other options", PAGE, re.DOTALL)
    assert said
    takes = {one.opts[0] for one in search.params if one.metavar == "SPACE"}
    assert set(re.findall(r"--[a-z-]+", said[1])) == takes


def test_the_search_from_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(PYTHON[0], found)
    assert found["again"].network == found["model"].network
    assert (tmp_path / "search.html").exists()


def test_scikit_learn_searches_by_optuna(capsys):
    pytest.importorskip("optuna_integration", reason="pip install optuna-integration")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is experimental
        exec(PYTHON[1], {})
    said = capsys.readouterr().out
    shown = re.search(r"^```text\n(.*?)^```$", PAGE.partition("## With scikit-learn")[2], re.DOTALL | re.MULTILINE)
    assert shown
    figures = r"\d\.\d+"
    assert set(re.findall(r"'(\w+)':", said)) == set(re.findall(r"'(\w+)':", shown[1]))
    told, showed = (list(map(float, re.findall(figures, text))) for text in (said, shown[1]))
    assert told == pytest.approx(showed, abs=0.05)  # what Optuna draws may change with its version
