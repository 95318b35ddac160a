"""`lanewise check` on a terminal, as JSON, and its exit status."""

import json
import shutil

from tests.cli.conftest import error_of, failed, run


def test_people_are_told_what_it_is_and_what_to_do(photos):
    shutil.copy(photos / "dark/da-03.png", photos / "light/new.png")
    result = run("check", photos, "--no-labels")
    assert result.exit_code == 0
    assert "24 images in train" not in result.stdout
    assert "25 images in train" in result.stdout
    assert "dark/da-03.png, light/new.png: the same file; labelled 'dark' and 'light'" in result.stdout
    assert "Decide which label is right" in result.stdout
    assert "1 serious" in result.stdout


def test_strict_fails_where_something_is_serious(photos):
    assert run("check", photos, "--no-labels", "--strict").exit_code == 0
    shutil.copy(photos / "dark/da-03.png", photos / "light/new.png")
    assert "serious" in error_of("check", photos, "--no-labels", "--strict")


def test_json_holds_every_case(photos):
    for n in range(8):
        shutil.copy(photos / f"dark/da-{n:02}.png", photos / f"light/new{n}.png")
    record = json.loads(run("check", photos, "--no-labels", "--json").stdout)
    (finding,) = [one for one in record["findings"] if one["kind"] == "two-labels"]
    assert len(finding["cases"]) == 8
    assert record["counts"] == {"train": {"dark": 12, "light": 20}}


def test_what_cannot_be_read_is_one_line(tmp_path):
    assert "no such" in failed(run("check", tmp_path / "absent"))
    assert "there are no images" in failed(run("check", tmp_path))


def test_a_page_is_written_but_none_is_replaced(photos):
    assert run("check", photos, "--no-labels", "--page", "page.html").exit_code == 0
    assert "exists" in failed(run("check", photos, "--no-labels", "--page", "page.html"))
    assert run("check", photos, "--no-labels", "--page", "page.html", "--force").exit_code == 0
    assert "absent/page.html cannot be written" in failed(run("check", "no", "--page", "absent/page.html"))
    assert "x.png is no name of a page" in failed(run("check", "no", "--page", "x.png", "--force"))
