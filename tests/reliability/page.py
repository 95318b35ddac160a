"""A page that holds a model says of photographs what the command line says.

    python -m tests.reliability.page [--count N] [--seed S]

A model is trained for a few epochs on 400 photographs of flowers, as they are resized for it. Then a real browser opens
the page of the model and is given the files, JPEGs of many sizes, those it was not trained on first. Right is an image
whose class on the page is that of `lanewise predict`.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import lanewise
from lanewise.model import Model
from lanewise.notes import unheard
from lanewise.report.live import live_page
from tests.conftest import BROWSERS, FLAGS
from tests.reliability.running import main

FLOWERS = Path(__file__).parents[3] / "shared" / "data" / "flowers500.tar.gz"


@contextmanager
def brought() -> Iterator[Callable[[int], str | None]]:
    """What is wrong with the answer that a page gives to photograph number n; None if nothing."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        with tarfile.open(FLOWERS) as archive:
            archive.extractall(folder, filter="data")
        (root,) = (path for path in Path(folder).iterdir() if path.is_dir())
        model = lanewise.train(root, size=48, epochs=8, folds=0, notes=unheard, verbose=0)
        files = [*sorted((root / "val").rglob("*.jpg")), *sorted((root / "train").rglob("*.jpg"))]
        place = Path(folder) / "page.html"
        place.write_text(live_page(model), encoding="utf-8")
        chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = browser.new_context(offline=True).new_page()
        page.goto(place.as_uri())

        def trial(number: int) -> str | None:
            path = files[number % len(files)]
            page.set_input_files('[data-live="file"]', path)
            page.locator('[data-live="caption"]').get_by_text(path.name, exact=True).wait_for()
            return unlike(model, path, page.evaluate("Array.from(lanewiseLive.network.probabilities())"))

        yield trial
        browser.close()


def unlike(model: Model, path: Path, came: list[float]) -> str | None:
    """How the page's probabilities lead to another class than Python's; None if they do not."""
    expected = model.predict_proba(path)[0]
    if int(np.argmax(came)) == int(expected.argmax()):
        return None
    here, there = model.classes[int(np.argmax(came))], model.classes[int(expected.argmax())]
    return f"{path.name}: {here} on the page ({max(came):.3f}), {there} in Python ({expected.max():.3f})"


if __name__ == "__main__":
    with brought() as trial:
        main("page", trial, 500)
