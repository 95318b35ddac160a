"""Figures that can be worked out by hand."""

import numpy as np
import pytest

from lanewise.report.figures import calibration, roc


def two(*second: float) -> np.ndarray:
    return np.array([[1 - p, p] for p in second], np.float32)


def test_calibration_by_hand():
    # sure to 0.95: one right, one wrong; sure to 0.65: right; 0.55: wrong
    found = calibration(two(0.95, 0.95, 0.65, 0.45), np.array([1, 0, 1, 1], np.int32))
    assert (found.bins.tolist(), found.counts.tolist()) == ([5, 6, 9], [1, 1, 2])
    assert found.accuracy.tolist() == [0, 1, 0.5]
    np.testing.assert_allclose(found.confidence, [0.55, 0.65, 0.95], atol=1e-6)
    assert found.error == pytest.approx((0.55 + 0.35 + 2 * 0.45) / 4, abs=1e-6)


def test_full_certainty_has_a_bin():
    assert calibration(two(1.0), np.array([1], np.int32)).bins.tolist() == [9]


def test_probabilities_on_the_edges_of_bins_are_counted_where_the_curve_has_them():
    rng = np.random.default_rng(0)
    found = calibration(two(*(rng.integers(5, 11, 200) / 10)), rng.integers(0, 2, 200).astype(np.int32))
    assert len(found.bins) == len(found.counts) == len(found.accuracy)
    assert found.counts.sum() == 200


def test_area_is_how_often_pairs_are_ranked_right():
    # positives 0.9, 0.4; negatives 0.6, 0.2: three of four pairs are in order
    found = roc(two(0.9, 0.4, 0.6, 0.2), np.array([1, 1, 0, 0], np.int32))
    assert found is not None
    assert found.area == pytest.approx(0.75)
    assert (found.false_positives[-1], found.true_positives[-1]) == (1, 1)


def test_a_tie_counts_as_half_a_pair_in_order():
    rng = np.random.default_rng(1)
    scores, labels = rng.integers(0, 12, 300) / 12, rng.integers(0, 2, 300).astype(np.int32)
    found = roc(two(*scores), labels)
    assert found is not None
    ahead = scores[labels == 1][:, None] - scores[labels == 0]
    assert found.area == pytest.approx(np.mean((ahead > 0) + 0.5 * (ahead == 0)))
    assert roc(two(0.5, 0.5), np.array([0, 1], np.int32)).area == pytest.approx(0.5)


def test_no_curve_without_two_classes():
    assert roc(np.full((3, 3), 1 / 3, np.float32), np.array([0, 1, 2], np.int32)) is None
    assert roc(two(0.2, 0.3), np.array([0, 0], np.int32)) is None
