"""The weights that training starts from."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lanewise.errors import OptionError
from lanewise.network.filters import bank
from lanewise.network.graph import Graph, Parameter
from lanewise.network.layers import Activation, Conv2D, Dense, FilterBank, PReLU, Softmax

BLOCK = 2**18
"""Weights drawn at once, so that a large layer needs little memory beside its own."""


def initial_parameters(graph: Graph, seed: int) -> list[npt.NDArray[np.float32]]:
    """Draw the parameters that training starts from.

    Weights are normal with mean 0 and a standard deviation that keeps the size of values from layer to layer:

        sqrt(gain / fan_in)   where an activation of that gain comes next, 2 for ReLU     (He et al. 2015)
        sqrt(1 / fan_in)      elsewhere                                                   (LeCun et al. 1998)

    Biases are zero, fixed filters are what their names say, and a batch normalisation leaves values alone: scale and
    variance are 1, shift and mean 0. A PReLU's slopes are 0.25. Of a convolution with `identity`
    the first filters pass the channels on, and the others are drawn; that with `whiten` is drawn, too, where there are
    no images (`training/whitening.py`). The numbers depend on the seed and on the position of
    the parameter in `graph.parameters` and on nothing else, so changing one layer leaves the start of the others alone.

    Parameters
    ----------
    graph : Graph
    seed : int
        From 0 to 2**64 - 1.

    Returns
    -------
    list of float32 arrays
        In the order and of the shapes of `graph.parameters`.
    """
    if not 0 <= seed < 2**64:
        raise OptionError(f"a seed must be a whole number from 0 to 2**64 - 1, not {seed!r}")
    users = graph.users()
    return [_start(graph, users, seed, position) for position in range(len(graph.parameters))]


def _start(graph: Graph, users: tuple[tuple[int, ...], ...], seed: int, position: int) -> npt.NDArray[np.float32]:
    parameter = graph.parameters[position]
    match graph.nodes[parameter.node].layer:
        case FilterBank() as fixed:
            return np.tile(bank(fixed.bank)[:, None], (fixed.groups, 1, 1, 1))
        case _ if parameter.role in ("bias", "shift", "mean"):
            return np.zeros(parameter.shape, np.float32)
        case PReLU():
            return np.full(parameter.shape, PReLU.first_slope, np.float32)
        case _ if parameter.role in ("scale", "variance"):
            return np.ones(parameter.shape, np.float32)
        case _:
            weight = _weight(parameter, _gain(graph, users, parameter.node), seed, position)
            layer = graph.nodes[parameter.node].layer
            if isinstance(layer, Conv2D) and layer.initial == "identity":
                _pass_on(weight, layer.groups)
            return weight


def _weight(parameter: Parameter, gain: float, seed: int, position: int) -> npt.NDArray[np.float32]:
    fan_in = math.prod(parameter.shape[1:])
    weight = np.empty(math.prod(parameter.shape), np.float32)
    bits = np.random.Philox(key=np.array([seed, position], np.uint64))
    for start in range(0, len(weight), BLOCK):
        part = weight[start : start + BLOCK]
        part[:] = _normal(bits, len(part)) * math.sqrt(gain / fan_in)
    return weight.reshape(parameter.shape)


def _pass_on(weight: npt.NDArray[np.float32], groups: int) -> None:
    """Let the first filters of each group pass its channels on as they are, one each.

    Zagoruyko and Komodakis 2017, "DiracNets".
    """
    filters, channels, rows, columns = weight.shape
    for group in range(groups):
        for i in range(min(filters // groups, channels)):
            filter_of = weight[group * (filters // groups) + i]
            filter_of[...] = 0
            filter_of[i, (rows - 1) // 2, (columns - 1) // 2] = 1


def _normal(bits: np.random.Philox, count: int) -> npt.NDArray[np.float64]:
    """Normal numbers as the sum of twelve uniform ones of 16 bits each, less its mean: of variance 1.

    Cut off at six standard deviations, which is no loss here, and made of whole numbers only, so that they are the same
    with every mathematical library and every version of NumPy, which vows this for `Philox` and not for its normals.
    """
    twelve = bits.random_raw(3 * count).view(np.uint16).reshape(count, 12)
    return np.asarray((twelve.sum(axis=1, dtype=np.int64) - 6 * (2**16 - 1)) / 2.0**16)


def _gain(graph: Graph, users: tuple[tuple[int, ...], ...], node: int) -> float:
    """How much a layer's variance must be raised for the non-linearity that its output meets first.

    Pools, sums and joins are passed through; where ways part, the activation of the largest gain decides.
    """
    gains, seen, ahead = [1.0], {node}, [*users[node]]
    while ahead:
        position = ahead.pop()
        if position in seen:
            continue
        seen.add(position)
        match graph.nodes[position].layer:
            case Activation() | PReLU() as activation:
                gains.append(activation.gain)
            case Conv2D() | Dense() | Softmax():
                pass
            case _:
                ahead += users[position]
    return max(gains)
