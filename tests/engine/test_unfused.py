"""The plan that keeps every value: run in JavaScript, each node's value is the reference's."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.engine.parameters import FlatParameters
from lanewise.engine.unfused import PlainPlan, plain_plan
from lanewise.kernels.layout import Layout
from lanewise.lanes import javascript as js
from lanewise.lanes.program import LANES
from lanewise.network import reference
from lanewise.network.graph import Graph
from tests.cases import LAYER_CASES, NETWORK_CASES, Case
from tests.engine.support import images_for, parameters_for
from tests.kernels.support import from_lanes, run

Array = npt.NDArray[Any]
CASES = LAYER_CASES + NETWORK_CASES


def inputs_of(graph: Graph, kind: str) -> tuple[Array, list[Array], dict[str, Array]]:
    """One image, parameters, and what the plan's calls read besides values."""
    channels = graph.input_shape[0]
    rng = np.random.default_rng(7)
    image = images_for(graph, 1)[0] if kind == "f32" else rng.integers(0, 256, images_for(graph, 1)[0].shape)
    numbers = np.arange(channels, dtype=np.float32)
    given = {
        "pixels": image.ravel().astype(np.float32 if kind == "f32" else np.uint8),
        "images": np.zeros(LANES, np.int32),
        "scale": (1 + numbers / 4) / (1 if kind == "f32" else 128),
        "offset": -numbers / 8 - 1 / 16,
    }
    return image, parameters_for(graph), given


def script(name: str, graph: Graph, plan: PlainPlan, parameters: list[Array], given: dict[str, Array]) -> str:
    """JavaScript that runs the plan and leaves `name`, all values."""
    flat = FlatParameters.of(graph)
    vector = base64.b64encode(flat.pack(parameters).tobytes()).decode()
    lines = [f'const {name} = (() => {{ const flat = real("{vector}"), buffers = {{}};']
    lines += [f"buffers.{key} = new {_array(array)}({array.tolist()});" for key, array in given.items()]
    lines += [f"buffers.value{n} = new Float32Array({y.scalars // LANES});" for n, y in enumerate(plan.layouts)]
    lines += [f"buffers.parameter{n} = flat.subarray({start});" for n, start in enumerate(flat.starts)]
    for n, call in enumerate(plan.calls):
        names = [slot if slot in given else f"{slot}{number}" for slot, number in call.buffers]
        lines.append(js.render(call.program, f"kernel{n}"))
        lines.append(f"kernel{n}({', '.join('buffers.' + name for name in names)});")
    values = ", ".join(f"Array.from(buffers.value{n})" for n in range(len(plan.layouts)))
    return "\n".join([*lines, f"return [{values}]; }})();"])


def _array(array: Array) -> str:
    return {"float32": "Float32Array", "int32": "Int32Array", "uint8": "Uint8Array"}[array.dtype.name]


def expected_of(graph: Graph, parameters: list[Array], image: Array, given: dict[str, Array]) -> list[Array]:
    x = image * given["scale"].astype(np.float64) + given["offset"]
    return [value[0] for value in reference.forward(graph, parameters, x.transpose(2, 0, 1)[None])]


def inside(value: list[float], layout: Layout) -> tuple[Array, Array]:
    """What lies inside the border, and the border alone."""
    (channels, rows, columns), (top, left, bottom, right) = layout.shape, layout.border
    whole = np.array(value, np.float64).reshape(channels, top + rows + bottom, left + columns + right)
    inner = whole[:, top : top + rows, left : left + columns].copy()
    whole[:, top : top + rows, left : left + columns] = 0
    return inner, whole


@pytest.fixture(scope="module")
def values(javascript: Callable[[str], Any]) -> dict[str, Any]:
    """All values of all cases, by one run."""
    scripts = [js.SUPPORT, "const real = t => new Float32Array(Uint8Array.from(atob(t), c => c.charCodeAt(0)).buffer);"]
    for n, case in enumerate(CASES):
        graph, kind = case.graph(), "u8" if n % 2 else "f32"
        _, parameters, given = inputs_of(graph, kind)
        scripts.append(script(f"case{n}", graph, plain_plan(graph, kind), parameters, given))
    names = ", ".join(f"case{n}" for n in range(len(CASES)))
    came = javascript("\n".join([*scripts, f"return [{names}];"]))
    return {case.name: one for case, one in zip(CASES, came, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_value_in_javascript_is_the_reference_s(case: Case, values: dict[str, Any]) -> None:
    graph = case.graph()
    image, parameters, given = inputs_of(graph, "u8" if CASES.index(case) % 2 else "f32")
    expected = expected_of(graph, parameters, image, given)
    layouts = plain_plan(graph, "u8").layouts
    assert len(values[case.name]) == len(graph.nodes)
    for node, layout, value, wanted in zip(graph.nodes, layouts, values[case.name], expected, strict=True):
        came, border = inside(value, layout)
        np.testing.assert_allclose(came.reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-5, err_msg=node.name)
        assert not border.any(), f"{node.name} wrote into its border"


@pytest.mark.parametrize("registers", [2, 32])
def test_the_plan_means_the_same_to_the_interpreter(registers: int) -> None:
    """Its calls are lane programs like any other: 16 images go through them, too."""
    graph = NETWORK_CASES[0].graph()
    image, parameters, given = inputs_of(graph, "f32")
    plan = plain_plan(graph, "f32", registers=registers)
    flat = FlatParameters.of(graph)
    vector = flat.pack(parameters)
    buffers = {("value", n): np.zeros(layout.scalars, np.float32) for n, layout in enumerate(plan.layouts)}
    buffers |= {("parameter", n): vector[start:] for n, start in enumerate(flat.starts)}
    buffers |= {(key, 0): array for key, array in given.items()}
    for call in plan.calls:
        buffers[call.buffers[-1]] = run(call.program, [buffers[slot] for slot in call.buffers])[-1]
    for number, wanted in enumerate(expected_of(graph, parameters, image, given)):
        came = from_lanes(buffers["value", number], plan.layouts[number], 1)[0]
        np.testing.assert_allclose(came.reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-5)
