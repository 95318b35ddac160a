"""Batch normalisation's kernels against their formulas, with borders and absent lanes, the same bits on all targets."""

from __future__ import annotations

import numpy as np
import pytest

from lanewise.kernels import batchnorm
from lanewise.kernels.layout import Layout
from lanewise.kernels.optimizers import HYPER
from lanewise.lanes.program import LANES
from tests.kernels.support import border_of, buffer, from_lanes, into_lanes, run_everywhere

SHAPES = [(1, 1, 1), (5, 3, 9), (4, 2, 8), (9, 1, 17)]
BORDERS = [(0, 0, 0, 0), (1, 0, 2, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("border", BORDERS, ids=str)
@pytest.mark.parametrize("count", [1, 5, 16])
def test_there_and_back(shape: tuple[int, int, int], border: tuple[int, int, int, int], count: int) -> None:
    """Absent lanes hold numbers, as they do in training, which nothing may depend on."""
    rng = np.random.default_rng(count)
    channels, rows, columns = shape
    plain, framed = Layout(shape), Layout(shape, border)
    x, plus, dy = (rng.normal(size=(LANES, *shape)).astype(np.float32) for _ in range(3))
    dy[count:] = 0
    scale, shift, running, before = rng.normal(size=(4, channels)).astype(np.float32)
    present = buffer(np.arange(LANES) < count)
    there = x[:count].astype(np.float64)
    mean, variance = there.mean(axis=(0, 2, 3)), there.var(axis=(0, 2, 3))
    each = (slice(None), None, None)
    normal = (x - mean[each]) / np.sqrt(variance + 0.125)[each]
    n = count * rows * columns

    moments = buffer(np.zeros(channels * batchnorm.MOMENTS * LANES))
    program = batchnorm.forward(framed, framed, 0.125, True, relu=True, plus=plain)
    given = [into_lanes(x, framed), present, *map(buffer, (scale, shift, running)), into_lanes(plus, plain)]
    given += [into_lanes(np.zeros_like(x), framed), moments, buffer(before), buffer(before)]
    *_, y, moments, sums, squares = run_everywhere(program, given)
    expected = np.maximum(scale[each] * normal + shift[each] + plus, 0)[:count]
    np.testing.assert_allclose(from_lanes(y, framed, count), expected, rtol=1e-4, atol=1e-4)
    assert not border_of(y, framed).any()
    moved = there - running[each]
    np.testing.assert_allclose(sums, before + moved.sum(axis=(0, 2, 3)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(squares, before + (moved**2).sum(axis=(0, 2, 3)), rtol=1e-4, atol=1e-4)

    program = batchnorm.backward_parameters(framed, plain, True)
    given = [into_lanes(x, framed), present, buffer(scale), moments, into_lanes(dy, plain)]
    given += [buffer(before), buffer(before)]
    *_, dscale, dshift = run_everywhere(program, given)
    expected_scale, expected_shift = (dy * normal).sum(axis=(0, 2, 3)), dy.sum(axis=(0, 2, 3))
    np.testing.assert_allclose(dscale, before + expected_scale, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(dshift, before + expected_shift, rtol=1e-4, atol=1e-4)

    program = batchnorm.backward(framed, plain, framed, False, True)
    *_, own_scale, own_shift, dx = run_everywhere(program, [*given, into_lanes(np.zeros_like(x), framed)])
    assert (own_scale.tobytes(), own_shift.tobytes()) == (dscale.tobytes(), dshift.tobytes())
    dx = from_lanes(dx, framed)
    factor = scale / np.sqrt(variance + 0.125)
    expected = factor[each] * (dy - expected_shift[each] / n - normal * expected_scale[each] / n)
    np.testing.assert_allclose(dx[:count], expected[:count], rtol=1e-4, atol=1e-4)
    assert not dx[count:].any()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_made_again_has_the_same_bits(shape: tuple[int, int, int], relu: bool) -> None:
    rng = np.random.default_rng(3)
    layout, framed, channels = Layout(shape), Layout(shape, BORDERS[1]), shape[0]
    scale, shift, running, zeros = *rng.normal(size=(3, channels)), np.zeros(channels)
    x = into_lanes(rng.normal(size=(LANES, *shape)).astype(np.float32), layout)
    empty = into_lanes(np.zeros((LANES, *shape), np.float32), framed)
    numbers = list(map(buffer, (scale, shift)))
    given = [x, buffer(np.arange(LANES) < 9), *numbers, buffer(running), empty]
    given += [buffer(np.zeros(channels * batchnorm.MOMENTS * LANES)), buffer(zeros), buffer(zeros)]
    *_, y, moments, _, _ = run_everywhere(batchnorm.forward(layout, framed, 0.125, False, relu=relu), given)
    *_, same = run_everywhere(batchnorm.again(layout, framed, relu=relu), [x, *numbers, moments, empty])
    assert y.any()
    assert same.tobytes() == y.tobytes()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_running_statistics_there_and_back(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    layout, each = Layout(shape), (slice(None), None, None)
    x, dy, dx = (rng.normal(size=(LANES, *shape)).astype(np.float32) for _ in range(3))
    scale, shift, mean = rng.normal(size=(3, shape[0])).astype(np.float32)
    variance = rng.uniform(0, 2, shape[0]).astype(np.float32)
    factor = scale / np.sqrt(variance + 0.125)
    program = batchnorm.apply(layout, layout, 0.125)
    numbers = list(map(buffer, (scale, shift, mean, variance)))
    y = from_lanes(run_everywhere(program, [into_lanes(x, layout), *numbers, into_lanes(x, layout)])[-1], layout)
    np.testing.assert_allclose(y, factor[each] * (x - mean[each]) + shift[each], rtol=1e-4, atol=1e-4)
    program = batchnorm.backward_applied(layout, layout, 0.125, True)
    given = [buffer(scale), buffer(variance), into_lanes(dy, layout), into_lanes(dx, layout)]
    np.testing.assert_allclose(
        from_lanes(run_everywhere(program, given)[-1], layout), dx + factor[each] * dy, rtol=1e-4, atol=1e-4
    )


def test_a_batch_replaces_a_share_of_the_running_statistics() -> None:
    """Of 7 images of 4 positions."""
    rng = np.random.default_rng(2)
    mean, variance = rng.normal(size=16), rng.uniform(1, 2, 16)
    values = rng.normal(size=(28, 16)) + mean
    around = values - mean.astype(np.float32)
    sums, squares = around.sum(axis=0), (around**2).sum(axis=0)
    hyper = np.zeros(HYPER)
    hyper[-2:] = 0.25, 1 / 7
    program = batchnorm.update_statistics(16, 4)
    found = run_everywhere(program, list(map(buffer, (mean, variance, sums, squares, hyper))))
    np.testing.assert_allclose(found[0], 0.75 * mean + 0.25 * values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found[1], 0.75 * variance + 0.25 * values.var(axis=0), rtol=1e-5)
