"""ONNX files as exporters write them, drawn at random: read as ONNX Runtime reads them, or refused by name.

    python -m tests.reliability.elsewhere [--count N] [--seed S]

Each case is a graph of 3 to 12 steps over images, channels first or last: convolutions, pools, means, padding, axes
that move, channels that are shuffled, split and joined, arithmetic, and shapes that the file computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lanewise.errors import ModelFileError
from lanewise.model_file import read_graph
from lanewise.network.reference import forward
from tests.model_file.models import run
from tests.reliability.running import main

Shape = tuple[int, ...]


@dataclass
class Graph:
    """A file while it is drawn; `shapes` are without the batch; `last` says that channels are the last axis."""

    draw: np.random.Generator
    shapes: dict[str, Shape]
    now: str = "x"
    last: bool = False
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    @property
    def shape(self) -> Shape:
        """Of the value that the next step reads."""
        return self.shapes[self.now]

    def constant(self, array: np.ndarray) -> str:
        """An array under a new name."""
        name = f"k{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def normal(self, *shape: int) -> str:
        """Random weights."""
        inside = max(1, int(np.prod(shape[1:])))
        return self.constant(self.draw.normal(0, 1 / np.sqrt(inside), shape).astype(np.float32))

    def longs(self, *values: int) -> str:
        """A list of whole numbers."""
        return self.constant(np.array(values, np.int64))

    def add(self, operator: str, inputs: list[str], shape: Shape, **attributes: object) -> str:
        """A node, which the next step then reads."""
        self.now = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [self.now], **attributes))
        self.shapes[self.now] = shape
        return self.now

    def channels(self) -> int:
        """The axis of the channels, without the batch; now and then another."""
        return int(self.draw.integers(len(self.shape))) if self.draw.random() < 0.04 else -1 if self.last else 0

    def pick(self, *values: Any) -> Any:
        """One of some values."""
        return values[int(self.draw.integers(len(values)))]


def conv(g: Graph) -> None:
    c, h, w = g.shape
    k = int(g.draw.integers(1, min(4, h + 1, w + 1)))
    groups = c if g.draw.random() < 0.3 else 1
    filters = c if groups > 1 else int(g.draw.integers(1, 7))
    pads = [int(one) for one in g.draw.integers(0, 2, 4)]
    out = (filters, h + pads[0] + pads[2] - k + 1, w + pads[1] + pads[3] - k + 1)
    inputs = [g.now, g.normal(filters, c // groups, k, k)] + ([g.normal(filters)] if g.draw.random() < 0.5 else [])
    g.add("Conv", inputs, out, group=groups, pads=pads)


def pool(g: Graph) -> None:
    c, h, w = g.shape
    if min(h, w) < 2:
        return
    operator, attributes = g.pick(("MaxPool", {}), ("AveragePool", {}), ("AveragePool", {"count_include_pad": 1}))
    pads = [1, 0, 0, 1] if g.draw.random() < 0.3 else [0, 0, 0, 0]
    out = (c, h + pads[0] + pads[2] - 1, w + pads[1] + pads[3] - 1)
    g.add(operator, [g.now], out, kernel_shape=[2, 2], pads=pads, **attributes)


def pad(g: Graph) -> None:
    around = [0, *(int(one) for one in g.draw.integers(0, 2, len(g.shape)))]
    after = [int(one) for one in g.draw.integers(0, 2, len(g.shape))]
    axis = g.channels() % len(after)
    around[1 + axis] = after[axis] = 0
    shape = tuple(size + a + b for size, a, b in zip(g.shape, around[1:], after, strict=True))
    g.add("Pad", [g.now, g.longs(*around, 0, *after)], shape)


def transpose(g: Graph) -> None:
    perm = [int(one) for one in g.draw.permutation(len(g.shape))]
    if len(g.shape) == 3 and g.draw.random() < 0.8:
        perm = g.pick([1, 2, 0], [2, 0, 1])
    g.add("Transpose", [g.now], tuple(g.shape[one] for one in perm), perm=[0, *(one + 1 for one in perm)])


def shuffle(g: Graph) -> None:
    c, *inside = g.shape
    groups = g.pick(*(n for n in range(1, c + 1) if c % n == 0))
    g.add("Reshape", [g.now, g.longs(0, groups, c // groups, *inside)], (groups, c // groups, *inside))
    rest = range(3, 3 + len(inside))
    g.add("Transpose", [g.now], (c // groups, groups, *inside), perm=[0, 2, 1, *rest])
    g.add("Reshape", [g.now, g.longs(-1, c, *inside)], (c, *inside))


def part(g: Graph) -> None:
    axis = 1 + g.channels() % len(g.shape)
    size = g.shape[axis - 1]
    first, last = sorted(int(one) for one in g.draw.integers(0, size + 1, 2))
    if first == last:
        return
    shape = (*g.shape[: axis - 1], last - first, *g.shape[axis:])
    if g.draw.random() < 0.5:
        index = g.draw.integers(-size, size, last - first)
        g.add("Gather", [g.now, g.longs(*map(int, index))], shape, axis=axis)
    else:
        g.add("Slice", [g.now, g.longs(first), g.longs(last), g.longs(axis)], shape)


def split(g: Graph) -> None:
    """Two parts, of which the next step reads the second; the first is there for sums and joins."""
    axis = 1 + g.channels() % len(g.shape)
    size = g.shape[axis - 1]
    if size < 2:
        return
    first = int(g.draw.integers(1, size))
    names = [f"s{len(g.nodes)}", f"t{len(g.nodes)}"]
    g.nodes.append(helper.make_node("Split", [g.now, g.longs(first, size - first)], names, axis=axis))
    for name, count in zip(names, (first, size - first), strict=True):
        g.shapes[name] = (*g.shape[: axis - 1], count, *g.shape[axis:])
    g.now = names[1]


def arithmetic(g: Graph) -> None:
    for _ in range(int(g.draw.integers(1, 4))):
        shape: list[int] = []
        kind = g.draw.random()
        if kind < 0.6:  # one number for each index of one axis
            axis = g.channels() % len(g.shape)
            shape = [size if place == axis else 1 for place, size in enumerate(g.shape)]
        number = g.constant(g.draw.uniform(0.5, 1.5, shape).astype(np.float32))
        inputs = [g.now, number] if g.draw.random() < 0.7 else [number, g.now]
        g.add(g.pick("Add", "Sub", "Mul"), inputs, g.shape)


def activation(g: Graph) -> None:
    x = g.now
    match int(g.draw.integers(6)):
        case 0:
            g.add("Relu", [x], g.shape)
        case 1:
            g.add("Tanh", [x], g.shape)
        case 2:
            s = g.add("Sigmoid", [x], g.shape)
            g.add("Mul", [s, x] if g.draw.random() < 0.5 else [x, s], g.shape)
        case 3:
            lower, upper = g.pick((0, 6), (0, 6), (-1, 1))
            ends = [g.constant(np.array(one, np.float32)) for one in (lower, upper)]
            g.add("Clip", [x, *ends], g.shape)
        case 4:
            three, zero, six = (g.constant(np.array(one, np.float32)) for one in (3, 0, 6))
            raised = g.add("Add", [x, three], g.shape)
            g.add("Clip", [raised, zero, six], g.shape)
            g.add("Div", [g.now, six], g.shape)
            g.add("Mul", [x, g.now], g.shape)
        case 5:
            root, one, half = (g.constant(np.array(one, np.float32)) for one in (2**0.5, 1, 0.5))
            g.add("Div", [x, root], g.shape)
            g.add("Erf", [g.now], g.shape)
            g.add("Add", [g.now, one], g.shape)
            g.add("Mul", [g.now, x], g.shape)
            g.add("Mul", [g.now, half], g.shape)


def norm(g: Graph) -> None:
    c = g.shape[0]
    variance = g.constant(g.draw.uniform(0.5, 2, c).astype(np.float32))
    g.add("BatchNormalization", [g.now, g.normal(c), g.normal(c), g.normal(c), variance], g.shape)


def another(g: Graph) -> None:
    """A sum or a join with a value from before."""
    now = g.now
    others = [name for name, shape in g.shapes.items() if shape == g.shape]
    other = str(g.pick(*others))
    if g.draw.random() < 0.5:
        g.add("Add", [now, other], g.shape)
    else:
        axis = 1 + g.channels() % len(g.shape)
        shape = (*g.shape[: axis - 1], 2 * g.shape[axis - 1], *g.shape[axis:])
        g.add("Concat", [now, other], shape, axis=axis)


def matrix(g: Graph) -> None:
    outputs = int(g.draw.integers(1, 6))
    g.add("MatMul", [g.now, g.normal(g.shape[-1], outputs)], (*g.shape[:-1], outputs))


def layer_norm(g: Graph) -> None:
    """Over the last axis."""
    size = g.shape[-1]
    g.add("LayerNormalization", [g.now, g.normal(size), g.normal(size)], g.shape, epsilon=0.1)


def gate(g: Graph) -> None:
    """Squeeze and excitation."""
    x, shape = g.now, g.shape
    c = shape[0]
    g.add("GlobalAveragePool", [x], (c, 1, 1))
    g.add("Conv", [g.now, g.normal(3, c, 1, 1), g.normal(3)], (3, 1, 1))
    g.add("Relu", [g.now], (3, 1, 1))
    g.add("Conv", [g.now, g.normal(c, 3, 1, 1)], (c, 1, 1))
    factors = g.add("Sigmoid", [g.now], (c, 1, 1))
    g.add("Mul", g.pick([x, factors], [factors, x]), shape)


def there_and_back(g: Graph) -> None:
    """Another arrangement, something that is done in it, and back."""
    if len(g.shape) != 3:
        return
    c, h, w = g.shape
    g.add("Transpose", [g.now], (h, w, c), perm=[0, 2, 3, 1])
    g.last = True
    g.pick(arithmetic, activation, matrix, pad, part, another, layer_norm)(g)
    g.last = False
    h, w, c = g.shape
    g.add("Transpose", [g.now], (c, h, w), perm=[0, 3, 1, 2])


def mean(g: Graph) -> None:
    axes = g.pick([2, 3], [2, 3], [1, 2])
    keep = bool(g.draw.random() < 0.5)
    left = [1 if place + 1 in axes else size for place, size in enumerate(g.shape)]
    shape = tuple(left if keep else (size for place, size in enumerate(g.shape) if place + 1 not in axes))
    g.add("ReduceMean", [g.now], shape, axes=axes, keepdims=int(keep))


STEPS: tuple[Callable[[Graph], None], ...] = (
    conv,
    conv,
    conv,
    pool,
    pad,
    shuffle,
    part,
    split,
    arithmetic,
    activation,
    activation,
    norm,
    another,
    gate,
    there_and_back,
    there_and_back,
    there_and_back,
)


def drawn(draw: np.random.Generator) -> onnx.ModelProto:
    """A file."""
    shape: Shape = tuple(int(one) for one in draw.integers(1, 7, 3))
    g = Graph(draw, {"x": shape})
    conv(g)
    for _ in range(int(draw.integers(2, 11))):
        step = g.pick(*STEPS)
        (transpose if draw.random() < 0.02 else step)(g)
    if draw.random() < 0.5:
        mean(g)
    features = int(np.prod(g.shape))
    x = g.now
    if draw.random() < 0.5:
        size = g.add("Shape", [x], ())
        first = g.add("Gather", [size, g.constant(np.array(0))], (), axis=0)
        listed = g.add("Unsqueeze", [first, g.longs(0)], ())
        target = g.add("Concat", [listed, g.longs(-1 if draw.random() < 0.5 else features)], (), axis=0)
        g.add("Reshape", [x, target], (features,))
    else:
        g.add("Flatten", [x], (features,))
    g.add("Gemm", [g.now, g.normal(features, 3), g.normal(3)], (3,))
    return helper.make_model(
        helper.make_graph(
            g.nodes,
            "drawn",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info(g.now, TensorProto.FLOAT, ["N", 3])],
            g.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def outcome(number: int) -> tuple[bool, str | None]:
    """Whether the file of this number is read, and what is wrong with that."""
    model = drawn(np.random.default_rng(number))
    sizes = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    x = np.random.default_rng(number).normal(size=(3, *sizes)).astype(np.float32)
    expected = run(model, x)
    try:
        reading = read_graph(model)
    except ModelFileError as error:
        return False, None if "node" in str(error) else f"refused without the name of a node: {error}"
    images = x.reshape(3, *reading.graph.input_shape)
    if reading.graph.input_shape != tuple(sizes):  # read with its colours last
        images = x.transpose(0, 3, 1, 2)
    found = forward(reading.graph, reading.parameters, images)[-1]
    apart = float(np.abs(found - expected).max()) / (1 + float(np.abs(expected).max()))
    return True, None if apart < 1e-4 else f"another answer than ONNX Runtime's: {apart:.2g} apart"


def trial(number: int) -> str | None:
    """What is wrong with the way one file is read, or None."""
    return outcome(number)[1]


if __name__ == "__main__":
    main("files from elsewhere", trial, 1000)
