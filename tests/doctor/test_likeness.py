from __future__ import annotations

import numpy as np

from lanewise.doctor.likeness import NEAREST, aligned, grey, neighbours


def small(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 32, 32)).astype(np.float32)


def test_the_nearest_of_blocks_are_those_of_all_pairs():
    pictures = small(700)
    cells = pictures.reshape(700, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(700, -1)
    correlation = np.corrcoef(cells)
    np.fill_diagonal(correlation, -2)
    expected = np.sort(correlation, axis=1)[:, ::-1][:, :NEAREST]
    found = neighbours(pictures, pictures)
    np.testing.assert_allclose(found.correlation, expected, atol=1e-5)
    np.testing.assert_allclose(correlation[np.arange(700)[:, None], found.which], expected, atol=1e-5)


def test_few_pictures_have_few_neighbours():
    pictures = small(3)
    assert (neighbours(pictures, pictures).correlation[:, 2:] <= -1).all()


def test_a_window_fits_into_its_picture():
    big = np.random.default_rng(1).uniform(0, 255, (1, 8, 8, 1)).repeat(8, 1).repeat(8, 2).astype(np.float32)
    one, crop = grey(big), grey(big[:, 2:60, 2:60])
    assert aligned(one, crop)[0] > 0.9
    assert aligned(crop, one)[0] == aligned(one, crop)[0]
    assert aligned(one, one)[0] > 0.9999
    assert aligned(one, grey(big[:, ::-1]))[0] < 0.8
