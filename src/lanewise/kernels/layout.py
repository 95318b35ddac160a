"""How a value of the network lies in memory: (channels, rows, columns) elements of 16 lanes, within a border.

The border holds zeros that nobody writes, so a convolution reads past the edge without testing for it.
Features are (features, 1, 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Self

from lanewise.lanes.program import LANES, Buffer, Recorder

Sides = tuple[int, int, int, int]
"""(top, left, bottom, right)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Shape and border of one value."""

    shape: tuple[int, int, int]
    border: Sides = (0, 0, 0, 0)

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Self:
        """The layout without border for (channels, rows, columns) or (features,)."""
        channels, rows, columns = shape if len(shape) == 3 else (*shape, 1, 1)
        return cls((channels, rows, columns))

    def with_border(self, border: Sides) -> Self:
        """The same with a border at least as wide as `border` on each side."""
        top, left, bottom, right = (max(a, b) for a, b in zip(self.border, border, strict=True))
        return replace(self, border=(top, left, bottom, right))

    @property
    def elements(self) -> int:
        """How many elements without the border."""
        return prod(self.shape)

    @property
    def scalars(self) -> int:
        """How many float32 it takes in memory, border included."""
        top, left, bottom, right = self.border
        channels, rows, columns = self.shape
        return channels * (top + rows + bottom) * (left + columns + right) * LANES

    @property
    def plain(self) -> bool:
        """Whether there is no border, so that the elements follow one another."""
        return self.border == (0, 0, 0, 0)

    def buffer(self, k: Recorder, name: str) -> Buffer:
        """Declare it in a program; indices may reach into the border."""
        top, left, bottom, right = self.border
        return k.lanes(name, self.shape, [(0, 0), (top, bottom), (left, right)])

    def flat(self, k: Recorder, name: str) -> Buffer:
        """Declare it as one row of elements, border included: for work that treats all alike."""
        return k.lanes(name, (self.scalars // LANES,))
