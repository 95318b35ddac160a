"""The activations: functions of each value by itself, one class each, which everything else asks.

A new one is a class here, in `ACTIVATIONS`, and its expression on lanes in `kernels/activations.py`. Text, initial
weights, the reference, ONNX files, explanations and the page of a model read what they need from the class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lanewise.network.base import Elementwise, OnnxNode
from lanewise.network.reference_training import Array


@dataclass(frozen=True, slots=True)
class Activation(Elementwise):
    """Base of the activations, y = f(x). Abstract; the fields of a member are numbers, its options.

    Attributes
    ----------
    filler : str
        A word that may follow its name in text, and says nothing.
    derivative_from : "x" or "y"
        The value that the kernel works the derivative out from.
    usual_gain : float
        Its `gain`, where no option changes that.
    """

    filler: ClassVar[str] = ""
    derivative_from: ClassVar[str] = "y"
    usual_gain: ClassVar[float] = 1.0

    def value(self, x: Array) -> Array:
        """f(x), in float64."""
        raise NotImplementedError

    def derivative(self, x: Array, y: Array) -> Array:
        """df / dx at x, where y = f(x)."""
        raise NotImplementedError

    @property
    def gain(self) -> float:
        """1 / E[f(z)**2] for a standard normal z, by which the variance of the weights before it is raised.

        He et al. 2015, "Delving Deep into Rectifiers". Functions that are about x near 0 have 1 (LeCun et al. 1998).
        """
        return self.usual_gain

    @property
    def below(self) -> float | None:
        """What x is multiplied with below 0, where f(x) = x above 0; None where it is no such function."""
        return None


class ReLU(Activation):
    """max(x, 0); its gradient at 0 is 0."""

    __slots__ = ()
    word: ClassVar[str] = "relu"
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("Relu"),)
    note: ClassVar[str] = "negative values become 0"
    formula: ClassVar[str] = "max(0, {x}) = {y}"
    usual_gain: ClassVar[float] = 2.0

    def value(self, x: Array) -> Array:
        """See `Activation`."""
        return np.where(x > 0, x, 0.0)

    def derivative(self, x: Array, y: Array) -> Array:
        """See `Activation`."""
        return np.where(x > 0, 1.0, 0.0)

    @property
    def below(self) -> float | None:
        """See `Activation`."""
        return 0.0


@dataclass(frozen=True, slots=True)
class LeakyReLU(Activation):
    """x where x > 0, `slope` * x elsewhere."""

    slope: float = 0.01

    word: ClassVar[str] = "leaky"
    filler: ClassVar[str] = "relu"
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"slope": (0, 1)}
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("LeakyRelu", options={"alpha": "slope"}),)
    note: ClassVar[str] = "negative values become small"
    formula: ClassVar[str] = "{x} if it is positive, else {slope} × {x}: {y}"

    def value(self, x: Array) -> Array:
        """See `Activation`."""
        return np.where(x > 0, x, self.slope * x)

    def derivative(self, x: Array, y: Array) -> Array:
        """See `Activation`."""
        return np.where(x > 0, 1.0, self.slope)

    @property
    def gain(self) -> float:
        """See `Activation`."""
        return 2 / (1 + self.slope * self.slope)

    @property
    def below(self) -> float | None:
        """See `Activation`."""
        return float(self.slope)


class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    __slots__ = ()
    word: ClassVar[str] = "sigmoid"
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("Sigmoid"),)
    note: ClassVar[str] = "squeezed between 0 and 1"
    formula: ClassVar[str] = "1 / (1 + exp({-x})) = {y}"

    def value(self, x: Array) -> Array:
        """See `Activation`."""
        small = np.exp(-np.abs(x))  # never overflows
        return np.asarray(np.where(x >= 0, 1.0, small) / (1 + small))

    def derivative(self, x: Array, y: Array) -> Array:
        """See `Activation`."""
        return y * (1 - y)


class Tanh(Activation):
    """The hyperbolic tangent."""

    __slots__ = ()
    word: ClassVar[str] = "tanh"
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("Tanh"),)
    note: ClassVar[str] = "squeezed between −1 and 1"
    formula: ClassVar[str] = "tanh({x}) = {y}"

    def value(self, x: Array) -> Array:
        """See `Activation`."""
        return np.tanh(x)

    def derivative(self, x: Array, y: Array) -> Array:
        """See `Activation`."""
        return 1 - y * y


class GELU(Activation):
    """x times the share of a normal distribution below x, exactly: x (1 + erf(x / sqrt(2))) / 2.

    Hendrycks and Gimpel 2016, "Gaussian Error Linear Units".
    """

    __slots__ = ()
    word: ClassVar[str] = "gelu"
    derivative_from: ClassVar[str] = "x"
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("Gelu", attributes={"approximate": ("none", "none")}),)
    opset: ClassVar[int] = 20
    note: ClassVar[str] = "negative values fade to 0"
    formula: ClassVar[str] = "{x} × Φ({x}) = {y}"
    usual_gain: ClassVar[float] = 2.3517

    def value(self, x: Array) -> Array:
        """See `Activation`."""
        return x * _normal(x)

    def derivative(self, x: Array, y: Array) -> Array:
        """See `Activation`."""
        return np.asarray(_normal(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def _normal(x: Array) -> Array:
    """The share of a normal distribution below x."""
    return np.asarray(np.vectorize(math.erfc, [np.float64])(-x / math.sqrt(2)) / 2)


class ReLU6(Activation):
    """min(max(x, 0), 6); its gradient at 0 and at 6 is 0."""

    __slots__ = ()
    word: ClassVar[str] = "relu6"
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("Clip", ("x", 0.0, 6.0)),)
    note: ClassVar[str] = "negative values become 0, and those above 6 become 6"
    formula: ClassVar[str] = "min(max(0, {x}), 6) = {y}"
    usual_gain: ClassVar[float] = 2.0

    def value(self, x: Array) -> Array:
        """See `Activation`."""
        return np.clip(x, 0.0, 6.0)

    def derivative(self, x: Array, y: Array) -> Array:
        """See `Activation`."""
        return np.where((x > 0) & (x < 6), 1.0, 0.0)


class SiLU(Activation):
    """x / (1 + exp(-x)), also called swish.

    Elfwing, Uchibe and Doya 2018; Ramachandran, Zoph and Le 2017, "Searching for Activation Functions".
    """

    __slots__ = ()
    word: ClassVar[str] = "silu"
    derivative_from: ClassVar[str] = "x"
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("Sigmoid"), OnnxNode("Mul", ("x", "Sigmoid")))
    note: ClassVar[str] = "negative values fade to 0"
    formula: ClassVar[str] = "{x} / (1 + exp({-x})) = {y}"
    usual_gain: ClassVar[float] = 2.8108

    def value(self, x: Array) -> Array:
        """See `Activation`."""
        return x * Sigmoid().value(x)

    def derivative(self, x: Array, y: Array) -> Array:
        """See `Activation`."""
        return Sigmoid().value(x) * (1 + x - y)


class HardSwish(Activation):
    """x times a share that rises from 0 at -3 to 1 at 3.

    Howard et al. 2019, "Searching for MobileNetV3". Its gradient at -3 is 0 and at 3 it is 1.
    """

    __slots__ = ()
    word: ClassVar[str] = "hardswish"
    derivative_from: ClassVar[str] = "x"
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("HardSwish"),)
    opset: ClassVar[int] = 14
    note: ClassVar[str] = "negative values fade to 0, which they reach at −3"
    formula: ClassVar[str] = "{x} × min(max(0, {x} / 6 + 1/2), 1) = {y}"
    usual_gain: ClassVar[float] = 3.0160

    def value(self, x: Array) -> Array:
        """See `Activation`."""
        return x * np.clip(x / 6 + 0.5, 0.0, 1.0)

    def derivative(self, x: Array, y: Array) -> Array:
        """See `Activation`."""
        return np.where(x <= -3, 0.0, np.where(x >= 3, 1.0, x / 3 + 0.5))


class HardSigmoid(Activation):
    """min(max(x / 6 + 1/2, 0), 1); its gradient at -3 and at 3 is 0."""

    __slots__ = ()
    word: ClassVar[str] = "hardsigmoid"
    onnx: ClassVar[tuple[OnnxNode, ...]] = (
        OnnxNode("HardSigmoid", attributes={"alpha": (1 / 6, 0.2), "beta": (0.5, 0.5)}),
    )
    note: ClassVar[str] = "squeezed between 0 and 1"
    formula: ClassVar[str] = "min(max(0, {x} / 6 + 1/2), 1) = {y}"

    def value(self, x: Array) -> Array:
        """See `Activation`."""
        return np.clip(x / 6 + 0.5, 0.0, 1.0)

    def derivative(self, x: Array, y: Array) -> Array:
        """See `Activation`."""
        return np.where((x > -3) & (x < 3), 1 / 6, 0.0)


@dataclass(frozen=True, slots=True)
class ELU(Activation):
    """x where x > 0, `alpha` (exp(x) - 1) elsewhere.

    Clevert, Unterthiner and Hochreiter 2016, "Fast and Accurate Deep Network Learning by Exponential Linear Units".
    """

    alpha: float = 1.0

    word: ClassVar[str] = "elu"
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"alpha": (0, 100)}
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("Elu", options={"alpha": "alpha"}),)
    note: ClassVar[str] = "negative values are squeezed between −alpha and 0"
    formula: ClassVar[str] = "{x} if it is positive, else {alpha} × (exp({x}) − 1): {y}"

    def value(self, x: Array) -> Array:
        """See `Activation`."""
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))

    def derivative(self, x: Array, y: Array) -> Array:
        """See `Activation`."""
        return np.where(x > 0, 1.0, y + self.alpha)

    @property
    def gain(self) -> float:
        """See `Activation`."""
        return 1 / (0.5 + 0.14495 * self.alpha * self.alpha)


class Softplus(Activation):
    """log(1 + exp(x)), a ReLU without its corner.

    Dugas et al. 2001, "Incorporating Second-Order Functional Knowledge for Better Option Pricing".
    """

    __slots__ = ()
    word: ClassVar[str] = "softplus"
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("Softplus"),)
    note: ClassVar[str] = "negative values fade to 0"
    formula: ClassVar[str] = "log(1 + exp({x})) = {y}"
    usual_gain: ClassVar[float] = 1.0855

    def value(self, x: Array) -> Array:
        """See `Activation`."""
        return np.logaddexp(0.0, x)

    def derivative(self, x: Array, y: Array) -> Array:
        """See `Activation`."""
        return -np.expm1(-y)


class Mish(Activation):
    """x tanh(log(1 + exp(x))).

    Misra 2020, "Mish: A Self Regularized Non-Monotonic Activation Function".
    """

    __slots__ = ()
    word: ClassVar[str] = "mish"
    derivative_from: ClassVar[str] = "x"
    onnx: ClassVar[tuple[OnnxNode, ...]] = (OnnxNode("Mish"),)
    opset: ClassVar[int] = 18
    note: ClassVar[str] = "negative values fade to 0"
    formula: ClassVar[str] = "{x} × tanh(log(1 + exp({x}))) = {y}"
    usual_gain: ClassVar[float] = 2.2107

    def value(self, x: Array) -> Array:
        """See `Activation`."""
        return x * np.tanh(Softplus().value(x))

    def derivative(self, x: Array, y: Array) -> Array:
        """See `Activation`."""
        share = np.tanh(Softplus().value(x))
        return np.asarray(share + x * (1 - share * share) * Sigmoid().value(x))


ACTIVATIONS: dict[str, type[Activation]] = {
    kind.word: kind
    for kind in (
        ReLU,
        LeakyReLU,
        Sigmoid,
        Tanh,
        GELU,
        ReLU6,
        SiLU,
        HardSwish,
        HardSigmoid,
        ELU,
        Softplus,
        Mish,
    )
}
"""The activations by their words."""
