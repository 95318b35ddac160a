"""What a search found as one HTML file: the best trials, what accuracy costs, what mattered, and all trials."""

from __future__ import annotations

import os
from typing import Any

from lanewise.data.source import words_of
from lanewise.errors import OptionError
from lanewise.experiments.search_found import COSTS, SearchFound, model_file, written
from lanewise.extras import need
from lanewise.pages import shipped_text, template
from lanewise.report import plots
from lanewise.saving import write_whole
from lanewise.version import __version__
from lanewise.wording import duration, listed, percent, quoted, shown

TOLD = {
    "weights": "Weights: the size of the model file is about four bytes for each.",
    "multiply-adds": "Multiplications and additions for one image.",
    "latency": "Milliseconds for one image, on the machine of the worker that trained it.",
}


def require() -> None:
    """Fail before any work is done if what draws the page is not installed."""
    need("jinja2", "a page")
    need("matplotlib", "a page")


def write_page(found: SearchFound, path: str | os.PathLike[str], images: str | os.PathLike[str]) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    found : SearchFound
    path : path
    images : str
        What commands call the images.

    Raises
    ------
    MissingPackageError
        A package that draws it is not installed.
    OptionError
        It cannot be written.
    """
    text = render(found, images)
    try:
        write_whole(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise OptionError(f"{shown(path)} cannot be written: {error.strerror}") from None


def render(found: SearchFound, images: str | os.PathLike[str]) -> str:
    """The page as text."""
    require()
    page = template("lanewise.experiments", "search.html")
    front, best = found.front(), found.best
    heads, cells = found.table()
    by_number = {row.number: row for row in found.rows}
    importances = [(name, list(shares.items())) for name, shares in found.importances.items() if shares]
    costs = [cost for cost in COSTS if cost in found.objectives] or ["weights"]
    file = None if best is None else found.file(best)
    text: str = page.render(
        found=found,
        images=shown(images),
        best=best,
        front=[
            (row, found.command(row, images, model_file(found.study, row.number)), found.file(row)) for row in front
        ],
        numbers={row.number for row in front},
        objectives=listed(found.objectives),
        costs=costs,
        trade_offs=[(cost, _trade_off(found, cost)) for cost in COSTS if cost != "latency" or cost in costs],
        course=_course(found),
        importances=importances,
        heads=heads,
        rows=[(row, by_number[int(row[0])]) for row in cells],
        spent=duration(sum(row.seconds for row in found.rows)),
        saved=_saved(found),
        timed="budget" in found.fixed,
        tested="" if file is None or not found.tested else f"lanewise evaluate {quoted(file)} {words_of(images)}",
        sections=[
            ("winner", "The best", best is not None),
            ("trade-off", "What accuracy costs", best is not None),
            ("course", "The course of the search", True),
            ("importance", "What mattered", importances),
            ("trials", "All trials", True),
        ],
        told=TOLD,
        css=shipped_text("lanewise.report", "page.css"),
        percent=percent,
        written=written,
        version=__version__,
    )
    return text


def _trade_off(found: SearchFound, cost: str) -> str:
    best = {row.number for row in found.trade_off(cost)}
    points: tuple[list[Any], list[Any]] = ([], [])
    for row in sorted(found.complete, key=lambda one: one.cost(cost) or 0):
        points[row.number in best].append((row.cost(cost), row.accuracy))
    label = "milliseconds for one image" if cost == "latency" else cost
    return plots.trade_off(f"cost-{cost}", *points, label)


def _course(found: SearchFound) -> str:
    known = [row for row in found.rows if row.accuracy is not None]
    complete = [(row.number, row.accuracy or 0.0) for row in known if row.state == "complete"]
    return plots.course(complete, [(row.number, row.accuracy or 0.0) for row in known if row.state != "complete"])


def _saved(found: SearchFound) -> str:
    """How much longer the trials that were stopped would have taken."""
    stopped = [row for row in found.rows if row.state == "stopped" and row.fraction > 0]
    seconds = sum(row.seconds * (1 / row.fraction - 1) for row in stopped)
    return duration(seconds) if seconds else ""
