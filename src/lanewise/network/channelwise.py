"""Layers with numbers of their own for each channel, or feature; one class each, which all others ask.

The affine ones are y = factor x + offset, predicting; PReLU is not. Text, parameters, ONNX files, explanations and the
page of a model read what they need from the class; plans and inference know the affine ones by their base, so a new one
is a class here, in `CHANNELWISE`, and its kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from lanewise.network.base import Elementwise, OnnxNode
from lanewise.network.reference_training import Array


@dataclass(frozen=True, slots=True)
class Channelwise(Elementwise):
    """Base of these layers. Abstract; a member has a field `frozen`, last, and before it numbers, its options.

    Attributes
    ----------
    roles : tuple of str
        What its parameters are: "scale", "shift", "mean", "variance" or "slope", one number for each channel.
    broadcast : bool
        Whether parameters have a row and a column, too, as operators of ONNX need that do not know of channels.
    """

    roles: ClassVar[tuple[str, ...]]
    broadcast: ClassVar[bool] = False


class Affine(Channelwise):
    """Base of those that, predicting, scale and shift each channel. Abstract."""

    __slots__ = ()

    def factor_and_offset(self, parameters: Sequence[npt.ArrayLike]) -> tuple[Array, Array]:
        """What each channel is multiplied by, and what is added then, predicting.

        Parameters
        ----------
        parameters : sequence of arrays
            Its own, in the order of `roles`.

        Returns
        -------
        two (channels,) float64 arrays
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class BatchNorm(Affine):
    """Each channel, or feature, with the mean and variance of its values taken out, then scaled and shifted.

        y = scale * (x - mean) / sqrt(variance + epsilon) + shift

    While training, mean and variance are those of the group of 16 images that lie side by side, over all rows and
    columns; at inference, and where it is `frozen`, running averages of those of the batches trained on. Ioffe and
    Szegedy 2015, "Batch Normalization"; for parts of a batch Hoffer et al. 2017, "Train longer, generalize better".
    """

    epsilon: float = 1e-5
    frozen: bool = False

    word: ClassVar[str] = "batchnorm"
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"epsilon": (1e-12, 1.0)}
    roles: ClassVar[tuple[str, ...]] = ("scale", "shift", "mean", "variance")
    onnx: ClassVar[tuple[OnnxNode, ...]] = (
        OnnxNode("BatchNormalization", ("x", "scale", "shift", "mean", "variance"), {"epsilon": "epsilon"}),
    )
    note: ClassVar[str] = "each map less its usual mean, divided by its usual spread, then scaled and shifted"
    formula: ClassVar[str] = "{scale} × ({x} − {mean}) / √({variance} + {epsilon}) + {shift} = {y}"

    def factor_and_offset(self, parameters: Sequence[npt.ArrayLike]) -> tuple[Array, Array]:
        """See `Affine`."""
        scale, shift, mean, variance = (np.asarray(array, np.float64) for array in parameters)
        factor = scale / np.sqrt(variance + self.epsilon)
        return factor, shift - mean * factor


@dataclass(frozen=True, slots=True)
class Scale(Affine):
    """Each channel, or feature, times a number plus a number, both learned: y = scale * x + shift.

    It is what a batch normalisation does behind its statistics; alone it lets networks without them set the size of
    what a branch adds, as in Zhang et al. 2019, "Fixup Initialization". `frozen` as for `Conv2D`.
    """

    frozen: bool = False

    word: ClassVar[str] = "scale"
    roles: ClassVar[tuple[str, ...]] = ("scale", "shift")
    broadcast: ClassVar[bool] = True
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("Mul", ("x", "scale")), OnnxNode("Add", ("Mul", "shift")))
    note: ClassVar[str] = "each map times a number plus a number, both learned"
    formula: ClassVar[str] = "{scale} × {x} + {shift} = {y}"

    def factor_and_offset(self, parameters: Sequence[npt.ArrayLike]) -> tuple[Array, Array]:
        """See `Affine`."""
        scale, shift = (np.asarray(array, np.float64).ravel() for array in parameters)
        return scale, shift


@dataclass(frozen=True, slots=True)
class PReLU(Channelwise):
    """x where x > 0, elsewhere x times a slope that each channel, or feature, learns.

    He et al. 2015, "Delving Deep into Rectifiers", whose first slope it has, 0.25. `frozen` as for `Conv2D`.
    """

    frozen: bool = False

    word: ClassVar[str] = "prelu"
    roles: ClassVar[tuple[str, ...]] = ("slope",)
    broadcast: ClassVar[bool] = True
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("PRelu", ("x", "slope")),)
    note: ClassVar[str] = "negative values times a number that each map learned"
    formula: ClassVar[str] = "{x} if it is positive, else {slope} × {x}: {y}"

    first_slope: ClassVar[float] = 0.25
    gain: ClassVar[float] = 2 / (1 + 0.25**2)


CHANNELWISE: dict[str, type[Channelwise]] = {kind.word: kind for kind in (BatchNorm, Scale, PReLU)}
"""By the word that they are written with."""
