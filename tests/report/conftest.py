"""Pages opened in a real browser, which must not complain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Open = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Open HTML from a file, without any network; when the test ends, nothing may stand in the console.

    Options are those of a Playwright context: `viewport`, `color_scheme`, `has_touch` ...
    """
    contexts, complaints = [], []

    def open(text: str, **options: Any) -> Any:
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if request.url != page.url else None)
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(text, encoding="utf-8")
        page.goto(path.as_uri())
        return page

    yield open
    for context in contexts:
        context.close()
    assert not [text for text in complaints if not text.startswith(("file:", "data:", "blob:"))], complaints
