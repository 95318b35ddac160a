"""Text from files and names, as a terminal or page can show it without obeying it."""

from __future__ import annotations


def escaped(text: str) -> str:
    r"""Text whose control characters, and whatever else cannot be printed, are written as `\x1b` and the like."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
