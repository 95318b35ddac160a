"""`lanewise report` and `train --report`."""

import json

from lanewise.report import page
from tests.cli.conftest import FAST, failed, misused, run


def test_a_report_is_written_beside_the_model(digits_report):
    page, said, again = digits_report
    text = page.read_text()
    assert "<h1>my.onnx</h1>" in text
    assert f"{page} (" in said
    assert again["report"] == str(page.with_name("my-2.html"))
    assert again["split"] == "test"
    assert again["bytes"] == len(text.encode())


def test_no_file_is_replaced_unasked(photos_model, photos, here):
    (here / "old.html").write_text("mine")
    assert "exists already" in misused(run("report", photos_model, photos, "-o", "old.html"))
    assert (here / "old.html").read_text() == "mine"
    done = run("report", photos_model, photos, "-o", "old.html", "--force")
    assert done.exit_code == 0, done.output
    assert (here / "old.html").read_text().startswith("<!doctype html>")


def test_places_that_cannot_be(digits_model):
    assert "no is no folder" in failed(run("report", digits_model[0], "digits", "-o", "no/page.html"))
    told = failed(run("report", digits_model[0], "digits", "-o", digits_model[0], "--force"))
    assert "is no name of a page: give one that ends in .html" in told


def test_train_writes_one_too(photos, here):
    record = json.loads(run("train", photos, *FAST, "--json", "--report").stdout)
    assert record["report"] == "photos.html"
    text = (here / "photos.html").read_text()
    assert "Validation accuracy" in text
    named = run("train", photos, *FAST, "--quiet", "--report", "mine.html")
    assert "mine.html" in named.stdout
    assert (here / "mine.html").exists()


def test_what_a_report_needs_is_known_before_training(photos, here, monkeypatch):
    with monkeypatch.context() as without:
        without.setattr(page, "find_spec", lambda name: None)
        assert "lanewise[report]" in failed(run("train", photos, *FAST, "--report", "--quiet"))
    (here / "old.html").write_text("mine")
    assert "exists already" in misused(run("train", photos, *FAST, "--report", "old.html", "--quiet"))
    assert not list(here.glob("*.onnx"))
