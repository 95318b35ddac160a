"""Where pictures enter a file's graph, and the preprocessing that is done to them there.

Preprocessing is what stands before the network proper: a cast of the raw pixels to float32, a scale and an offset for
each channel, and the move from (N, H, W, C) to (N, C, H, W), in any order. Without a cast or a move, an arithmetic node
at the entrance is the network's own business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lanewise.errors import ModelFileError
from lanewise.files.contents import PixelType
from lanewise.files.drafts import Channels
from lanewise.files.operators import per_channel, scale_and_shift
from lanewise.files.proto import STANDARD_DOMAINS, OnnxFile, called
from lanewise.files.tensors import FLOAT, Constant, attributes_of, quoted, type_name
from lanewise.network.shapes import Shape

UINT8 = 2
CHANNELS_FIRST = (0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Entrance:
    """How pictures enter: after `passed` nodes of the file, tensor `tensor` holds raw * scale + offset.

    `shape` is (channels, rows, columns), `rank` the axes that the file gives `tensor` with the batch, `batch` the
    number of pictures the file is fixed to, or None.
    """

    tensor: str
    passed: frozenset[int]
    shape: Shape
    rank: int
    batch: int | None
    dtype: PixelType
    scale: Channels
    offset: Channels


def enter(file: OnnxFile) -> Entrance:
    """Find out what enters the graph of `file`.

    Raises
    ------
    ModelFileError
        The input is no picture of a fixed size in uint8 or float32, or is prepared in a way that is not read.
    """
    element, batch, sizes = _input_type(file)
    chain = _chain(file, element, len(sizes) + 1)
    operators = [file.nodes[position].op_type for position in chain]
    channels_last = "Transpose" in operators
    if not {"Transpose", "Cast"} & set(operators):
        chain = []
    rank = len(sizes) + 1
    shape = (
        (*sizes[2:], *sizes[:2])
        if channels_last
        else {2: (1, 1, *sizes), 3: (*sizes[:1], 1, *sizes[1:]), 4: sizes}[rank]
    )
    scale, offset = np.ones(shape[0]), np.zeros(shape[0])
    axis = 3 if channels_last else 1
    with np.errstate(all="ignore"):  # of what comes out, only finite numbers are taken
        for node in (file.nodes[position] for position in chain):
            if node.op_type == "Transpose":
                axis = 1
            elif node.op_type != "Cast":
                gain, shift = _affine(file, node, rank, axis, shape[0])
                scale, offset = scale * gain, offset * gain + shift
    tensor = file.nodes[chain[-1]].output[0] if chain else file.input.name
    if element == UINT8 and "Cast" not in operators:
        _refuse(file, "takes uint8 but is never cast to float32")
    dtype: PixelType = "uint8" if element == UINT8 else "float32"
    return Entrance(tensor, frozenset(chain), shape, rank, batch, dtype, scale, offset)


def _input_type(file: OnnxFile) -> tuple[int, int | None, tuple[int, ...]]:
    """Element type of the input, its batch size (None if free) and its other sizes."""
    tensor = file.input.type.tensor_type
    if not file.input.type.HasField("tensor_type") or tensor.elem_type not in (FLOAT, UINT8):
        _refuse(file, f"holds {type_name(tensor.elem_type)}; float32 and uint8 are read")
    if not tensor.HasField("shape") or len(tensor.shape.dim) not in (2, 3, 4):
        count = len(tensor.shape.dim) if tensor.HasField("shape") else "unknown"
        _refuse(
            file,
            f"has the wrong number of axes ({count}); pictures (N, C, H, W), sequences (N, C, L), features (N, F) fit",
        )
    first, *rest = tensor.shape.dim
    sizes = tuple(int(dim.dim_value) for dim in rest)
    if min(sizes) < 1:
        _refuse(
            file,
            "has sizes that are not fixed; only the first, the batch, may be: export the model for one picture size",
        )
    return tensor.elem_type, first.dim_value if first.dim_value > 0 else None, sizes


def _chain(file: OnnxFile, element: int, rank: int) -> list[int]:
    """Positions of the nodes that follow the input one by one and could be preprocessing."""
    reader = {name: position for position, node in enumerate(file.nodes) for name in node.input}
    chain: list[int] = []
    tensor, is_float = file.input.name, element == FLOAT
    while file.uses.get(tensor) == 1 and tensor in reader:
        node = file.nodes[reader[tensor]]
        if node.domain not in STANDARD_DOMAINS or len(node.output) != 1:
            break
        if node.op_type == "Cast" and attributes_of(node).get("to") == FLOAT:
            is_float = True
        elif node.op_type == "Transpose":
            if rank != 4 or attributes_of(node).get("perm") != CHANNELS_FIRST:
                break
        elif node.op_type not in ("Add", "Sub", "Mul", "Div") or not is_float or _constant(file, node) is None:
            break
        chain.append(reader[tensor])
        tensor = node.output[0]
    return chain


def _constant(file: OnnxFile, node: Any) -> tuple[int, Constant] | None:
    """The constant input of a node with two inputs, and whether it is the first or the second."""
    found = [(place, file.constant(name)) for place, name in enumerate(node.input)]
    constants = [(place, array) for place, array in found if array is not None]
    return constants[0] if len(found) == 2 and len(constants) == 1 else None


def _affine(file: OnnxFile, node: Any, rank: int, axis: int, channels: int) -> tuple[Channels, Channels]:
    place, constant = _constant(file, node) or (0, np.zeros(0))
    numbers = per_channel(constant, rank, axis, channels)
    pair = None if numbers is None else scale_and_shift(node.op_type, numbers, constant_first=place == 0)
    if pair is None or not np.isfinite(pair).all():
        raise ModelFileError(
            f"{called(node)}: its constant of shape {constant.shape} is no finite number for {channels} channels"
        )
    return pair


def _refuse(file: OnnxFile, reason: str) -> None:
    reader = next((called(node) for node in file.nodes if file.input.name in node.input), "no node")
    raise ModelFileError(f"input {quoted(file.input.name)}, read by {reader}, {reason}")
