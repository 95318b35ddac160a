"""The networks that are timed: written once as text, and parsed into the same graph for every framework."""

from __future__ import annotations

from dataclasses import dataclass

from lanewise.network.graph import Graph
from lanewise.training.recipe import network_for


@dataclass(frozen=True, slots=True)
class Net:
    """A network for images of `shape`, (channels, rows, columns); `text` may leave out the softmax at its end."""

    name: str
    text: str
    shape: tuple[int, int, int]
    classes: int = 10

    @property
    def graph(self) -> Graph:
        """The network with all its shapes, ending in Softmax or Sigmoid."""
        graph, _ = network_for(self.text, self.shape, self.classes)
        return graph


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
        # Image classification of MLPerf Tiny, its batch norms folded into the convolutions as fixed scale and shift.
        Net(
            "resnet8",
            "conv 16@3x3 same, relu, residual(conv 16@3x3 same, relu, conv 16@3x3 same), relu, "
            "residual(conv 32@3x3 same stride 2, relu, conv 32@3x3 same | conv 32@1x1 stride 2), relu, "
            "residual(conv 64@3x3 same stride 2, relu, conv 64@3x3 same | conv 64@1x1 stride 2), relu, "
            "global average, dense 10",
            (3, 32, 32),
        ),
    )
}
