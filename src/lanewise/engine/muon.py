"""The update of matrices by Muon (`kernels/muon.py`): which parameters these are, and what a task does for each.

A task has a matrix from its gradient to its new weights, in memory of its thread. So threads share matrices, not parts
of them: the largest takes as long as it takes, however many there are.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from math import prod

from lanewise.engine.parameters import FlatParameters
from lanewise.engine.schedule import Call, Place
from lanewise.kernels import muon
from lanewise.kernels.dense import padded
from lanewise.network.graph import Graph
from lanewise.network.layers import Conv2D

SCRATCH = "muon"
"""The array of what lies between two kernels of a task."""


OTHERS = 10 / 3
"""The learning rate of all other parameters, which SGD updates, in multiples of that of matrices."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """The weights of a convolution: which parameter they are, where they start in the vector, and their shape."""

    number: int
    start: int
    filters: int
    rest: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Scalars of X, of X' or O, and of four matrices like A."""
        n = muon.smaller(self.filters, self.rest)
        turned = padded(self.rest) * padded(self.filters)
        return self.filters * padded(self.rest), turned, *([n * padded(n)] * 4)


def matrices(graph: Graph) -> tuple[Matrix, ...]:
    """The weights that Muon updates, largest first: of convolutions that are trained, but for the last layer of
    weights, whose rows are classes, and for those whose filters see different channels."""
    flat = FlatParameters.of(graph)
    weights = [n for n, parameter in enumerate(flat.parameters) if parameter.role == "weight"]
    found = []
    for n in weights[:-1]:
        layer, (filters, *rest) = graph.nodes[flat.parameters[n].node].layer, flat.parameters[n].shape
        if graph.trainable[n] and isinstance(layer, Conv2D) and layer.groups == 1:
            found.append(Matrix(n, flat.starts[n], filters, prod(rest)))
    return tuple(sorted(found, key=lambda matrix: -sum(matrix.sizes)))


def fitting(optimizer: str, graph: Graph) -> str:
    """The optimizer of that name, but SGD for a network without any weights that Muon would update."""
    return "sgd" if optimizer == "muon" and not matrices(graph) else optimizer


def scratch(found: Iterable[Matrix]) -> int:
    """Scalars that each thread needs."""
    return max((sum(matrix.sizes) for matrix in found), default=0)


@dataclass(frozen=True, slots=True)
class Task:
    """What is done for a matrix.

    Attributes
    ----------
    matrix : Matrix
    by_thread : how far the memory of threads is apart, in scalars
    registers : how many values of 16 lanes the target's registers hold
    nesterov : bool
    """

    matrix: Matrix
    by_thread: int
    registers: int
    nesterov: bool

    def calls(
        self, parameters: Place, velocity: Place, gradients: Place, hyper: Place, clipped: Place
    ) -> Iterator[Call]:
        """All of it, in order.

        Parameters
        ----------
        parameters, velocity, gradients : Place
            Of the matrix.
        hyper, clipped : Place
            As for other updates.
        """
        filters, rest = self.matrix.filters, self.matrix.rest
        x, other, a, *free = self._areas()
        yield Call(muon.direction(filters, rest, self.nesterov), (velocity, gradients, hyper, clipped, x))
        wide = filters <= rest
        yield Call(muon.gram(filters, rest, registers=self.registers), (x, *([other] if wide else []), a))
        q = yield from self._newton_schulz(a, free)
        if wide:
            yield Call(muon.product(filters, filters, rest, registers=self.registers), (q, x, other))
        else:
            yield Call(muon.product(filters, rest, rest, registers=self.registers), (x, q, other))
        yield Call(muon.step(filters, rest), (parameters, other, hyper))

    def _areas(self) -> list[Place]:
        """Where X, X' or O, A and three more matrices like A are."""
        places, end = [], 0
        for size in self.matrix.sizes:
            places.append(Place(SCRATCH, 4 * end, by_thread=4 * self.by_thread))
            end += size
        return places

    def _newton_schulz(self, a: Place, free: list[Place]) -> Generator[Call, None, Place]:
        """The iteration of A, with three more places for matrices; returns where Q is."""
        n = muon.smaller(self.matrix.filters, self.matrix.rest)
        polynomial = muon.polynomial(n, registers=self.registers)
        product = muon.product(n, n, n, registers=self.registers)
        q = None
        for last in (*[False] * (muon.STEPS - 1), True):
            p = free.pop()
            yield Call(polynomial, (a, p))
            if q is None:
                q = p
            else:
                before, q = q, free.pop()
                yield Call(product, (p, before, q))
                free.append(before)
            if not last:
                between = free.pop()
                yield Call(product, (p, a, between))
                yield Call(product, (between, p, a))
                free.append(between)
            if q is not p:
                free.append(p)
        assert q is not None
        return q
