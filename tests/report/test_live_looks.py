"""How the live part looks: on wide and narrow screens, in light and dark, and on paper."""

from __future__ import annotations

from typing import Any

import numpy as np

from lanewise.model import Model
from lanewise.report.live import Example, live_page
from tests.report import models
from tests.report.conftest import Open

NARROW = {"width": 390, "height": 800}


def page_of(open_page: Open, model: Model, **options: Any) -> Any:
    example = Example(models.raw_images(model, 1)[0], "no", "a rather long name.png")
    return open_page(live_page(model, [example]), **options)


def test_a_telephone_shows_it_all(open_page: Open) -> None:
    page = page_of(open_page, models.every_layer(), viewport=NARROW, touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    canvas = page.locator("[data-node=conv1] canvas[role=application]").first
    canvas.scroll_into_view_if_needed()
    canvas.tap(position={"x": 20, "y": 5})
    assert page.locator('[data-live="working"] h3').inner_text().startswith("conv1, map 1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # what is told, and the field in the image, are in view together with the map
    panel = page.locator(".live-panel").bounding_box()
    frame = page.locator('[data-live="frame"]').bounding_box()
    assert panel["y"] + panel["height"] <= 801
    assert panel["height"] <= 0.5 * 800
    assert 0 < frame["y"] < 800


REDS = """() => [...document.querySelectorAll("[data-node=relu1] canvas[role=application]")].map((map) => {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [map.width, map.height];
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(map, 0, 0);
    return [...context.getImageData(0, 0, copy.width, copy.height).data].filter((_, n) => n % 4 === 0); })"""


def reds(page: Any) -> np.ndarray:
    """How red each pixel of each map of relu1 is: in light, the less the larger the value."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return np.array(page.evaluate(REDS))


def test_colours_follow_the_reader_and_paper_is_light(open_page: Open) -> None:
    model = models.model("conv 2@3 nobias, relu, dense 2, softmax", (1, 6, 6), ("a", "b"))
    dark_image = Example(np.zeros((6, 6), np.uint8))
    silent = Model(
        model.graph, tuple(p * 0 for p in model.parameters), model.classes, model.preprocessing, model.network
    )
    page = open_page(live_page(silent, [dark_image]), color_scheme="dark")
    background = "getComputedStyle(document.querySelector('.live')).backgroundColor"
    assert reds(page).max() < 60
    assert page.evaluate(background) == "rgb(22, 24, 27)"
    page.emulate_media(color_scheme="light")
    assert reds(page).min() > 230
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark", media="print")
    assert reds(page).min() > 230
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    assert not page.locator(".live-pad").is_visible()
    assert page.locator("[data-node=conv1] canvas[role=application]").first.is_visible()


def test_a_page_s_own_colours_win(open_page: Open) -> None:
    text = live_page(models.digits()).replace("<main>", "<style>:root { --paper: rgb(1, 2, 3); }</style><main>")
    page = open_page(text)
    assert page.evaluate("getComputedStyle(document.querySelector('.live')).backgroundColor") == "rgb(1, 2, 3)"


def test_many_maps_are_shown_on_demand(open_page: Open) -> None:
    model = models.model("conv 40@3 same, relu, conv 2@3, dense 2, softmax", (1, 6, 7), ("a", "b"))
    page = page_of(open_page, model)
    maps = page.locator("[data-node=conv1] canvas[role=application]")
    assert maps.count() == 32
    page.evaluate("lanewiseLive.select({ number: 3, channel: 0, row: 0, column: 0 })")
    assert page.locator("[data-node=relu1] .live-mark-read").count() == 32
    page.get_by_role("button", name="Show all 40 maps").first.click()
    assert maps.count() == 40
    painted = maps.nth(39).evaluate("(c) => c.getContext('2d').getImageData(0, 0, 7, 6).data.some((byte) => byte > 0)")
    assert painted
    assert "the other 34 maps" in page.locator('[data-live="working"]').inner_text()


def test_maps_can_be_coloured_each_by_itself(open_page: Open) -> None:
    page = page_of(open_page, models.signboard())
    together = reds(page).min(axis=1)
    page.get_by_label("colour each map by its own largest value").check()
    alone = reds(page).min(axis=1)
    assert np.count_nonzero(alone < together) >= 4  # the weaker maps are stronger now
    assert alone.min() == together.min()  # and the strongest is as it was
    # the largest value of each map is painted in its place
    values = np.array(page.evaluate("Array.from(lanewiseLive.network.values(2))")).reshape(8, -1)
    lit = values.max(axis=1) > 0
    assert np.count_nonzero(lit) > 4
    assert (reds(page)[lit].argmin(axis=1) == values[lit].argmax(axis=1)).all()


def test_numbers_stand_on_one_line_whatever_the_page_says(open_page: Open) -> None:
    model = models.signboard()
    text = live_page(model).replace("<main>", "<style>td { overflow-wrap: anywhere; }</style><main>")
    page = open_page(text, viewport={"width": 1400, "height": 900})
    page.evaluate("lanewiseLive.select({ number: 4, channel: 2, row: 3, column: 3 })")
    heights = page.evaluate("[...document.querySelectorAll('.live-numbers td')].map((cell) => cell.offsetHeight)")
    assert len(heights) == 8 * 2 * 9
    assert max(heights) < 26
    first = page.locator(".live-term").first
    assert first.bounding_box()["height"] < 100  # window, kernel and sum side by side
