"""The networks that are timed: written once as text, and parsed into the same graph for every framework."""

from __future__ import annotations

from dataclasses import dataclass

from lanewise.network.graph import Graph, build
from lanewise.network.layers import Softmax
from lanewise.network.text import parse


@dataclass(frozen=True, slots=True)
class Net:
    """A network for pictures of `shape`, (channels, rows, columns); `text` leaves out the softmax at its end."""

    name: str
    text: str
    shape: tuple[int, int, int]
    classes: int = 10

    @property
    def graph(self) -> Graph:
        """The network with all its shapes, ending in Softmax."""
        return build((*parse(self.text), Softmax()), self.shape)


NETS = {
    net.name: net
    for net in (
        Net(
            "lenet",
            "conv 6@5x5 same, relu, max 2, conv 16@5x5, relu, max 2, dense 120, relu, dense 84, relu, dense 10",
            (1, 28, 28),
        ),
        Net(
            "signboard",
            "conv 16@3x3 same, relu, max 2, conv 32@3x3 same, relu, max 2, dense 100, relu, dense 10",
            (3, 30, 30),
        ),
        Net(
            "mid",
            "conv 32@3x3 same, relu, conv 32@3x3 same, relu, max 2, conv 64@3x3 same, relu, conv 64@3x3 same, relu, "
            "max 2, dense 256, relu, dense 10",
            (3, 32, 32),
        ),
        Net(
            "wide",
            "conv 64@3x3 same, relu, conv 128@3x3 same, relu, max 2, conv 256@3x3 same, relu, max 2, "
            "conv 256@3x3 same, relu, global average, dense 10",
            (3, 32, 32),
        ),
    )
}
