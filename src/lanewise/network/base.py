"""What all layers have in common, and how their options are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

Pair = tuple[int, int]
"""(rows, columns)."""

Sides = tuple[int, int, int, int]
"""(top, left, bottom, right)."""

Padding = Literal["valid", "same"] | Sides
"""`valid` adds nothing, `same` keeps ceil(size / stride) rows and columns, four numbers are taken as they are."""


Initial = Literal["random", "identity", "whiten"]
"""What the weights of a convolution start from."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Base of all layers. Abstract: it is never part of a network itself.

    A layer without options is not decorated: it inherits comparison, hash and text, and each dataclass costs a
    millisecond whenever the package is loaded.
    """


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """One node of a layer in an ONNX file.

    Attributes
    ----------
    operator : str
    inputs : tuple of str or float
        "x" is what the layer reads, the role of one of its parameters that parameter, another word the node of that
        operator before; numbers become constants.
    options : mapping
        From ONNX attributes to the options that they are; ONNX's defaults are ours, too.
    attributes : mapping
        From other ONNX attributes to their values, and what ONNX takes for them where a file leaves them out.
    """

    operator: str
    inputs: tuple[str | float, ...] = ("x",)
    options: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, tuple[float | str, float | str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Elementwise(Layer):
    """Base of layers that, predicting, make each value from one value, and say themselves how. Abstract.

    Attributes
    ----------
    word : str
        Its name in the text of networks, and in the names of nodes.
    bounds : mapping
        The least and the largest value of each option that is a number.
    onnx : tuple of OnnxNode
        Its nodes in an ONNX file, in order.
    opset : int
        The first ONNX opset that has its operators.
    note : str
        A clause that says what a map looks like behind it.
    formula : str
        How a value comes about, with {x}, {-x} and {y} for the numbers, and the names of options and the roles of
        parameters in braces.
    """

    word: ClassVar[str]
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}
    onnx: ClassVar[tuple[OnnxNode, ...]]
    opset: ClassVar[int] = 13
    note: ClassVar[str]
    formula: ClassVar[str]

    @property
    def options(self) -> dict[str, float]:
        """The options that are numbers by their names, in order."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name in self.bounds}


def is_frozen(layer: Layer) -> bool:
    """Whether the layer's weights are not trained."""
    return getattr(layer, "frozen", False)
