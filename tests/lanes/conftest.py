"""Machine code in these tests comes from this renderer, not from what an earlier one left in the user's cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lanewise.caching import Cache
from tests.kernels import support


@pytest.fixture(scope="package", autouse=True)
def _fresh_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    cache = Cache(Path(tmp_path_factory.mktemp("code")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(support, "_code_cache", lambda: cache)
        yield
