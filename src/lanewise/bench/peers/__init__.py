"""Everybody who takes part: each file here builds the same network for one framework and learns or predicts with it.

The module `with_NAME` of a framework has a function `learner(workload)`, which gives a `Learner`, or
`predictor(workload)`, which gives a `Predictor`, or both. It is imported in the process of a worker alone, where the
framework is installed.
"""

from __future__ import annotations

from dataclasses import dataclass


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
"""Who learns."""

FRAMEWORKS = tuple(dict.fromkeys(peer.framework for peer in PEERS))

ONNX_RUNTIME = Peer("onnxruntime", "onnxruntime", "float32", (("onnxruntime",),))
"""Who predicts, from the very file that Lanewise saved."""


def missing(peer: Peer, versions: dict[str, str]) -> list[str]:
    """What `peer` needs, and an environment with the distributions `versions` does not have."""
    return [" or ".join(names) for names in peer.requires if not any(name in versions for name in names)]


def versions_of(peers: list[Peer], versions: dict[str, str]) -> dict[str, str]:
    """Versions of what `peers` need."""
    needed = (name for peer in peers for names in peer.requires for name in names)
    return {name: versions[name] for name in dict.fromkeys(needed) if name in versions}
