"""How values lie in memory."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise.errors import ProgramError
from lanewise.kernels.layout import Layout
from lanewise.lanes.ir import LANES
from lanewise.lanes.program import Recorder
from tests.kernels.support import aligned, run


def test_shapes() -> None:
    assert Layout.of((7,)) == Layout((7, 1, 1))
    assert Layout.of((2, 3, 4)) == Layout((2, 3, 4))
    layout = Layout((2, 3, 4), (1, 2, 0, 5))
    assert layout.elements == 24
    assert layout.scalars == 2 * (1 + 3 + 0) * (2 + 4 + 5) * LANES
    assert not layout.plain
    assert Layout((2, 3, 4)).plain


def test_borders_grow_to_what_each_reader_needs() -> None:
    layout = Layout((1, 2, 3)).with_border((1, 0, 2, 0)).with_border((0, 3, 1, 0))
    assert layout.border == (1, 3, 2, 0)
    assert layout.shape == (1, 2, 3)


def test_indices_reach_into_the_border_and_no_further() -> None:
    layout = Layout((2, 3, 4), (1, 2, 0, 5))
    k = Recorder("probe")
    x = layout.buffer(k, "x")
    for inside in ((0, -1, -2), (1, 2, 8)):
        x[inside] = 1.0
    for outside in ((0, -2, 0), (0, 3, 0), (0, 0, -3), (0, 0, 9), (2, 0, 0), (-1, 0, 0)):
        with pytest.raises(ProgramError, match="leaves"):
            x[outside]
    (memory,) = run(k.program(), [aligned(layout.scalars)])
    elements = memory.reshape(2, 4, 11, LANES)[..., 0]
    assert np.argwhere(elements).tolist() == [[0, 0, 0], [1, 3, 10]]


def test_flat_is_all_of_it() -> None:
    layout = Layout((2, 3, 4), (1, 2, 0, 5))
    k = Recorder("probe")
    x = layout.flat(k, "x")
    for n in k.loop(2 * 4 * 11):
        x[n] = 1.0
    (memory,) = run(k.program(), [aligned(layout.scalars)])
    assert memory.all()
