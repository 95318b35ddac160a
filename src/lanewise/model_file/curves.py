"""Functions of each value by itself, whatever operators a file writes them as, told by their numbers.

GELU may come as six nodes, in one of several orders and with constants rounded in several ways. So nodes that only
compute with one value of the network, and with single numbers, are not read one by one: a `Curve` keeps what they make
of a few hundred arguments. Once something else reads the result, the activation with these numbers is the layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.model_file.builder import NetworkBuilder, TensorRef
from lanewise.network.activations import ACTIVATIONS, Activation, LeakyReLU

Samples = NDArray[np.float64]

_FAR = np.concatenate([np.geomspace(8.5, 88, 24), 10.0 ** np.arange(2.0, 31.0, 2.0)])
X: Samples = np.concatenate([-_FAR[::-1], np.linspace(-8, 8, 321), _FAR])
"""The arguments: close together where activations bend, and so far out that nothing can end later unseen."""

TOLERANCE = 1e-6
"""How far a curve may be from an activation, as a share of 1 + |x|: constants are float32, at times of few digits."""


@dataclass(eq=False)
class Curve:
    """y = f(x) for each number of a value by itself, not yet a layer.

    Attributes
    ----------
    base : TensorRef
        x.
    samples : (len(X),) float64
        f at `X`.
    affine : (scale, shift), or None
        f(x) = x * scale + shift, where it is that.
    step : callable
        Adds the layer that the last operator is by itself behind what it reads, or raises ModelFileError.
    maker : str
        The last node, for messages.
    place : int
        Its place in the file.
    single_use : bool
        Whether one node of the file alone reads the result.
    alone : bool
        Whether nothing but the nodes of this curve reads x, or anything between.
    is_layer : bool
        Whether the last operator is the only one, and an activation.
    changes : int
        How often the node of x had changed when the curve began.
    """

    base: TensorRef
    samples: Samples
    affine: tuple[float, float] | None
    step: Callable[[], TensorRef]
    maker: str
    place: int
    single_use: bool
    alone: bool
    is_layer: bool
    changes: int
    settled: TensorRef | None = None

    def settle(self, builder: NetworkBuilder) -> TensorRef:
        """The value of the network that the curve is; asked again, the same.

        Raises
        ------
        ModelFileError
            No layer computes it; the message names the node.
        """
        if self.settled is None:
            with builder.at(self.place, self.maker):
                self.settled = self._layer(builder)
        return self.settled

    def _layer(self, builder: NetworkBuilder) -> TensorRef:
        unchanged = builder.nodes[self.base.node].changes == self.changes
        if unchanged and self.alone and self.affine is not None:
            return scaled(builder, self.base, self.affine, self.single_use)
        found = recognised(self.samples) if unchanged and not self.is_layer else None
        if found is not None:
            return builder.add(found, (self.base,), single_use=self.single_use)
        return self.step()


def scaled(builder: NetworkBuilder, x: TensorRef, affine: tuple[float, float], single_use: bool) -> TensorRef:
    """x * scale + shift with one number for all channels.

    Parameters
    ----------
    builder : NetworkBuilder
    x : TensorRef
    affine : (scale, shift)
    single_use : bool
        Whether one node of the file alone reads the result.
    """
    if affine == (1, 0):
        return TensorRef(x.node, x.axes, x.single_use and single_use)
    channels = builder.shape(x)[0]
    scale, shift = (np.full(channels, number) for number in affine)
    return builder.scale_and_shift(x, scale, shift, single_use=single_use)


def recognised(samples: Samples) -> Activation | None:
    """The activation that has these values at `X`, if one without options does, or a leaky ReLU."""
    if not np.isfinite(samples).all():
        return None
    slope = float(-samples[X == -1].item())
    known = _known() + ([(LeakyReLU(slope), LeakyReLU(slope).value(X))] if 0 < slope < 1 else [])
    return next((one for one, values in known if np.all(np.abs(values - samples) <= TOLERANCE * (1 + np.abs(X)))), None)


@cache
def _known() -> list[tuple[Activation, Samples]]:
    """The activations without options, and their values at `X`."""
    plain = [kind() for kind in ACTIVATIONS.values() if not kind().options]
    return [(one, one.value(X)) for one in plain]


_erf = np.vectorize(math.erf, [np.float64])

Number = Samples | float
"""What an operator reads: a curve's samples, or one number."""


def computed(operator: str, operands: Sequence[Number | None], attributes: Mapping[str, Any]) -> Samples:
    """What an operator makes of samples and numbers.

    Parameters
    ----------
    operator : str
        One of `FORMULAS`.
    operands : sequence of samples or numbers
        None for those left out.
    attributes : mapping
        The node's attributes by name, whose values may be of any kind.
    """
    numbers = {name: value for name, value in attributes.items() if isinstance(value, int | float)}
    return np.asarray(FORMULAS[operator](operands, numbers), np.float64)


def _clip(operands: Sequence[Number | None], numbers: Mapping[str, float]) -> Number:
    x, low, high = (*operands, None, None)[:3]
    low = numbers.get("min", -math.inf) if low is None else low
    return np.minimum(np.maximum(x, low), numbers.get("max", math.inf) if high is None else high)  # type: ignore[arg-type]


FORMULAS: Mapping[str, Callable[[Sequence[Any], Mapping[str, float]], Number]] = {
    "Add": lambda of, _: of[0] + of[1],
    "Clip": _clip,
    "Div": lambda of, _: of[0] / of[1],
    "Erf": lambda of, _: _erf(of[0]),
    "Exp": lambda of, _: np.exp(of[0]),
    "HardSigmoid": lambda of, by: np.clip(by.get("alpha", 0.2) * of[0] + by.get("beta", 0.5), 0, 1),
    "Max": lambda of, _: reduce(np.maximum, of),
    "Min": lambda of, _: reduce(np.minimum, of),
    "Mul": lambda of, _: of[0] * of[1],
    "Neg": lambda of, _: -of[0],
    "PRelu": lambda of, _: np.where(of[0] > 0, of[0], of[1] * of[0]),
    "Pow": lambda of, _: of[0] ** of[1],
    "Reciprocal": lambda of, _: 1 / of[0],
    "Softplus": lambda of, _: np.logaddexp(0, of[0]),
    "Sqrt": lambda of, _: np.sqrt(of[0]),
    "Sub": lambda of, _: of[0] - of[1],
    "Sum": lambda of, _: sum(of),
}
"""Operators that compute each number by itself, beside those that are activations here."""
