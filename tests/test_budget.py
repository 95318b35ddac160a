"""The package stays small: more code needs a larger number in budget.toml, on purpose."""

import tomllib
from pathlib import Path

from tests.test_architecture import FILES, code_lines

BUDGET = Path(__file__).with_name("budget.toml")
SLACK = 500
"""How far below the budget the code may be before the budget must follow it."""


def test_the_code_keeps_to_its_budget() -> None:
    budget = tomllib.loads(BUDGET.read_text())["lines"]
    lines = sum(code_lines(path.read_text()) for path in FILES)
    assert lines <= budget, f"src has {lines:,} lines of code, the budget is {budget:,}: save some, or raise it"
    assert lines > budget - SLACK, f"src has only {lines:,} lines of code: lower the budget of {budget:,}"
