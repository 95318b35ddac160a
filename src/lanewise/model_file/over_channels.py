"""Layer normalisation, whatever operators a file writes it as, told by its numbers.

Keras writes it as a dozen nodes, others as nine, in another order. So what is computed from a value and from means over
its channels is not read node by node: `OverChannels` keeps what it makes of a few rows of random channels. Once
something else reads the result, a normalisation with a scale and a shift for each channel must give these numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from lanewise.errors import ModelFileError
from lanewise.model_file.axes import Axes
from lanewise.model_file.builder import Channels, NetworkBuilder, TensorRef
from lanewise.model_file.curves import Samples
from lanewise.network.layers import LayerNorm
from lanewise.network.options import option_problem

ARITHMETIC = frozenset({"Add", "Div", "Mul", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub"})
"""Operators that may be a part of it; what any other reads is complete."""

TOLERANCE = 1e-6
"""How far numbers may be from a normalisation's, as a share of 1 + |y|."""

_ROWS = 24
_NOTHING = 1e-9

Normalisation = tuple[float, Channels, Channels]
"""epsilon, scale, shift."""


@dataclass(eq=False)
class OverChannels:
    """What a file computes from a value and from means over its channels, at each position alone.

    Attributes
    ----------
    base : TensorRef
        The value.
    axis : int
        Which of its axes in the file holds the channels, without the batch.
    samples : (rows, channels) or (rows, 1) float64
        What comes out for `rows_of`; a mean is one number for all channels.
    added : frozenset of float
        Single numbers that were added on the way: the normalisation's epsilon is one.
    maker : str
        The last node, for messages.
    place : int
        Its place in the file.
    single_use : bool
        Whether one node of the file alone reads the result.
    """

    base: TensorRef
    axis: int
    samples: Samples
    added: frozenset[float]
    maker: str
    place: int
    single_use: bool
    settled: TensorRef | None = field(default=None, init=False)

    @property
    def axes(self) -> Axes:
        """How the file's axes are made of the value; a mean has size 1 where the channels were."""
        if self.samples.shape[1] > 1:
            return self.base.axes
        return tuple(() if place == self.axis else runs for place, runs in enumerate(self.base.axes))

    @property
    def rank(self) -> int:
        """How many axes the file gives it, with the batch."""
        return len(self.base.axes) + 1

    def settle(self, builder: NetworkBuilder) -> TensorRef:
        """The value of the network that it is; asked again, the same.

        Raises
        ------
        ModelFileError
            It is no normalisation; the message names the node.
        """
        if self.settled is None:
            with builder.at(self.place, self.maker):
                self.settled = self._layers(builder)
        return self.settled

    def _layers(self, builder: NetworkBuilder) -> TensorRef:
        found = self.recognised()
        if found is None:
            raise ModelFileError("of means over channels, only layer normalisation is read, and this is another")
        epsilon, scale, shift = found
        whole = bool(np.all(scale == 1) and not np.any(shift))
        normal = builder.add(LayerNorm(epsilon), (self.base,), single_use=self.single_use or not whole)
        return normal if whole else builder.scale_and_shift(normal, scale, shift, single_use=self.single_use)

    def recognised(self) -> Normalisation | None:
        """The normalisation that has these numbers, if one does."""
        y = self.samples
        if y.shape[1] < 2 or not np.isfinite(y).all():
            return None
        x = rows_of(y.shape[1])
        centred = x - x.mean(axis=1, keepdims=True)
        for number in sorted(self.added):
            epsilon = float(str(np.float32(number)))
            if option_problem(LayerNorm(epsilon)) is not None:
                continue
            z = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + number)
            around = z - z.mean(axis=0)
            scale = (around * y).sum(axis=0) / (around**2).sum(axis=0)
            shift = y.mean(axis=0) - scale * z.mean(axis=0)
            shift[np.abs(shift) < _NOTHING] = 0
            if np.all(np.abs(z * scale + shift - y) <= TOLERANCE * (1 + np.abs(y))):
                return epsilon, *(numbers.astype(np.float32).astype(np.float64) for numbers in (scale, shift))
        return None


def rows_of(channels: int) -> Samples:
    """Values that stand for those of `channels` at a few positions, some of them close together."""
    random = np.random.default_rng(0)
    sizes = np.geomspace(1e-3, 30, _ROWS)[:, np.newaxis]
    return np.asarray(sizes * (random.normal(size=(_ROWS, channels)) + random.normal(size=(_ROWS, 1))))


def mean_of(x: TensorRef | OverChannels, axis: int, builder: NetworkBuilder, maker: str) -> OverChannels:
    """The mean over the channels of a value, or of what was computed from it; their axis stays, with size 1.

    Parameters
    ----------
    x : TensorRef or OverChannels
    axis : int
        The one that holds the channels, without the batch.
    builder : NetworkBuilder
    maker : str
        The node, for messages.
    """
    if isinstance(x, TensorRef):
        base, samples, added = replace(x, single_use=False), rows_of(builder.shape(x)[0]), frozenset[float]()
    else:
        base, samples, added = x.base, x.samples, x.added
    return OverChannels(base, axis, samples.mean(axis=1, keepdims=True), added, maker, builder.place, single_use=False)
