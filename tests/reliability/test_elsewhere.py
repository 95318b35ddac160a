"""Files that are drawn at random mean what ONNX Runtime takes them for, or are refused by name; most are read."""

from __future__ import annotations

from tests.reliability import elsewhere
from tests.reliability.running import failures


def test_files_from_elsewhere() -> None:
    assert failures(elsewhere.trial, range(150)) == []


def test_many_of_them_are_read() -> None:
    assert sum(elsewhere.outcome(number)[0] for number in range(60)) >= 36
