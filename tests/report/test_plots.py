"""Plots are parts of the page: its colours, no names twice, nothing from elsewhere."""

import re

import numpy as np
import pytest

from lanewise.report import plots
from lanewise.report.figures import calibration, roc

HISTORY = [
    {"epoch": n + 1, "loss": 1 / (n + 1), "accuracy": n / 4, "validation_loss": None if n == 1 else 0.5}
    for n in range(4)
]


def all_plots():
    p = np.random.default_rng(0).random(50).astype(np.float32)
    probabilities, labels = np.stack([1 - p, p], axis=1), np.arange(50, dtype=np.int32) % 2
    curve = roc(probabilities, labels)
    assert curve is not None
    return [
        plots.curves(HISTORY, "loss", "Loss"),
        plots.curves(HISTORY, "accuracy", "Accuracy"),
        plots.reliability(calibration(probabilities, labels)),
        plots.roc_curve(curve),
    ]


@pytest.fixture(scope="module")
def drawn():
    return all_plots()


def test_plots_fit_into_a_page(drawn):
    ids = [name for svg in drawn for name in re.findall(r' id="([^"]+)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in drawn:
        assert svg.startswith("<svg")
        assert set(re.findall(r"#([\w-]+)[)\"]", svg)) <= set(ids)
        assert "var(--muted)" in svg
        assert not re.findall(r"(?:fill|stroke): #(?!f{6})", svg), "only colours of the page"
        assert "<text" in svg
        assert "<metadata" not in svg
        assert "<style" not in svg


def test_plots_are_the_same_every_time(drawn):
    assert drawn == all_plots()


def test_intervals_are_as_long_as_their_bins_are_empty(drawn):
    """Lines up and down; the axis of shares is about 200 points long."""
    found = re.findall(r'd="M ([\d.]+) ([\d.]+) \nL ([\d.]+) ([\d.]+) \n"[^>]*stroke: var\(--accent\)', drawn[2])
    lengths = [float(low) - float(high) for x, low, x2, high in found if x == x2]
    assert len(lengths) == 5  # probabilities of two classes are above a half
    assert min(lengths) > 50  # of ten images or so
