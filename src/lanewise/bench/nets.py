"""The networks that are timed: written once as text, and parsed into the same graph for every framework."""

from __future__ import annotations

from dataclasses import dataclass

from lanewise.network.graph import Graph
from lanewise.training.recipe import network_for

_NORMALISED = "nobias, batchnorm, relu"


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


def _convolution(filters: int, options: str = "") -> str:
    """One of 3x3 with batch normalisation and ReLU."""
    return " ".join(f"conv {filters}@3x3 same {options} {_NORMALISED}".split())


def _block(filters: int, *, narrows: bool = False) -> str:
    """A residual block of two convolutions; where it narrows, a convolution of one pixel on the way past them."""
    first = _convolution(filters, "stride 2" if narrows else "")
    past = f" | conv {filters}@1x1 stride 2 nobias, batchnorm" if narrows else ""
    return f"residual({first}, conv {filters}@3x3 same nobias, batchnorm{past}), relu"


def _separable(channels: int, filters: int, options: str = "") -> str:
    """A convolution of each channel by itself, then one of each pixel, as in MobileNet."""
    return f"{_convolution(channels, f'{options} groups {channels}')}, conv {filters}@1x1 {_NORMALISED}"


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
        # The same before that folding.
        Net(
            "resnet8bn",
            f"{_convolution(16)}, {_block(16)}, {_block(32, narrows=True)}, {_block(64, narrows=True)}, "
            "global average, dense 10",
            (3, 32, 32),
        ),
        # He et al. 2016, "Deep Residual Learning for Image Recognition", the form for CIFAR.
        Net(
            "resnet20",
            f"{_convolution(16)}, {_block(16)}, {_block(16)}, {_block(16)}, {_block(32, narrows=True)}, {_block(32)}, "
            f"{_block(32)}, {_block(64, narrows=True)}, {_block(64)}, {_block(64)}, global average, dense 10",
            (3, 32, 32),
        ),
        # A quarter of the filters of Howard et al. 2017, "MobileNets", for images of 64x64, with a stride less.
        Net(
            "mobile",
            f"{_convolution(16, 'stride 2')}, {_separable(16, 32)}, {_separable(32, 64, 'stride 2')}, "
            f"{_separable(64, 64)}, {_separable(64, 128, 'stride 2')}, {_separable(128, 128)}, "
            f"{_separable(128, 256, 'stride 2')}, {_separable(256, 256)}, "
            "global average, dense 10",
            (3, 64, 64),
        ),
        Net(
            "photo",
            f"{_convolution(16)}, max 2, {_convolution(32)}, max 2, {_convolution(64)}, max 2, {_convolution(64)}, "
            f"max 2, {_convolution(128)}, {_convolution(128)}, max 2, {_convolution(128)}, global average, dense 10",
            (3, 128, 128),
        ),
        # Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", with the narrowest of its widths.
        Net(
            "airbench",
            "conv 24@2x2 frozen, gelu, "
            "conv 64@3x3 same nobias, max 2, batchnorm, gelu, conv 64@3x3 same nobias, batchnorm, gelu, "
            "conv 256@3x3 same nobias, max 2, batchnorm, gelu, conv 256@3x3 same nobias, batchnorm, gelu, "
            "conv 256@3x3 same nobias, max 2, batchnorm, gelu, conv 256@3x3 same nobias, batchnorm, gelu, "
            "max 3, dense 10 nobias",
            (3, 32, 32),
        ),
    )
}
