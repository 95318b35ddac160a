"""Plots as SVG that stands in the page and follows its colours: ink and accents are the page's CSS variables."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from lanewise.evaluation.evaluate import wilson
from lanewise.report.figures import BINS, Calibration, Roc

VARIABLES = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--accent)",
}
"""Colours that matplotlib is told -> what stands in the page for them."""

INK, MUTED, LINE, ACCENT = VARIABLES

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, and is set in the reader's own font
    "svg.hashsalt": "lanewise",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "figure.facecolor": "none",
}

WIDE, SQUARE = (4.6, 3.0), (3.6, 3.4)
"""Inches, of which a page shows 96 points each at most."""


def curves(history: Sequence[Mapping[str, Any]], figure: str, title: str) -> str:
    """Plot a figure over the epochs, with that of the validation set where there is one.

    Parameters
    ----------
    history : sequence of mappings
        A mapping for each epoch, as in `Model.history`.
    figure : str
        "loss" (cross-entropy) or "accuracy".
    title : str

    Returns
    -------
    str
        SVG.
    """
    with _axes(figure, WIDE) as (axes, svg):
        for key, colour, line, name in (
            (figure, MUTED, "--", "training"),
            (f"validation_{figure}", ACCENT, "-", "validation"),
        ):
            points = [(one["epoch"], one[key]) for one in history if one.get(key) is not None]
            if points:
                across, up = zip(*points, strict=True)
                marks = "o" if len(points) <= 30 else ""
                axes.plot(across, up, color=colour, linestyle=line, marker=marks, markersize=3.5, label=name)
        axes.set_xlabel("epoch")
        axes.set_title(title, loc="left", fontsize=10.5)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if figure == "accuracy":
            axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        axes.legend()
    return svg[0]


def reliability(found: Calibration) -> str:
    """How often answers are right, with 95 % intervals, over how sure the model was; the diagonal is honest."""
    with _axes("reliability", SQUARE) as (axes, svg):
        _unit_square(axes, "probability of the answer", "share of right answers")
        axes.bar(found.bins / BINS, found.accuracy, 0.94 / BINS, align="edge", color=ACCENT, alpha=0.28)
        right = np.rint(found.accuracy * found.counts).astype(int)
        bounds = np.array([wilson(int(k), int(n)) for k, n in zip(right, found.counts, strict=True)])
        axes.vlines(found.confidence, bounds[:, 0], bounds[:, 1], color=ACCENT, linewidth=1.2)
        axes.plot(found.confidence, found.accuracy, "o", color=ACCENT, markersize=5, clip_on=False)
    return svg[0]


def roc_curve(found: Roc) -> str:
    """The share found over the share of false alarms."""
    with _axes("roc", SQUARE) as (axes, svg):
        _unit_square(axes, "share of false alarms", "share found")
        axes.plot(found.false_positives, found.true_positives, color=ACCENT, drawstyle="default")
        axes.fill_between(found.false_positives, found.true_positives, color=ACCENT, alpha=0.12, linewidth=0)
    return svg[0]


Points = Sequence[tuple[float, float]]


def trade_off(name: str, others: Points, best: Points, across: str) -> str:
    """What accuracy costs: the best trade-offs, joined, among all.

    Parameters
    ----------
    name : str
        Of the plot, by which others on the page are told apart.
    others, best : sequence of (cost, accuracy)
    across : str
        What costs are.
    """
    with _axes(name, WIDE) as (axes, svg):
        _dots(axes, others, MUTED, 4, 0.6)
        if best:
            axes.plot(*zip(*best, strict=True), color=ACCENT, drawstyle="steps-post", linewidth=1.2)
        _dots(axes, best, ACCENT, 6, 1.0)
        costs = [cost for cost, _ in (*others, *best)]
        if costs and min(costs) > 0 and max(costs) > 10 * min(costs):
            axes.set_xscale("log")
        axes.set(xlabel=across, ylabel="validation accuracy")
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    return svg[0]


def course(complete: Points, stopped: Points) -> str:
    """The accuracy of each trial by its number, and the best so far.

    Parameters
    ----------
    complete, stopped : sequence of (number, accuracy)
        Trials that were trained to the end, and those that were not.
    """
    with _axes("course", WIDE) as (axes, svg):
        _dots(axes, stopped, MUTED, 3.5, 0.5)
        _dots(axes, complete, ACCENT, 5, 0.9)
        if complete:
            numbers, found = zip(*sorted(complete), strict=True)
            best = np.maximum.accumulate(found)
            axes.plot(numbers, best, color=ACCENT, drawstyle="steps-post", linewidth=1.2)
        axes.set(xlabel="trial", ylabel="validation accuracy")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    return svg[0]


def _dots(axes: Any, points: Points, colour: str, size: float, alpha: float) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), "o", color=colour, markersize=size, alpha=alpha, markeredgewidth=0)


def _unit_square(axes: Any, across: str, up: str) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel=across, ylabel=up, aspect="equal")


@contextmanager
def _axes(name: str, size: tuple[float, float]) -> Iterator[tuple[Any, list[str]]]:
    """Axes to draw on; when they are left, the list holds the SVG."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    drawn: list[str] = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure.subplots(), drawn
        out = io.StringIO()
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(out, metadata={"Date": None, "Creator": None})
        drawn.append(_inline(out.getvalue(), name))


def _inline(svg: str, name: str) -> str:
    """SVG for the middle of a page: no prologue, no metadata, colours of the page, names of its own."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r'\1 aria-hidden="true" focusable="false"', svg, count=1)
    svg = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r"(url\(|href=\")#", rf"\1#{name}-", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = svg.replace('<style type="text/css">*{stroke-linejoin: round; stroke-linecap: butt}</style>', "")
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg
