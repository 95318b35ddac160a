"""Figures of experiments as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"


def percent(share: float, count: int) -> str:
    """A share of `count` images in percent, without the sign: as many decimals as they justify."""
    return f"{100 * share:.{2 if count >= 1000 else 1}f}"


def seconds_shown(seconds: float) -> str:
    """A time as "0.42 s", "4.2 s", "34 s" or "2 min 5 s"."""
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def plain_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: numbers to the right, the last columns, which are words, to the left."""
    widths = [max(len(row[n]) for row in [heads, *rows]) for n in range(len(heads))]
    words = [not any(row[n][:1].isdigit() or row[n][:1] == "-" for row in rows) for n in range(len(heads))]
    return [
        "  ".join(
            cell.ljust(width) if word else cell.rjust(width)
            for cell, width, word in zip(row, widths, words, strict=True)
        ).rstrip()
        for row in [heads, *rows]
    ]


def sparkline(values: Sequence[float], most: int = 20) -> str:
    """A curve as a row of bars from its lowest to its highest value, `most` at most."""
    if not values:
        return ""
    step = max(1, math.ceil(len(values) / most))
    chosen = [values[n] for n in range(len(values) - 1, -1, -step)][::-1]
    low, high = min(chosen), max(chosen)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in chosen)
