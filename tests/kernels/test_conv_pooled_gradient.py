"""A max pool inside a convolution: the very bits of the two kernels one after the other, argmax and gradients too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.errors import ProgramError
from lanewise.kernels import conv, conv_pooled_gradient, conv_weight_gradient, pool, winograd
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.kernels.pool import Pool
from lanewise.lanes.program import Program
from lanewise.network import reference
from lanewise.network.graph import build
from lanewise.network.layers import ReLU
from lanewise.network.text import parse
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
from tests.kernels.test_conv import geometry
from tests.kernels.winograd_error import Operands, scratch, unset

Array = npt.NDArray[Any]

VALUES = (32, 8, 4)
SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.0, np.inf, -np.inf, np.nan)


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    shape: tuple[int, int, int]
    window: tuple[int, int] = (2, 2)


CASES = [
    Case("3x3_same", "conv 5@3 same", (3, 8, 12)),
    Case("5x5_leaves_rest", "conv 7@5", (2, 9, 11)),
    Case("window_3x2", "conv 3@3 same", (2, 7, 9), (3, 2)),
    Case("window_1x3", "conv 2@2", (2, 5, 8), (1, 3)),
    Case("window_3x3", "conv 2@3 same", (1, 6, 7), (3, 3)),
    Case("stride_dilation_groups", "conv 6@3x2 pad 1:2:0:1 stride 2x1 dilation 1x2 groups 2 nobias", (4, 11, 9)),
    Case("rolled_rows", "conv 3@9 same", (2, 6, 8)),
    Case("one_window", "conv 17@1", (2, 3, 3), (3, 3)),
]
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
RELU = pytest.mark.parametrize("relu", [False, True], ids=["", "relu"])


class Setting:
    """A convolution and a pool with their layouts, operands of few bits (so that there are ties), and a gradient."""

    def __init__(self, case: Case) -> None:
        graph = build(parse(case.text), case.shape)
        self.conv, self.pool = geometry(graph), Pool(case.window, case.window)
        filters, rows, columns = graph.output_shape
        self.full = Layout((filters, rows, columns))
        self.x = (
            Layout(case.shape).with_border(self.conv.x_border(Layout(case.shape), self.full)).with_border((1, 0, 0, 2))
        )
        self.y = Layout((filters, rows // case.window[0], columns // case.window[1])).with_border((1, 2, 0, 1))
        rng = np.random.default_rng(len(case.name))
        self.images = rng.integers(-2, 3, (16, *case.shape)).astype(np.float32)
        self.parameters = [rng.integers(-2, 3, p.shape).astype(np.float32) / 4 for p in graph.parameters]
        self.gradient = rng.standard_normal((16, *self.y.shape)).astype(np.float32)

    def joined(self, relu: bool, registers: int = 32, targets: tuple[str, ...] = ()) -> tuple[Array, Array]:
        """y and argmax."""
        program = conv.forward(
            self.conv, self.x, self.y, relu=relu, pool=self.pool, argmax=plain(self.y), registers=registers
        )
        buffers = [*self._inputs(), noise(self.y), noise(plain(self.y))]
        y, argmax = (run_everywhere(program, buffers, targets) if targets else run_native(program, buffers))[-2:]
        return y, argmax

    def apart(self, relu: bool) -> tuple[Array, Array]:
        """The map between the two kernels, and y."""
        program = conv.forward(self.conv, self.x, self.full, relu=relu)
        full = run_native(program, [*self._inputs(), noise(self.full)])[-1]
        return full, run_native(pool.max_forward(self.pool, self.full, self.y), [full, noise(self.y)])[1]

    def weight_gradient(self, argmax: Array, accumulate: bool, registers: int = 32) -> tuple[Program, Arrays]:
        """The program of the weights' gradient, and its buffers."""
        program = conv_pooled_gradient.backward_weight(
            self.conv, self.x, self.y, self.pool, accumulate=accumulate, registers=registers
        )
        inputs = [into_lanes(self.images, self.x), into_lanes(self.gradient, self.y), argmax]
        return program, [*inputs, *scratch(program), *(noise_of(p.size) for p in self.parameters)]

    def _inputs(self) -> Arrays:
        return [into_lanes(self.images, self.x), *(buffer(p) for p in self.parameters)]


def plain(layout: Layout) -> Layout:
    return Layout(layout.shape)


def noise(layout: Layout) -> Array:
    return noise_of(layout.scalars)


def noise_of(size: int) -> Array:
    return buffer(np.random.default_rng(1).integers(1, 9, size))


def same_bits(a: Array, b: Array) -> None:
    np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


@RELU
@EACH
def test_the_bits_of_both_kernels(case: Case, relu: bool) -> None:
    s = Setting(case)
    y, argmax = s.joined(relu, targets=("host",) * relu)  # the interpreter too, once
    full, expected = s.apart(relu)
    same_bits(y, expected)
    dy, dx = into_lanes(s.gradient, s.y), s.full.with_border((1, 1, 2, 0))
    came = run_everywhere(pool.argmax_backward(s.pool, s.y, dx), [dy, argmax, noise(dx)], ("host",))[-1]
    program = pool.max_backward(s.pool, s.full, s.y, s.y, dx, False, mask=relu)
    same_bits(came, run_native(program, [full, y, dy, noise(dx)])[-1])
    same_bits(border_of(came, dx), border_of(noise(dx), dx))


@RELU
@EACH
def test_against_the_reference(case: Case, relu: bool) -> None:
    s = Setting(case)
    layers = parse(f"{case.text}{', relu' if relu else ''}, max {case.window[0]}x{case.window[1]}")
    graph = build(layers, case.shape)
    values = reference.forward(graph, s.parameters, s.images)
    _, gradients = reference.backward(graph, s.parameters, values, s.gradient)
    y, argmax = s.joined(relu)
    np.testing.assert_array_equal(from_lanes(y, s.y), values[-1], "few bits: the sums are exact")
    assert len(np.unique(argmax)) == case.window[0] * case.window[1] + relu, "each tap wins somewhere"
    came = run_native(pool.argmax_backward(s.pool, s.y, s.full), [into_lanes(s.gradient, s.y), argmax, noise(s.full)])[
        -1
    ]
    np.testing.assert_array_equal(from_lanes(came, s.full), gradients[1].astype(np.float32))
    assert isinstance(graph.nodes[2].layer, ReLU) == relu


@pytest.mark.parametrize("accumulate", [False, True], ids=["write", "add"])
@EACH
def test_weight_gradient_has_the_bits_of_that_of_the_whole_map(case: Case, accumulate: bool) -> None:
    s = Setting(case)
    s.images += np.random.default_rng(2).standard_normal(s.images.shape).astype(np.float32)
    _, argmax = s.joined(True)
    program, buffers = s.weight_gradient(argmax, accumulate)
    count = len(s.parameters)
    came = (run_everywhere(program, buffers, ("host",)) if accumulate else run_native(program, buffers))[-count:]
    dy = into_lanes(s.gradient, s.y)
    full = run_native(pool.argmax_backward(s.pool, s.y, s.full), [dy, argmax, noise(s.full)])[-1]
    whole = conv_weight_gradient.backward_weight(s.conv, s.x, s.full, accumulate=accumulate)
    for a, b in zip(came, run_native(whole, [buffers[0], full, *buffers[-count:]])[-count:], strict=True):
        same_bits(a, b)
    for registers in VALUES[1:]:
        for a, b in zip(came, run_native(*s.weight_gradient(argmax, accumulate, registers))[-count:], strict=True):
            same_bits(a, b)


@EACH
def test_weight_gradient_against_the_reference(case: Case) -> None:
    s = Setting(case)
    s.gradient = np.round(s.gradient)
    graph = build(parse(f"{case.text}, relu, max {case.window[0]}x{case.window[1]}"), case.shape)
    values = reference.forward(graph, s.parameters, s.images)
    expected, _ = reference.backward(graph, s.parameters, values, s.gradient)
    came = run_native(*s.weight_gradient(s.joined(True)[1], False))[-len(expected) :]
    for a, b in zip(came, expected, strict=True):
        np.testing.assert_array_equal(a, b.ravel().astype(np.float32))


WINOGRAD = [
    (3, (15, 15), 3, (2, 2)),  # tiles of 4, the last of 3, of which the windows take 2
    (15, (7, 7), 3, (2, 2)),  # the same, in blocks of tiles
    (3, (9, 11), 3, (2, 2)),  # no window reaches the last row of tiles
    (3, (6, 5), 3, (2, 1)),  # tiles of 2
    (3, (8, 12), 3, (4, 2)),
    (15, (8, 9), 3, (2, 4)),
    (3, (10, 13), 5, (2, 2)),
]


@pytest.mark.parametrize(
    ("channels", "shape", "taps", "window", "relu"), [*((*case, True) for case in WINOGRAD), (*WINOGRAD[3], False)]
)
def test_winograd_too(channels: int, shape: tuple[int, int], taps: int, window: tuple[int, int], relu: bool) -> None:
    o = Operands(Conv(5, channels, (taps, taps), padding=(taps // 2,) * 4), shape)
    joined, layout = Pool(window, window), Layout((5, shape[0] // window[0], shape[1] // window[1]), (1, 0, 2, 1))
    assert winograd.pools(o.conv, o.y, joined)
    inputs = [into_lanes(o.images, o.x), o.transformed(), *(buffer(b) for b in o.bias)]
    program = winograd.forward(o.conv, o.x, o.y, relu=relu)
    full = run_native(program, [*inputs, *scratch(program), unset(o.y.scalars)])[-1]
    expected = run_native(pool.max_forward(joined, o.y, layout), [full, noise(layout)])[1]

    def came(registers: int, argmax: bool) -> Arrays:
        asked = plain(layout) if argmax else None
        program = winograd.forward(o.conv, o.x, layout, relu=relu, pool=joined, argmax=asked, registers=registers)
        buffers = [*inputs, *scratch(program), noise(layout), *[noise(plain(layout))] * argmax]
        return (run_everywhere if registers == 8 and argmax else run_native)(program, buffers)[-1 - argmax :]

    y, argmax = came(32, True)
    same_bits(y, expected)
    for values in VALUES:
        same_bits(came(values, True)[1], argmax)
    same_bits(came(8, False)[0], y)
    dy, dx = into_lanes(np.random.default_rng(3).standard_normal((16, *layout.shape)), layout), o.y
    gradient = run_native(pool.argmax_backward(joined, layout, dx), [dy, argmax, noise(dx)])[-1]
    apart = pool.max_backward(joined, o.y, layout, layout, dx, False, mask=relu)
    same_bits(gradient, run_native(apart, [full, y, dy, noise(dx)])[-1])


def test_winograd_leaves_out_tiles_that_no_window_reaches() -> None:
    """Of 9 rows 8 are pooled, in two tiles of 4, which read nothing below the image."""
    conv3, x, y = Conv(5, 3, (3, 3), padding=(1, 1, 1, 1)), Layout((3, 9, 8)), Layout((5, 4, 4))
    winograd.forward(conv3, x.with_border((1, 1, 0, 1)), y, pool=Pool((2, 2), (2, 2)))
    with pytest.raises(ProgramError, match="leaves"):
        winograd.forward(conv3, x.with_border((1, 1, 0, 1)), Layout((5, 9, 8)))


def test_windows_lie_in_one_tile() -> None:
    conv3 = Conv(5, 3, (3, 3), padding=(1, 1, 1, 1))
    large, small = Layout((5, 16, 16)), Layout((5, 6, 16))
    assert [winograd.pools(conv3, large, Pool((n, n), (n, n))) for n in (1, 2, 3, 4, 8)] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert winograd.pools(conv3, small, Pool((2, 4), (2, 4)))
    assert not winograd.pools(conv3, small, Pool((4, 4), (4, 4))), "rows in tiles of 2"


@EACH
def test_tiles_and_winners_change_no_bits(case: Case) -> None:
    s = Setting(case)
    y, argmax = s.joined(True)
    for registers in VALUES[1:]:
        for came, expected in zip(s.joined(True, registers), (y, argmax), strict=True):
            same_bits(came, expected)
    for registers in VALUES:
        program = conv.forward(s.conv, s.x, s.y, relu=True, pool=s.pool, registers=registers)
        same_bits(run_native(program, [*s._inputs(), noise(s.y)])[-1], y)


def test_each_target() -> None:
    s = Setting(CASES[5])
    s.images += np.random.default_rng(2).standard_normal(s.images.shape).astype(np.float32)
    _, argmax = s.joined(True, registers=8, targets=TARGETS)
    dy = into_lanes(s.gradient, s.y)
    run_everywhere(pool.argmax_backward(s.pool, s.y, s.full), [dy, argmax, noise(s.full)], TARGETS)
    run_everywhere(*s.weight_gradient(argmax, True, 8), TARGETS)


@RELU
def test_zeros_of_both_signs_infinities_and_what_is_no_number(relu: bool) -> None:
    """A convolution that hands everything on, minus zero too, and all pairs of special values in windows of two."""
    s = Setting(Case("special", "conv 1@1", (1, len(SPECIAL), 2 * len(SPECIAL)), (1, 2)))
    s.parameters = [np.ones((1, 1, 1, 1), np.float32), np.full(1, -0.0, np.float32)]
    pairs = np.array([[a, b] for a in SPECIAL for b in SPECIAL], np.float32)
    s.images[:] = pairs.reshape(s.images.shape[1:])
    s.images[1:] = np.random.default_rng(5).choice(SPECIAL, s.images[1:].shape)
    (y, argmax), (full, expected) = s.joined(relu, targets=("host",)), s.apart(relu)
    assert np.signbit(full[full == 0]).any()
    assert np.isnan(y).any()
    same_bits(y, expected)
    dy = into_lanes(s.gradient, s.y)
    came = run_native(pool.argmax_backward(s.pool, s.y, s.full), [dy, argmax, noise(s.full)])[-1]
    program = pool.max_backward(s.pool, s.full, s.y, s.y, s.full, False, mask=relu)
    same_bits(came, run_native(program, [full, y, dy, noise(s.full)])[-1])


def test_which_pools_join() -> None:
    assert all(pool.joins_convolution(Pool(window, window)) for window in [(2, 2), (1, 6), (1, 2), (3, 2)])
    assert not pool.joins_convolution(Pool((3, 3), (2, 2))), "windows overlap"
    assert not pool.joins_convolution(Pool((2, 2), (2, 3))), "gaps between them"
    assert not pool.joins_convolution(Pool((2, 2), (2, 2), (1, 0, 0, 0)))
    assert not pool.joins_convolution(Pool((3, 3), (3, 3))), "too many registers"


def test_code_stays_small() -> None:
    """Windows do not multiply what is unrolled."""
    for kernel, window in (((3, 3), (2, 2)), ((7, 7), (3, 3)), ((1, 31), (3, 3))):
        big = Conv(64, 16, kernel, padding=(kernel[0] // 2, kernel[1] // 2) * 2)
        x, y = Layout((16, 36, 36)), Layout((64, 36 // window[0], 36 // window[1]))
        x = x.with_border(big.x_border(x, Layout((64, 36, 36))))
        for program in (
            conv.forward(big, x, y, relu=True, pool=Pool(window, window), argmax=plain(y)),
            conv_pooled_gradient.backward_weight(big, x, y, Pool(window, window)),
        ):
            assert len(str(program).splitlines()) < 6000, f"{program.name} {kernel}"
