"""One arena of memory a thread: which value lies where, planned before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lanewise.engine.schedule import Call, Place
from lanewise.lanes.program import Program

Slot = tuple[str, int]
"""Memory of the arena by what is in it, like ("value", number of the value)."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Memory behind the start of a slot, by so many bytes more for each thread and task, as in `Place`."""

    slot: Slot
    offset: int = 0
    by_thread: int = 0
    by_task: int = 0


Where = Slot | Place | Moved

SlotCall = tuple[Program, tuple[Where, ...]]
"""A kernel and where its buffers are, by name or for good."""

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


def placed(
    calls: Sequence[SlotCall],
    fixed: Mapping[Slot, Place],
    size_of: Callable[[Slot], tuple[int, bool]],
    *,
    shared: bool = False,
) -> tuple[tuple[Call, ...], int]:
    """The calls with all slots turned into addresses, and the bytes of arena that a thread needs.

    Parameters
    ----------
    calls : sequence of SlotCall, in the order in which they are made
    fixed : slots that lie elsewhere
    size_of : function that says how many float32 a slot takes, and whether it is lasting
    shared : bool
        Whether all threads use one arena.
    """
    uses: dict[Slot, list[int]] = {}
    for number, (_, places) in enumerate(calls):
        for where in places:
            slot = where.slot if isinstance(where, Moved) else where
            if not isinstance(slot, Place) and slot not in fixed:
                uses.setdefault(slot, []).append(number)
    slots = sorted(uses)
    blocks = []
    for slot in slots:
        scalars, lasting = size_of(slot)
        blocks.append(Block(4 * scalars, min(uses[slot]), max(uses[slot]), lasting))
    starts, size = place(blocks)
    by_thread = 0 if shared else size
    addresses = {s: Place("arena", n, by_thread=by_thread) for s, n in zip(slots, starts, strict=True)} | dict(fixed)

    def address(p: Where) -> Place:
        if isinstance(p, Place):
            return p
        if not isinstance(p, Moved):
            return addresses[p]
        start = addresses[p.slot]
        by_thread = start.by_thread + p.by_thread
        return replace(start, offset=start.offset + p.offset, by_thread=by_thread, by_task=p.by_task)

    return tuple(Call(program, tuple(map(address, places))) for program, places in calls), size
