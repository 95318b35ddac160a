from __future__ import annotations

import numpy as np
import pytest

from lanewise.cli.output import open_output
from lanewise.data.images import Images
from lanewise.data_check import label_errors
from lanewise.data_check.check import Pace
from lanewise.data_check.collect import from_parts
from lanewise.data_check.findings import Case
from lanewise.data_check.label_errors import FOLDS, _finding, epochs_for, folds, suspects
from lanewise.data_check.similarity import reduced


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
    assert "find 70 %" in finding.message


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_large_images_are_averaged_down(dtype):
    x = np.random.default_rng(0).integers(0, 255, (3, 96, 64, 3)).astype(dtype)
    expected = x.astype(float).reshape(3, 48, 2, 32, 2, 3).mean(axis=(2, 4))
    assert reduced(x, 48).dtype == dtype
    assert np.abs(reduced(x, 48) - expected).max() <= 0.5
    assert reduced(x, 96) is x


def test_networks_evaluate_labels_by_small_images_and_every_epoch_is_told(monkeypatch):
    seen, told, real = [], [], label_errors.train  # type: ignore[attr-defined]

    def train(images, **options):
        seen.append(images.size)
        return real(images, **{**options, "network": "dense 1", "epochs": 2})

    monkeypatch.setattr(label_errors, "train", train)
    x = np.random.default_rng(0).integers(0, 255, (40, 64, 96, 1)).astype(np.uint8)
    collection = from_parts({"train": Images(x, (np.arange(40) % 2).astype(np.int32), ("a", "b"))})
    label_errors.mislabelled(collection, [], 0, 1, lambda done, total: told.append((done, total)))
    assert set(seen) == {(32, 48)}
    assert len(seen) == 3 * FOLDS
    assert told[0] == (0, 720)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) == 1 + 2 * len(seen)


def test_the_time_left_comes_from_the_speed_so_far_without_the_first_part(monkeypatch):
    now = iter([0.0, 50.0, 52.0, 54.0, 60.0, 61.0])
    monkeypatch.setattr("lanewise.data_check.check.time.perf_counter", lambda: next(now))
    pace = Pace()
    left = [pace.left("testing labels", done, 11) for done in range(4)]
    assert left == [None, None, 18, 16]
    assert pace.left("comparing", 0, 5) is None


def test_where_nobody_watches_a_line_says_beforehand_what_takes_long(monkeypatch, capsys):
    from lanewise.cli.check import _progress

    now = iter(range(0, 100, 2))
    monkeypatch.setattr("lanewise.data_check.check.time.perf_counter", lambda: float(next(now)))
    with _progress(open_output(False)) as progress:
        for done in range(5):
            progress("testing labels", done, 30)  # type: ignore[misc]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert "testing labels takes about 56" in said[0]
    assert "--no-labels skips it" in said[0]


def test_networks_see_few_images_more_often():
    assert [epochs_for(images) for images in (36, 60, 100, 1_000, 4_000, 60_000)] == [60, 50, 30, 30, 10, 4]
