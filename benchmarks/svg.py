"""Charts as SVG: lines with points, over a logarithmic axis."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import log

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 170, 34, 44
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # told apart by the colour-blind too


@dataclass(frozen=True, slots=True)
class Chart:
    """Named lines of points (x, y); x above 0 on a logarithmic axis, y from 0 up on a linear one."""

    title: str
    x: str
    y: str
    series: dict[str, list[tuple[float, float]]]


def document(charts: list[Chart]) -> str:
    """All `charts`, one below the other."""
    parts = [f'<g transform="translate(0 {HEIGHT * n})">{_drawn(chart)}</g>' for n, chart in enumerate(charts)]
    size = f'width="{WIDTH}" height="{HEIGHT * len(charts)}" viewBox="0 0 {WIDTH} {HEIGHT * len(charts)}"'
    style = 'font-family="sans-serif" font-size="11" fill="#222"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}><rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join((head, *parts, "</svg>")) + "\n"


def _drawn(chart: Chart) -> str:
    points = [point for line in chart.series.values() for point in line]
    xs = sorted({x for x, _ in points})
    low, high, top = xs[0], max(xs[-1], xs[0] * 1.01), max(y for _, y in points) * 1.05 or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * log(x / low) / log(high / low)
        return round(across, 1), round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / top, 1)

    parts = [_text(LEFT, 18, chart.title, "start"), _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, chart.x)]
    parts.append(_text(LEFT - 6, TOP - 6, chart.y, "end"))
    for n in range(5):
        _, y = place(low, top * n / 4)
        parts.append(f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{top * n / 4:,.0f}", "end"))
    last = float("-inf")
    for x in xs:
        across, bottom = place(x, 0)
        if across - last > 26:  # room for the number
            last = across
            parts.append(_text(across, bottom + 16, f"{x:,.0f}"))
    for n, (name, line) in enumerate(chart.series.items()):
        colour, placed = COLOURS[n % len(COLOURS)], [place(*point) for point in line]
        path = " ".join(f"{x},{y}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="2.4" fill="{colour}"/>' for x, y in placed]
        parts.append(f'<g fill="{colour}">{_text(WIDTH - RIGHT + 10, TOP + 14 * n + 8, name, "start")}</g>')
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
