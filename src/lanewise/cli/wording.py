"""Numbers, durations, shapes and file names as people read them."""

from __future__ import annotations

import os

from lanewise.experiments import tables

Shape = tuple[int, ...]


def shown(name: object) -> str:
    r"""A name fit for one line of a terminal: control characters and bytes that are no UTF-8 become `\x1b`."""
    text = os.fspath(name) if isinstance(name, os.PathLike) else str(name)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def percent(share: float, count: int) -> str:
    """A share of `count` things: as many decimals as they justify."""
    return f"{tables.percent(share, count)} %"


def interval(bounds: tuple[float, float], count: int) -> str:
    """Two shares: "96.4 to 99.2 %"."""
    low, high = (percent(bound, count) for bound in bounds)
    return f"{low.removesuffix(' %')} to {high}"


def duration(seconds: float) -> str:
    """A time as "0.42 s", "4.2 s", "34 s", "2 min 5 s" or "3 h 20 min"."""
    if seconds < 9.95:
        return f"{seconds:.2f} s" if seconds < 0.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def plural(count: int, noun: str) -> str:
    """A count with its noun: "1 class" is `plural(1, "class")`, "1,797 pictures" is `plural(1797, "picture")`."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def shape(sizes: Shape) -> str:
    """(channels, rows, columns) as rows x columns x channels, "30x30x3"; features as their number."""
    return "x".join(map(str, (*sizes[1:], sizes[0])))


def file_size(count: int) -> str:
    """Bytes as "54 kB" or "1.2 MB"."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"
