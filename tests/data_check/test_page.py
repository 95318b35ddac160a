"""The page of findings in a real browser: images side by side, hostile names, narrow and dark."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import lanewise
from lanewise.data_check import page


@pytest.fixture
def findings(photos):
    shutil.copy(photos / "train/leaf/05.png", photos / "train/apple/<img src=x onerror=alert(1)>.png")
    shutil.copy(photos / "train/leaf/06.png", photos / "test/leaf/new.png")
    (photos / "train/leaf/07.png").write_bytes(b"")
    return lanewise.check(photos, labels=False)


def test_images_stand_beside_one_another_with_label_and_name(findings, open_page):
    opened = open_page(page.render(findings))
    section = opened.locator("section.serious", has_text="The same image in two sets")
    assert section.locator("img").count() == 2
    assert section.locator("figcaption b").all_inner_texts() == ["leaf", "leaf"]
    assert "test/leaf/new.png" in section.inner_text()
    widths = section.locator("img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert widths == [64, 64]
    assert "it is empty" in opened.locator("section", has_text="Files that cannot be read").inner_text()


def test_hostile_names_are_text(findings, open_page):
    opened = open_page(page.render(findings))
    assert opened.locator("img[src=x]").count() == 0
    assert "<img src=x onerror=alert(1)>.png" in opened.locator("main").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_screen_and_follows_the_reader_s_colours(findings, open_page, scheme):
    opened = open_page(page.render(findings), viewport={"width": 390, "height": 800}, color_scheme=scheme)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 24, 27)")


def test_the_keyboard_reaches_the_findings(findings, open_page):
    opened = open_page(page.render(findings))
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "To the findings"
    assert opened.locator("img:not([alt])").count() == 0


def test_images_fill_a_page_to_a_bound(monkeypatch):
    monkeypatch.setattr(page, "MOST_BYTES", 100_000)
    x = np.random.default_rng(0).integers(0, 255, (200, 96, 96, 3)).astype(np.uint8)
    x = np.concatenate([x, x])
    found = lanewise.check(x, np.arange(400) % 2, labels=False)
    text = page.render(found)
    assert 1e5 < len(text.encode()) < 2e5
