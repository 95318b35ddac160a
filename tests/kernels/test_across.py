"""Operations across lanes: their trees are part of the arithmetic, so they are held to their formulas bit for bit."""

from __future__ import annotations

import numpy as np

from lanewise.kernels.across import lane_sum, transpose
from lanewise.lanes.ir import LANES
from lanewise.lanes.program import Recorder
from tests.kernels.support import aligned, buffer, run_everywhere


def test_lane_sum_is_the_tree_it_says() -> None:
    k = Recorder("sum")
    x, y = k.lanes("x", (40,)), k.scalars("y", (40,))
    for n in range(40):
        y[n] = lane_sum(k, x[n])
    values = np.random.default_rng(0).standard_normal((40, LANES)).astype(np.float32)
    came = run_everywhere(k.program(), [buffer(values), aligned(40)])[1]

    def half(v: np.ndarray, odd: int) -> np.ndarray:
        a, b, c, d, e, f, g, h = (v[:, n + odd] for n in (0, 8, 4, 12, 2, 10, 6, 14))
        return ((a + b) + (c + d)) + ((e + f) + (g + h))

    np.testing.assert_array_equal(came, half(values, 0) + half(values, 1))
    assert (came != values.sum(axis=1)).any(), "the order would not matter here"


def test_transpose() -> None:
    k = Recorder("transpose")
    x, y = k.lanes("x", (LANES,)), k.lanes("y", (LANES,))
    for n, row in enumerate(transpose(k, [x[n] for n in range(LANES)])):
        y[n] = row
    values = np.arange(LANES * LANES, dtype=np.float32).reshape(LANES, LANES)
    came = run_everywhere(k.program(), [buffer(values), aligned(LANES * LANES)])[1]
    np.testing.assert_array_equal(came.reshape(LANES, LANES), values.T)
