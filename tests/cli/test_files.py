"""Commands on tables and tar files: the same images from each give the same model."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from tests.cli.conftest import FAST, error_of, failed, misused, run


@pytest.fixture
def table(photos):
    """A table of the photos beside their folder, under names that nobody knows."""
    rows = [f"{path.parent.name}/{path.name},{path.parent.name},{n}" for n, path in enumerate(photos.rglob("*.png"))]
    path = photos.parent / "photos.csv"
    path.write_text("\n".join(["where,what,tree", *rows]))
    return path


@pytest.fixture
def shard(photos):
    path = photos.parent / "all-000.tar"
    with tarfile.open(path, "w") as archive:
        for image in sorted(photos.rglob("*.png")):
            archive.add(image, image.name)
            info = tarfile.TarInfo(image.with_suffix(".cls").name)
            info.size = len(image.parent.name)
            archive.addfile(info, io.BytesIO(image.parent.name.encode()))
    return path


def trained(*arguments):
    result = run("train", *arguments, *FAST, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_table_and_a_shard_are_trained_on_evaluated_and_predicted(photos, table, shard, here):
    by_folder = trained(photos)
    by_table = trained(photos, "--labels", table, "--label-column", "what")
    by_shard = trained(shard)
    assert by_table["model"].startswith("photos")
    assert by_shard["model"] == "all.onnx"
    assert by_folder["accuracy"] == by_table["accuracy"]
    result = run("evaluate", "all.onnx", photos, "--labels", table, "--label-column", "2", "--split", "all", "--json")
    assert json.loads(result.stdout)["count"] == 24
    for source in (photos, shard):
        assert len(json.loads(run("predict", "all.onnx", source, "--json").stdout)["predictions"]) == 24


def test_columns_that_are_not_there_get_one_line(photos, table):
    assert "has no column 'colour' of classes" in failed(
        run("train", photos, "--labels", table, "--label-column", "colour")
    )
    assert "--label-column" in failed(run("train", photos, "--labels", table))
    assert "give labels" in failed(run("train", photos, "--split-column", "x"))
    assert "Quote a pattern of tar files" in misused(run("train", "a-0.tar", "a-1.tar"))
    assert "empty" in misused(run("train", photos, "--labels", ""))


def test_groups_are_a_column(photos, table):
    result = run("check", photos, "--no-labels", "--group-by", "tree")
    assert result.exit_code == 1, "no column in a folder"
    table.write_text(table.read_text().replace("dark/", "photos/dark/").replace("light/", "photos/light/"))
    result = run("check", table, "--no-labels", "--label-column", "what", "--group-by", "tree", "--json")
    assert json.loads(result.stdout)["notes"] is not None
    assert "all.csv" in error_of("check", "all.csv", "--no-labels")
