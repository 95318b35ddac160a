"""What all layers have in common, and how their options are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pair = tuple[int, int]
"""(rows, columns)."""

Sides = tuple[int, int, int, int]
"""(top, left, bottom, right)."""

Padding = Literal["valid", "same"] | Sides
"""`valid` adds nothing, `same` keeps ceil(size / stride) rows and columns, four numbers are taken as they are."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Base of all layers. Abstract: it is never part of a network itself."""
