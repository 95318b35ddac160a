"""What a step does behind the passes of all shards: gradients added up, their norm, the update.

    sums       slices of large dense layers' gradients; elsewhere the shards' added; the squares of both
    exchange   with other ranks, if there are any: their sums added, then the squares
    update     the norm of the whole gradient, the factor that clips it, and by it each slice and chunk
    average    perhaps a moving average of the parameters

All tasks of a phase are independent of one another, and the order of sums does not depend on who runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from lanewise.engine.gradients import Deferred, Gradients, Segment, Slice, Squares, even, gradient_slices, pieces
from lanewise.engine.muon import Matrix, Task, scratch
from lanewise.engine.parameters import CHUNK
from lanewise.engine.schedule import Call, Phase, Place, Section
from lanewise.kernels import batchnorm, optimizers
from lanewise.lanes.program import LANES, Program

AVERAGE = "average"
"""The array of the moving average of the parameters. What is frozen is its own average."""

HYPER = Place("hyper", by_step=4 * optimizers.HYPER)
"""What updates take from their step: its learning rate, and more."""

CLIPPED = Place("clipped", by_thread=4 * optimizers.CLIPPED)
"""Where each thread has the norm of the gradient, and the factor that clips it."""

MOST_CHUNKS = 64
"""About how many chunks the vector of parameters has at most, as each update adds up what all have of the norm."""


@dataclass(frozen=True, slots=True)
class Update:
    """The phases of the update.

    Attributes
    ----------
    layout : Gradients
    states : names of the arrays of the optimizer's state
    program : callable
        The kernel of the optimizer, for so many scalars of each of some rows (0 for a stretch of the vector), which are
        so far apart; and with rates of their own or without.
    own_rates : whether parameters have rates of their own
    exchange : callable or None
        What adds the gradients of other ranks to ours.
    matrices : tuple of Matrix
        What Muon updates; the program has all the rest.
    nesterov : whether Muon's momentum looks ahead
    squares : where the sums of squares are written
    """

    layout: Gradients
    states: tuple[str, ...]
    program: Callable[[int, int, int, bool], Program]
    own_rates: bool
    exchange: Callable[[], None] | None = None
    matrices: tuple[Matrix, ...] = ()
    nesterov: bool = True
    squares: Squares = field(default_factory=Squares)

    def phases(self, deferred: Sequence[Deferred], registers: int, *, average: bool) -> Iterator[Phase]:
        """All of them, in order.

        Parameters
        ----------
        deferred : sequence of Deferred
            Layers whose gradient is computed here.
        registers : int
            How many values of 16 lanes the target's registers hold.
        average : bool
            Whether a moving average is kept.
        """
        alone = self.exchange is None
        slices = list(gradient_slices(self.layout, deferred, registers, self.squares if alone else None))
        last = len(self.layout.rounds) - 1
        yield Phase.of_kinds([*((count, (gradient,)) for count, gradient, _ in slices), *self.sums(last)])
        if self.exchange is not None:
            yield Phase(1, (), self.exchange)
            yield Phase.of_kinds([*self._squares([(count, part) for count, _, part in slices])])

        # Each task works the factor out anew: that takes less than all waiting for one task to do it.
        updates = [(count, self._slice(part)) for count, _, part in slices]
        updates += [update for segment in self.layout.segments for update in self._stretches(segment)]
        yield Phase.of_kinds(
            [
                *((1, (self._clip(CLIPPED), *self._matrix(matrix, registers))) for matrix in self.matrices),
                *((count, (self._clip(CLIPPED), update)) for count, update in updates),
                *((1, (self._statistics(segment),)) for segment in self.layout.segments if segment.positions),
                (1, (self._clip(Place("norms", by_step=4 * optimizers.CLIPPED)),)),
            ]
        )
        if average:
            places = tuple(Place(name, by_task=4 * CHUNK) for name in (AVERAGE, "parameters"))
            call = Call(optimizers.average(CHUNK), (*places, HYPER))
            yield Phase(self.layout.flat.total // CHUNK, (Section((call,)),))

    def _clip(self, place: Place) -> Call:
        return Call(optimizers.clip(self.squares.parts), (Place("squares"), HYPER, place))

    def _chunks(self, segment: Segment, *, rest: bool = False) -> Iterator[tuple[int, int, int]]:
        """A segment of the vector in chunks: the first scalar of some alike, how long each is, and how many they are.

        None of one whose gradients are computed at once, or that has none. Large vectors have longer chunks, not more.

        Parameters
        ----------
        segment : Segment
        rest : bool
            Only what is no matrix of Muon's.
        """
        if segment.deferred or segment.positions:
            return
        most = CHUNK // LANES * -(-self.layout.flat.total // (MOST_CHUNKS * CHUNK))
        apart = sorted((m.start, m.start + self.layout.flat.size(m.number)) for m in self.matrices if rest)
        end = segment.start + segment.scalars
        inside = [stretch for stretch in apart if segment.start <= stretch[0] < end]
        edges = [segment.start, *(edge for stretch in inside for edge in stretch), end]
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            vectors = (stop - start) // LANES
            if vectors:
                for first, chunk, count in pieces(stop - start, LANES * even(vectors, most)):
                    yield start - segment.start + first, chunk, count

    def sums(self, number: int) -> Iterator[tuple[int, tuple[Call, ...]]]:
        """The gradients of a round's shards added, for all parameters whose gradients are not computed at once.

        Parameters
        ----------
        number : int
            Of the round; the last one has the sum of all, and its squares.
        """
        (_, shards), (carried, into) = self.layout.rounds[number], self.layout.carried(number)
        squares = self.exchange is None and number == len(self.layout.rounds) - 1
        for segment in self.layout.segments:
            for first, chunk, count in self._chunks(segment):
                places = [Place("gradients", 4 * (segment.place + first), by_task=4 * chunk)]
                places += [self.squares.of(count)] if squares else []
                program = optimizers.sum_shards(chunk, shards, self.layout.shared, carried, into, squares)
                yield count, (Call(program, tuple(places)),)
            if segment.positions and (shards > 1 or carried or into):
                place = Place("gradients", 4 * segment.place)
                program = optimizers.sum_shards(segment.scalars, shards, self.layout.shared, carried, into, False)
                yield 1, (Call(program, (place,)),)

    def _squares(self, slices: Sequence[tuple[int, Slice]]) -> Iterator[tuple[int, tuple[Call, ...]]]:
        """The squares of gradients that were added elsewhere, too; in the order in which `sums` takes them."""
        for count, part in slices:
            program = optimizers.sum_squares(part.rows, part.scalars, part.total)
            yield count, (Call(program, (part.dweight, self.squares.of(count))),)
        for segment in self.layout.segments:
            for first, chunk, count in self._chunks(segment):
                place = Place("gradients", 4 * (segment.place + first), by_task=4 * chunk)
                program = optimizers.sum_shards(chunk, 1, self.layout.shared)
                yield count, (Call(program, (place, self.squares.of(count))),)

    def _statistics(self, segment: Segment) -> Call:
        """The update of the running mean and variance of a batch normalisation."""
        half = segment.scalars // 2
        places = [Place("parameters", 4 * (segment.start + n * half)) for n in range(2)]
        places += [Place("gradients", 4 * (segment.place + n * half)) for n in range(2)]
        return Call(batchnorm.update_statistics(half, segment.positions), (*places, HYPER))

    def _stretches(self, segment: Segment) -> Iterator[tuple[int, Call]]:
        """Updates of a segment of the vector: how many chunks alike, and the call."""
        for first, chunk, count in self._chunks(segment, rest=True):

            def place(base: str, start: int, by_task: int = 4 * chunk) -> Place:
                return Place(base, 4 * start, by_task=by_task)

            at = segment.start + first
            places = [place(base, at) for base in ("parameters", *self.states)]
            places += [place("gradients", segment.place + first), place("decay", at), HYPER, CLIPPED]
            if self.own_rates:
                places.append(place("rates", at))
            yield count, Call(self.program(chunk, 0, 0, self.own_rates), tuple(places))

    def _matrix(self, matrix: Matrix, registers: int) -> Iterator[Call]:
        """The update of a matrix by Muon; its gradient lies in the first row."""
        (gradients,) = self.layout.places([matrix.number])
        parameters, velocity = (Place(base, 4 * matrix.start) for base in ("parameters", *self.states))
        task = Task(matrix, scratch(self.matrices), registers, self.nesterov)
        return task.calls(parameters, velocity, Place("gradients", gradients.offset), HYPER, CLIPPED)

    def _slice(self, part: Slice) -> Call:
        """The update of a part of a matrix of weights."""
        states = [replace(part.weight, base=base) for base in self.states]
        places = (part.weight, *states, part.dweight, HYPER, CLIPPED)
        return Call(self.program(part.scalars, part.rows, part.total, False), places)
