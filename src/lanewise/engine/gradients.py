"""Where the gradients of the parameters lie, and which of them are computed for a whole batch at once.

Each shard sums gradients in a row of its own, and a later phase adds the rows by a fixed tree, into the first. Where
rows of all shards would take too much memory, shards go in *rounds*: the shards of one node of the tree, whose sum is
carried in one row to those of the next. For the weights of a large dense layer, of which each image makes one use only,
writing rows and reading them again is most of the work. So their gradient is *deferred*: the layer's inputs and the
gradients of its outputs are kept for all groups of the batch, from which a later phase computes it slice by slice, in
each slice by the same tree: the same sums in the same order, written once. Frozen parameters have no gradients, so the
update never comes by them. Why, and what it gains: docs/decisions/deferred-gradients.md, shard-tree.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from lanewise.engine.parameters import FlatParameters
from lanewise.engine.schedule import Call, Phase, Place, Section
from lanewise.kernels import dense, optimizers
from lanewise.kernels.shards import nodes
from lanewise.lanes.program import LANES
from lanewise.network.graph import Graph, is_frozen

LARGE = 16384
"""Weights of a dense layer from which on their gradient is deferred. Rows of fewer stay in the cache anyway."""

MOST_PAIRS, FEWEST_SLICES = 4, 4
"""A slice of a deferred gradient is at most so many pairs of vectors of 16 inputs, but leaves work for other
threads."""

ENOUGH = 2**26
"""Bytes of rows from which on shards go in rounds."""

FEWEST_ROWS = 8
"""Shards of a round, at least; and as many as there are threads."""

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the vector of parameters, in scalars, whose gradients lie alike: `rows` of them, the first at
    `place`.

    `positions`, if it is not 0, says that these are the mean and variance of a batch normalisation that has so many
    values for each image and channel: what lies in place of gradients are sums of values and of their squares.
    """

    start: int
    scalars: int
    place: int
    rows: int
    deferred: bool = False
    positions: int = 0


@dataclass(frozen=True, slots=True)
class Deferred:
    """A dense layer whose weights' gradient is deferred: where its operands are kept, by group, where it goes, and the
    weights themselves."""

    inputs: int
    units: int
    x: Place
    dy: Place
    dweight: Place
    weight: Place


@dataclass(frozen=True, slots=True)
class Gradients:
    """The array of all gradients: the deferred ones, then a row of `shared` scalars for each shard of a round, and rows
    that carry the sums of rounds. In the end all gradients of the batch are one stretch, of `summed` scalars.

    Attributes
    ----------
    flat : the vector of parameters
    shards, groups : how many shards are added here, and groups each of them has
    deferred : nodes whose weights' gradient is deferred
    late : how many scalars these have
    shared : the length of a shard's row
    rounds : of the shards, the first and how many, each a node of their tree
    segments : the whole vector but for frozen parameters, in order; updated with their gradients if those are
    `deferred`
    """

    flat: FlatParameters
    shards: int
    groups: int
    deferred: frozenset[int]
    late: int
    shared: int
    rounds: tuple[tuple[int, int], ...]
    segments: tuple[Segment, ...]

    @staticmethod
    def of(graph: Graph, shards: int, groups: int, *, own: int | None = None, threads: int = 1) -> Gradients:
        """Decide which layers are deferred, by shape alone, and lay the gradients out.

        Parameters
        ----------
        graph : Graph
        shards : int
            Of a batch.
        groups : int
            Groups of 16 images of a shard.
        own : int, optional
            How many of the shards are added here; all by default.
        threads : int
            A round leaves a shard for each.
        """
        own = own or shards
        flat = FlatParameters.of(graph)
        late, statistics, apart = set(), set(), []
        for n, (parameter, learns) in enumerate(zip(flat.parameters, graph.trainable, strict=True)):
            if learns and len(parameter.shape) == 2 and _pays(*parameter.shape, shards, groups):
                late.add(n)
            if parameter.is_statistic and not is_frozen(graph.nodes[parameter.node].layer):
                statistics.add(n)
            if n in late or not learns:
                apart.append(n)
        shared = flat.total - sum(flat.size(n) for n in apart if n not in statistics)
        rounds = _rounds(own, 4 * shared, threads)
        rows = _rows(rounds)
        segments, end, in_front, in_row = [], 0, 0, sum(flat.size(n) for n in late)
        for n in apart:
            start, size = flat.starts[n], flat.size(n)
            segments.append(Segment(end, start - end, in_row, rows))
            end, in_row = start + size, in_row + start - end
            if n in late:
                segments.append(Segment(start, size, in_front, 1, deferred=True))
                in_front += size
            elif n in statistics:
                positions = prod(graph.nodes[flat.parameters[n].node].shape[1:])
                if flat.parameters[n].role == "mean":  # and its variance, which comes next
                    segments.append(Segment(start, 2 * size, in_row, rows, positions=positions))
                in_row += size
        segments.append(Segment(end, flat.total - end, in_row, rows))
        deferred = frozenset(flat.parameters[n].node for n in late)
        kept = tuple(s for s in segments if s.scalars)
        return Gradients(flat, own, groups, deferred, in_front, shared, rounds, kept)

    @property
    def scalars(self) -> int:
        """The length of the array."""
        return sum(segment.rows * segment.scalars for segment in self.segments)

    @property
    def summed(self) -> int:
        """How many scalars, from the first on, hold the gradients of the batch when all are added."""
        return self.late + self.shared

    def carried(self, number: int) -> tuple[tuple[int, ...], int]:
        """The rows that a round adds to its sum, and the row that the sum goes to: like carries of a binary number."""
        if number == len(self.rounds) - 1:
            return tuple(range(_rows(self.rounds) - self._levels, _rows(self.rounds))), 0
        levels = 0
        while number >> levels & 1:
            levels += 1
        first = _rows(self.rounds) - self._levels
        return tuple(range(first, first + levels)), first + levels

    @property
    def _levels(self) -> int:
        return len(self.rounds).bit_length() - 1

    @property
    def accumulate(self) -> bool:
        """Whether a group adds to its shard's row, for the shard has other groups too."""
        return self.groups > 1

    @property
    def row(self) -> Place:
        """Where a shard's row starts; the shard is the task."""
        return Place("gradients", 4 * self.late, by_task=4 * self.shared)

    @property
    def images(self) -> int:
        """How many images there is room for."""
        return self.shards * self.groups * LANES

    def places(self, parameters: Iterable[int]) -> list[Place]:
        """Where the gradients of some parameters go: into the shard's row, or before the rows if they are deferred."""
        places = []
        for start in (self.flat.starts[number] for number in parameters):
            segment = next(s for s in self.segments if s.start <= start < s.start + s.scalars)
            offset = segment.place + start - segment.start
            places.append(Place("gradients", 4 * offset, by_task=0 if segment.deferred else self.row.by_task))
        return places

    def kept(self, offset: int, elements: int) -> Place:
        """Where a group keeps `elements` of 16 lanes; `offset` bytes are taken already."""
        size = 4 * LANES * elements
        return Place("kept", offset, by_task=size * self.groups, by_repeat=size)

    def total(self, array: Array) -> Array:
        """The vector of gradients, when all are added; zeros for statistics."""
        vector = np.zeros(self.flat.total, np.float32)
        for segment in self.segments:
            if not segment.positions:
                vector[segment.start :][: segment.scalars] = array[segment.place :][: segment.scalars]
        return vector


def _rounds(shards: int, row: int, threads: int) -> tuple[tuple[int, int], ...]:
    """The shards in rounds, as few as memory allows, whose rows have so many bytes."""
    depth, fewest = 0, max(FEWEST_ROWS, threads)
    while row * (shards >> depth) > ENOUGH and fewest <= shards >> depth + 1:
        depth += 1
    return tuple(nodes(shards, depth))


def _rows(rounds: Sequence[tuple[int, int]]) -> int:
    """How many rows the shards of a round need, and those that carry sums."""
    return max(count for _, count in rounds) + len(rounds).bit_length() - 1


def _pays(units: int, inputs: int, shards: int, groups: int) -> bool:
    """Whether a layer's gradients are deferred: it is large, and less is kept than rows are saved.

    With one shard no row is saved, but several threads have something to do.
    """
    kept = shards * groups * LANES * (inputs + units)
    return units * inputs >= LARGE and kept < max(1, shards - 1) * units * inputs


def clear_kept(layers: Sequence[Deferred]) -> tuple[Call, ...]:
    """What is done for a group that a step does not have: its operands are zero, and add nothing."""
    kept = {(place, size) for d in layers for place, size in ((d.x, dense.padded(d.inputs)), (d.dy, d.units))}
    ordered = sorted(kept, key=lambda entry: entry[0].offset)
    return tuple(Call(optimizers.zero(LANES * size), (place,)) for place, size in ordered)


def shard_phase(
    layout: Gradients, calls: tuple[Call, ...], deferred: Sequence[Deferred], first: int, shards: int
) -> Phase:
    """The passes of a round's shards, whose gradients start as zeros, unless a shard is one group, which writes them.

    Parameters
    ----------
    layout : Gradients
    calls : tuple of Call
        What is done for a group.
    deferred : sequence of Deferred
    first, shards : int
        The first of the round, and how many it has.
    """
    groups, before = layout.groups, first * layout.groups
    clear = Call(optimizers.zero(layout.shared), (layout.row,))
    start = Section((clear,), groups="all" if layout.accumulate else "absent", before=before)
    sections = [start, Section(_later(calls, first), groups, "present", before=before)]
    if deferred:
        sections.append(Section(_later(clear_kept(deferred), first), groups, "absent", before=before))
    return Phase(shards, tuple(sections))


def _later(calls: tuple[Call, ...], shards: int) -> tuple[Call, ...]:
    """The same calls for shards that come so many later; each round uses the same rows of gradients."""

    def later(place: Place) -> Place:
        if not shards or place.base == "gradients":
            return place
        return replace(place, offset=place.offset + shards * place.by_task)

    return tuple(replace(call, places=tuple(map(later, call.places))) for call in calls)


@dataclass(frozen=True, slots=True)
class Slice:
    """So many scalars of each of a layer's `rows` of weights, `total` apart, and where they and their gradient
    start."""

    rows: int
    scalars: int
    total: int
    weight: Place
    dweight: Place


class Squares:
    """Where tasks write the sums of squares of what they have of the gradient: 16 lanes each, one after the other."""

    def __init__(self) -> None:
        self.parts = 0

    def of(self, tasks: int) -> Place:
        """Where so many more tasks write theirs."""
        place = Place("squares", 4 * LANES * self.parts, by_task=4 * LANES)
        self.parts += tasks
        return place


def gradient_slices(
    gradients: Gradients, layers: Iterable[Deferred], registers: int, squares: Squares | None
) -> Iterator[tuple[int, Call, Slice]]:
    """What is done behind all groups' passes: tasks alike, what each calls for its gradient, and what that is of.

    Parameters
    ----------
    gradients : Gradients
    layers : sequence of Deferred
    registers : int
        How many values of 16 lanes the target's registers hold.
    squares : Squares or None
        Where sums of squares go, if they are taken at once.
    """
    for layer in layers:
        vectors = dense.padded(layer.inputs) // LANES
        pairs = vectors // 2
        width = 2 * even(pairs, max(1, min(MOST_PAIRS, pairs // FEWEST_SLICES))) or 1
        for first, size, count in pieces(vectors, width):
            program = dense.backward_weight_slice(
                layer.inputs,
                layer.units,
                size,
                gradients.shards,
                gradients.groups,
                registers=registers,
                squares=squares is not None,
            )
            step = 4 * LANES * size
            weight, dweight = (
                Place(place.base, place.offset + 4 * LANES * first, by_task=step)
                for place in (layer.weight, layer.dweight)
            )
            places = (
                Place("kept", layer.x.offset + 4 * LANES * LANES * first, by_task=LANES * step),
                Place("kept", layer.dy.offset),
                Place("scratch", by_thread=4 * program.buffers[2].scalars),  # as long for all layers of a batch
                dweight,
                *(() if squares is None else (squares.of(count),)),
            )
            part = Slice(layer.units, LANES * size, dense.padded(layer.inputs), weight, dweight)
            yield count, Call(program, places), part


def even(count: int, most: int) -> int:
    """How large pieces of `count` should be: all alike, and from half of `most` to `most`, if that can be."""
    most = min(most, count)
    return next((size for size in range(most, most // 2, -1) if count % size == 0), most)


def pieces(count: int, size: int) -> Iterator[tuple[int, int, int]]:
    """`count` in pieces of `size`, and a smaller one for the rest, if any: (first, size, how many)."""
    if count >= size:
        yield 0, size, count // size
    if count % size:
        yield count - count % size, count % size, 1
