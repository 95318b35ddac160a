"""What holds for all tests: `--update-golden`, and slow tests only where asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import pytest

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # or scikit-learn leaves one of its checks of estimators out

GOLDEN = Path(__file__).parent / "golden"


class Golden(Protocol):
    def __call__(self, name: str, text: str, hint: str = "") -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden/; review the difference")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("-m"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare a text with tests/golden/<name>, or with --update-golden write it there."""

    def compare(name: str, text: str, hint: str = "") -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            GOLDEN.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"{path.name} is missing: run `pytest --update-golden` and review what it wrote"
        assert text == path.read_text(), f"{name} differs; if that is meant, {hint}run `pytest --update-golden`"

    return compare
