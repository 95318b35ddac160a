"""One node of a file on its way to becoming a layer: its inputs and attributes, asked for by kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from lanewise.errors import ModelFileError
from lanewise.model_file.builder import NetworkBuilder, TensorRef, Weights
from lanewise.model_file.tensors import Constant
from lanewise.network.layers import Layer


@dataclass(frozen=True, eq=False)
class FileNode:
    """One node of a file, on its way to becoming a layer.

    `inputs` are values of the network, constants of the file, or None where an optional input is left out; `batch` is
    the number of images the file was fixed to, None if it takes any; `users` are the operators that read
    the output.
    """

    operator: str
    inputs: tuple[TensorRef | Constant | None, ...]
    attributes: dict[str, Any]
    outputs: int
    users: tuple[str, ...]
    opset: int
    batch: int | None
    builder: NetworkBuilder

    @property
    def single_use(self) -> bool:
        """Whether one node alone reads the output."""
        return len(self.users) == 1

    def add(self, layer: Layer, *inputs: TensorRef, rank: int | None = None) -> TensorRef:
        """Append the layer that this node is.

        Parameters
        ----------
        layer : Layer
        *inputs : TensorRef
            Values of the network that it reads.
        rank : int, optional
            Axes of its output in the file, with the batch; by default those of the first input.

        Returns
        -------
        TensorRef
            Its output.

        Raises
        ------
        NetworkError
            It does not fit its inputs.
        """
        return self.builder.add(layer, inputs, single_use=self.single_use, rank=rank)

    def fail(self, reason: str) -> NoReturn:
        """Refuse the node; the caller puts its name before the reason."""
        raise ModelFileError(reason)

    def value(self, position: int = 0) -> TensorRef:
        """Input `position`, which must be a value of the network."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if not isinstance(found, TensorRef):
            self.fail(f"its input {position + 1} must come from the network, not from a constant")
        return found

    def constant(self, position: int, what: str) -> Constant | None:
        """Input `position`, which must be a constant, or None if it is left out."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if isinstance(found, TensorRef):
            self.fail(f"its {what} (input {position + 1}) is computed by the network; it must be a constant")
        return found

    def weights(self, position: int, what: str) -> Weights | None:
        """Input `position`, which must be a float32 constant, or None if it is left out."""
        found = self.constant(position, what)
        if found is not None and found.dtype != np.float32:
            self.fail(f"its {what} (input {position + 1}) holds {found.dtype}; float32 is needed")
        return found

    def number(self, name: str, default: float) -> float:
        """The attribute `name`, one number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float):
            self.fail(f"its attribute {name} must be one number")
        return value

    def whole(self, name: str, default: int) -> int:
        """The attribute `name`, one whole number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            self.fail(f"its attribute {name} must be one whole number")
        return value

    def numbers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """The attribute `name`, a list of whole numbers; without a default it must be there."""
        value = self.attributes.get(name, default)
        if not isinstance(value, tuple) or not all(isinstance(item, int) for item in value):
            self.fail(
                f"its attribute {name} must be a list of whole numbers" + (", and is missing" if value is None else "")
            )
        return value

    def axis(self, default: int, rank: int) -> int:
        """The attribute `axis`, counted from the front."""
        axis = self.whole("axis", default)
        return axis + rank if axis < 0 else axis

    def dims(self, value: TensorRef) -> tuple[int, ...]:
        """The file's shape of `value`, without the batch."""
        shape = self.builder.shape(value)
        if value.rank == 4 and len(shape) == 1:  # a global average, of which the file keeps the rows and columns
            return (*shape, 1, 1)
        if value.rank == 3:
            return (shape[0], shape[2]) if shape[1] == 1 else (shape[1], shape[2])
        return shape

    def passed(self, value: TensorRef, rank: int | None = None) -> TensorRef:
        """`value` itself under another name."""
        return replace(value, single_use=value.single_use and self.single_use, rank=rank or value.rank)
