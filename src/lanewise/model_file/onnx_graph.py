"""From bytes to an ONNX graph whose outline is sound: one input, one output, unique names, nothing outside the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lanewise.errors import ModelFileError
from lanewise.model_file.tensors import Constant, array_of, attributes_of, quoted, refuse_external

OLDEST_OPSET = 6
"""Before it, nearly every operator had attributes of its own kind."""

MOST_NODES = 50_000
STANDARD_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """The graph of an ONNX file, as far as it leads to the output.

    `nodes` are `NodeProto` in the file's order, without those that make constants. `users` names the operators
    that read each tensor, "" for the output of the graph.
    """

    nodes: tuple[Any, ...]
    input: Any
    output: str
    opset: int
    users: Mapping[str, tuple[str, ...]]
    constants: dict[str, Any]

    def read_once(self, name: str) -> bool:
        """Whether one node alone reads the tensor `name`."""
        return len(self.users.get(name, ())) == 1

    def constant(self, name: str) -> Constant | None:
        """The array called `name`, or None if the file holds none of that name."""
        found = self.constants.get(name)
        if found is None or isinstance(found, np.ndarray):
            return found
        array = _constant_of(found) if hasattr(found, "op_type") else array_of(found)
        self.constants[name] = array
        return array


def called(node: Any) -> str:
    """What messages call a `NodeProto`: by its name, or else by what it writes."""
    operator = quoted(node.op_type)[1:-1]
    if node.name:
        return f"node {quoted(node.name)} ({operator})"
    return f"the node that writes {quoted(node.output[0]) if node.output else 'nothing'} ({operator})"


def parse(data: bytes, where: str) -> Any:
    """The `ModelProto` in the bytes of a file; `where` names the file in messages.

    Raises
    ------
    ModelFileError
        The bytes are no ONNX model, or not all of one.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise ModelFileError(f"{where} is not an ONNX model, or was cut short: it cannot be decoded") from None
    if not model.HasField("graph") or not model.opset_import:
        raise ModelFileError(f"{where} is not an ONNX model, or was cut short: it lacks {_lacking(model)}")
    return model


def outline(model: Any) -> OnnxFile:
    """Check the outline of a `ModelProto` and keep what its output depends on.

    Raises
    ------
    ModelFileError
        Names what is wrong: a function, an opset out of range, external data, a name given twice, several inputs.
    """
    if model.functions:
        raise ModelFileError(
            f"function {quoted(model.functions[0].name)}: a model that defines its own functions is not read"
        )
    graph, opset = model.graph, _opset(model)
    if len(graph.node) > MOST_NODES:
        raise ModelFileError(f"the graph has {len(graph.node)} nodes; at most {MOST_NODES} are read")
    if graph.sparse_initializer:
        raise ModelFileError(
            "the model keeps weights as sparse tensors, which are not read; export it with dense weights"
        )
    for tensor in graph.initializer:
        refuse_external(tensor)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in constants]
    producers = _producers(graph, {entry.name for entry in inputs})
    _one_way_through(inputs, graph.output, producers)
    nodes = _leading_to(graph.output[0].name, inputs[0].name, producers, constants)
    constants |= {node.output[0]: node for node in nodes if node.op_type == "Constant" and _standard(node)}
    network = tuple(node for node in nodes if node.op_type != "Constant" or not _standard(node))
    users: dict[str, list[str]] = {graph.output[0].name: [""]}
    for node in network:
        for name in node.input:
            users.setdefault(name, []).append(node.op_type)
    return OnnxFile(
        nodes=network,
        input=inputs[0],
        output=graph.output[0].name,
        opset=opset,
        users={name: tuple(operators) for name, operators in users.items()},
        constants=constants,
    )


def _opset(model: Any) -> int:
    from onnx.defs import onnx_opset_version

    versions = [entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS]
    newest = onnx_opset_version()
    if len(versions) != 1 or not OLDEST_OPSET <= versions[0] <= newest:
        what = ", ".join(map(str, versions[:3])) or "none"
        raise ModelFileError(
            f"the model is of opset {what}; {OLDEST_OPSET} to {newest} are read: export it with opset 17"
        )
    return int(versions[0])


def _producers(graph: Any, inputs: set[str]) -> dict[str, Any]:
    """The node that writes each tensor; a name written twice is refused."""
    taken = Counter([*inputs, *(tensor.name for tensor in graph.initializer)])
    producers: dict[str, Any] = {}
    for name, times in taken.items():
        if times > 1:
            raise ModelFileError(f"tensor {quoted(name)} is defined {times} times: the file is damaged")
    if "" in taken:
        raise ModelFileError("an input or a weight has no name: the file is damaged")
    for node in graph.node:
        if node.output and not node.output[0]:
            raise ModelFileError(f"{called(node)}: its first output has no name, as if nobody wanted it")
        for name in filter(None, node.output):
            if name in producers or name in taken:
                raise ModelFileError(
                    f"{called(node)} writes {quoted(name)}, which was written before: the file is damaged"
                )
            producers[name] = node
    return producers


def _one_way_through(inputs: list[Any], outputs: Any, producers: Mapping[str, Any]) -> None:
    if len(inputs) == len(outputs) == 1:
        return
    last = next((called(producers[entry.name]) for entry in outputs if entry.name in producers), "no node")
    raise ModelFileError(
        f"the model has inputs: {_names(inputs)}, and outputs: {_names(outputs)} (from {last}); "
        "a network that can be read has one of each"
    )


def _leading_to(output: str, entry: str, producers: Mapping[str, Any], constants: Mapping[str, Any]) -> list[Any]:
    """The nodes that the output depends on, so that left-overs of training in a file do no harm; they are in order."""
    needed, waiting = {output}, [output]
    while waiting:
        node = producers.get(waiting.pop())
        for name in node.input if node is not None else ():
            if name not in needed:
                needed.add(name)
                waiting.append(name)
    nodes = list({id(node): node for name, node in producers.items() if name in needed}.values())
    known = {"", entry, *constants}
    for node in nodes:
        for name in node.input:
            if name not in known:
                raise ModelFileError(
                    f"{called(node)}: it reads {quoted(name)}, which nothing before it writes: the file is damaged"
                )
        known.update(node.output)
    if output not in known or entry not in needed:
        raise ModelFileError(f"nothing that reads the input {quoted(entry)} writes the output {quoted(output)}")
    return nodes


def _standard(node: Any) -> bool:
    return node.domain in STANDARD_DOMAINS


def _constant_of(node: Any) -> Constant:
    """The array that a Constant node makes."""
    try:
        attributes = attributes_of(node)
    except ModelFileError as error:
        raise ModelFileError(f"{called(node)}: {error}") from None
    if len(node.input) or len(node.output) != 1:
        raise ModelFileError(f"{called(node)}: a constant reads nothing and writes one array")
    match [*attributes.items()]:
        case [("value", np.ndarray() as array)]:
            return array
        case [("value_float", float(value)) | ("value_floats", tuple(value))]:
            return np.asarray(value, "f4")
        case [("value_int", int(value))]:
            return np.asarray(value, "i8")
        case [("value_ints", tuple(value))] if all(isinstance(one, int) for one in value):
            return np.asarray(value, "i8")
    raise ModelFileError(f"{called(node)}: it must have one value, of numbers")


def _names(entries: Any) -> str:
    return ", ".join(quoted(entry.name) for entry in entries[:5]) or "none"


def _lacking(model: Any) -> str:
    return "its opset" if model.HasField("graph") else "a graph"
