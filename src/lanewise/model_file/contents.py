"""What a model file holds, as values that are checked once, when they are made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lanewise.brief import short
from lanewise.errors import NetworkError
from lanewise.labels import typed
from lanewise.network.graph import Graph, build
from lanewise.network.layers import Sigmoid, Softmax
from lanewise.network.text import parse
from lanewise.preprocessing import Preprocessing

Label = str | int | float | bool
"""The name of a class, as the user wrote it."""

MOST_LABEL = (1 << 64) - 1

FLIP = "flip"
"""The one kind of test-time augmentation: the answer is that to an image and its mirror image together."""


def names_of(labels: Iterable[Any]) -> tuple[str, ...]:
    """The labels of classes as text: 1.0 is "1", so that labels are found again whatever type of number they are."""
    return tuple(str(int(n)) if isinstance(n, float) and n.is_integer() else str(n) for n in labels)


@short
@dataclass(frozen=True, eq=False)
class Contents:
    """A trained network and everything needed to use it, to go on training it and to know where it came from.

    Parameters
    ----------
    graph : Graph
        Ends in a softmax over the classes, or in a sigmoid of one output for two classes.
    parameters : tuple of ndarray
        Float32, in the order and shapes of `graph.parameters`. They are copied and made read-only.
    classes : tuple of str, int, float or bool
        The label of each class, in the order of the outputs.
    preprocessing : Preprocessing
    network : str, optional
        The text the graph was built from; None for a network that came from elsewhere.
    history : tuple of mappings
        One record for each epoch, of JSON values.
    provenance : mapping
        Where the model came from, as JSON values: version, seed, date, accuracy and the like.
    notes : tuple of str
        Sentences for the user about how the file was read. They are not saved.
    label_type : str, optional
        The type of the labels where text and numbers do not tell it, such as "date" or "int8": see `lanewise.labels`.
    tta : "flip", optional
        Test-time augmentation: probabilities are of the mean of the scores of an image and of its mirror image.

    Raises
    ------
    NetworkError
        The parts do not belong together.
    """

    graph: Graph
    parameters: tuple[NDArray[np.float32], ...]
    classes: tuple[Label, ...]
    preprocessing: Preprocessing
    network: str | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    label_type: str | None = None
    tta: str | None = None

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        object.__setattr__(self, "parameters", _checked_parameters(self.graph, self.parameters))
        object.__setattr__(self, "classes", tuple(map(_plain_label, self.classes)))
        try:
            typed(self.classes, self.label_type)
        except (ValueError, OverflowError, TypeError):
            raise NetworkError(f"the labels are no {str(self.label_type)[:40]}") from None
        rows, columns, channels = self.preprocessing.shape
        if self.graph.input_shape != (channels, rows, columns):
            raise NetworkError(
                f"the network takes images of (channels, rows, columns) = {self.graph.input_shape}, "
                f"but the preprocessing makes {(channels, rows, columns)}"
            )
        _check_output(self.graph, self.classes)
        if self.tta not in (None, FLIP):
            raise NetworkError(f"unknown test-time augmentation {str(self.tta)[:40]!r}: there is {FLIP!r}")
        if self.network is not None and build(parse(self.network), self.graph.input_shape) != self.graph:
            raise NetworkError(f"the text of the network describes another network than its graph: {self.network}")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes as text, by which labels are found: see `names_of`."""
        return names_of(self.classes)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what a file would hold and nothing derived from it; it is checked again when it comes back."""
        return type(self), tuple(getattr(self, entry.name) for entry in fields(self))


def label_problem(label: object) -> str | None:
    """Why no file can keep `label` as the name of a class, or None if one can."""
    if not isinstance(label, str | int | float):
        return f"a label of type {type(label).__name__}"
    if isinstance(label, float) and not math.isfinite(label):
        return f"the label {label}"
    if isinstance(label, int) and not -MOST_LABEL <= label <= MOST_LABEL:
        return "a label of more than 64 bits"
    return None


def _plain_label(label: object) -> Label:
    """A label as Python's own type: NumPy's would not come back from a file."""
    if isinstance(label, np.generic):
        label = label.item()
    for plain in (str, bool, int, float):  # NumPy's, and any other that inherits from them
        if isinstance(label, plain):
            label = plain(label)
            break
    if problem := label_problem(label):
        raise NetworkError(f"{problem} cannot be saved; labels are texts, whole numbers, finite numbers or booleans")
    return cast(Label, label)


def _checked_parameters(graph: Graph, arrays: tuple[NDArray[Any], ...]) -> tuple[NDArray[np.float32], ...]:
    if len(arrays) != len(graph.parameters):
        raise NetworkError(
            f"the network has {len(graph.parameters)} arrays of weights and biases, {len(arrays)} were given"
        )
    checked = []
    for parameter, array in zip(graph.parameters, arrays, strict=True):
        name = f"the {parameter.role} of {graph.nodes[parameter.node].name}"
        if array.shape != parameter.shape:
            raise NetworkError(f"{name} has shape {array.shape}, but the network needs {parameter.shape}")
        copy = array if _unchangeable(array) else np.array(array, dtype=np.float32, order="C")
        if not np.isfinite(copy).all():
            raise NetworkError(f"{name} holds NaN or infinity: training went astray, or the file was damaged")
        if parameter.role == "variance" and (copy < 0).any():
            raise NetworkError(f"{name} is negative somewhere: the file was damaged")
        copy.setflags(write=False)
        checked.append(copy)
    return tuple(checked)


def _unchangeable(array: NDArray[Any]) -> bool:
    """Whether an array is as its copy would be, and lies in bytes, which nobody can write to: it need not be copied."""
    if array.dtype != np.float32 or not array.flags.c_contiguous or not array.flags.aligned:
        return False
    owner: object = array
    while isinstance(owner, np.ndarray) and not owner.flags.writeable:
        owner = owner.base
    return isinstance(owner, bytes)


def _check_output(graph: Graph, classes: tuple[Label, ...]) -> None:
    last, shape = graph.nodes[-1].layer, graph.output_shape
    first = {label: place for place, label in reversed([*enumerate(classes, 1)])}
    again = next((place for place, label in enumerate(classes, 1) if first[label] != place), None)
    if again is not None:
        label = classes[again - 1]
        raise NetworkError(
            f"two classes have the same label, {str(label)[:40]!r}: numbers {first[label]} and {again}; tell them apart"
        )
    if isinstance(last, Softmax) and shape == (len(classes),):
        return
    if isinstance(last, Sigmoid) and shape == (1,) and len(classes) == 2:
        return
    raise NetworkError(
        f"{len(classes)} classes do not fit a network that ends in {type(last).__name__.lower()} of shape {shape}; "
        "it must end in a softmax with one output for each class, or a sigmoid with one output for two classes"
    )
