"""The journal keeps what is finished, whatever happens to the machine."""

import json

import numpy as np
import pytest

from lanewise.data.images import ImageSets
from lanewise.errors import OptionError
from lanewise.experiments.journal import Journal, fingerprint
from tests.experiments.conftest import stripes

SETTINGS = {"images": "a", "options": {"epochs": 3}}


@pytest.fixture
def path(tmp_path):
    journal = Journal(tmp_path / "deep" / "j.jsonl", SETTINGS)
    journal.add("one", {"accuracy": 0.5})
    journal.add("two", {"accuracy": 0.75})
    return journal.path


def test_what_was_added_is_there_again(path):
    assert Journal(path, SETTINGS).entries == {"one": {"accuracy": 0.5}, "two": {"accuracy": 0.75}}
    assert len(path.read_text().splitlines()) == 3


def test_nothing_is_written_before_something_is_finished(tmp_path):
    Journal(tmp_path / "j.jsonl", SETTINGS)
    assert not list(tmp_path.iterdir())


def test_a_line_torn_anywhere_costs_only_its_training(path):
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for torn in range(1, len(last)):
        path.write_bytes(whole[: -len(last)] + last[:-torn])
        journal = Journal(path, SETTINGS)
        assert "one" in journal.entries
        assert ("two" in journal.entries) == (torn == 1)  # only the end of the line is missing
        journal.add("three", {"accuracy": 1.0})
        again = Journal(path, SETTINGS)
        assert again.entries == journal.entries
        assert set(again.entries) >= {"one", "three"}


def test_a_first_line_that_is_torn_is_begun_again(path):
    whole = path.read_bytes()
    for length in range(1, whole.index(b"\n")):
        path.write_bytes(whole[:length])
        journal = Journal(path, SETTINGS)
        assert journal.entries == {}
        journal.add("three", {"accuracy": 1.0})
        assert Journal(path, SETTINGS).entries == {"three": {"accuracy": 1.0}}


def test_two_runs_at_once_destroy_nothing(path):
    first, second = Journal(path, SETTINGS), Journal(path, SETTINGS)
    first.add("three", {"accuracy": 1.0})
    second.add("four", {"accuracy": 1.0})
    first.add("five", {"accuracy": 1.0})
    assert list(Journal(path, SETTINGS).entries) == ["one", "two", "three", "four", "five"]


def test_other_settings_are_refused_by_name(path):
    with pytest.raises(OptionError, match=r"other options \(epochs: 3 then, 4 now\): give another folder"):
        Journal(path, {**SETTINGS, "options": {"epochs": 4}})
    with pytest.raises(OptionError, match=r"kept with other images and options \(epochs: 3 then, not given now\)"):
        Journal(path, {"images": "b", "options": {}})
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize("content", ["dear diary\n", "[]\n", "dear diary", '{"accuracy": 1}\n', "\x00\xff"])
def test_a_file_that_is_no_journal_is_left_alone(tmp_path, content):
    path = tmp_path / "j.jsonl"
    path.write_text(content)
    with pytest.raises(OptionError, match="is not a journal"):
        Journal(path, SETTINGS)
    assert path.read_text() == content


def test_lines_that_say_something_else_are_passed_over(path):
    with open(path, "a") as file:
        file.write('[1]\n"x"\n{"training": 3, "outcome": {}}\n{"training": "x", "outcome": 4}\n')
    assert list(Journal(path, SETTINGS).entries) == ["one", "two"]


def test_a_folder_in_its_place_is_told(tmp_path):
    with pytest.raises(OptionError, match="cannot be read"):
        Journal(tmp_path, SETTINGS)
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match=r"cannot be (written|read)"):
        Journal(tmp_path / "file" / "j", SETTINGS).add("one", {})


def test_settings_are_compared_as_json_has_them(path):
    assert json.loads(path.read_text().splitlines()[0]) == {"settings": SETTINGS}
    Journal(path, {**SETTINGS, "options": {"epochs": 3}})


def test_the_fingerprint_is_that_of_pixels_labels_and_parts():
    one, two = stripes(8, 1), stripes(8, 2)
    prints = {fingerprint(ImageSets(one)), fingerprint(ImageSets(two)), fingerprint(ImageSets(one, None, two))}
    prints.add(fingerprint(ImageSets(one, two)) + " ")
    assert len(prints) == 4
    assert fingerprint(ImageSets(one)) == fingerprint(ImageSets(stripes(8, 1)))
    before = fingerprint(ImageSets(one))
    one.labels[0] = 1 - one.labels[0]
    assert fingerprint(ImageSets(one)) != before
    one.pixels[0, 0, 0, 0] = np.uint8(255 - one.pixels[0, 0, 0, 0])
    assert fingerprint(ImageSets(one)) != before
