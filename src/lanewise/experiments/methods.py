"""Five ways to tell images apart, as networks: what is laid down beforehand, and what is learned.

fully connected        every pixel with every neuron; nothing is known of neighbourhoods
hand-made features     fixed filters, ReLU, pooling; only the classifier behind them is learned
first layer fixed      the convolutional network with fixed filters in place of its first convolution
harmonic               the convolutional network with fixed cosines, normalised, and learned 1x1 mixing in place of each
                       convolution
convolutional          the network itself, which learns all its filters
"""

from __future__ import annotations

from lanewise.errors import NetworkError, NetworkTextError
from lanewise.experiments.grid import Candidate
from lanewise.network.filters import BANKS
from lanewise.network.harmonic import harmonic
from lanewise.network.layers import Conv2D, Dense, Fixed, Flatten, Layer
from lanewise.network.text import parse, to_text
from lanewise.training.recipe import USUAL, Effort, network_for, output_layers

BANK = "sobel+laplacian+blur+sharpen"
GREY_BANK = "sobel+laplacian+blur+sharpen+gabor+gaussian+emboss"
"""Of one channel a bank makes a third as many maps as of three, so grey images get more filters."""

FULLY_CONNECTED = "fully connected"
HAND_MADE = "hand-made features"
FIRST_FIXED = "first layer fixed"
HARMONIC = "harmonic"
CONVOLUTIONAL = "convolutional"

HIDDEN = "dense 100, relu, dense 100, relu"
POOL_TWICE = 16
"""Rows and columns from which on hand-made features are pooled twice."""


def methods_for(
    network: str,
    shape: tuple[int, int, int],
    classes: int,
    *,
    bank: str | None = None,
    effort: Effort = USUAL,
) -> tuple[Candidate, ...]:
    """The five methods for images of `shape` (channels, rows, columns), of which `network` is the convolutional one.

    Parameters
    ----------
    network : str
        "auto" for the default; one whose first layer with weights is a convolution.
    shape, classes
    bank : str, optional
        Names of fixed filters joined by "+"; by default `BANK`, or `GREY_BANK` for one channel.
    effort : Effort
        For the default network.

    Raises
    ------
    NetworkError
        The network does not begin with a convolution, or with these images one of the five makes no network.
    """
    bank = bank or (GREY_BANK if shape[0] == 1 else BANK)
    unknown = [name for name in bank.split("+") if name not in BANKS]
    if unknown:
        raise NetworkError(f"bank: no filters are called {unknown[0]!r}; there are {', '.join(BANKS)}, joined by +")
    _, full = network_for(network, shape, classes, effort=effort)
    layers = parse(full)
    texts = {
        FULLY_CONNECTED: f"{HIDDEN}, {output_layers(classes)}",
        HAND_MADE: _hand_made(layers, bank, shape, classes),
        FIRST_FIXED: to_text(_first_fixed(layers, bank)),
        HARMONIC: to_text(harmonic(layers)),
        CONVOLUTIONAL: full,
    }
    return tuple(_method(name, text, shape, classes) for name, text in texts.items())


def _method(name: str, text: str, shape: tuple[int, int, int], classes: int) -> Candidate:
    try:
        graph, full = network_for(text, shape, classes)
    except NetworkTextError:
        raise
    except NetworkError as error:
        raise NetworkError(f"{name} ({text}): {error}") from None
    return Candidate(name, full, graph)


def _hand_made(layers: tuple[Layer, ...], bank: str, shape: tuple[int, int, int], classes: int) -> str:
    """The bank, ReLU, pooling, and the classifier that follows the convolutions of the network."""
    size = min(shape[1:])
    pools = ["max 2"] * (2 if size >= POOL_TWICE else 1 if size >= 2 else 0)
    first = next((n for n, layer in enumerate(layers) if isinstance(layer, Dense | Flatten)), None)
    classifier = output_layers(classes) if first is None else to_text(layers[first:])
    return ", ".join([f"fixed {bank}", "relu", *pools, classifier])


def _first_fixed(layers: tuple[Layer, ...], bank: str) -> tuple[Layer, ...]:
    """The layers with the bank in place of the first convolution, with its padding and stride."""
    for n, layer in enumerate(layers):
        if isinstance(layer, Conv2D):
            fixed = Fixed(tuple(bank.split("+")), layer.stride, layer.padding)
            return (*layers[:n], fixed, *layers[n + 1 :])
        if isinstance(layer, Dense):
            break
    raise NetworkError(
        f"the network {to_text(layers)!r} does not begin with a convolution: there is no first layer to fix. Give one "
        'like "conv 16@3x3 same, relu, max 2, dense 100, relu, dense 10"'
    )
