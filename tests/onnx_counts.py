"""The ONNX project's own tests of its operators, put through the reader: `python -m tests.onnx_counts` prints a table.

The numbers are those of the reference, with `--engine` those of the compiled network.

A test there is a model, its inputs and its outputs. All inputs but the first become constants of the file, as weights
are; inputs that are added or joined come in side by side, as one. Each test must then end as `passed`, the right
numbers, or as `refused`, with a message that names the node.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests

from lanewise.engine.inference import Inference
from lanewise.errors import ModelFileError
from lanewise.model_file import Reading, read_graph
from lanewise.model_file.operators import OPERATORS
from lanewise.model_file.tensors import quoted
from lanewise.network.reference import forward
from lanewise.preprocessing import Preprocessing

NODE_MODULES = sorted({*map(str.lower, OPERATORS), "constant", "batch_normalization"} - {"batchnormalization"})
"""The files in which ONNX keeps the tests of the operators that are read; loading all its 190 takes seconds."""

CONVERTED = ("pytorch-converted", "pytorch-operator", "simple")
"""Tests that ONNX ships as files: models that another framework wrote."""


Compute = Callable[[Reading, np.ndarray], np.ndarray]
"""How a network that was read is computed, for (N, channels, rows, columns)."""


@dataclass(frozen=True)
class OnnxTest:
    name: str
    model: onnx.ModelProto
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    rtol: float
    atol: float

    @property
    def operators(self) -> set[str]:
        return {node.op_type for node in self.model.graph.node}

    @property
    def ours(self) -> bool:
        """Whether all its operators are ones that the reader knows, on float32."""
        ends = [*self.model.graph.input[:1], *self.model.graph.output[:1]]
        floats = all(entry.type.tensor_type.elem_type == TensorProto.FLOAT for entry in ends)
        return floats and self.operators <= {*OPERATORS, "Constant"}


def node_tests(everything: bool = False) -> Iterator[OnnxTest]:
    """ONNX's tests of single operators, made while its modules are imported."""
    from onnx.backend.test.case import node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ONNX overflows on purpose
        if everything:
            cases = load_model_tests(kind="node")
        else:
            for module in NODE_MODULES:
                importlib.import_module(f"{node.__name__}.{module}")
            cases = list(node._NodeTestCases)
    for case in cases:
        inputs, outputs = case.data_sets[0]
        yield OnnxTest(case.name, case.model, inputs, outputs, case.rtol, case.atol)


def converted_tests() -> Iterator[OnnxTest]:
    """ONNX's tests of models that come as files."""
    for kind in CONVERTED:
        for case in load_model_tests(kind=kind):
            if case.model_dir is not None and (Path(case.model_dir) / "test_data_set_0").is_dir():
                model = onnx.load(Path(case.model_dir) / "model.onnx")
                folder = Path(case.model_dir) / "test_data_set_0"
                inputs, outputs = (
                    [_array(folder / f"{what}_{k}.pb") for k in range(len(list(folder.glob(f"{what}_*.pb"))))]
                    for what in ("input", "output")
                )
                yield OnnxTest(case.name, model, inputs, outputs, case.rtol, case.atol)


def _array(path: Path) -> np.ndarray:
    tensor = TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)


def _with_constants(test: OnnxTest) -> tuple[onnx.ModelProto, np.ndarray]:
    """The model with all inputs but the first as constants, and the first."""
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    constants = {tensor.name for tensor in model.graph.initializer}
    names = [entry.name for entry in model.graph.input if entry.name not in constants]
    for name, array in list(zip(names, test.inputs, strict=False))[1:]:
        tensor = array if isinstance(array, TensorProto) else numpy_helper.from_array(np.asarray(array), name)
        model.graph.initializer.append(tensor)
    return model, np.asarray(test.inputs[0] if test.inputs else 0)


def _joinable(test: OnnxTest) -> bool:
    """Whether the test is of a sum or a concatenation of inputs that are alike but for their channels."""
    shapes = [np.shape(array) for array in test.inputs]
    alike = len({(shape[:1], shape[2:], len(shape)) for shape in shapes}) == 1
    return test.operators <= {"Add", "Sum", "Concat"} and alike and len(shapes[0]) in (2, 3, 4)


def _with_joined_inputs(test: OnnxTest) -> tuple[onnx.ModelProto, np.ndarray]:
    """The model behind one input that holds all inputs side by side: a layer of ones and zeros takes each out again."""
    x = np.concatenate(test.inputs, axis=1)
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    del model.graph.input[:], model.graph.node[:]
    model.graph.input.append(helper.make_tensor_value_info("joined", TensorProto.FLOAT, x.shape))
    first = 0
    for entry, array in zip(test.model.graph.input, test.inputs, strict=True):
        channels = np.shape(array)[1]
        taken = np.eye(x.shape[1], dtype=np.float32)[first : first + channels]
        taken = taken.T if x.ndim == 2 else taken.reshape(*taken.shape, *[1] * (x.ndim - 2))
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(taken), f"take_{entry.name}"))
        operator = "MatMul" if x.ndim == 2 else "Conv"
        model.graph.node.append(helper.make_node(operator, ["joined", f"take_{entry.name}"], [entry.name]))
        first += channels
    model.graph.node.extend(test.model.graph.node)
    return model, x


def by_reference(reading: Reading, x: np.ndarray) -> np.ndarray:
    return forward(reading.graph, reading.parameters, x)[-1]


def by_engine(reading: Reading, x: np.ndarray) -> np.ndarray:
    channels, rows, columns = reading.graph.input_shape
    as_they_are = Preprocessing(rows, columns, channels, "float32", (1.0,) * channels, (0.0,) * channels)
    images = np.ascontiguousarray(x.transpose(0, 2, 3, 1), np.float32)
    return Inference(reading.graph, reading.parameters, as_they_are).run(images)


def outcome(test: OnnxTest, compute: Compute = by_reference) -> tuple[str, str]:
    """("passed" | "refused" | "wrong", what the message or the difference was)."""
    model, x = _with_joined_inputs(test) if _joinable(test) else _with_constants(test)
    try:
        reading = read_graph(model)
    except ModelFileError as error:
        named = any(
            word and quoted(word) in str(error) for node in test.model.graph.node for word in (node.name, *node.output)
        )
        return ("refused" if named else "wrong"), str(error)
    expected = np.asarray(test.outputs[0])
    assert set(reading.preprocessing.scale) == {1.0}, "no test has preprocessing"
    y = compute(reading, x.reshape(len(x), *reading.graph.input_shape))
    if y.size == expected.size and len(y) == len(expected):
        y = y.reshape(expected.shape)
    right = y.shape == expected.shape and np.allclose(y, expected, rtol=test.rtol, atol=max(test.atol, 1e-6))
    return ("passed", "") if right else ("wrong", f"{expected.shape} expected, {y.shape} came, or other numbers")


def count(
    tests: Iterator[OnnxTest], compute: Compute = by_reference
) -> tuple[Counter[str], dict[str, Counter[str]], list[str]]:
    """Outcomes in all, by operator, and a line for each test that did not pass."""
    total: Counter[str] = Counter()
    by_operator: dict[str, Counter[str]] = defaultdict(Counter)
    lines = []
    for test in tests:
        if test.ours:
            result, message = outcome(test, compute)
            total[result] += 1
            for operator in test.operators:
                by_operator[operator][result] += 1
            if message:
                lines.append(f"{result:8} {test.name}: {message}")
    return total, by_operator, lines


def main() -> int:
    compute = by_engine if "--engine" in sys.argv[1:] else by_reference
    wrong = 0
    for title, tests in (
        ("ONNX node tests", node_tests(everything=True)),
        ("ONNX converted models", converted_tests()),
    ):
        total, by_operator, lines = count(tests, compute)
        print(f"{title}: {total['passed']} passed, {total['refused']} refused by name, {total['wrong']} wrong")
        for operator, counts in sorted(by_operator.items()):
            print(
                f"  {operator:20} {counts['passed']:3} passed {counts['refused']:3} refused {counts['wrong']:3} wrong"
            )
        print(*lines, sep="\n")
        wrong += total["wrong"]
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
