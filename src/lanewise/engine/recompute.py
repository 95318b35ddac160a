"""Values that are computed again in the backward pass, instead of being kept since the forward pass.

A batch normalisation keeps what it reads, for its own gradient; what it leaves, which the next convolution needs for
its gradient, is one pass over that away. Where the arena is past all caches, and memory is what limits the size of
images and batches, such values are given up when the forward pass has used them, and are made once more just before
the backward pass asks for them: by the same operations on the same numbers, so with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lanewise.engine.memory import Slot, SlotCall, Where

ENOUGH = 0.9
"""Values are made again only if the arena then has at most this share of its size."""


def again(slot: Slot) -> Slot:
    """Where a value lies the second time."""
    return f"{slot[0]} again", slot[1]


def recomputed(calls: Sequence[SlotCall], cheap: Mapping[Slot, SlotCall], turn: int) -> list[SlotCall]:
    """The calls, with others between them that make values once more.

    Parameters
    ----------
    calls : sequence of SlotCall
    cheap : mapping of Slot to SlotCall, in the order of the forward pass
        For some values the call that makes it once more, without side effects. A value is left alone if what its call
        reads would have to be kept longer for it.
    turn : int
        The number of calls of the forward pass.
    """
    late = {where for _, places in calls[turn:] for where in places if isinstance(where, tuple)}
    chosen: dict[Slot, SlotCall] = {}
    for slot, call in cheap.items():
        sources = [where for where in call[1] if isinstance(where, tuple) and where != slot]
        if all(source in late or source in chosen for source in sources):
            chosen[slot] = call
    made: set[Slot] = set()
    result = list(calls[:turn])

    def renamed(call: SlotCall) -> SlotCall:
        """The call with the names of the second time, behind those that make what it reads."""
        places: list[Where] = []
        for where in call[1]:
            if isinstance(where, tuple) and where in chosen:
                if where not in made:
                    made.add(where)
                    result.append(renamed(chosen[where]))
                where = again(where)
            places.append(where)
        return call[0], tuple(places)

    for call in calls[turn:]:
        changed = renamed(call)
        result.append(changed)
    return result
