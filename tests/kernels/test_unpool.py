"""Winograd's gradients from those behind a max pool: the very bits that come from a map of gradients in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lanewise.errors import ProgramError
from lanewise.kernels import pool, winograd, winograd_weight_gradient
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.kernels.pool import Pool
from tests.kernels.support import Arrays, aligned, buffer, into_lanes, run_everywhere, run_native
from tests.kernels.winograd_error import Operands, scratch, unset

CASES = [
    (3, 5, (15, 9), 3, 1, (2, 2)),  # few channels; no window reaches the last row and column
    (16, 16, (6, 18), 3, 1, (2, 2)),  # blocks of tiles, the last one cut
    (16, 16, (8, 8), 3, 2, (2, 4)),  # windows start where tiles do
    (16, 3, (9, 7), 3, 0, (4, 1)),
    (16, 4, (6, 5), 3, 1, (2, 1)),  # tiles of 2
    (16, 3, (10, 13), 5, 2, (2, 2)),
]


class Setting:
    """A convolution and a pool, the gradient behind it and argmax as they lie for the kernels, and the map before
    it."""

    def __init__(
        self, channels: int, filters: int, shape: tuple[int, int], taps: int, pad: int, window: tuple[int, int]
    ):
        self.o = Operands(Conv(filters, channels, (taps, taps), padding=(pad,) * 4), shape)
        self.pool, (_, rows, columns) = Pool(window, window), self.o.y.shape
        plain = Layout((filters, rows // window[0], columns // window[1]))
        border = winograd.pooled_border(self.o.conv, self.o.dx, plain, self.pool)
        self.layout = plain.with_border(border)
        rng = np.random.default_rng(rows)
        gradient, argmax = (
            rng.standard_normal((16, *plain.shape)),
            rng.integers(-1, window[0] * window[1], (16, *plain.shape)),
        )
        self.gradient = into_lanes(gradient, self.layout)
        self.argmax = into_lanes(argmax + 7.0, self.layout) - 7.0  # 7 past the edge: no tap, or some
        self.argmax[self.argmax == -7] = 0
        apart = [into_lanes(gradient, plain), into_lanes(argmax, plain), aligned(self.o.dy.scalars)]
        self.map = run_native(pool.argmax_backward(self.pool, plain, self.o.dy), apart)[-1]

    def input_gradient(self, *, joined: bool, registers: int, everywhere: bool = False) -> Arrays:
        o, layout = self.o, self.layout if joined else self.o.dy
        program = winograd.backward_input(
            o.conv, o.x, layout, o.dx, pool=self.pool if joined else None, mask=True, registers=registers
        )
        dys = [self.gradient, self.argmax] if joined else [self.map]
        inputs = [o.transformed(gradient=True), *dys, into_lanes(o.images, o.x), *scratch(program)]
        return (run_everywhere if everywhere else run_native)(program, [*inputs, unset(o.dx.scalars)])[-1:]

    def weight_gradient(self, *, joined: bool, registers: int, everywhere: bool = False) -> Arrays:
        o, layout = self.o, self.layout if joined else self.o.dy
        program = winograd_weight_gradient.backward_weight(
            o.conv, o.x, layout, pool=self.pool if joined else None, registers=registers
        )
        dys = [self.gradient, self.argmax] if joined else [self.map]
        inputs = [into_lanes(o.images, o.x), *dys, *scratch(program)]
        unwritten = [unset(buffer(g).size) for g in o.gradients()]
        return (run_everywhere if everywhere else run_native)(program, [*inputs, *unwritten])[-2:]


@pytest.mark.parametrize("case", CASES)
def test_the_bits_of_a_map_in_memory(case: tuple[int, int, tuple[int, int], int, int, tuple[int, int]]) -> None:
    s = Setting(*case)
    assert winograd.gradients_pool(s.o.conv, s.o.dx, s.pool)
    for gradient in (s.input_gradient, s.weight_gradient) if s.o.conv.channels == 16 else (s.input_gradient,):
        expected = gradient(joined=False, registers=32)
        for registers in (32, 8):
            for a, b in zip(gradient(joined=True, registers=registers), expected, strict=True):
                assert not np.isnan(a).any()
                np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


def test_every_target() -> None:
    s = Setting(16, 3, (6, 5), 3, 1, (2, 2))
    s.input_gradient(joined=True, registers=8, everywhere=True)
    s.weight_gradient(joined=True, registers=8, everywhere=True)


@pytest.mark.parametrize("case", CASES[:2])
@pytest.mark.parametrize("side", range(4))
def test_the_border_is_just_wide_enough(
    case: tuple[int, int, tuple[int, int], int, int, tuple[int, int]], side: int
) -> None:
    s = Setting(*case)
    narrow = tuple(width - (n == side) for n, width in enumerate(s.layout.border))
    with pytest.raises(ProgramError, match="leaves"):
        winograd.backward_input(s.o.conv, s.o.x, replace(s.layout, border=narrow), s.o.dx, pool=s.pool)


def test_the_border_that_the_weights_need() -> None:
    """The weights' gradient reads columns that no window reaches, though no tile of the input's gradient reads them."""
    layer, x, window = Conv(1, 16, (3, 3), padding=(0, 0, 4, 5)), Layout((16, 4, 4)), Pool((2, 2), (2, 2))
    dy = Layout((1, 3, 3))
    assert winograd.pooled_border(layer, x, dy, window) == (1, 1, 0, 1)
    read = dy.with_border(winograd.pooled_border(layer, x, dy, window))
    winograd_weight_gradient.backward_weight(layer, x.with_border((0, 0, 6, 6)), read, pool=window)


def test_windows_lie_in_one_tile_of_both_gradients() -> None:
    layer, x = Conv(16, 16, (3, 3), padding=(1, 1, 1, 1)), Layout((16, 16, 6))
    assert winograd.gradients_pool(layer, x, Pool((4, 2), (4, 2)))
    assert not winograd.gradients_pool(layer, x, Pool((3, 2), (3, 2)))
    assert not winograd.gradients_pool(layer, x, Pool((2, 4), (2, 4))), "columns in tiles of 2"
    wider = replace(layer, padding=(1, 2, 1, 2))
    assert not winograd.gradients_pool(wider, x, Pool((2, 4), (2, 4))), (
        "8 outputs in tiles of 4, 6 inputs in tiles of 2"
    )
