"""Numbers, durations, shapes and file names as people read them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence

from lanewise.escaping import escaped

Shape = tuple[int, ...]

NARROW = 52
"""Columns of a terminal that has no room for two columns of words."""


def shown(name: object) -> str:
    r"""A name fit for one line of a terminal: control characters and bytes that are no UTF-8 become `\x1b`."""
    return escaped(os.fspath(name) if isinstance(name, os.PathLike) else str(name))


def quoted(name: str | os.PathLike[str]) -> str:
    r"""A file name as one word of a shell: `photo.png`, `'my photo.png'`, `./-photo.png`, `$'photo\x1b.png'`."""
    text = os.fspath(name)
    text = f"./{text}" if text.startswith("-") else text
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(map(_in_shell, text))}'"


def _in_shell(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    return character if character.isprintable() else "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def percent(share: float, count: int, sign: str = " %") -> str:
    """Format a share in percent, with as many decimals as the count justifies.

    Parameters
    ----------
    share : float
        From 0 to 1.
    count : int
        Of the things that it is a share of.
    sign : str
        What follows the number.
    """
    return f"{100 * share:.{2 if count >= 1000 else 1}f}{sign}"


def interval(bounds: tuple[float, float], count: int) -> str:
    """Two shares: "96.4 to 99.2 %"."""
    low, high = bounds
    return f"{percent(low, count, '')} to {percent(high, count)}"


def plural(count: int, noun: str) -> str:
    """A count with its noun: "1 class" is `plural(1, "class")`, "1,797 images" is `plural(1797, "image")`."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def counted(count: int, noun: str, verb: str = "") -> str:
    """A count with its noun and the form of a verb that fits: "1 image is", "3 images are".

    Parameters
    ----------
    count : int
    noun : str
        In the singular.
    verb : str
        Singular and plural, like "is/are"; none by default.
    """
    one, _, many = verb.partition("/")
    said = one if count == 1 else many
    return plural(count, noun) + (f" {said}" if said else "")


def shape(sizes: Shape) -> str:
    """(channels, rows, columns) as rows x columns x channels, "30x30x3"; features as their number."""
    return "x".join(map(str, (*sizes[1:], sizes[0])))


def file_size(count: int) -> str:
    """Bytes as "54 kB", "1.2 MB" or "20.0 GB"."""
    if count >= 1e9:
        return f"{count / 1e9:,.1f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


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


def listed(parts: Sequence[str]) -> str:
    """Parts of a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def some(names: Iterable[object], most: int = 6, others: str = "more") -> str:
    """The first of many names, and how many others there are: "a, b and 3 more".

    Parameters
    ----------
    names : iterable
    most : int
        How many are named.
    others : str
        What the rest is called behind its number.
    """
    told = list(map(str, names))
    return ", ".join(told[:most]) + (f" and {len(told) - most} {others}" if len(told) > most else "")
