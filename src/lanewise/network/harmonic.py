"""Harmonic blocks: fixed cosines, each normalised, and a learned 1x1 convolution, in place of a convolution.

Ulicny, Krylov and Dahyot 2022, "Harmonic convolutional networks based on discrete cosine transform", Pattern
Recognition 129.
"""

from __future__ import annotations

from dataclasses import replace

from lanewise.network.channelwise import BatchNorm
from lanewise.network.filters import BANKS
from lanewise.network.layers import Concat, Conv2D, Fixed, Gate, Layer, Residual


def harmonic(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers with harmonic blocks in place of convolutions: all cosines of the size of the kernel, with its padding
    and stride, each normalised, and a 1x1 convolution to as many filters.

    Convolutions of groups, with gaps, frozen ones, and kernels that are not 2x2 to 8x8 stay as they are.
    """
    found: list[Layer] = []
    for layer in layers:
        match layer:
            case Conv2D(kernel=(rows, columns), dilation=(1, 1), groups=1, frozen=False) if (
                rows == columns and (name := f"dct{rows}") in BANKS
            ):
                cosines = Fixed((name,), layer.stride, layer.padding)
                found += [cosines, BatchNorm(), Conv2D(layer.filters, (1, 1), bias=layer.bias)]
            case Residual():
                found.append(replace(layer, body=harmonic(layer.body), shortcut=harmonic(layer.shortcut)))
            case Gate():
                found.append(replace(layer, body=harmonic(layer.body)))
            case Concat():
                found.append(replace(layer, branches=tuple(map(harmonic, layer.branches))))
            case _:
                found.append(layer)
    return tuple(found)
