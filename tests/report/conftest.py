"""Pages opened in a real browser, which must not complain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Open = Callable[..., Any]


class Tab:
    """A page that one test after the other uses, without any network, and what it complained of."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.complaints: list[str] = []
        self.context = browser.new_context(offline=True, **options)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.complaints.append(request.url))

    def worth_a_word(self) -> list[str]:
        return [text for text in self.complaints if not text.startswith(("file:", "data:", "blob:"))]


@pytest.fixture(scope="session")
def tab(browser: Any) -> Iterator[Tab]:
    found = Tab(browser)
    yield found
    found.context.close()


@pytest.fixture(scope="session")
def telephone(browser: Any) -> Iterator[Tab]:
    """Another one, to be touched."""
    found = Tab(browser, has_touch=True)
    yield found
    found.context.close()


@pytest.fixture
def open_page(tab: Tab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open HTML from a file; when the test ends, nothing may stand in the console, nor have been asked of a network.

    There is one page at a time; `touch` makes it a telephone's.
    """
    tabs = {tab}

    def open(
        text: str,
        *,
        viewport: dict[str, int] | None = None,
        color_scheme: str = "light",
        touch: bool = False,
    ) -> Any:
        used = request.getfixturevalue("telephone") if touch else tab
        tabs.add(used)
        page = used.page
        page.set_viewport_size(viewport or {"width": 1280, "height": 720})
        page.emulate_media(color_scheme=color_scheme, media="screen")
        page.mouse.move(0, 0)  # where an earlier test left it, something of this page may lie
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        page.goto(path.as_uri())
        return page

    yield open
    found = [text for one in tabs for text in one.worth_a_word()]
    for one in tabs:
        one.complaints.clear()
    assert not found
