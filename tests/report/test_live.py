"""The live part of a page, in a real browser: it computes what Python computes, and takes any image."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lanewise.errors import DataError
from lanewise.model import Model
from lanewise.network import reference
from lanewise.report import live
from lanewise.report.live import Example, live_page, live_section
from tests.report import models
from tests.report.conftest import Open


def looks_twice() -> Model:
    return replace(models.signboard(), tta="flip")


MODELS = (models.signboard, models.every_layer, models.real_numbers, looks_twice)


def examples_of(model: Model, count: int = 2) -> list[Example]:
    images = models.raw_images(model, count)
    return [Example(image, str(model.classes[0]), f"{n}.png") for n, image in enumerate(images)]


@pytest.mark.parametrize("make", MODELS)
def test_probabilities_and_all_maps_are_those_of_python(make: Callable[[], Model], open_page: Open) -> None:
    model = make()
    examples = examples_of(model)
    page = open_page(live_page(model, examples))
    for number, button in enumerate(page.locator(".live-example").all()):
        button.click()
        pixels = examples[number].pixels[None]
        probabilities = page.evaluate("lanewiseLive.network.probabilities()")
        np.testing.assert_allclose(probabilities, model.predict_proba(pixels)[0], atol=1e-4)
        evaluated = reference.forward(model.graph, model.parameters, model.preprocessing.apply(pixels))
        shown = page.evaluate("lanewiseLive.network.nodes.map((_, n) => Array.from(lanewiseLive.network.values(n)))")
        for came, values in zip(shown, evaluated, strict=True):
            np.testing.assert_allclose(came, values[0].ravel(), rtol=1e-4, atol=1e-4)
        assert "Lanewise in Python gives the same" in page.locator('[data-live="figures"]').inner_text()


def test_test_time_augmentation_is_told_and_leaves_the_layers_as_they_are(open_page: Open) -> None:
    """The last layer too shows the pass of the image alone, whenever the answer was asked for."""
    model = models.model("dense 1, sigmoid", (1, 3, 4), ("a", "b"))
    (example,) = examples_of(model, 1)
    page = open_page(live_page(replace(model, tta="flip"), [example]))
    told = page.locator('[data-live="figures"]').inner_text()
    assert "the layers show the image alone" in told
    assert "Lanewise in Python gives the same" in told
    (shown,) = page.evaluate("Array.from(lanewiseLive.network.values(lanewiseLive.network.nodes.length - 1))")
    np.testing.assert_allclose(shown, model.predict_proba(example.pixels[None])[0, 1], atol=1e-6)


def test_the_page_notices_when_python_says_something_else(open_page: Open) -> None:
    model = models.digits()
    page = open_page(live_page(model, examples_of(model, 1)))
    page.evaluate("lanewiseLive.show(lanewiseLive.network.pixels.slice(), 'x', Array(10).fill(0.1))")
    assert "do not trust" in page.locator('[data-live="figures"]').inner_text()


def test_names_are_only_ever_text(open_page: Open) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    model = models.model("dense 2, softmax", (1, 3, 4), (evil, "b"))
    page = open_page(live_page(model, [Example(np.zeros((3, 4), np.uint8), evil, evil)], title=evil))
    assert page.title() == evil
    assert page.locator(".live-class").first.inner_text() == evil
    assert page.locator("img").count() == 0


def test_a_page_stands_alone_and_loads_nothing() -> None:
    text = live_page(models.signboard(), examples_of(models.signboard()))
    assert not re.findall(
        r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:)""", re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    )
    assert not re.search(r"\b(eval|fetch|importScripts|innerHTML|XMLHttpRequest)\b|new Function", text)


def test_what_is_too_large_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_WEIGHTS", 100)
    text = live_section(models.digits())
    assert "too many for a page (at most 100)" in html.unescape(text)
    assert "<script" not in text


def test_an_example_of_another_size_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"example wide\.png has the shape \(28, 30\), but the model takes \(28, 28, 1\)"
    ):
        live_section(models.digits(), [Example(np.zeros((28, 30), np.uint8), None, "wide.png")])
