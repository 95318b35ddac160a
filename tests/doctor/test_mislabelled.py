from __future__ import annotations

import numpy as np
import pytest

from lanewise.doctor.findings import Case
from lanewise.doctor.mislabelled import FOLDS, _finding, folds, suspects


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


def test_how_many_random_mistakes_would_be_suspect():
    labels = np.repeat([0, 1, 2], 20).astype(np.int32)
    sure = np.full((60, 3), 0.05)
    sure[np.arange(60), labels] = 0.9
    assert suspects(sure, labels).sensitivity == 1
    assert suspects(np.full((60, 3), 1 / 3), labels).sensitivity == 0
    sure[:10] = 1 / 3  # of these nothing is known
    assert suspects(sure, labels).sensitivity == pytest.approx(50 / 60)


@pytest.mark.parametrize(("accuracy", "severity", "listed"), [(0.9, "warning", 50), (0.8, "note", 20)])
def test_weak_networks_say_so_and_list_few(accuracy, severity, listed):
    finding = _finding([Case((n,), (f"{n}",), "") for n in range(50)], accuracy, 0.7, 400)
    assert (finding.severity, len(finding.cases)) == (severity, listed)
    assert ("too weak" in finding.message) == (severity == "note")
    assert f"{100 * accuracy:.1f} % of all labels" in finding.message
    assert "suspect 70 %" in finding.message
