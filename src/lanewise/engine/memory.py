"""One arena of memory a thread: which value lies where, planned before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64  # bytes: one 16-lane value, one cache line


@dataclass(frozen=True, slots=True)
class Block:
    """Memory that is needed from call number `first` to call number `last`.

    A `lasting` block shares its place with nobody: it has a border of zeros, written once, when the arena is made.
    """

    size: int  # bytes
    first: int
    last: int
    lasting: bool = False


def place(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """Where each block starts, and the size of the arena, both in bytes.

    Largest blocks first, each at the lowest place where it meets no block that is alive at the same time.
    """
    starts = [0] * len(blocks)
    placed: list[int] = []
    for number in sorted(range(len(blocks)), key=lambda n: (-blocks[n].size, n)):
        block = blocks[number]
        size = -(-block.size // ALIGNMENT) * ALIGNMENT
        start = 0
        for other in sorted((n for n in placed if _together(block, blocks[n])), key=lambda n: starts[n]):
            if start + size <= starts[other]:
                break
            start = max(start, starts[other] + -(-blocks[other].size // ALIGNMENT) * ALIGNMENT)
        starts[number] = start
        placed.append(number)
    end = max((starts[n] + blocks[n].size for n in placed), default=0)
    return starts, -(-end // ALIGNMENT) * ALIGNMENT


def _together(a: Block, b: Block) -> bool:
    return a.lasting or b.lasting or (a.first <= b.last and b.first <= a.last)
