"""Changed model files are refused in one line, or mean what ONNX Runtime takes them for."""

from __future__ import annotations

import pytest

from tests.reliability import mutants
from tests.reliability.running import failures


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_changed_model_files(first: int) -> None:
    assert failures(mutants.trial, range(first, first + 100)) == []
