"""Winograd's convolution and both its gradients: against float64 and the reference, the same bits however it is cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.kernels import winograd, winograd_few, winograd_tiles, winograd_weight_gradient
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.kernels.winograd_transforms import F2, F2_5, F4, F4_5
from lanewise.lanes.program import LANES, Program
from lanewise.network import reference
from lanewise.network.graph import build
from lanewise.network.text import parse
from tests.kernels.support import (
    Arrays,
    border_of,
    buffer,
    from_lanes,
    into_lanes,
    run_everywhere,
    run_native,
)
from tests.kernels.winograd_error import SHAPES, Operands, errors, row, scratch, title, unset

Array: TypeAlias = npt.NDArray[Any]

SAME = (1, 1, 1, 1)


@dataclass(frozen=True)
class Case:
    name: str
    channels: int
    filters: int
    shape: tuple[int, int]
    padding: tuple[int, int, int, int] = SAME
    bias: bool = True
    kernel: tuple[int, int] = (3, 3)

    @property
    def conv(self) -> Conv:
        return Conv(self.filters, self.channels, self.kernel, padding=self.padding, bias=self.bias)


SMALL = [
    Case("whole_tiles", 2, 3, (8, 4)),
    Case("ragged", 3, 5, (7, 11)),
    Case("ragged_rows", 2, 2, (7, 8)),
    Case("ragged_columns", 2, 2, (4, 13)),
    Case("two_points", 2, 3, (6, 2)),
    Case("two_points_ragged", 3, 2, (5, 1)),
    Case("two_and_four", 2, 2, (2, 7)),
    Case("one_pixel", 2, 1, (1, 1)),
    Case("valid", 2, 3, (6, 9), (0, 0, 0, 0), bias=False),
    Case("padding_each_side", 1, 2, (5, 9), (0, 2, 3, 1)),
    Case("padding_past_the_kernel", 1, 2, (5, 6), (3, 4, 0, 3)),
    Case("seventeen_channels", 17, 2, (2, 2)),
    Case("fifteen_channels_in_blocks", 15, 2, (3, 7)),
    Case("five_taps", 2, 3, (8, 9), (2, 2, 2, 2), kernel=(5, 5)),
    Case("five_taps_valid", 2, 2, (11, 8), (0, 0, 0, 0), bias=False, kernel=(5, 5)),
    Case("five_taps_six_points", 3, 2, (6, 5), (0, 1, 0, 0), kernel=(5, 5)),
    Case("three_by_five_taps", 2, 2, (7, 6), (1, 2, 1, 2), kernel=(3, 5)),
]
LARGE = [
    Case("blocks_of_rows", 1, 2, (37, 13)),
    Case("blocks_of_columns", 2, 1, (4, 71)),
    Case("many_channels", 64, 32, (8, 8)),
    Case("groups_of_filters", 20, 70, (15, 15)),
    Case("blocks_of_everything", 33, 40, (30, 21)),
    Case("five_taps_blocks", 9, 17, (30, 22), (2, 2, 2, 2), kernel=(5, 5)),
]
WEIGHTS = [
    Case("one_block", 16, 3, (5, 7)),
    Case("two_points", 16, 2, (2, 6)),
    Case("valid", 16, 1, (6, 6), (0, 0, 0, 0), bias=False),
    Case("padding_each_side", 16, 2, (3, 4), (0, 2, 3, 1)),
    Case("five_taps", 16, 2, (6, 5), (2, 1, 0, 2), kernel=(5, 5)),
    Case("five_by_three_taps", 16, 1, (6, 5), (2, 1, 2, 1), kernel=(5, 3)),
]
LARGE_WEIGHTS = [
    Case("thirty_two_channels", 32, 5, (8, 8)),
    Case("blocks_of_filters", 256, 70, (4, 4)),
    Case("blocks_of_tiles", 48, 21, (30, 21)),
    Case("five_taps_blocks", 16, 18, (21, 21), (2, 2, 2, 2), kernel=(5, 5)),
]
STORES = [(False, False), (False, True), (True, False)]
"""(accumulate, mask): how gradients are stored, beside doing both. Each case does both, and one of these in turn."""


def close(came: Array, expected: Array) -> None:
    """Within what rounding may do: some units in the last place of the largest numbers."""
    np.testing.assert_allclose(came, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()) + 1e-30)


def evaluated(program: Program, buffers: Arrays, *, interpreted: bool) -> Arrays:
    """What the machine code leaves; with `interpreted`, for all targets and the very bits of the interpreter."""
    return run_everywhere(program, buffers) if interpreted else run_native(program, buffers)


def weight_program(o: Operands, gradient: bool) -> Program:
    return winograd.transform_weights(o.conv, o.x, o.y, gradient=gradient)


def forward_buffers(o: Operands, program: Program) -> Arrays:
    bias = [buffer(b) for b in o.bias]
    return [into_lanes(o.images, o.x), o.transformed(), *bias, *scratch(program), unset(o.y.scalars)]


def input_buffers(o: Operands, program: Program, before: Array, *, mask: bool) -> Arrays:
    masked = [into_lanes(o.images, o.x)] if mask else []
    return [o.transformed(gradient=True), into_lanes(o.gradient, o.dy), *masked, *scratch(program), before]


@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
@pytest.mark.parametrize("case", [SMALL[1], SMALL[4], *SMALL[11:]], ids=lambda case: case.name)
def test_transformed_weights(case: Case, gradient: bool) -> None:
    """G w G^T, turned around and with `o` and `i` swapped for the gradient."""
    o = Operands(case.conv, case.shape)
    program = weight_program(o, gradient)
    u = run_everywhere(program, [buffer(o.weight), unset(program.buffers[1].scalars)])[1]
    w = np.flip(o.weight, (2, 3)).swapaxes(0, 1) if gradient else o.weight
    shape = (o.dx if gradient else o.y).shape[1:]
    g = [_weigh(rows, taps) for rows, taps in zip(shape, case.kernel, strict=True)]
    expected = np.einsum("au,oiuv,bv->aboi", g[0], w, g[1]).reshape(-1, *w.shape[:2])
    point, outputs, inputs = expected.shape
    close(u.reshape(point, -1)[:, : outputs * inputs].reshape(expected.shape), expected)


def _weigh(size: int, taps: int) -> Array:
    """The matrix G of the points that `size` outputs get."""
    few = -(-size // 2) * (taps + 1) <= -(-size // 4) * (taps + 3)
    pairs: list[float] = {4: [1.0], 6: [0.625, 1.5], 8: [0.5, 1, 2]}[taps + 1 if few else taps + 3]
    points = [0, *(sign * p for p in pairs for sign in (1, -1))]
    rows = [np.array([p**n for n in range(taps)]) / np.prod([p - q for q in points if q != p]) for p in points]
    first = -rows[0] if len(points) == 3 else rows[0]  # F(2, 3) is written out with this point's sign turned in B^T too
    return np.array([first, *rows[1:], np.eye(taps)[-1]])


@pytest.mark.parametrize(
    ("case", "relu"),
    [*((case, True) for case in SMALL + LARGE), *((case, False) for case in SMALL[::4])],
    ids=lambda value: value.name if isinstance(value, Case) else "relu" * value,
)
def test_forward(case: Case, relu: bool) -> None:
    o = Operands(case.conv, case.shape)
    o.y = o.y.with_border((1, 0, 2, 1))
    program = winograd.forward(o.conv, o.x, o.y, relu=relu)
    y = o.exact()[0]
    buffers = forward_buffers(o, program)
    before = buffers[-1].copy()
    after = evaluated(program, buffers, interpreted=case in SMALL and relu)[-1]
    close(from_lanes(after, o.y), np.maximum(y, 0) if relu else y)
    np.testing.assert_array_equal(border_of(after, o.y), border_of(before, o.y))


@pytest.mark.parametrize("case", [SMALL[1], LARGE[2]], ids=lambda case: case.name)
def test_plus_inside(case: Case) -> None:
    """The bits of the convolution, then the sum, then the ReLU; tile by tile and in blocks."""
    o = Operands(case.conv, case.shape)
    apart = winograd.forward(o.conv, o.x, o.y)
    *inputs, y = forward_buffers(o, apart)
    other = buffer(np.random.default_rng(1).standard_normal(y.size))
    expected = np.maximum(run_native(apart, [*inputs, y])[-1] + other, 0)
    program = winograd.forward(o.conv, o.x, o.y, relu=True, plus=o.y)
    came = evaluated(program, [*inputs, other, y], interpreted=case in SMALL)[-1]
    np.testing.assert_array_equal(came, expected)


@pytest.mark.parametrize(
    ("case", "accumulate", "mask"),
    [(case, *store) for n, case in enumerate(SMALL + LARGE) for store in ((True, True), STORES[n % 3])],
    ids=lambda value: value.name if isinstance(value, Case) else None,
)
def test_backward_input(case: Case, accumulate: bool, mask: bool) -> None:
    o = Operands(case.conv, case.shape)
    dx = o.dx.with_border((0, 1, 1, 0))
    program = winograd.backward_input(o.conv, o.x, o.dy, dx, mask=mask, accumulate=accumulate)
    before = np.random.default_rng(3).standard_normal((LANES, *dx.shape)).astype(np.float32)
    start = into_lanes(before, dx) if accumulate else unset(dx.scalars)
    buffers = input_buffers(o, program, start, mask=mask)
    after = evaluated(program, buffers, interpreted=case in SMALL and accumulate and mask)[-1]
    gradient = before + o.exact()[1] if accumulate else o.exact()[1]
    close(from_lanes(after, dx), np.where(o.images > 0, gradient, 0) if mask else gradient)
    np.testing.assert_array_equal(border_of(after, dx), border_of(start, dx))


@pytest.mark.parametrize(
    ("case", "accumulate"),
    [
        *((case, True) for case in WEIGHTS + LARGE_WEIGHTS),
        *((case, False) for case in [*WEIGHTS[:2], LARGE_WEIGHTS[2]]),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "add" if value else "write",
)
def test_backward_weight(case: Case, accumulate: bool) -> None:
    """It replaces or adds to what is there, and reads dy inside its edges only."""
    o = Operands(case.conv, case.shape)
    program = winograd_weight_gradient.backward_weight(o.conv, o.x, o.y, accumulate=accumulate)
    work = scratch(program)
    rng = np.random.default_rng(4)
    before = [buffer(rng.standard_normal(a.size)) for a in o.gradients()]
    buffers = [into_lanes(o.images, o.x), into_lanes(o.gradient, o.y), *work, *before]
    after = evaluated(program, buffers, interpreted=case in WEIGHTS)[2 + len(work) :]
    _, _, dw, db = o.exact()
    for came, there, expected in zip(after, before, [dw, *db], strict=True):
        close(came, there * accumulate + expected.ravel())


def test_agrees_with_the_reference() -> None:
    """The evaluate of these tests is evaluated itself."""
    o = Operands(Conv(3, 2, (3, 3), padding=(0, 2, 3, 1)), (5, 7))
    graph = build(parse("conv 3@3 pad 0:2:3:1"), o.dx.shape)
    parameters: list[npt.ArrayLike] = [o.weight, *o.bias]
    values = reference.forward(graph, parameters, o.images)
    dparameters, gradients = reference.backward(graph, parameters, values, o.gradient)
    y, dx, dw, db = o.exact()
    for ours, expected in zip([y, dx, dw, *db], [values[-1], gradients[0], *dparameters], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_gradients_are_finite_differences() -> None:
    """What the forward kernel does to a step in x or w is what the gradients say: exact, as it is linear in each."""
    o = Operands(replace(SMALL[1].conv, channels=16, bias=False), (7, 11))
    rng = np.random.default_rng(5)

    def forward(images: Array, weight: Array) -> Array:
        o.images, o.weight = images, weight
        program = winograd.forward(o.conv, o.x, o.y)
        return from_lanes(run_native(program, forward_buffers(o, program))[-1], o.y).astype(np.float64)

    images, weight = o.images, o.weight
    step, weight_step = rng.standard_normal(images.shape), rng.standard_normal(weight.shape)
    loss = float((forward(images, weight) * o.gradient).sum())
    by_image = float((forward(images + step, weight) * o.gradient).sum()) - loss
    by_weight = float((forward(images, weight + weight_step) * o.gradient).sum()) - loss
    o.images, o.weight = images, weight

    program = winograd.backward_input(o.conv, o.x, o.dy, o.dx)
    dx = from_lanes(run_native(program, input_buffers(o, program, unset(o.dx.scalars), mask=False))[-1], o.dx)
    program = winograd_weight_gradient.backward_weight(o.conv, o.x, o.dy)
    inputs = [into_lanes(images, o.x), into_lanes(o.gradient, o.dy)]
    dw = run_native(program, [*inputs, *scratch(program), *o.gradients()])[-1]
    assert by_image == pytest.approx(float((dx * step).sum()), rel=1e-4)
    assert by_weight == pytest.approx(float((dw * weight_step.ravel()).sum()), rel=1e-4)


def test_schedules_never_change_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers, and for sums over channels the cache's share too, decide what is worked on together, no more."""
    o = Operands(Conv(21, 16, (3, 3), padding=SAME), (13, 18))

    def outputs(registers: int) -> Arrays:  # recorded anew each time, as constants are changed below
        program = winograd.forward.__wrapped__(o.conv, o.x, o.y, relu=True, registers=registers)  # type: ignore[attr-defined]
        came = [run_native(program, forward_buffers(o, program))[-1]]
        program = winograd.backward_input.__wrapped__(o.conv, o.x, o.dy, o.dx, registers=registers)  # type: ignore[attr-defined]
        return [*came, run_native(program, input_buffers(o, program, unset(o.dx.scalars), mask=False))[-1]]

    def weight_gradients(registers: int) -> Arrays:
        program = winograd_weight_gradient.backward_weight(o.conv, o.x, o.y, registers=registers)
        inputs = [into_lanes(o.images, o.x), into_lanes(o.gradient, o.y)]
        return run_native(program, [*inputs, *scratch(program), *o.gradients()])[-2:]

    first, dweights = outputs(32), weight_gradients(32)
    for values in (8, 4):
        for a, b in zip(first, outputs(values), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(dweights, weight_gradients(values), strict=True):
            np.testing.assert_array_equal(a, b)
    for block, cached in ((2, 600), (16, 100_000)):
        monkeypatch.setattr(winograd_tiles, "BLOCK", block)
        monkeypatch.setattr(winograd_tiles, "CACHED", cached)
        for a, b in zip(first, outputs(32), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", [SMALL[1], SMALL[4], SMALL[8], *SMALL[13:]], ids=lambda case: case.name)
def test_one_tile_at_a_time_has_the_bits_of_blocks(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    o = Operands(case.conv, case.shape)

    def outputs(cache: int, registers: int = 32) -> Arrays:
        monkeypatch.setattr(winograd_few, "FIRST_CACHE", cache)
        forward = winograd.forward.__wrapped__(o.conv, o.x, o.y, registers=registers)  # type: ignore[attr-defined]
        backward = winograd.backward_input.__wrapped__(o.conv, o.x, o.dy, o.dx, registers=registers)  # type: ignore[attr-defined]
        programs = forward, backward
        buffers = forward_buffers(o, forward), input_buffers(o, backward, unset(o.dx.scalars), mask=False)
        return [run_native(program, given)[-1] for program, given in zip(programs, buffers, strict=True)]

    blocks = outputs(0)
    for registers in (32, 8, 4) if case in (SMALL[1], SMALL[13]) else (8,):
        for a, b in zip(outputs(1 << 20, registers), blocks, strict=True):
            np.testing.assert_array_equal(a, b)


def test_lanes_keep_to_themselves() -> None:
    """An image's result is the same whatever its neighbours hold."""
    o = Operands(Conv(3, 2, (3, 3), padding=SAME), (7, 9))
    program = winograd.forward(o.conv, o.x, o.y)
    alone = from_lanes(run_native(program, forward_buffers(o, program))[-1], o.y)
    o.images[5:] = np.inf
    among = from_lanes(run_native(program, forward_buffers(o, program))[-1], o.y)
    np.testing.assert_array_equal(alone[:5], among[:5])
    assert not np.isfinite(among[5:]).any()


def test_points_by_size() -> None:
    """Fewer points win; the more exact tiles of 2 when there are as many."""
    five = [winograd_tiles.tiling_of(1, 1, (size, 8), (5, 3), (1, 1)).rows.scheme for size in range(1, 13)]
    assert [size for size, scheme in enumerate(five, 1) if scheme is F2_5] == [1, 2]
    assert all(scheme in (F2_5, F4_5) for scheme in five)
    schemes = {size: winograd_tiles.tiling_of(1, 1, (size, 8), (3, 3), (1, 1)).rows.scheme for size in range(1, 17)}
    assert [size for size, scheme in schemes.items() if scheme is F2] == [1, 2, 5, 6]
    assert all(scheme in (F2, F4) for scheme in schemes.values())


@pytest.mark.parametrize(
    ("conv", "size", "expected"),
    [
        (Conv(64, 64, (3, 3), padding=SAME), 16, (True, True, True)),
        (Conv(32, 16, (3, 3), padding=SAME), 15, (True, True, True)),
        (Conv(32, 24, (3, 3), padding=SAME), 16, (True, True, False)),  # lanes hold 16 channels
        (Conv(16, 3, (3, 3), padding=SAME), 32, (True, False, False)),
        (Conv(8, 3, (3, 3), padding=SAME), 32, (False, False, False)),
        (Conv(32, 1, (3, 3), padding=SAME), 32, (False, False, False)),
        (Conv(8, 8, (3, 3), padding=SAME), 32, (True, True, False)),
        (Conv(5, 5, (3, 3), padding=SAME), 32, (False, False, False)),
        (Conv(64, 64, (3, 3), padding=SAME), 1, (False, False, False)),
        (Conv(64, 64, (3, 3), (2, 2), SAME), 16, (False, False, False)),
        (Conv(64, 64, (3, 3), dilation=(2, 2)), 16, (False, False, False)),
        (Conv(64, 64, (3, 3), padding=SAME, groups=2), 16, (False, False, False)),
        (Conv(64, 64, (5, 5), padding=SAME), 16, (True, True, True)),
        (Conv(16, 6, (5, 5)), 14, (True, False, False)),
        (Conv(16, 1, (5, 5)), 32, (False, False, False)),
        (Conv(64, 64, (7, 7), padding=SAME), 16, (False, False, False)),
        (Conv(64, 64, (3, 1), padding=SAME), 16, (False, False, False)),
    ],
)
def test_pays(conv: Conv, size: int, expected: tuple[bool, bool, bool]) -> None:
    out = size + conv.padding[0] + conv.padding[2] - (conv.kernel[0] - 1) * conv.dilation[0]
    x, y = Layout((conv.channels, size, size)), Layout((conv.filters, out, out))
    came = winograd.forward_pays(conv, y), winograd.backward_input_pays(conv, x)
    assert (*came, winograd_weight_gradient.backward_weight_pays(conv, y)) == expected


@pytest.mark.parametrize(("taps", "limits"), [(3, (3.0, 3.0, 5.0)), (5, (7.0, 7.0, 20.0))])
def test_error_of_large_tiles(taps: int, limits: tuple[float, ...]) -> None:
    """3x3: about twice direct convolution's. 5x5: five times."""
    for (direct, fast), times in zip(errors(taps, 32, 16), limits, strict=True):
        assert fast < times * direct


def test_errors_are_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "winograd.md").read_text()
    assert all(title(*shape) in text for shape in SHAPES)
    assert all(row(*shape) in text for shape in [(3, 32, 6), (5, 32, 2)]), (
        "print the table anew: python -m tests.kernels.winograd_error"
    )
