"""Convolution, forward and both gradients: against the reference, against its own formula, the same bits for any
tile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.kernels import conv, conv_weight_gradient, pointwise
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.lanes.ir import Loop, Program, Statement
from lanewise.network import reference
from lanewise.network.graph import Graph, is_frozen
from lanewise.network.layers import Conv2D
from tests.cases import LAYER_CASES, Case
from tests.kernels.support import (
    TARGETS,
    Arrays,
    border_of,
    buffer,
    from_lanes,
    into_lanes,
    run_everywhere,
    run_native,
)

Array = npt.NDArray[Any]


def _is_convolution(graph: Graph) -> bool:
    """Just one, whose weights have a gradient."""
    layer = graph.nodes[-1].layer
    return len(graph.nodes) == 2 and isinstance(layer, Conv2D) and not is_frozen(layer)


CASES = [
    *(c for c in LAYER_CASES if _is_convolution(c.graph())),
    # so large that kernel rows are loops
    Case("conv_9x9", "conv 3@9 same", (2, 10, 13)),
    Case("conv_9x8_stride_dilation", "conv 3@9x8 pad 9:8:7:9 stride 2x1 dilation 3x1", (3, 14, 11)),
]
VALUES = (32, 8, 4)
"""How many values the registers hold: of AVX-512, AVX2 and SSE."""


def geometry(graph: Graph) -> Conv:
    node = graph.nodes[1]
    layer = node.layer
    assert isinstance(layer, Conv2D)
    channels = graph.input_shape[0]
    return Conv(
        layer.filters, channels, layer.kernel, layer.stride, node.padding, layer.dilation, layer.groups, layer.bias
    )


class Setting:
    """A convolution with layouts, operands and what the reference makes of them; whole numbers or not."""

    def __init__(self, case: Case, *, whole: bool, count: int = 16, extra: int = 0) -> None:
        self.graph = case.graph()
        self.conv = geometry(self.graph)
        x, y = Layout(self.graph.input_shape), Layout.of(self.graph.output_shape)
        more = (extra, 2 * extra, 0, extra)
        self.x = x.with_border(self.conv.x_border(x, y)).with_border(more)
        self.y = y.with_border(more)
        self.dy = y.with_border(self.conv.dy_border(x, y)).with_border(more)
        self.dx = x.with_border(more)
        rng = np.random.default_rng(len(case.name))

        def draw(*shape: int) -> Array:
            return rng.integers(-8, 9, shape).astype(np.float64) if whole else np.float32(rng.standard_normal(shape))

        self.images = draw(count, *self.graph.input_shape)
        self.parameters = [draw(*p.shape) for p in self.graph.parameters]
        self.gradient = draw(count, *self.graph.output_shape)
        self.values = reference.forward(self.graph, self.parameters, self.images)
        self.parameter_gradients, (self.input_gradient, _) = reference.backward(
            self.graph, self.parameters, self.values, self.gradient
        )

    def forward(self, registers: int = 32, relu: bool = False) -> tuple[Program, Arrays]:
        program = conv.forward(self.conv, self.x, self.y, relu=relu, registers=registers)
        weights = [buffer(p) for p in self.parameters]
        return program, [into_lanes(self.images, self.x), *weights, into_lanes(0 * self.gradient[:1], self.y)]

    def backward_input(
        self, registers: int = 32, mask: bool = False, accumulate: bool = False
    ) -> tuple[Program, Arrays]:
        program = conv.backward_input(
            self.conv, self.x, self.dy, self.dx, mask=mask, accumulate=accumulate, registers=registers
        )
        x = [into_lanes(self.images, self.x)] if mask else []
        before = into_lanes(np.full_like(self.images, 3.0), self.dx)
        return program, [buffer(self.parameters[0]), into_lanes(self.gradient, self.dy), *x, before]

    def backward_weight(self, registers: int = 32, accumulate: bool = True) -> tuple[Program, Arrays]:
        program = conv_weight_gradient.backward_weight(
            self.conv, self.x, self.dy, accumulate=accumulate, registers=registers
        )
        before = [buffer(np.full(p.shape, 2.0)) for p in self.parameters]
        return program, [into_lanes(self.images, self.x), into_lanes(self.gradient, self.dy), *before]


def close(came: Array, expected: Array, whole: bool) -> None:
    expected = np.asarray(expected).reshape(came.shape)
    if whole:
        np.testing.assert_array_equal(came, expected)
    else:
        np.testing.assert_allclose(came, expected, rtol=2e-5, atol=2e-5 * (1e-30 + float(np.abs(expected).max())))


def run_evaluated(program: Program, arrays: Arrays, interpreted: bool) -> Arrays:
    """What the machine code leaves; with `interpreted`, after it was compared with the interpreter's, bit for bit."""
    return run_everywhere(program, arrays, ("host",)) if interpreted else run_native(program, arrays)


def is_interpreted(case: Case, whole: bool) -> bool:
    """All cases are compared with the reference; the interpreter is slow, so it takes real numbers of every other."""
    return not whole and case in CASES[::2]


@pytest.mark.parametrize("whole", [True, False], ids=["whole numbers", "real numbers"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward(case: Case, whole: bool) -> None:
    s = Setting(case, whole=whole)
    y = run_evaluated(*s.forward(), is_interpreted(case, whole))[-1]
    close(from_lanes(y, s.y), s.values[1], whole)


@pytest.mark.parametrize("whole", [True, False], ids=["whole numbers", "real numbers"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_backward_input(case: Case, whole: bool) -> None:
    s = Setting(case, whole=whole)
    dx = run_evaluated(*s.backward_input(), is_interpreted(case, whole))[-1]
    close(from_lanes(dx, s.dx), s.input_gradient, whole)


@pytest.mark.parametrize("whole", [True, False], ids=["whole numbers", "real numbers"])
@pytest.mark.parametrize("accumulate", [False, True], ids=["write", "add"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_backward_weight(case: Case, accumulate: bool, whole: bool) -> None:
    """The group's gradients are written, or added to what is there."""
    s = Setting(case, whole=whole)
    interpreted = accumulate and is_interpreted(case, whole)
    came = run_evaluated(*s.backward_weight(accumulate=accumulate), interpreted)[2:]
    for gradient, expected in zip(came, s.parameter_gradients, strict=True):
        close(gradient - 2.0 * accumulate, expected.ravel(), whole)


def _kernels(s: Setting, registers: int) -> list[tuple[Program, Arrays]]:
    masked = s.backward_input(registers, mask=True, accumulate=True)
    return [s.forward(registers), s.backward_input(registers), masked, s.backward_weight(registers)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_tiles_change_no_bits(case: Case) -> None:
    s = Setting(case, whole=False)
    widest = [run_native(*kernel) for kernel in _kernels(s, VALUES[0])]
    for values in VALUES[1:] if case in CASES[::3] else VALUES[1:2]:
        for kernel, expected in zip(_kernels(s, values), widest, strict=True):
            for came, wanted in zip(run_native(*kernel), expected, strict=True):
                np.testing.assert_array_equal(came.view(np.uint32), wanted.view(np.uint32))


SOME = [case for case in CASES if case.name in ("conv_3x3_seventeen_filters", "conv_everything", "conv_pad_each_side")]


def test_each_target() -> None:
    (case,) = (case for case in SOME if case.name == "conv_everything")
    for kernel in _kernels(Setting(case, whole=False), 8):
        run_everywhere(*kernel, TARGETS)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_wider_borders_are_neither_read_nor_written(case: Case) -> None:
    """A value may have a wider border than this kernel needs, for the sake of other readers."""
    s = Setting(case, whole=True, extra=2)
    y = run_native(*s.forward())[-1]
    close(from_lanes(y, s.y), s.values[1], True)
    assert not border_of(y, s.y).any()
    dx = run_native(*s.backward_input())[-1]
    close(from_lanes(dx, s.dx), s.input_gradient, True)
    assert not border_of(dx, s.dx).any()
    for gradient, expected in zip(run_native(*s.backward_weight())[2:], s.parameter_gradients, strict=True):
        close(gradient - 2.0, expected.ravel(), True)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_relu_inside(case: Case) -> None:
    s = Setting(case, whole=True)
    y = run_everywhere(*s.forward(relu=True), ("host",))[-1]
    close(from_lanes(y, s.y), np.maximum(s.values[1], 0), True)


@pytest.mark.parametrize("case", CASES[:4], ids=lambda case: case.name)
def test_plus_inside(case: Case) -> None:
    """The bits of the convolution, then the sum with something behind another border, then the ReLU."""
    s = Setting(case, whole=False)
    plus = s.y.with_border((0, 1, 2, 0))
    other = into_lanes(s.gradient, plus)
    apart, (*inputs, y) = s.forward()
    expected = run_native(pointwise.add((plus, s.y), s.y, relu=True), [other, run_native(apart, [*inputs, y])[-1], y])
    program = conv.forward(s.conv, s.x, s.y, relu=True, plus=plus)
    came = run_everywhere(program, [*inputs, other, y])[-1]
    np.testing.assert_array_equal(came.view(np.uint32), expected[-1].view(np.uint32))


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("case", SOME, ids=str)
def test_gate_and_accumulate(case: Case, mask: bool, accumulate: bool) -> None:
    """With a mask, the gradient is nothing where x is not above zero; whether it is replaced or added to."""
    s = Setting(case, whole=True)
    assert (s.images == 0).any()
    dx = run_everywhere(*s.backward_input(mask=mask, accumulate=accumulate), ("host",))[-1]
    expected = s.input_gradient + 3.0 * accumulate
    close(from_lanes(dx, s.dx), np.where(s.images > 0, expected, 0) if mask else expected, True)


@pytest.mark.parametrize("mask", [False, True], ids=["", "mask"])
@pytest.mark.parametrize("shape", [(5, 12, 14), (4, 9, 8), (1, 6, 16)], ids=["even", "odd", "one channel"])
@pytest.mark.parametrize("first", ["conv 4@1 stride 2", "conv 4@2x1 stride 2", "conv 4@1 pad 1 stride 2"])
def test_gradients_with_gaps(first: str, shape: tuple[int, int, int], mask: bool) -> None:
    """What two convolutions of one stride leave, if the first writes only what it reads: the sum of both."""
    one, two = (Setting(Case("", text, shape), whole=True) for text in (first, "conv 3@3 same stride 2"))
    one.images = two.images
    noise = buffer(np.full(one.dx.scalars, np.nan))
    program = conv.backward_input(one.conv, one.x, one.dy, two.dx, gaps=True)
    begun = run_everywhere(program, [buffer(one.parameters[0]), into_lanes(one.gradient, one.dy), noise])[-1]
    dx = from_lanes(begun, two.dx)
    for r, c in np.ndindex(2, 2):
        assert np.isnan(dx[:, :, r::2, c::2]).any() == np.isnan(dx[:, :, r::2, c::2]).all() != one.conv.reads(r, c)
    program = conv.backward_input(two.conv, two.x, two.dy, two.dx, mask=mask, accumulate=True, onto=one.conv)
    x = [into_lanes(two.images, two.x)] if mask else []
    came = run_everywhere(program, [buffer(two.parameters[0]), into_lanes(two.gradient, two.dy), *x, begun])[-1]
    gradient = one.input_gradient + two.input_gradient
    close(from_lanes(came, two.dx), np.where(two.images > 0, gradient, 0) if mask else gradient, True)


def test_lanes_do_not_meet() -> None:
    """One image's values depend on no other image; weight gradients are the sum over images."""
    case = SOME[0]
    full, half = Setting(case, whole=False), Setting(case, whole=False)
    half.images, half.gradient = full.images[:5], full.gradient[:5]
    for one, other in ((full.forward(), half.forward()), (full.backward_input(), half.backward_input())):
        a, b = run_native(*one)[-1].reshape(-1, 16), run_native(*other)[-1].reshape(-1, 16)
        np.testing.assert_array_equal(a[:, :5], b[:, :5])
    sums = [run_native(*half.backward_weight())[2] - 2.0]
    half.images, half.gradient = full.images[5:], full.gradient[5:]
    sums.append(run_native(*half.backward_weight())[2] - 2.0)
    close(sums[0] + sums[1], run_native(*full.backward_weight())[2] - 2.0, False)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_finite_differences(case: Case) -> None:
    """The gradients are the gradients of the forward kernel itself, which is linear: differences are exact."""
    s = Setting(case, whole=True, count=3)
    rng = np.random.default_rng(1)

    def loss() -> float:
        return float(
            (from_lanes(run_native(*s.forward())[-1], s.y, 3).reshape(s.gradient.shape) * s.gradient).sum(dtype=float)
        )

    dx = from_lanes(run_native(*s.backward_input())[-1], s.dx, 3)
    gradients = [gradient - 2.0 for gradient in run_native(*s.backward_weight())[2:]]
    for array, gradient in ((s.images, dx), *zip(s.parameters, gradients, strict=True)):
        flat, before = array.reshape(-1), loss()
        for place in rng.choice(flat.size, min(5, flat.size), replace=False):
            flat[place] += 1
            assert loss() - before == gradient.reshape(-1)[place]  # type: ignore[attr-defined]
            flat[place] -= 1


def _recorded(body: list[Statement]) -> int:
    return sum(_recorded(s.body) if isinstance(s, Loop) else 1 for s in body)


def test_code_stays_small() -> None:
    """Unrolling is bounded, whatever the kernel's size."""
    for kernel, filters in (((3, 3), 64), ((7, 7), 64), ((11, 11), 7), ((31, 31), 3), ((1, 31), 33)):
        big = Conv(filters, 16, kernel, padding=(kernel[0] // 2, kernel[1] // 2) * 2)
        x = Layout((16, 40, 40))
        y = replace(x, shape=(filters, 40, 40))
        x, dy = x.with_border(big.x_border(x, y)), y.with_border(big.dy_border(x, y))
        for program in (
            conv.forward(big, x, y),
            conv.backward_input(big, x, dy, x),
            conv_weight_gradient.backward_weight(big, x, dy),
        ):
            assert _recorded(program.body) < 6000, f"{program.name} {kernel}"


def test_taps_that_only_meet_zeros_are_left_out_near_the_edges() -> None:
    """5 taps over 14 rows that read 10: the outer four rows on each side have 1, 2, 3 and 4 taps left."""
    from lanewise.kernels.conv import _phases

    (phase,) = _phases(Conv(16, 6, (5, 5)), 0, 14)
    bands = phase.bands(1, 10)
    assert [(b.first, b.count, len(b.taps)) for b in bands] == [
        *((n, 1, n + 1) for n in range(4)),
        (4, 6, 5),
        *((10 + n, 1, 4 - n) for n in range(4)),
    ]
    for band in bands:  # tap u reads row first + n - u of the gradient, counted from its own band
        for n in range(band.count):
            assert {u: n + shift for u, shift in band.taps} == {
                u: band.first + n - u for u in range(5) if 0 <= band.first + n - u < 10
            }
    (padded,) = _phases(Conv(16, 6, (3, 3), padding=(1, 1, 1, 1)), 0, 30)
    assert padded.bands(1, 30) == [padded], "two rows of thirty are not worth code of their own"
