"""All parameters of a network in one flat float32 vector, and back.

Each array starts on a multiple of 16 scalars; rows of dense weights are padded to vectors. The padding is zero and
stays so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from lanewise.kernels import dense
from lanewise.lanes.program import LANES
from lanewise.network.graph import Graph, Parameter

CHUNK = 2048
"""Scalars that one task of the update works on at most; the vector's length is a multiple of it."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FlatParameters:
    """Where each parameter of a graph starts in the vector (`starts`), and the vector's length (`total`)."""

    parameters: tuple[Parameter, ...]
    starts: tuple[int, ...]
    total: int

    @staticmethod
    def of(graph: Graph) -> FlatParameters:
        """Lay out the parameters of `graph` in their order."""
        starts, end = [], 0
        for parameter in graph.parameters:
            starts.append(end)
            end += _vectors(parameter) * LANES
        return FlatParameters(graph.parameters, tuple(starts), max(1, -(-end // CHUNK)) * CHUNK)

    def size(self, number: int) -> int:
        """How many scalars parameter `number` takes, all padding included."""
        return _vectors(self.parameters[number]) * LANES

    def pack(self, arrays: Sequence[Floats]) -> Floats:
        """The vector that holds `arrays`, given in the order and shapes of `graph.parameters`."""
        flat = np.zeros(self.total, np.float32)
        for view, array in zip(self.views(flat), arrays, strict=True):
            view[...] = array
        return flat

    def unpack(self, flat: Floats) -> list[Floats]:
        """The arrays that `flat` holds, copied."""
        return [view.copy() for view in self.views(flat)]

    def views(self, flat: Floats) -> list[Floats]:
        """The same without copying: each array is a view into `flat`."""
        views = []
        for parameter, start in zip(self.parameters, self.starts, strict=True):
            shape = _stored_shape(parameter)
            stored = flat[start : start + prod(shape)].reshape(shape)
            views.append(stored[:, : parameter.shape[1]] if len(shape) == 2 else stored)
        return views

    def decay(self) -> Floats:
        """1 where weight decay applies (weights), 0 where it does not (biases, padding)."""
        return self.pack([np.full(p.shape, p.role == "weight", np.float32) for p in self.parameters])

    def rates(self, bias_scaler: float) -> Floats:
        """Multiples of the learning rate: `bias_scaler` for the shifts of normalisations, else 1."""
        rates = (bias_scaler if p.role == "shift" else 1.0 for p in self.parameters)
        return self.pack([np.full(p.shape, rate, np.float32) for p, rate in zip(self.parameters, rates, strict=True)])


def _vectors(parameter: Parameter) -> int:
    return -(-prod(_stored_shape(parameter)) // LANES)


def _stored_shape(parameter: Parameter) -> tuple[int, ...]:
    if len(parameter.shape) == 2:
        units, inputs = parameter.shape
        return units, dense.padded(inputs)
    return parameter.shape
