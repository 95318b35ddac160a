"""Programs rendered as JavaScript do in it what the interpreter says that they do in lane 0, bit for bit."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.errors import ProgramError
from lanewise.kernels import conv, conv_weight_gradient, dense, gather, pool
from lanewise.kernels.layout import Layout
from lanewise.lanes import javascript
from lanewise.lanes.ir import F32, I32, LANES, OPERATIONS, U8, Program
from lanewise.lanes.program import Recorder
from tests.conftest import Golden
from tests.kernels.support import run
from tests.lanes.programs import every_statement
from tests.lanes.test_operations import OPERANDS, SIZE

Array = npt.NDArray[Any]
Run = Callable[[str], Any]
TYPES = {F32: np.float32, I32: np.int32, U8: np.uint8}


def lane_0(program: Program, arrays: list[Array]) -> list[Array]:
    """The buffers as JavaScript has them."""
    return [a[::LANES] if spec.lanes else a for spec, a in zip(program.buffers, arrays, strict=True)]


def run_javascript(run_body: Run, program: Program, arrays: list[Array]) -> list[Array]:
    """Copies of the buffers of lane 0 after running the program in JavaScript."""
    body = [
        javascript.SUPPORT,
        javascript.render(program, "kernel"),
        "const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;",
        "const buffers = [];",
    ]
    for spec, array in zip(program.buffers, lane_0(program, arrays), strict=True):
        text = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
        body.append(f'buffers.push(new {javascript.ARRAYS[spec.type]}(bytes("{text}")));')
    body.append("kernel(...buffers);")
    body.append("return buffers.map(b => Array.from(new Uint8Array(b.buffer)));")
    came = run_body("\n".join(body))
    return [np.array(c, np.uint8).view(TYPES[spec.type]) for spec, c in zip(program.buffers, came, strict=True)]


def elementwise(op: str, types: list[str]) -> Program:
    """y = op(x0, x1, ...) for SIZE elements; scalars stand for lane 0."""
    k = Recorder(op)
    inputs = [k.scalars(f"x{n}", (SIZE,), type) for n, type in enumerate(types)]
    result = OPERATIONS[op][1]
    y = k.scalars("y", (SIZE,), types[-1] if result == "?" else result)
    for n in k.loop(SIZE):
        y[n] = k.apply(op, *(x[n] for x in inputs))
    return k.program()


@pytest.mark.parametrize("op", OPERATIONS)
def test_each_operation_agrees_with_the_interpreter(op: str, javascript: Run) -> None:
    rng = np.random.default_rng(2)
    for draws in OPERANDS[op]:
        operands = [draw(rng) for draw in draws]
        program = elementwise(op, [F32 if o.dtype == np.float32 else I32 for o in operands])
        arrays = [*operands, np.zeros(SIZE, TYPES[program.buffers[-1].type])]
        expected, came = run(program, arrays)[-1], run_javascript(javascript, program, arrays)[-1]
        if op == "fma":  # rounded to float64 in between, as the docstring says
            with np.errstate(all="ignore"):
                a, b, c = (o.astype(np.float64) for o in operands)
                expected = (a * b + c).astype(np.float32)
        if expected.dtype == np.float32:  # a NaN is a NaN
            np.testing.assert_array_equal(np.isnan(came), np.isnan(expected))
            came, expected = came[~np.isnan(came)], expected[~np.isnan(expected)]
        np.testing.assert_array_equal(came.view(np.uint8), expected.view(np.uint8))


def test_loops_registers_borders_and_bytes(javascript: Run) -> None:
    k = Recorder("statements")
    x, y = k.lanes("x", (3, 4), [(0, 0), (1, 2)]), k.lanes("y", (3, 4))
    pixels, numbers = k.scalars("pixels", (40,), U8), k.scalars("numbers", (LANES,), I32).vector(0)
    weights, marks = k.scalars("weights", (5,)), k.scalars("marks", (3,), I32)
    total = k.register(0.1)
    for i in k.loop(3):
        inner = k.register(x.lane(0, i, 0))
        for c in k.loop(4):
            total.accumulate(weights[c + 1], x[i, c - 1])
            raw = k.gather(pixels, numbers, 20, k.lane_number() + 3)
            inner.add(k.apply("to_float", raw))
            y[i, c] = k.apply("where_gt", x[i, c + 2], float("inf"), total.get(), k.apply("max", inner.get(), -0.0))
        marks[i] = k.apply("to_int", inner.get())
    y[0, 3] = k.constant(float("nan"))
    y[1, 0] = k.shuffle(x[0, 0], x[1, 1], [LANES, *range(1, LANES)])
    program = k.program()
    rng = np.random.default_rng(3)
    arrays: list[Array] = [
        rng.integers(-9, 9, 3 * 7 * LANES).astype(np.float32),
        np.zeros(3 * 4 * LANES, np.float32),
        rng.integers(0, 256, 40).astype(np.uint8),
        np.full(LANES, 1, np.int32),
        rng.integers(-9, 9, 5).astype(np.float32),
        np.zeros(3, np.int32),
    ]
    arrays[0][0] = np.inf
    expected = lane_0(program, run(program, arrays))
    for came, wanted in zip(run_javascript(javascript, program, arrays), expected, strict=True):
        np.testing.assert_array_equal(came, wanted)


def test_the_text_is_as_reviewed(golden: Golden) -> None:
    first = conv.forward(
        conv.Conv(3, 2, (2, 2), padding=(1, 1, 0, 0)), Layout((2, 4, 5), (1, 1, 0, 0)), Layout((3, 4, 5))
    )
    texts = [
        javascript.SUPPORT,
        javascript.render(first, "conv1"),
        javascript.render(pool.max_forward(pool.Pool((2, 2), (2, 2)), Layout((3, 4, 5)), Layout((3, 2, 2))), "max1"),
        javascript.render(gather.gather((4, 5, 2), "u8", Layout((2, 4, 5)), None), "input"),
    ]
    golden("javascript.js", "\n".join(texts))


def test_all_operations_have_a_text() -> None:
    k = Recorder("all")
    operands = {F32: k.scalars("f", (1,))[0], I32: k.scalars("i", (1,), I32)[0]}
    operands["?"] = operands[F32]
    for op, (arguments, _) in OPERATIONS.items():
        k.apply(op, *(operands[a] for a in arguments))
    assert javascript.render(k.program(), "all").count("const v") == len(OPERATIONS) + 2


@pytest.mark.parametrize(
    "program",
    [
        every_statement(),
        conv_weight_gradient.backward_weight(conv.Conv(1, 1, (1, 1)), Layout((1, 2, 2)), Layout((1, 2, 2))),
        dense.backward_weight(3, 2),
    ],
    ids=["lane 3", "sum over lanes", "transpose"],
)
def test_a_program_that_looks_across_lanes_is_refused(program: Program) -> None:
    with pytest.raises(ProgramError, match=r"lane 0|all lanes"):
        javascript.render(program, "kernel")


def test_a_vector_of_scalars_is_not_stored() -> None:
    k = Recorder("wide")
    k.scalars("y", (LANES,)).set_vector(1.0, 0)
    with pytest.raises(ProgramError, match=r"y\[0\] takes all lanes"):
        javascript.render(k.program(), "kernel")
