"""The one-dimensional transforms: they convolve, the gradients' are the transposes, and powers of the points are
exact."""

from __future__ import annotations

from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.kernels.winograd_transforms import (
    EIGHT_POINTS,
    F2,
    F2_5,
    F4,
    F4_5,
    SCHEMES,
    SIX_POINTS,
    Points,
    Scheme,
    Transform,
    both_axes,
)
from lanewise.lanes.ir import Let
from lanewise.lanes.program import LANES, Recorder
from tests.kernels.support import aligned, buffer, run_everywhere

Array: TypeAlias = npt.NDArray[Any]

ALL = pytest.mark.parametrize("scheme", [F2, F4, F2_5, F4_5], ids=["F2", "F4", "F2_5", "F4_5"])


def applied(transform: Transform, values: Array) -> Array:
    """The transform of each column of (count, 16)."""
    k = Recorder("transform")
    x = k.lanes("x", (len(values),))
    out = transform(k, [x[n] for n in range(len(values))])
    y = k.lanes("y", (len(out),))
    for n, value in enumerate(out):
        y[n] = value
    result = run_everywhere(k.program(), [buffer(values), aligned(LANES * len(out))])[1]
    return result.reshape(len(out), LANES)


def matrix(transform: Transform, inputs: int) -> Array:
    return applied(transform, np.eye(inputs, LANES))[:, :inputs]


@ALL
def test_convolves(scheme: Scheme) -> None:
    rng = np.random.default_rng(1)
    d, g = rng.integers(-9, 10, (scheme.points, LANES)), rng.integers(-9, 10, (scheme.taps, LANES))
    y = applied(scheme.synthesise, applied(scheme.weigh, g) * applied(scheme.analyse, d))
    expected = [sum(g[u] * d[r + u] for u in range(scheme.taps)) for r in range(scheme.outputs)]
    np.testing.assert_allclose(y, expected, atol=0 if scheme is F2 else 3e-4)


@ALL
def test_gradients_are_transposes(scheme: Scheme) -> None:
    spread, synthesise = matrix(scheme.spread, scheme.outputs), matrix(scheme.synthesise, scheme.points)
    np.testing.assert_array_equal(spread, synthesise.T)
    collect, weigh = matrix(scheme.collect, scheme.points), matrix(scheme.weigh, scheme.taps)
    np.testing.assert_allclose(collect, weigh.T, rtol=2e-7)


@ALL
def test_gradient_of_the_taps(scheme: Scheme) -> None:
    rng = np.random.default_rng(2)
    d, dy = rng.integers(-9, 10, (scheme.points, LANES)), rng.integers(-9, 10, (scheme.outputs, LANES))
    dg = applied(scheme.collect, applied(scheme.spread, dy) * applied(scheme.analyse, d))
    expected = [sum(dy[r] * d[r + u] for r in range(scheme.outputs)) for u in range(scheme.taps)]
    np.testing.assert_allclose(dg, expected, atol=0 if scheme is F2 else 1e-3)


@pytest.mark.parametrize("points", [SIX_POINTS, EIGHT_POINTS], ids=["six", "eight"])
def test_powers_of_the_points_are_exact(points: Points) -> None:
    for p in points.pairs:
        assert all(p**n == np.float32(p**n) for n in range(5))
    vanishing = np.poly([p**2 for p in points.pairs])
    np.testing.assert_array_equal(vanishing, vanishing.astype(np.float32))


def test_schemes_by_taps() -> None:
    assert all(scheme.taps == taps for taps, schemes in SCHEMES.items() for scheme in schemes)


def test_both_axes_are_columns_then_rows() -> None:
    k = Recorder("grid")
    x = k.lanes("x", (4, 6))
    out = both_axes(k, F2.analyse, F4.analyse, [[x[r, c] for c in range(6)] for r in range(4)])
    y = k.lanes("y", (4, 6))
    for r, row in enumerate(out):
        for c, value in enumerate(row):
            y[r, c] = value
    values = np.random.default_rng(3).integers(-9, 10, (4, 6, LANES))
    came = run_everywhere(k.program(), [buffer(values), aligned(24 * LANES)])[1].reshape(4, 6, LANES)
    down, along = matrix(F2.analyse, 4), matrix(F4.analyse, 6)
    np.testing.assert_allclose(came, np.einsum("ar,bc,rcn->abn", down, along, values), atol=1e-5)


def test_a_row_that_nobody_asks_for_is_not_computed() -> None:
    def operations(rows: int) -> int:
        k = Recorder("grid")
        x = k.lanes("x", (6, 6))
        grid = [[x[r, c] for c in range(6)] for r in range(6)]
        list(islice(both_axes(k, F4.analyse, F4.analyse, grid), rows))
        return sum(isinstance(statement, Let) for statement in k.program().body)

    assert [operations(rows) for rows in (1, 2, 6)] == [7 * 12, 8 * 12, 12 * 12]


@ALL
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9])
def test_tiles_cover(scheme: Scheme, size: int) -> None:
    tiles = scheme.tiles(size)
    assert (tiles - 1) * scheme.outputs < size <= tiles * scheme.outputs
