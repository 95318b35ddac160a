"""Charts as SVG: lines with points, over a logarithmic axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log, log10

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 44, 44
LABELS = 120
"""Room to the right for the names of several lines."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # told apart by the colour-blind too
GREY = "#666"
LINE_HEIGHT = 13

Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Chart:
    """Named lines of points (x, y): x above 0 on a logarithmic axis, y on a linear one from 0 up.

    With `log_y` that one is logarithmic too.
    """

    title: str
    x: str
    y: str
    series: dict[str, list[tuple[float, float]]]
    log_y: bool = False

    @property
    def width(self) -> int:
        """Pixels across: several lines are named beside their ends."""
        return WIDTH + (LABELS if len(self.series) > 1 else 0)


def document(charts: Sequence[Chart], columns: int = 1) -> str:
    """All `charts`, in rows of so many."""
    across = max(chart.width for chart in charts)
    parts = [
        f'<g transform="translate({across * (n % columns)} {HEIGHT * (n // columns)})">{_drawn(chart)}</g>'
        for n, chart in enumerate(charts)
    ]
    width, height = across * min(columns, len(charts)), HEIGHT * ceil(len(charts) / columns)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    style = 'font-family="system-ui, sans-serif" font-size="11" fill="#222"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}><rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join((head, *parts, "</svg>")) + "\n"


def _drawn(chart: Chart) -> str:
    points = [point for line in chart.series.values() for point in line]
    xs = sorted({x for x, _ in points})
    ys = [y for _, y in points]
    ticks = _decades(min(ys), max(ys)) if chart.log_y else _round(max(ys))
    right = WIDTH - RIGHT
    across = _logarithmic(xs[0], max(xs[-1], xs[0] * 1.01), LEFT + 8, right - 8)
    up = _logarithmic(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP) if chart.log_y else _linear(ticks[-1])

    parts = [
        _text(LEFT, 18, chart.title, "start", 'font-weight="600" font-size="12"'),
        _text(LEFT, 34, chart.y, "start", f'fill="{GREY}"'),
        _text((LEFT + right) / 2, HEIGHT - 8, chart.x, "middle", f'fill="{GREY}"'),
    ]
    for tick in ticks:
        y = up(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="{"#999" if tick == ticks[0] else "#e4e4e4"}"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{tick:,g}", "end"))
    parts += _below(xs, across)
    ends = []
    for n, (name, line) in enumerate(chart.series.items()):
        colour, placed = COLOURS[n % len(COLOURS)], [(across(x), up(y)) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{colour}"/>' for x, y in placed]
        ends.append((placed[-1][1] + 4, name, colour))
    if len(ends) > 1:
        parts += [_text(right + 2, y, name, "start", f'fill="{colour}"') for y, name, colour in _apart(ends)]
    return "".join(parts)


def _below(xs: Sequence[float], across: Scale) -> list[str]:
    """A mark for each x, and its number where there is room: for the ends first, then for round ones."""
    bottom = HEIGHT - BOTTOM
    parts = [f'<path d="M{across(x):.1f} {bottom}v4" stroke="#999"/>' for x in xs]
    taken: list[tuple[float, float]] = []
    for x in (xs[0], xs[-1], *sorted(xs[1:-1], key=_roundness, reverse=True)):
        text, at = f"{x:,.0f}", across(x)
        half = 3.5 * len(text) + 2
        if all(at + half < start or at - half > end for start, end in taken):
            taken.append((at - half, at + half))
            parts.append(_text(at, bottom + 16, text))
    return parts


def _roundness(x: float) -> int:
    """The largest power of two that divides it."""
    return int(x) & -int(x)


def _apart(ends: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """The names at the ends of lines, moved down where one would cover another."""
    placed: list[tuple[float, str, str]] = []
    for y, name, colour in sorted(ends):
        placed.append((max(y, placed[-1][0] + LINE_HEIGHT) if placed else y, name, colour))
    return placed


def _round(most: float) -> list[float]:
    """Round numbers from 0 to `most` or a little more, four to seven of them."""
    unit = 10.0 ** floor(log10(most))
    step = next(part * unit for part in (0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0) if most <= 6 * part * unit)
    return [step * n for n in range(ceil(most / step) + 1)]


def _decades(least: float, most: float) -> list[float]:
    """The powers of ten around."""
    low, high = floor(log10(least)), ceil(log10(most))
    return [10.0**n for n in range(low, max(high, low + 1) + 1)]


def _logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (end - start) * log(value / low) / log(high / low)


def _linear(top: float) -> Scale:
    return lambda value: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _text(x: float, y: float, text: str, anchor: str = "middle", style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {style}>{escape(text)}</text>'
