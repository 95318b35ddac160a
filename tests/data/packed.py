"""What tests of tables and tar files share."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def caches_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this is imported, each test begins with empty caches."""
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path / "cache"))


def png(value: int) -> bytes:
    """The file of a grey picture of 8x8."""
    content = io.BytesIO()
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(content, "PNG")
    return content.getvalue()
