"""Images of experiments: what accuracy costs, and how it was learned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lanewise.errors import OptionError
from lanewise.experiments.rows import COSTS, MethodRow, Row, best_of
from lanewise.figures import format_of, require_matplotlib, save_figure

INK, PALE, GREY, ORANGE = "#222222", "#d9d9d9", "#9aa4ae", "#c8501e"
COLOURS, MARKERS = ("#7a7a7a", ORANGE, "#8a6d00", "#2e8b57", "#1f5fa8"), ("o", "s", "^", "v", "D")
"""Of the five methods."""

MOST_LABELS = 6
"""Trade-offs that are named in an image; of more, those that gain most."""


def draw_grid(rows: Sequence[Row], count: int, path: str | os.PathLike[str]) -> None:
    """Draw accuracy over weights and over time, with the Pareto front joined and named.

    Parameters
    ----------
    rows : sequence of Row
    count : int
        Size of the evaluation set.
    path : path
        .svg, .png or .pdf.

    Raises
    ------
    OptionError
        The file does not end in .svg, .png or .pdf, or cannot be written.
    MissingPackageError
        Matplotlib is not installed.
    """
    format_of(path)
    if not rows:
        raise OptionError("no network was trained: there is nothing to draw")
    figure = _new_figure(5.6)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, cost, label in zip((left, right), COSTS, ("weights", "seconds to train"), strict=True):
        _costs(axes, rows, cost)
        axes.set_xlabel(label, fontsize=12)
    left.set_ylabel(f"accuracy on {count:,} test images, %", fontsize=12)
    title = f"{len(rows)} networks: what accuracy costs"
    figure.suptitle(title, fontsize=14, x=0.01, ha="left", color=INK)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", fontsize=11, frameon=False)
    save_figure(figure, path)


def draw_curves(rows: Sequence[MethodRow], count: int, path: str | os.PathLike[str]) -> None:
    """Draw the learning curves of several methods, and beside them their accuracies with their intervals.

    Parameters
    ----------
    rows : sequence of MethodRow
    count, path
        As in `draw_grid`, and so are the errors.
    """
    format_of(path)
    figure = _new_figure(4.4)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _plain(left)
    _plain(right)
    for n, (row, colour, marker) in enumerate(zip(rows, COLOURS, MARKERS, strict=True)):
        percent = [100 * value for value in row.curve()]
        epochs = range(1, len(percent) + 1)
        left.plot(epochs, percent, color=colour, marker=marker, markersize=4, linewidth=1.5, label=row.name)
        low, high = (100 * bound for bound in row.interval)
        right.plot([low, high], [-n, -n], color=colour, linewidth=3, solid_capstyle="butt")
        right.plot([100 * row.accuracy], [-n], color=colour, marker=marker, markersize=9)
    left.set_xlabel("epoch", fontsize=12)
    left.set_title("accuracy while learning, %", loc="left", fontsize=12, color=INK)
    left.legend(fontsize=11, frameon=False, loc="lower right")
    right.set_yticks([-n for n in range(len(rows))], [row.name for row in rows])
    right.set_ylim(-len(rows) + 0.4, 0.6)
    right.set_title(f"accuracy on {count:,} test images, %", loc="left", fontsize=12, color=INK)
    right.set_xlabel("bars: 95 % intervals", fontsize=12)
    save_figure(figure, path)


def _new_figure(height: float) -> Any:
    """A white figure, so many inches high."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(12.5, height), layout="constrained", facecolor="white")


def _plain(axes: Any) -> None:
    """No frame, pale lines behind what is drawn, figures large enough to read."""
    axes.grid(color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=11, colors=INK)


def _costs(axes: Any, rows: Sequence[Row], cost: str) -> None:
    best = best_of(rows, cost)
    others = [row for row in rows if row not in best]
    _plain(axes)
    axes.set_xscale("log")
    axes.scatter([_at(r, cost) for r in others], [100 * r.accuracy for r in others], s=30, color=GREY, zorder=2)
    axes.plot(
        [_at(row, cost) for row in best],
        [100 * row.accuracy for row in best],
        color=ORANGE,
        marker="o",
        markersize=8,
        linewidth=1.4,
        drawstyle="steps-post",
        zorder=3,
        label="best trade-offs: nothing cheaper is as accurate",
    )
    named = _worth_naming(best)
    for row in best:
        if row in named:
            number = named.index(row) + 1
            axes.annotate(
                str(number),
                (_at(row, cost), 100 * row.accuracy),
                xytext=(0, 9),
                textcoords="offset points",
                ha="center",
                fontsize=11,
                fontweight="bold",
                color=INK,
                zorder=4,
            )
    key = "\n".join(f"{n}  {short(row.text)}" for n, row in enumerate(named, 1))
    axes.set_title(key, loc="left", fontsize=10, color=INK, linespacing=1.5)
    axes.margins(y=0.1)  # room for the numbers above the points
    _log_ticks(axes, [_at(row, cost) for row in rows])


def _at(row: Row, cost: str) -> float:
    """Where a network lies on a logarithmic axis, which has no 0."""
    return max(float(getattr(row, cost)), 1.0 if cost == "weights" else 1e-3)


def _log_ticks(axes: Any, values: Sequence[float]) -> None:
    """Plain numbers at 1, 2 and 5 of each power of ten, with some room at both ends."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(values) / 1.3, max(values) * 1.3
    ticks = [step * 10.0**power for power in range(-4, 13) for step in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    if len(inside) > 7:
        inside = [tick for tick in inside if f"{tick:e}"[0] == "1"]
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(inside))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _worth_naming(best: Sequence[Row]) -> list[Row]:
    """The trade-offs to name: those that gain most over the one before, in order of their cost."""
    gains = [row.accuracy - (best[n - 1].accuracy if n else 0.0) for n, row in enumerate(best)]
    chosen = sorted(range(len(best)), key=lambda n: (-(n == len(best) - 1), -gains[n]))[:MOST_LABELS]
    return [best[n] for n in sorted(chosen)]


def short(text: str, most: int = 72) -> str:
    """The text of a network, cut where it gets too long."""
    return text if len(text) <= most else text[: most - 1] + "…"
