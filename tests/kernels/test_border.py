"""Borders become zero; what they surround stays."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise.kernels import border
from lanewise.kernels.layout import Layout
from lanewise.kernels.single.blocked import Blocked
from tests.kernels.support import run_everywhere


@pytest.mark.parametrize("sides", [(1, 1, 1, 1), (0, 0, 1, 2), (3, 0, 0, 0), (0, 2, 0, 0), (0, 0, 0, 1)])
@pytest.mark.parametrize("kind", [Layout((3, 2, 4)), Layout((1, 1, 1)), Blocked((3, 2, 4), width=3)])
def test_clear(kind: Layout, sides: tuple[int, int, int, int]) -> None:
    layout = kind.with_border(sides)
    top, left, bottom, right = sides
    channels, rows, columns = layout.shape
    shape = (channels, rows + top + bottom, columns + left + right, 16)
    if isinstance(layout, Blocked):
        shape = (1, *shape[1:3], 3)
    before = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    expected = np.zeros(shape, np.float32)
    inside = np.s_[:, top : top + rows, left : left + columns]
    expected[inside] = before[inside]

    (after,) = run_everywhere(border.clear(layout), [before])
    np.testing.assert_array_equal(after.reshape(shape), expected)
