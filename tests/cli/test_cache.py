"""What `lanewise cache` shows and removes."""

from __future__ import annotations

import json
import os
import time

import pytest

import lanewise
from lanewise.caching import Cache, cache_folder
from tests.cli.conftest import misused, run


@pytest.fixture(autouse=True)
def caches_of_its_own(tmp_path, monkeypatch, photos):
    """Images, code and a finished training."""
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path / "cache"))
    lanewise.load(photos)
    Cache().keep("0" * 64, b"code")
    journal = tmp_path / "cache" / "experiments" / ("0" * 16) / "vary.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("{}\n")


def test_it_shows_what_there_is(photos):
    old = next(cache_folder("images").iterdir())
    os.utime(old, (time.time() - 3 * 86400,) * 2)
    told = run("cache").stdout
    assert str(photos) in told
    assert "8x8x1" in told
    assert "3 days ago" in told
    assert "20.0 GB" in told or "LANEWISE_CACHE_LIMIT" in told
    record = json.loads(run("cache", "--json").stdout)
    assert {one["kind"]: one["files"] for one in record["kinds"]} == {"images": 1, "code": 1, "experiments": 1}
    (images,) = record["entries"]
    assert (images["folder"], images["count"], images["shape"]) == (str(photos.resolve()), 24, "8x8x1")
    assert record["bytes"] == sum(one["bytes"] for one in record["kinds"] if one["kind"] != "experiments")


def test_it_clears_one_kind_or_all_that_can_be_made_again():
    assert "1 file" in run("cache", "clear", "code").stdout
    assert {one["kind"] for one in json.loads(run("cache", "--json").stdout)["kinds"]} == {"images", "experiments"}
    assert json.loads(run("cache", "clear", "--json").stdout)["removed"] == 1
    assert {one["kind"] for one in json.loads(run("cache", "--json").stdout)["kinds"]} == {"experiments"}
    assert "nothing" in run("cache", "clear").stdout
    assert "1 file" in run("cache", "clear", "experiments").stdout
    assert json.loads(run("cache", "--json").stdout)["kinds"] == []


def test_bad_words_get_one_line(monkeypatch):
    assert "'sweep'" in misused(run("cache", "sweep"))
    assert "'pictures'" in misused(run("cache", "clear", "pictures"))
    monkeypatch.setenv("LANEWISE_CACHE_LIMIT", "lots")
    result = run("cache")
    assert result.exit_code == 1
    assert result.stderr == (
        "lanewise: LANEWISE_CACHE_LIMIT is 'lots', which is no size: give one like 20GB or 500MB, or none\n"
    )
