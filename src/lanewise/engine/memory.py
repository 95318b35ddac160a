"""One arena of memory a thread: which value lies where, planned before anything runs.

A value with a border needs zeros there. It has a place of its own, whose border is written once, when the arena is
made; or, where this saves much memory, places are shared, and the border is cleared before the value is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lanewise.engine.schedule import Call, Place
from lanewise.kernels.border import clear
from lanewise.kernels.layout import Layout
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

SMALL, LARGE = 2**18, 2**26  # bytes: fits a second cache beside the weights; fits no cache


@dataclass(frozen=True, slots=True)
class Block:
    """Memory that is needed from call number `first` to call number `last`.

    A `lasting` block shares its place with nobody.
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


def worth_sharing(apart: int, shared: int) -> bool:
    """Whether values with a border share places in an arena of so many bytes, as it has so many then.

    Half the memory is worth the time that clearing takes, and in an arena past all caches any memory saved is.
    """
    return apart > SMALL and (2 * shared <= apart or apart > LARGE)


def placed(
    calls: Sequence[SlotCall],
    fixed: Mapping[Slot, Place],
    size_of: Callable[[Slot], int],
    border_of: Callable[[Slot], Layout | None],
    *,
    shared: bool = False,
) -> tuple[list[tuple[Call, ...]], int]:
    """Each call with all slots turned into addresses, behind those that clear borders for it; and the arena's size.

    The size is in bytes, for a thread unless all share one.

    Parameters
    ----------
    calls : sequence of SlotCall, in the order in which they are made
    fixed : slots that lie elsewhere
    size_of : function that says how many float32 a slot takes
    border_of : function that gives the layout of a slot that has a border
    shared : bool
        Whether all threads use one arena.
    """
    named = [dict.fromkeys(slot for where in places if (slot := _slot_of(where)) is not None) for _, places in calls]
    uses: dict[Slot, list[int]] = {}
    for number, own in enumerate(named):
        for slot in own:
            if slot not in fixed:
                uses.setdefault(slot, []).append(number)
    slots = sorted(uses)
    bordered = {slot: layout for slot in slots if (layout := border_of(slot)) is not None}
    blocks = [Block(4 * size_of(slot), uses[slot][0], uses[slot][-1], slot in bordered) for slot in slots]
    starts, size = place(blocks)
    sharing = [replace(block, lasting=False) for block in blocks]
    shared_starts, shared_size = place(sharing)
    if worth_sharing(size, shared_size):
        blocks, starts, size = sharing, shared_starts, shared_size
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

    to_clear: dict[int, list[Call]] = {}
    for number, slot in enumerate(slots):
        if slot in bordered and _shares(number, blocks, starts):
            to_clear.setdefault(uses[slot][0], []).append(Call(clear(bordered[slot]), (addresses[slot],)))
    made = [Call(program, tuple(map(address, places))) for program, places in calls]
    return [(*to_clear.get(number, ()), call) for number, call in enumerate(made)], size


def _slot_of(where: Where) -> Slot | None:
    """Whose memory it is, if it has a name."""
    if isinstance(where, Place):
        return None
    return where.slot if isinstance(where, Moved) else where


def _shares(number: int, blocks: Sequence[Block], starts: Sequence[int]) -> bool:
    """Whether any other block has bytes where this one is."""
    first, end = starts[number], starts[number] + blocks[number].size
    return any(
        other != number and starts[other] < end and first < starts[other] + blocks[other].size
        for other in range(len(blocks))
    )
