from __future__ import annotations

import numpy as np

from lanewise.doctor.mislabelled import FOLDS, folds, suspects


def test_copies_lie_in_one_fold_and_classes_are_shared_out():
    labels = np.repeat([0, 1], [40, 20]).astype(np.int32)
    together = [(0, 50), (3, 4, 5)]
    fold = folds(labels, together, 0)
    assert all(len({fold[n] for n in group}) == 1 for group in together)
    assert abs(np.bincount(folds(labels, [], 0)[:40], minlength=FOLDS) - 10).max() == 0


def test_a_confident_no_is_suspect_and_comes_first():
    probabilities = np.full((40, 2), 0.1)
    labels = np.repeat([0, 1], 20).astype(np.int32)
    probabilities[np.arange(40), labels] = 0.9
    probabilities[5], probabilities[25] = (0.05, 0.95), (0.999, 0.001)
    found = suspects(probabilities, labels)
    assert found.which.tolist() == [25, 5]
    assert found.instead.tolist() == [0, 1]


def test_an_unsure_network_would_suspect_many_by_chance():
    random = np.random.default_rng(0)
    sure = random.uniform(0.4, 0.6, 1000)
    labels = (random.uniform(size=1000) < sure).astype(np.int32)
    found = suspects(np.stack([1 - sure, sure], axis=1), labels)
    assert 0.8 < found.by_chance / len(found.which) < 1.25
