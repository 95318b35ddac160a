"""Reading a model file: our own exactly, anybody's ONNX file as far as its operators are layers here."""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lanewise.errors import LanewiseError, ModelFileError
from lanewise.escaping import escaped
from lanewise.model_file.axes import channels_of, merged
from lanewise.model_file.builder import NetworkBuilder, TensorRef, Weights
from lanewise.model_file.checked import preprocessing_of
from lanewise.model_file.constants import FOLDED, fold
from lanewise.model_file.contents import Contents, Label
from lanewise.model_file.curves import Curve
from lanewise.model_file.external_data import take_in
from lanewise.model_file.metadata import Properties, digest, from_properties
from lanewise.model_file.node import FileNode
from lanewise.model_file.onnx_graph import STANDARD_DOMAINS, OnnxFile, called, outline, parse
from lanewise.model_file.operators import ON_CURVES, ON_MEANS, OPERATORS
from lanewise.model_file.over_channels import OverChannels
from lanewise.model_file.preprocessing_head import PreprocessingHead, find_head
from lanewise.model_file.rebuild import DifferenceError, rebuild
from lanewise.model_file.tensors import Constant, attributes_of, quoted
from lanewise.model_file.tta import without as without_tta
from lanewise.model_file.window_operators import Padded
from lanewise.network import text
from lanewise.network.comparing import comparable
from lanewise.network.graph import Graph, build
from lanewise.network.layers import (
    Flatten,
    Layer,
    Sides,
    Sigmoid,
    Softmax,
)
from lanewise.notes import Caution
from lanewise.preprocessing import Preprocessing

MOST_BYTES = 2 << 30
"""Protocol buffers can hold no more."""

UNPREPARED = "It was not written by Lanewise: images must be prepared as its author did."
"""A note that holds until somebody says how."""

Value = TensorRef | Curve | OverChannels | Padded
"""What the name of a tensor stands for, unless for a constant."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A network as an ONNX graph has it, and the preprocessing that the graph does before it."""

    graph: Graph
    parameters: tuple[Weights, ...]
    preprocessing: Preprocessing


def read(
    path: str | os.PathLike[str],
    *,
    classes: tuple[Label, ...] | None = None,
    most_bytes: int = MOST_BYTES,
    external_data: bool = False,
) -> Contents:
    """Read a model file, Lanewise's own or any ONNX file made of operators that are layers here.

    Parameters
    ----------
    path : path of the file
    classes : tuple of labels, optional
        Names for the outputs of a file that is not Lanewise's own; "0", "1", ... unless given.
    most_bytes : int
        Largest file that is read, in bytes.
    external_data : bool
        Whether to read weights from a second file, which must lie in the same folder.

    Raises
    ------
    ModelFileError
        The file is not there, not ONNX, damaged, too large, or holds what is not read; the message names it.
    """
    where = f'model file "{os.fspath(path)}"'
    model = parse(_bytes(Path(path), where, most_bytes), where)
    texts = {entry.key: entry.value for entry in model.metadata_props}
    if any(isinstance(text, bytes) for pair in texts.items() for text in pair):
        raise ModelFileError(f"{where}: its metadata is not text: the file is damaged")
    try:
        if external_data:
            take_in(model, Path(path).parent, most_bytes)
        if "lanewise_format" in texts or model.producer_name == "lanewise":
            return read_own(model)
        return _foreign(model, classes)
    except LanewiseError as error:
        first_line, *_ = str(error).splitlines()
        # What a file says about itself must not be obeyed by the user's terminal.
        raise ModelFileError(f"{where}: {escaped(first_line)}") from None
    except MemoryError:
        raise ModelFileError(f"{where}: it does not fit in memory") from None
    except Exception as error:  # what a file can say has no end: nothing but a refusal may come of it
        what = f"{type(error).__name__} {quoted(str(error))[1:-1]}".strip()
        raise ModelFileError(f"{where}: it says what no exporter says, and is not read ({what})") from None


def read_own(model: Any) -> Contents:
    """The contents of an `onnx.ModelProto` that Lanewise made; what its metadata say must be what its graph does.

    Raises
    ------
    LanewiseError
        Says what does not fit, without the name of a file.
    """
    properties = from_properties({entry.key: entry.value for entry in model.metadata_props})
    preprocessing = preprocessing_of(properties.preprocessing)
    graph, parameters = _own_network(model, properties, preprocessing)
    return Contents(
        graph,
        parameters,
        properties.classes,
        preprocessing,
        properties.network,
        properties.history,
        properties.provenance,
        label_type=properties.label_type,
        tta=properties.tta,
    )


def read_graph(model: Any, *, merging: bool = True) -> Reading:
    """The network in an `onnx.ModelProto` made of supported operators.

    Parameters
    ----------
    model : onnx.ModelProto
    merging : bool
        Whether scales and shifts are taken into the layers before them; in a file of ours they are layers.

    Raises
    ------
    ModelFileError
        Names the node (by its name, or by what it writes), its operator, and why it is not read.
    """
    builder, output, head = _walk(model, merging=merging)
    return _finish(builder, output, head)


def _bytes(path: Path, where: str, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelFileError(f"{where} is not a regular file")
            if status.st_size > most_bytes:
                raise ModelFileError(f"{where} has {status.st_size:,} bytes; at most {most_bytes:,} are read")
            return file.read(status.st_size)
    except ModelFileError:
        raise
    except OSError as error:
        raise ModelFileError(f"{where} cannot be read: {error.strerror or error}") from None


def _walk(model: Any, *, merging: bool = True) -> tuple[NetworkBuilder, TensorRef, PreprocessingHead]:
    file = outline(model)
    # Weights that are not finite are refused later, with all the others; arithmetic on them says nothing before.
    with np.errstate(all="ignore"):
        head = find_head(file)
        builder = NetworkBuilder(head.shape, merging=merging)
        value = TensorRef(0, head.axes, single_use=False)
        if len(head.axes) == 1:
            value = builder.add(Flatten(), (value,), single_use=False)
        values: dict[str, Value] = {head.tensor: value}
        for position, node in enumerate(file.nodes):
            if position not in head.passed:
                with builder.at(position + 1, called(node)):
                    _step(node, file, values, builder, head.batch)
        builder.place = len(file.nodes) + 1
        output = values[file.output].settle(builder)
    if merged(output.axes) != channels_of((math.prod(builder.shape(output)),)):
        raise ModelFileError(f"the output {quoted(file.output)} has its axes in another order than the network")
    return builder, output, head


def _step(node: Any, file: OnnxFile, values: dict[str, Value], builder: NetworkBuilder, batch: int | None) -> None:
    """Read one node of the file: a new value of the network, or a new constant."""
    if node.domain not in STANDARD_DOMAINS or node.op_type not in OPERATORS.keys() | FOLDED.keys():
        domain = f" of domain {quoted(node.domain)}" if node.domain not in STANDARD_DOMAINS else ""
        raise ModelFileError(f"the operator{domain} is not supported; those that are: {', '.join(OPERATORS)}")
    attributes = attributes_of(node)
    if not any(name in values for name in node.input):
        constants = tuple(file.constant(name) for name in node.input)
        file.constants[node.output[0]] = fold(node.op_type, constants, attributes)
        return
    function, most_inputs, known = OPERATORS.get(node.op_type, (None, 0, ""))
    if function is None:
        raise ModelFileError("it is read for constants alone, and its input comes from the network")
    if unknown := attributes.keys() - set(known.split()):
        raise ModelFileError(f"its attribute {quoted(min(unknown, key=str))} is not supported")
    several = any(name in file.users for name in node.output[1:] if name) and node.op_type != "Split"
    if len(node.input) > most_inputs or several:
        raise ModelFileError("it has more inputs, or outputs that are read, than are supported")
    padding: Sides = (0, 0, 0, 0)
    inputs: list[TensorRef | Curve | OverChannels | Constant | None] = []
    for name in node.input:
        found = values.get(name)
        if isinstance(found, Padded) and not inputs and found.taken_by(node.op_type, builder):
            padding = found.sides
            found = found.value
        if not (
            found is None
            or isinstance(found, TensorRef)
            or (isinstance(found, Curve) and node.op_type in ON_CURVES)
            or (isinstance(found, OverChannels) and node.op_type in ON_MEANS)
        ):
            found = values[name] = found.settle(builder)
        inputs.append(file.constant(name) if found is None else found)
    outputs, users = sum(map(bool, node.output)), file.users.get(node.output[0], ())
    made = function(
        FileNode(
            node.op_type, tuple(inputs), attributes, outputs, users, file.opset, batch, builder, called(node), padding
        )
    )
    if isinstance(made, np.ndarray):
        file.constants[node.output[0]] = made
    elif isinstance(made, tuple):
        values.update(zip(filter(None, node.output), made, strict=True))
    else:
        values[node.output[0]] = made


def _finish(builder: NetworkBuilder, output: TensorRef, head: PreprocessingHead) -> Reading:
    scale, offset = (tuple(map(float, numbers)) for numbers in (head.scale, head.offset))
    try:
        graph, parameters = builder.finish(output)
        channels, rows, columns = graph.input_shape
        done = Preprocessing(rows, columns, channels, head.dtype, scale, offset, standardised=False)
    except LanewiseError as error:
        raise ModelFileError(str(error)) from None
    return Reading(graph, parameters, done)


def _foreign(model: Any, classes: tuple[Label, ...] | None) -> Contents:
    """The contents of a file that somebody else wrote, made to end in probabilities."""
    builder, output, head = _walk(model)
    notes: list[str] = [UNPREPARED]
    if len(head.axes) == 3 and head.channels_first and head.shape[0] > 1:
        channels, rows, columns = head.shape
        unclear = channels == rows == columns  # no shape tells which axis is which
        notes.append(
            (Caution if unclear else str)(
                f"Its own input is (N, {channels}, {rows}, {columns}); here it takes images "
                f"(N, {rows}, {columns}, {channels}), channels last{': give x.transpose(0, 2, 3, 1)' * unclear}."
            )
        )
    if len(head.axes) == 2 and head.shape[1] == 1 and head.shape[0] > 1:
        channels, _, length = head.shape
        notes.append(
            f"It takes sequences (N, {channels}, {length}); each is an image of one row with {channels} channels."
        )
    shape = builder.shape(output)
    if len(shape) == 3 and shape[1:] == (1, 1):
        output = builder.add(Flatten(), (output,), single_use=True)
        shape = builder.shape(output)
    if len(shape) != 1:
        raise ModelFileError(
            f"its output has the shape {shape} for each image; a classifier has one number for each class"
        )
    if not isinstance(builder.nodes[output.node].layer, Softmax | Sigmoid):
        last: Layer = Sigmoid() if shape == (1,) else Softmax()
        output = builder.add(last, (output,), single_use=True)
        notes.append(f"It ends without probabilities, so a {type(last).__name__.lower()} was added.")
    labels = classes if classes is not None else tuple(map(str, range(max(2, *shape))))
    reading = _finish(builder, output, head)
    return Contents(reading.graph, reading.parameters, labels, reading.preprocessing, notes=tuple(notes))


def _own_network(model: Any, properties: Properties, preprocessing: Preprocessing) -> tuple[Graph, tuple[Weights, ...]]:
    """The graph and weights: rebuilt from the text, or, where there is none or a tool rewrote the file, as they are."""
    difference = None
    if properties.network is not None:
        try:
            graph, parameters = rebuild(model, properties.network, preprocessing, tta=properties.tta is not None)
        except DifferenceError as error:
            difference = str(error)
        else:
            _check_weights(parameters, properties)
            return graph, parameters
    try:
        plain = model if properties.tta is None else without_tta(model)
        reading = read_graph(plain, merging=False)
    except ModelFileError as error:
        changed = "" if difference is None else f"; its graph and its text first differ at {difference}"
        raise ModelFileError(f"{error}{changed}") from None
    _check_weights(reading.parameters, properties)
    # As numbers: zero has two signs, and the graph's arithmetic may turn one into the other.
    if not preprocessing.computes_as(reading.preprocessing):
        raise ModelFileError("the property 'preprocessing' does not say what its graph does: it was damaged or edited")
    if properties.network is None:
        return reading.graph, reading.parameters
    graph = build(text.parse(properties.network), reading.graph.input_shape)
    if comparable(graph) != comparable(reading.graph):
        raise ModelFileError(
            f"the property 'network' describes another network than its graph: they first differ at {difference}"
        )
    return graph, reading.parameters


def _check_weights(parameters: tuple[Weights, ...], properties: Properties) -> None:
    if digest(parameters) != properties.digest:
        raise ModelFileError(
            "its weights are not those that were saved: it was damaged or edited; save the model again"
        )
