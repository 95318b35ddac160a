"""How a layer of a network for one image is cut into parts that threads compute at the same time.

A part is a stretch of the output along one axis: rows, positions or blocks of 16 channels. Each output is summed by one
thread, in its own order, so bits do not depend on how many threads there are. To a kernel a part is a value of its own
that has fewer rows or blocks, in the memory of the whole one: kernels know nothing of parts. Parts are as even as can
be, so a layer has at most two or three sizes of them, and as many kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import isqrt

from lanewise.engine.memory import Moved, SlotCall, Where
from lanewise.engine.schedule import Call, Phase, Place, Section
from lanewise.kernels.single.blocked import Blocked
from lanewise.lanes.program import LANES
from lanewise.network.graph import Graph
from lanewise.network.summary import summary

LEAST = 10_000
"""Work of a part at least, in multiply-adds of 16 lanes: about 3 us, as long as threads take to meet twice."""

ENOUGH = 500_000
"""Work of a network, likewise, for the square of its threads: T of them compute for a T-th of the time, but start one
after the other. Two threads are started in a tenth of the time of the smallest network that they share."""

WORK_OF_A_VALUE, WORK_OF_READING = 3, 4
"""What it costs to read and write 16 lanes that nothing much is done with; to read them from another core's cache."""

VECTOR = 4 * LANES  # bytes

Kind = tuple[int, SlotCall]
"""Tasks of one kind: how many, and what each of them calls."""


def worth(graph: Graph, threads: int, *, views: int = 1) -> int:
    """How many threads a network has work for.

    Parameters
    ----------
    graph : Graph
    threads : int
        That there are.
    views : int
        How often it looks at an image.
    """
    work = views * sum(layer.multiply_adds for layer in summary(graph)) // LANES
    return max(1, min(threads, isqrt(work // ENOUGH)))


def sharing(threads: int, work: int) -> int:
    """How many of so many threads share a layer's work, in multiply-adds of 16 lanes."""
    return max(1, min(threads, work // LEAST))


@dataclass(frozen=True, slots=True)
class Part:
    """`count` parts of `size`, one behind the other from `first` on."""

    first: int
    size: int
    count: int = 1

    def move(self, place: Where, unit: int) -> Where:
        """Where the parts of what lies there start, each position being `unit` bytes behind the one before."""
        offset, by_task = self.first * unit, self.size * unit
        if isinstance(place, Place | Moved):
            return replace(place, offset=place.offset + offset, by_task=by_task)
        return Moved(place, offset, by_task=by_task)

    def filters(self) -> list[slice]:
        """Which filters the parts have, where positions are blocks of 16."""
        starts = [(self.first + n * self.size) * LANES for n in range(self.count)]
        return [slice(start, start + self.size * LANES) for start in starts]


def cut(size: int, parts: int, unit: int = 1) -> list[Part]:
    """Cover 0 .. size - 1 by so many parts, each but the last of whole units; fewer if there are fewer units.

    Parameters
    ----------
    size, parts : int
    unit : int
        What is not to be cut.
    """
    units = -(-size // unit)
    parts = min(parts, units)
    sizes = [(units // parts + (n < units % parts)) * unit for n in range(parts)]
    sizes[-1] -= units * unit - size
    found, first = [], 0
    for length, group in groupby(sizes):
        count = len(list(group))
        found.append(Part(first, length, count))
        first += length * count
    return found


def cheaper(parts: Sequence[Part], others: Sequence[Part], work: int, weights: int, values: int) -> bool:
    """Whether parts of a layer's filters take less time than `others` of its positions.

    All read the weights of their filters, and the values that their positions see.

    Parameters
    ----------
    parts, others : sequence of Part
    work : int
        Multiply-adds of 16 lanes.
    weights, values : int
        How much there is to read, in vectors.
    """
    share, other = (max(p.size for p in each) / sum(p.size * p.count for p in each) for each in (parts, others))
    by_filters = work * share + WORK_OF_READING * (weights * share + values)
    return by_filters < work * other + WORK_OF_READING * (weights + values * other)


def phases_of(steps: Sequence[Sequence[Kind]], calls: Iterable[tuple[Call, ...]]) -> tuple[Phase, ...]:
    """Steps as phases; those that nobody shares one behind the other, so that the threads meet but once.

    Nobody reads the border of what a step makes before it is over, so it is cleared by a task beside the others.

    Parameters
    ----------
    steps : the kinds of tasks of each
    calls : for each of these kinds in order, calls that clear borders and then its own
    """
    phases, coming = [], iter(calls)
    for alone, group in groupby(steps, key=lambda step: sum(tasks for tasks, _ in step) == 1):
        if alone:
            phases.append(Phase(1, (Section(tuple(call for _ in group for call in next(coming))),)))
            continue
        for step in group:
            own = [next(coming) for _ in step]
            kinds = [(tasks, each[-1:]) for (tasks, _), each in zip(step, own, strict=True)]
            phases.append(Phase.of_kinds([*kinds, *((1, (clear,)) for each in own for clear in each[:-1])]))
    return tuple(phases)


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a layout: how many positions it has, how many bytes apart, and what a kernel is told of a part."""

    size: Callable[[Blocked], int]
    step: Callable[[Blocked], int]
    part: Callable[[Blocked, Part], Blocked]

    def move(self, part: Part, place: Where, layout: Blocked, stride: int = 1) -> Where:
        """Where the parts start in a value.

        Parameters
        ----------
        part : Part
            Of what the layer makes.
        place : Slot, Place or Moved
            Where the value is.
        layout : Blocked
            How it lies.
        stride : int
            How many positions of the value there are for one of the part.
        """
        return part.move(place, stride * self.step(layout))


def _rows(layout: Blocked, part: Part) -> Blocked:
    top, left, bottom, right = layout.border
    channels, rows, columns = layout.shape
    return replace(layout, shape=(channels, part.size, columns), border=(top, left, bottom + rows - part.size, right))


def _columns(layout: Blocked, part: Part) -> Blocked:
    top, left, bottom, right = layout.border
    channels, rows, columns = layout.shape
    return replace(layout, shape=(channels, rows, part.size), border=(top, left, bottom, right + columns - part.size))


def _row_bytes(layout: Blocked) -> int:
    return 4 * (layout.border[1] + layout.shape[2] + layout.border[3]) * layout.width


ROWS = Axis(lambda layout: layout.shape[1], _row_bytes, _rows)
COLUMNS = Axis(lambda layout: layout.shape[2], lambda layout: 4 * layout.width, _columns)
BLOCKS = Axis(
    lambda layout: layout.blocks,
    lambda layout: 4 * layout.scalars // layout.blocks,
    lambda layout, part: replace(layout, shape=(part.size * LANES, *layout.shape[1:])),
)
