"""`lanewise report` and `train --report`."""

import json

from lanewise.report import page
from tests.cli.conftest import FAST, failed, misused, run


def test_a_report_is_written_beside_the_model(digits_model, tmp_path):
    model = tmp_path / "my.onnx"
    model.write_bytes(digits_model[0].read_bytes())
    result = run("report", model, "digits")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "my.html").read_text()
    assert "<h1>my.onnx</h1>" in text
    assert f"{tmp_path / 'my.html'} (" in result.stdout
    again = json.loads(run("report", model, "digits", "--json").stdout)
    assert again["report"] == str(tmp_path / "my-2.html")
    assert again["split"] == "test"
    assert again["bytes"] == len(text.encode())


def test_no_file_is_replaced_unasked(digits_model, here):
    (here / "old.html").write_text("mine")
    assert "exists already" in misused(run("report", digits_model[0], "digits", "-o", "old.html"))
    assert (here / "old.html").read_text() == "mine"
    assert run("report", digits_model[0], "digits", "-o", "old.html", "--force").exit_code == 0
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
