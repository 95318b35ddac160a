"""What is odd about the data is said, and nothing else."""

import numpy as np

from lanewise.learning.pictures import Pictures
from lanewise.report.data import as_bytes, data_figures


def pictures(counts: tuple[int, ...], seed: int) -> Pictures:
    pixels = np.random.default_rng(seed).integers(0, 256, (sum(counts), 4, 4, 1), np.uint8)
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    return Pictures(pixels, labels, ("a", "b"))


def test_nothing_is_said_of_good_data():
    found = data_figures({"train": pictures((40, 40), 0), "test": pictures((10, 10), 1)})
    assert found.warnings == ()
    assert [row.counts for row in found.rows] == [(40, 10), (40, 10)]
    assert found.totals == (80, 20)
    assert all(row.sheet is not None for row in found.rows)


def test_oddities_are_named():
    train, test = pictures((150, 20), 0), pictures((10, 0), 1)
    test.pixels[:3] = train.pixels[5:8]
    test.pixels[9] = test.pixels[8]
    found = data_figures({"train": train, "test": test})
    for part in (
        "test pictures show none of: b",
        "8 times as many training pictures as “b”",
        "“b” has only 20 training pictures",
        "other test pictures: 1 of 10",
        "Of the test pictures, 3 are also among the training ones",
    ):
        assert any(part in one for one in found.warnings), part
    assert len(found.warnings) == 5


def test_any_pixels_can_be_looked_at():
    real = as_bytes(np.array([-2.0, 0.0, 2.0], np.float32).reshape(3, 1, 1, 1))
    assert real.ravel().tolist() == [0, 128, 255]
    assert as_bytes(np.zeros((2, 3, 3, 2), np.float32)).shape == (2, 3, 3, 1)
    assert as_bytes(np.ones((1, 2, 2, 5), np.uint8)).shape == (1, 2, 2, 1)
