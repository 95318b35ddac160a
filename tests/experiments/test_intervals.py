"""Intervals hold what they promise, and promise no more."""

import math

import numpy as np
import pytest
from scipy.stats import t

from lanewise.experiments.intervals import difference_interval, share_interval, student_quantile


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 3.7, 10, 30, 500, 1e9])
def test_student_s_quantile_is_scipy_s(freedom):
    for share in (0.9, 0.975, 0.995):
        assert student_quantile(share, freedom) == pytest.approx(t.ppf(share, freedom), rel=1e-3)
        assert student_quantile(1 - share, freedom) == pytest.approx(t.ppf(1 - share, freedom), rel=1e-3)


def coverage(draw, trials=400):
    return np.mean([low <= truth <= high for low, high, truth in (draw(n) for n in range(trials))])


def test_an_accuracy_lies_in_19_of_20_intervals():
    """Images of different difficulty, seeds of different luck: both are drawn anew each time."""

    def draw(n, images=300, seeds=3):
        random = np.random.default_rng(n)
        difficulty, luck = random.normal(2.2, 1.2, (1, images)), random.normal(0, 0.25, (seeds, 1))
        right = random.random((seeds, images)) < 1 / (1 + np.exp(-difficulty - luck))
        return (*share_interval(right), TRUTH)

    assert 0.93 <= coverage(draw) <= 0.995


RANDOM = np.random.default_rng(99)
TRUTH = float(np.mean(1 / (1 + np.exp(-RANDOM.normal(2.2, math.hypot(1.2, 0.25), 10**6)))))


def test_equal_methods_are_called_different_in_1_of_20_at_most():
    def draw(n, images=300, seeds=3):
        random = np.random.default_rng(n)
        difficulty = random.normal(2.5, 1.5, (1, images))
        luck = random.normal(0, 0.2, (2, seeds, 1))
        right = random.random((2, seeds, images)) < 1 / (1 + np.exp(-difficulty - luck))
        return (*difference_interval(*right), 0.0)

    assert coverage(draw) >= 0.94


def test_copies_of_one_seed_are_no_evidence():
    """Seeds times images are not independent trials: three equal seeds say hardly more than one."""
    right = np.arange(100) % 10 > 0
    one, three = share_interval([right]), share_interval([right] * 3)
    assert three[1] - three[0] == pytest.approx(one[1] - one[0], rel=0.01)


def test_seeds_that_disagree_widen_the_interval():
    steady = np.tile(np.arange(100) % 10 > 0, (3, 1))
    lucky = np.stack([np.arange(100) >= missed for missed in (2, 10, 18)])
    assert np.ptp(share_interval(lucky)) > 1.5 * np.ptp(share_interval(steady))


def test_pairs_tell_more_than_two_shares():
    first = np.arange(200) >= 20
    second = np.arange(200) >= 40
    low, high = difference_interval([first], [second])
    assert 0 < low < 0.1 < high
    apart = np.random.default_rng(0).permutation(second)
    assert np.ptp(difference_interval([first], [apart])) > high - low


def test_few_images_that_differ_are_not_enough():
    """The exact test of McNemar calls 5 to 0 nothing (p = 0.06) and 7 to 0 something (p = 0.016)."""
    right = np.ones((1, 300), bool)
    for wrong, sure in ((5, False), (7, True)):
        other = right.copy()
        other[0, :wrong] = False
        assert (difference_interval(right, other)[0] > 0) == sure


def test_bounds_are_shares_and_never_without_width():
    low, high = share_interval(np.ones((2, 20), bool))
    assert 0.7 < low < 1 == high
    low, high = share_interval(np.zeros((1, 1), bool))
    assert 0 == low < high <= 1
    low, high = difference_interval(np.ones((1, 20)), np.ones((1, 20)))
    assert low < 0 < high


def test_more_confidence_is_wider():
    right = np.arange(100) % 10 > 0
    assert np.ptp(share_interval([right], 0.99)) > np.ptp(share_interval([right], 0.95))
