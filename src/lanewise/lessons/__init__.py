"""Six lessons: what a convolutional network is. Each is a script to read, run and change; `lanewise lesson N` runs one.

They use public functions alone, and `common.py`, which they share. docs/lessons/README.md tells what they show.
"""

from __future__ import annotations

import ast
from pathlib import Path

SCRIPTS: dict[int, Path] = {int(path.name[0]): path for path in sorted(Path(__file__).parent.glob("[0-9]_*.py"))}
"""Number of a lesson -> its script."""


def title(number: int) -> str:
    """The title of a lesson, from the first line of its script: "neighbourhoods instead of everything"."""
    text = ast.get_docstring(ast.parse(SCRIPTS[number].read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].partition(": ")[2].rstrip(".")
