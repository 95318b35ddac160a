"""Running commands, small images to run them on, and a model that is trained once."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import lanewise
from lanewise.cli.group import lanewise as command

FAST = ("--network", "dense 1", "--epochs", 3)
"""Options of `train` for tests that look at something else."""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test works in a folder of its own."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run(*arguments):
    """A command in this process; `exit_code`, `stdout` and `stderr` of the result are what a shell would see."""
    return CliRunner(catch_exceptions=False).invoke(command, [str(argument) for argument in arguments])


def failed(result):
    """The one line of a command that could not do its work."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("lanewise: ")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def misused(result):
    """The one line of a command that was not understood."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("lanewise")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def told(*arguments):
    result = run("train", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def error_of(*arguments):
    """The line of a command that failed after it had begun to talk."""
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("lanewise: ")
    return result.stderr


def make_images(root, counts, size=(8, 8), seed=3):
    """A folder for each class, of images whose brightness tells the class; `size` is (columns, rows)."""
    random = np.random.default_rng(seed)
    for number, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for n in range(count):
            grey = 40 + 140 * number + random.integers(0, 30, (size[1], size[0]))
            Image.fromarray(grey.astype(np.uint8)).save(root / name / f"{name[:2]}-{n:02}.png")
    return root


@pytest.fixture
def photos(tmp_path):
    return make_images(tmp_path / "photos", {"dark": 12, "light": 12})


@pytest.fixture(scope="session")
def digits_model(tmp_path_factory, caches):
    """A model of the built-in digits, and what `train --json` said about it."""
    path = tmp_path_factory.mktemp("trained") / "digits.onnx"
    result = run("train", "digits", "--network", "dense 10", "--epochs", 4, "--json", "-o", path)
    assert result.exit_code == 0, result.output
    return path, json.loads(result.stdout)


@pytest.fixture(scope="session")
def digits_report(tmp_path_factory, digits_model):
    """The page of the digits beside a copy of their model, what was said, and what `--json` says of a second one."""
    model = tmp_path_factory.mktemp("reported") / "my.onnx"
    model.write_bytes(digits_model[0].read_bytes())
    said = run("report", model, "digits")
    again = run("report", model, "digits", "--json")
    assert (said.exit_code, again.exit_code) == (0, 0), said.output + again.output
    return model.with_suffix(".html"), said.stdout, json.loads(again.stdout)


@pytest.fixture(scope="session")
def photos_model(tmp_path_factory, caches):
    """A model of dark and light images, 8x8, grey."""
    folder = tmp_path_factory.mktemp("photos_model")
    make_images(folder / "photos", {"dark": 12, "light": 12})
    path = folder / "photos.onnx"
    result = run("train", folder / "photos", "--network", "dense 1", "--epochs", 40, "-q", "-o", path)
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def fake(monkeypatch):
    """A stand-in for `lanewise.train` that does one epoch of the real one; what it was given, and how it ends."""
    real, fake = lanewise.train, type("Fake", (), {"given": {}, "reports": (), "provenance": {}})()

    def train(sets, **options):
        fake.given = options
        for report in fake.reports:
            options["progress"](report)
        model = real(sets, **{**options, "epochs": 1, "budget": None, "progress": None})
        return replace(model, provenance={**model.provenance, **fake.provenance})

    monkeypatch.setattr(lanewise, "train", train)
    return fake
