import os
from pathlib import Path

import pytest

from lanewise.wording import duration, file_size, interval, percent, plural, shape, shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0312, "0.03 s"),
        (0.994, "0.99 s"),
        (0.996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3599.6, "1 h 0 min"),
        (12_000, "3 h 20 min"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_a_share_has_as_many_decimals_as_its_count_justifies():
    assert percent(353 / 359, 359) == "98.3 %"
    assert percent(9912 / 10_000, 10_000) == "99.12 %"
    assert (percent(0.98765, 300, ""), percent(-0.01, 300, "")) == ("98.8", "-1.0")
    assert interval((0.964, 0.992), 359) == "96.4 to 99.2 %"


def test_plural():
    assert [plural(1, "class"), plural(2, "class"), plural(1797, "image")] == [
        "1 class",
        "2 classes",
        "1,797 images",
    ]
    assert plural(5, "epoch") == "5 epochs"


def test_shapes_are_rows_columns_channels():
    assert [shape((3, 30, 40)), shape((100,))] == ["30x40x3", "100"]


def test_file_size():
    assert [file_size(12), file_size(54_321), file_size(1_234_567)] == ["1 kB", "54 kB", "1.2 MB"]


def test_names_cannot_command_the_terminal():
    assert shown("a\x1b[31mb\nc") == "a\\x1b[31mb\\nc"
    assert shown("Grüße 犬.png") == "Grüße 犬.png"
    assert shown(Path("a/b")) == os.path.join("a", "b")
    assert shown(os.fsdecode(b"\xff.png")) == "\\udcff.png"
