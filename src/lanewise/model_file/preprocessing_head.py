"""The head of a file's graph: where images enter it, and the preprocessing that is done to them there.

Preprocessing is what stands before the network proper: a cast of the raw pixels to float32, a scale and an offset for
each channel, and one move from (N, H, W, C) to (N, C, H, W), in any order. Without a cast or a move, an arithmetic node
at the input is the network's own business.

An input with three axes is a grey image (N, H, W) if the network adds the channel or flattens it, else a sequence
(N, C, L), which is read as an image of one row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lanewise.errors import ModelFileError
from lanewise.model_file.axes import Axes, plain, reshaped
from lanewise.model_file.builder import MOST_VALUES, Channels
from lanewise.model_file.onnx_graph import STANDARD_DOMAINS, OnnxFile, called
from lanewise.model_file.operators import OPERATORS
from lanewise.model_file.pointwise_operators import per_channel, scale_and_shift
from lanewise.model_file.tensors import FLOAT, Constant, attributes_of, listed, quoted, type_name
from lanewise.network.activations import ACTIVATIONS
from lanewise.network.shapes import Shape
from lanewise.preprocessing import PixelType

UINT8 = 2
MOST_CHANNELS = 1 << 20
COLOURS = (1, 3, 4)
SHAPING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
NEUTRAL = {"Add", "Cast", "Div", "Dropout", "Identity", "Mul", "Sub"} | {
    node.operator for kind in ACTIVATIONS.values() for node in kind.onnx
}
"""Operators to which all axes are alike."""

CHANNELS_FIRST = (0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class PreprocessingHead:
    """How images enter: after the nodes at `passed`, tensor `tensor` holds raw * scale + offset.

    `shape` is (channels, rows, columns), `axes` how the axes of `tensor` are made of that, `batch` the number of images
    the file is fixed to, or None.
    """

    tensor: str
    passed: frozenset[int]
    shape: Shape
    axes: Axes
    batch: int | None
    dtype: PixelType
    scale: Channels
    offset: Channels
    channels_first: bool
    """Whether the file's own input has its channels before its rows."""


def find_head(file: OnnxFile) -> PreprocessingHead:
    """Find out what enters the graph of `file`.

    Raises
    ------
    ModelFileError
        The input is no image of a fixed size in uint8 or float32, or is prepared in a way that is not read.
    """
    element, batch, sizes = _input_type(file)
    rank = len(sizes) + 1
    chain = _chain(file, element, sizes)
    moves = [position for position in chain if _moves(file, file.nodes[position], sizes)]
    channels_last = bool(moves) or _colours_last(file, sizes)
    added = [place for place, position in enumerate(chain) if file.nodes[position].op_type == "Unsqueeze"]
    if added and not moves:
        chain = chain[: added[0]]
    if not moves and "Cast" not in {file.nodes[position].op_type for position in chain}:
        chain = []
    operators = [file.nodes[position].op_type for position in chain]
    shape = _shape(file, sizes, channels_last)
    if math.prod(shape) > MOST_VALUES or shape[0] > MOST_CHANNELS:
        _refuse(file, f"takes images of {math.prod(shape):,} numbers in {shape[0]:,} channels, more than are read")
    scale, offset = np.ones(shape[0]), np.zeros(shape[0])
    usual = plain(shape)
    last = (usual[1], usual[2], usual[0])
    axes = (last if rank == 4 else last[:2]) if channels_last else _axes(shape, sizes)
    with np.errstate(all="ignore"):  # of what comes out, only finite numbers are taken
        for position in chain:
            node = file.nodes[position]
            if position in moves:
                axes = usual
            elif node.op_type == "Unsqueeze":  # a grey image gets a last axis, which a move brings to the front
                axes = last
            elif node.op_type != "Cast":
                gain, shift = _affine(file, node, axes, shape)
                scale, offset = scale * gain, offset * gain + shift
    tensor = file.nodes[chain[-1]].output[0] if chain else file.input.name
    if element == UINT8 and "Cast" not in operators:
        _refuse(file, "takes uint8 but is never cast to float32")
    dtype: PixelType = "uint8" if element == UINT8 else "float32"
    return PreprocessingHead(tensor, frozenset(chain), shape, axes, batch, dtype, scale, offset, not channels_last)


def _axes(shape: Shape, sizes: tuple[int, ...]) -> Axes:
    """How the axes of an input that is not moved are made of an image: the same numbers in the same order."""
    axes = reshaped(plain(shape), sizes)
    assert axes is not None
    return axes


def _input_type(file: OnnxFile) -> tuple[int, int | None, tuple[int, ...]]:
    """Element type of the input, its batch size (None if free) and its other sizes."""
    tensor = file.input.type.tensor_type
    if not file.input.type.HasField("tensor_type") or tensor.elem_type not in (FLOAT, UINT8):
        _refuse(file, f"holds {type_name(tensor.elem_type)}; float32 and uint8 are read")
    if not tensor.HasField("shape") or len(tensor.shape.dim) not in (2, 3, 4):
        count = len(tensor.shape.dim) if tensor.HasField("shape") else "unknown"
        _refuse(
            file,
            f"has the wrong number of axes ({count}); images (N, C, H, W), sequences (N, C, L), features (N, F) fit",
        )
    first, *rest = tensor.shape.dim
    sizes = tuple(int(dim.dim_value) for dim in rest)
    if min(sizes) < 1:
        _refuse(
            file,
            "has sizes that are not fixed; only the first, the batch, may be: export the model for one image size",
        )
    return tensor.elem_type, first.dim_value if first.dim_value > 0 else None, sizes


def _shape(file: OnnxFile, sizes: tuple[int, ...], channels_last: bool) -> Shape:
    """(channels, rows, columns) of an image as the network takes it."""
    if channels_last:
        return (sizes[2] if len(sizes) == 3 else 1, sizes[0], sizes[1])
    if len(sizes) == 1:
        return (1, 1, sizes[0])
    users = _first_to_care(file)
    shaping = bool(users) and all(node.op_type in SHAPING for node in users)
    if len(sizes) == 2:
        if shaping and not any(_added_axes(file, node) == (2,) for node in users):
            return (1, sizes[0], sizes[1])
        if sizes[0] == sizes[1] > 1:
            _refuse(
                file,
                f"may hold images or sequences of {sizes[0]} channels; export it for (N, 1, {sizes[0]}, {sizes[1]})",
            )
        return (sizes[0], 1, sizes[1])
    return (sizes[0], sizes[1], sizes[2])


def _colours_last(file: OnnxFile, sizes: tuple[int, ...]) -> bool:
    """Whether an input that nothing moves at once has its colours last: the network begins by laying it out anew."""
    if len(sizes) != 3 or sizes[2] not in COLOURS or min(sizes[:2]) <= max(COLOURS):
        return False
    users = {node.op_type for node in _first_to_care(file)}
    return bool(users) and users <= {*SHAPING, "LayerNormalization", "Pad", "Transpose"}


def _first_to_care(file: OnnxFile) -> list[Any]:
    """The first nodes behind the input that treat its axes differently."""
    behind: list[Any] = []
    tensors = {file.input.name}
    for node in file.nodes:
        if not tensors.isdisjoint(node.input):
            if node.op_type in NEUTRAL:
                tensors.update(node.output[:1])
            else:
                behind.append(node)
    return behind


def _added_axes(file: OnnxFile, node: Any) -> tuple[int, ...] | None:
    """The axes that an Unsqueeze adds to three, counted from the front; None if they are not known."""
    if node.op_type != "Unsqueeze":
        return None
    axes: Any = attributes_of(node).get("axes")
    if axes is None and len(node.input) == 2:
        axes = listed(file.constant(node.input[1]))
    if not isinstance(axes, tuple) or not all(isinstance(axis, int) for axis in axes):
        return None
    return tuple(axis + 3 + len(axes) if axis < 0 else axis for axis in axes)


def _moves(file: OnnxFile, node: Any, sizes: tuple[int, ...]) -> bool:
    """Whether a node brings channels to the front: a Transpose, or, of one channel, a Reshape."""
    if node.op_type == "Transpose":
        perm = attributes_of(node).get("perm")
        return isinstance(perm, tuple) and perm == CHANNELS_FIRST
    if node.op_type != "Reshape" or len(sizes) != 3 or sizes[2] != 1 or len(node.input) != 2 or node.attribute:
        return False
    # where there is one row or column, it says nothing
    return 1 not in sizes[:2] and listed(file.constant(node.input[1])) == (-1, 1, *sizes[:2])


def _chain(file: OnnxFile, element: int, sizes: tuple[int, ...]) -> list[int]:
    """Positions of the nodes that follow the input one by one and could be preprocessing."""
    reader = {name: position for position, node in enumerate(file.nodes) for name in node.input}
    chain: list[int] = []
    tensor, is_float, rank, moved = file.input.name, element == FLOAT, len(sizes) + 1, False
    while file.read_once(tensor) and tensor in reader:
        node = file.nodes[reader[tensor]]
        known = set(OPERATORS[node.op_type][2].split()) if node.op_type in OPERATORS else set()
        if node.domain not in STANDARD_DOMAINS or len(node.output) != 1 or node.input[0] == "":
            break
        if not {attribute.name for attribute in node.attribute} <= known:
            break
        if node.op_type == "Cast" and len(node.input) == 1 and _casts_to_float(node):
            is_float = True
        elif rank == 3 and _added_axes(file, node) == (3,) and _followed_by_move(file, node, reader):
            rank = 4
        elif rank == 4 and not moved and node.input[0] == tensor and _moves(file, node, sizes):
            moved = True
        elif node.op_type not in ("Add", "Sub", "Mul", "Div") or not is_float or _constant(file, node) is None:
            break
        chain.append(reader[tensor])
        tensor = node.output[0]
    return chain


def _casts_to_float(node: Any) -> bool:
    to = attributes_of(node).get("to")
    return isinstance(to, int) and to == FLOAT


def _followed_by_move(file: OnnxFile, node: Any, reader: dict[str, int]) -> bool:
    """Whether the next node that is no arithmetic is a Transpose that brings channels to the front."""
    while file.read_once(node.output[0]) and node.output[0] in reader:
        node = file.nodes[reader[node.output[0]]]
        if node.op_type == "Transpose":
            return _moves(file, node, ())
        if node.op_type not in ("Cast", "Add", "Sub", "Mul", "Div") or len(node.output) != 1:
            return False
    return False


def _constant(file: OnnxFile, node: Any) -> tuple[int, Constant] | None:
    """The constant input of a node with two inputs, and whether it is the first or the second."""
    found = [(place, file.constant(name)) for place, name in enumerate(node.input)]
    constants = [(place, array) for place, array in found if array is not None]
    return constants[0] if len(found) == 2 and len(constants) == 1 else None


def _affine(file: OnnxFile, node: Any, axes: Axes, shape: Shape) -> tuple[Channels, Channels]:
    place, constant = _constant(file, node) or (0, np.zeros(0))
    numbers = per_channel(constant, axes, shape)
    pair = None if numbers is None else scale_and_shift(node.op_type, numbers, constant_first=place == 0)
    if pair is None or not np.isfinite(pair).all():
        raise ModelFileError(
            f"{called(node)}: its constant of shape {constant.shape} is no finite number for {shape[0]} channels"
        )
    return pair


def _refuse(file: OnnxFile, reason: str) -> None:
    reader = next((called(node) for node in file.nodes if file.input.name in node.input), "no node")
    raise ModelFileError(f"input {quoted(file.input.name)}, read by {reader}, {reason}")
