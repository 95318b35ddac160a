"""What the doctor finds stands in the report, with its images; copies across parts above all."""

from dataclasses import replace

import numpy as np
import pytest

from lanewise.data.images import Images
from lanewise.errors import TooLargeError
from lanewise.report import data
from lanewise.report.data import data_figures
from lanewise.report.page import without


def images(counts: tuple[int, ...], seed: int) -> Images:
    pixels = np.random.default_rng(seed).integers(0, 256, (sum(counts), 12, 12, 1), np.uint8)
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    names = tuple(f"folder/{n}-{seed}.png" for n in range(len(labels)))
    return Images(pixels, labels, ("a", "b"), names)


def test_nothing_is_said_of_good_data():
    found = data_figures({"train": images((40, 40), 0), "test": images((10, 10), 1)}, "test")
    assert found.findings == ()
    assert found.known == ()
    assert [row.counts for row in found.rows] == [(40, 10), (40, 10)]
    assert found.totals == (80, 20)
    assert all(row.sheet is not None for row in found.rows)


def test_copies_across_parts_are_shown_first_and_known():
    train, test = images((150, 19), 0), images((10, 0), 1)
    test.pixels[3:6] = train.pixels[5:8]
    train.pixels[9] = train.pixels[7]  # three alike, two of them to learn from
    test.pixels[9] = test.pixels[8]
    found = data_figures({"train": train, "test": test}, "test")
    assert found.known == (3, 4, 5)
    assert found.findings is not None
    across = found.findings[0]
    assert across.severity == "serious"
    assert [[(one.name, one.part) for one in case.images] for case in across.cases] == [
        [("5-0.png", "training"), ("3-1.png", "test")],
        [("6-0.png", "training"), ("4-1.png", "test")],
        [("7-0.png", "training"), ("9-0.png", "training"), ("5-1.png", "test")],
    ]
    assert all(one.drawn is not None and one.label == "a" for case in across.cases for one in case.images)
    said = " ".join(one.message for one in found.findings)
    for part in ("the test set holds no image of 'b'", "'b' (19)", "150 images of 'a'"):
        assert part.lower() in said.lower(), part
    assert data_figures({"train": train, "test": test}, "train").known == ()


def test_images_without_parts_are_no_set_called_all():
    found = data_figures({"all": images((30, 0), 0)}, "all")
    assert found.findings is not None
    assert "The data set holds no image of 'b'." in [one.message for one in found.findings]


def test_of_many_classes_it_says_which_have_examples():
    many = replace(images((44, 0), 0), labels=np.arange(44, dtype=np.int32) % 22, classes=tuple(map(str, range(22))))
    found = data_figures({"train": many}, "train")
    assert [row.sheet is not None for row in found.rows] == [True] * 20 + [False, False]
    assert found.notes == ("Of 22 classes the first 20 are shown with examples.",)


def test_no_more_is_shown_than_there_is_room_for(monkeypatch):
    train, test = images((60, 60), 0), images((30, 30), 1)
    test.pixels[:20] = train.pixels[:20]
    shown = data_figures({"train": train, "test": test}, "test")
    assert shown.findings is not None
    assert (len(shown.findings[0].cases), shown.findings[0].more) == (6, 14)
    assert len(shown.known) == 20
    monkeypatch.setattr(data, "ROOM", 1)
    full = data_figures({"train": train, "test": test}, "test")
    assert full.findings is not None
    drawn = [one.drawn is not None for case in full.findings[0].cases for one in case.images]
    assert drawn == [True, True] + [False] * 10


def test_what_memory_cannot_hold_is_not_compared(monkeypatch):
    def refuse(parts, progress):
        raise TooLargeError("too many")

    monkeypatch.setattr(data, "look", refuse)
    found = data_figures({"test": images((3, 3), 0)}, "test")
    assert (found.findings, found.known, found.totals) == (None, (), (6,))


@pytest.mark.parametrize(("known", "figures"), [((), None), ((0, 3), (3, 2)), ((0, 1, 2, 3, 4), None)])
def test_the_accuracy_without_what_is_known(known, figures):
    some = images((3, 2), 0)
    probabilities = np.eye(2, dtype=np.float32)[[1, 0, 0, 1, 0]]  # wrong, right, right, right, wrong
    assert without(known, probabilities, some) == figures
