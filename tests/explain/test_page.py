"""The page about explaining runs from top to bottom as it stands."""

import re
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[2] / "docs" / "explain.md").read_text()


def test_the_examples_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "docs/explain.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    for row in re.findall(r"^    (\w+ .*\(\d.*\))", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL), re.MULTILINE):
        assert " ".join(row.split()) in printed
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {Path(shown).name for shown in re.findall(r"!\[.*?\]\((.*?)\)", PAGE)}
    assert names["field"].clipped == (3, 1, 0, 0)
    assert str(names["field"].clipped) in PAGE
