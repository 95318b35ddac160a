"""Learning curves of several methods, and how well each does in the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from lanewise.errors import OptionError
from lanewise.experiments.plots import INK, new_figure, plain_axes
from lanewise.figures import format_of, save_figure

COLOURS = ("#7a7a7a", "#c8501e", "#8a6d00", "#1f5fa8")
MARKERS = ("o", "s", "^", "D")


@dataclass(frozen=True, slots=True)
class Line:
    """A method: its name, its accuracy after each epoch, and that on test images with its interval."""

    name: str
    curve: Sequence[float]
    accuracy: float
    interval: tuple[float, float]


def draw_curves(lines: Sequence[Line], count: int, path: str | os.PathLike[str]) -> None:
    """Draw the curves, and beside them the accuracies with their intervals.

    Parameters
    ----------
    lines : sequence of Line
    count : int
        Size of the evaluation set.
    path : path
        .svg, .png or .pdf.

    Raises
    ------
    OptionError
        As `lanewise.experiments.plots.draw_grid`.
    """
    format_of(path)
    if not lines:
        raise OptionError("no method was tried: there is nothing to draw")
    figure = new_figure(12.5, 4.4)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    plain_axes(left)
    plain_axes(right)
    for n, line in enumerate(lines):
        colour, marker = COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]
        epochs = range(1, len(line.curve) + 1)
        percent = [100 * value for value in line.curve]
        left.plot(epochs, percent, color=colour, marker=marker, markersize=4, linewidth=1.5, label=line.name)
        low, high = (100 * bound for bound in line.interval)
        right.plot([low, high], [-n, -n], color=colour, linewidth=3, solid_capstyle="butt")
        right.plot([100 * line.accuracy], [-n], color=colour, marker=marker, markersize=9)
    left.set_xlabel("epoch", fontsize=12)
    left.set_title("accuracy while learning, %", loc="left", fontsize=12, color=INK)
    left.legend(fontsize=11, frameon=False, loc="lower right")
    right.set_yticks([-n for n in range(len(lines))], [line.name for line in lines])
    right.set_ylim(-len(lines) + 0.4, 0.6)
    right.set_title(f"accuracy on {count:,} test images, %", loc="left", fontsize=12, color=INK)
    right.set_xlabel("bars: 95 % intervals", fontsize=12)
    save_figure(figure, path)
