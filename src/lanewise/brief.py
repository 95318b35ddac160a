"""Values that say in a line or two what they are, however many numbers they hold.

@short
@dataclass(frozen=True)
class Images: ...         Images(pixels=<uint8 1797x8x8x1>, labels=<int32 1797>, ...)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

C = TypeVar("C", bound=type)

MOST_ITEMS = 3
LONGEST = 60
LONGEST_ALL = 320


def short(cls: C) -> C:
    """Give a dataclass a short `repr`: arrays as their type and shape, of long things the beginning."""
    setattr(cls, "__repr__", _repr)  # noqa: B010 - to mypy, a method cannot be assigned
    return cls


def _repr(self: Any) -> str:
    parts = [f"{one.name}={brief(getattr(self, one.name))}" for one in fields(self) if one.repr]
    text, kept = ", ".join(parts), len(parts)
    while len(text) > LONGEST_ALL and kept > 1:
        kept -= 1
        text = ", ".join([*parts[:kept], "..."])
    return f"{type(self).__qualname__}({text})"


def brief(value: Any, deep: int = 1) -> str:
    """A value on a part of a line."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and hasattr(value, "dtype"):
        return f"<{value.dtype} {'x'.join(map(str, shape)) or 'number'}>"
    if isinstance(value, str | bytes):
        return _cut(repr(value))
    if isinstance(value, Mapping) and value:
        some = [f"{brief(key, 0)}: {brief(one, deep - 1)}" for key, one in list(value.items())[:MOST_ITEMS]]
        return f"{{{_listed(some, len(value), deep)}}}"
    if type(value) in (list, tuple, set, frozenset) and value:
        some = [brief(one, deep - 1) for one in list(value)[:MOST_ITEMS]]
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
        return f"{opening}{_listed(some, len(value), deep)}{closing}"
    if getattr(type(value), "__repr__", None) is _repr and deep <= 0:
        return f"<{type(value).__qualname__}>"
    return _cut(repr(value))


def _listed(some: list[str], count: int, deep: int) -> str:
    text = ", ".join(some)
    if deep < 0 or len(text) > 2 * LONGEST:
        return f"{count} in all"
    return text if count <= MOST_ITEMS else f"{text}, ... {count} in all"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
