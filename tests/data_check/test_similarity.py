from __future__ import annotations

import numpy as np
import pytest

from lanewise.data_check.nearest import CANDIDATES, NEAREST, neighbours
from lanewise.data_check.similarity import SIDE, aligned, cells

pytestmark = pytest.mark.usefixtures("all_processors")


def images(count, side=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def compared(asked, known):
    """All correlations of what is left without an even gradient, in plain NumPy."""
    rows, columns = np.mgrid[:8, :8].reshape(2, -1)
    gradient = np.stack([np.ones(64), rows, columns], axis=1)
    flat = [cells(one, 8).reshape(len(one), -1).astype(float).T for one in (asked, known)]
    left = [one - gradient @ np.linalg.lstsq(gradient, one)[0] for one in flat]
    correlation = np.corrcoef(left[0].T, left[1].T)[: len(asked), len(asked) :]
    np.fill_diagonal(correlation, -2)
    return correlation


@pytest.mark.parametrize("count", [3, 150, 700])
def test_the_nearest_are_those_of_all_pairs_mirrored_or_not(count):
    known = images(count)
    plain, turned = compared(known, known), compared(known[:, :, ::-1], known)
    correlation = np.maximum(plain, turned)
    most = min(count - 1, NEAREST)
    found = neighbours(known, threads=2)
    expected = np.sort(correlation, axis=1)[:, ::-1]
    np.testing.assert_allclose(found.correlation[:, :most], expected[:, :most], atol=1e-5)
    assert (found.correlation[:, most:] <= -1).all()
    rows, some = np.arange(count)[:, None], min(CANDIDATES, most)
    which, mirrored = found.which[:, :some], found.mirrored[:, :some]
    np.testing.assert_allclose(correlation[rows, which], expected[:, :some], atol=1e-5)
    np.testing.assert_array_equal(mirrored, (turned > plain)[rows, which])


def test_among_thousands_the_nearest_are_found_on_any_number_of_threads():
    known = images(4500)
    known[4000:4003] = known[:3]  # 4000 and 0 share a group of four
    known[4003:4006] = known[1125:1128, :, ::-1]
    one, two = (neighbours(known, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.which, two.which)
    np.testing.assert_array_equal(one.correlation, two.correlation)
    assert one.which[:3, 0].tolist() == [4000, 4001, 4002]
    assert one.which[1125:1128, 0].tolist() == [4003, 4004, 4005]
    assert one.mirrored[1125:1128, 0].all()
    expected = np.maximum(compared(known[:500], known), compared(known[:500, :, ::-1], known)).max(axis=1)
    assert (np.abs(one.correlation[:500, 0] - expected) < 1e-5).all()


def test_a_window_fits_into_its_image():
    big = np.random.default_rng(1).uniform(0, 255, (1, 8, 8, 1)).repeat(8, 1).repeat(8, 2).astype(np.float32)
    one, crop = cells(big, SIDE), cells(big[:, 2:60, 2:60], SIDE)
    assert aligned(one, crop)[0] > 0.9
    assert aligned(crop, one)[0] == aligned(one, crop)[0]
    assert aligned(one, one)[0] > 0.9999
    assert aligned(one, cells(big[:, ::-1], SIDE))[0] < 0.8
