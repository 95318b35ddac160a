"""Everybody who takes part: each file here builds the same network for one framework and learns with it.

The module `with_NAME` of a framework has a function `learner(net, batch, threads, mode)`, which gives a `Learner`.
It is imported in the process of a worker alone, where the framework is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Learner(Protocol):
    """A network that learns step by step."""

    def __call__(self, batches: Sequence[NDArray[np.int32]]) -> float:
        """Do one step for each batch, wait until all is done, and return the mean loss of the last batch."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One competitor: a framework in one of its modes.

    Attributes
    ----------
    name : str
        What people choose and read, like "torch compile".
    framework : str
        The module here that runs it.
    mode : str
        Which of that module's modes.
    requires : tuple of tuple of str
        Distributions that must be installed; any one of each inner tuple will do.
    exact : bool
        Whether it multiplies in float32 as Lanewise does. Others are shown, but no ratio of them counts.
    """

    name: str
    framework: str
    mode: str
    requires: tuple[tuple[str, ...], ...]
    exact: bool = True


LANEWISE = Peer("lanewise", "lanewise", "float32", ())

_TORCH = (("torch",),)
_KERAS = (("keras",), ("tensorflow-cpu", "tensorflow"))
_JAX = (("jax",),)

PEERS = (
    Peer("torch", "torch", "contiguous", _TORCH),
    Peer("torch channels_last", "torch", "channels_last", _TORCH),
    Peer("torch compile", "torch", "compile", _TORCH),
    Peer("torch bfloat16", "torch", "bfloat16", _TORCH, exact=False),
    Peer("keras", "keras", "graph", _KERAS),
    Peer("keras xla", "keras", "xla", _KERAS),
    Peer("jax", "jax", "reduce_window", _JAX),
    Peer("jax reshaped pools", "jax", "reshape", _JAX),
)

FRAMEWORKS = tuple(dict.fromkeys(peer.framework for peer in PEERS))
