"""How a value of one image lies in memory: blocks of 16 channels, [block][row + border][column + border][lane].

To the kernels that treat all lanes alike (pooling, activations, sums) a block looks like a channel whose lanes are
images, so they are used as they are: `lanes` is the layout that they are given. Lanes past the last channel hold
anything, and nobody reads them. Features are channels of one pixel, (features, 1, 1).

An image of few channels that only weighted sums read, one number at a time, is kept without those idle lanes: its
`width` is its number of channels, and it is a sixteenth as large where an image is grey.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lanewise.kernels.layout import Layout
from lanewise.lanes.program import LANES, Buffer, Index, Recorder


def blocks_of(channels: int) -> int:
    """How many blocks of 16 lanes hold `channels`."""
    return -(-channels // LANES)


@dataclass(frozen=True, slots=True)
class Blocked(Layout):
    """Shape (channels, rows, columns), border, and how many numbers a pixel has in each block."""

    width: int = LANES

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.shape[0] // self.width)

    @property
    def lanes(self) -> Layout:
        """The same memory as lanes of blocks."""
        assert self.width == LANES, "a compact image has no lanes"
        return Layout((self.blocks, *self.shape[1:]), self.border)

    @property
    def scalars(self) -> int:
        """How many float32 it takes in memory, border included."""
        top, left, bottom, right = self.border
        _, rows, columns = self.shape
        return self.blocks * (top + rows + bottom) * (left + columns + right) * self.width

    def buffer(self, k: Recorder, name: str) -> Buffer:
        """Declare it in a program as single numbers, [block, row, column, lane]; indices may reach into the border."""
        top, left, bottom, right = self.border
        _, rows, columns = self.shape
        border = [(0, 0), (top, bottom), (left, right), (0, 0)]
        return k.scalars(name, (self.blocks, rows, columns, self.width), border=border)

    def parts(self, k: Recorder) -> Iterator[tuple[Index, int]]:
        """All blocks in order, as (block, channels in it): a loop over the full ones, then the one that is not."""
        full, rest = divmod(self.shape[0], self.width)
        for block in k.loop(full):
            yield block, self.width
        if rest:
            yield full, rest
