"""Figures of experiments as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"


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
