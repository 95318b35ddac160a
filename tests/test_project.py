"""What stands beside the code agrees with it: changelog, citation, scripts and the workflow that calls them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lanewise
import lanewise.explain
from lanewise.version import __version__

ROOT = Path(__file__).parents[1]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
SCRIPTS = sorted((ROOT / "scripts").iterdir())


def test_the_changelog_begins_with_what_is_unreleased_and_dates_the_rest() -> None:
    first, *others = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert first == "Unreleased"
    assert others
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", title) for title in others), others


def test_the_citation_names_the_newest_release() -> None:
    citation = dict(re.findall(r"^([a-z-]+): (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE))
    newest = re.search(r"^## (\S+) - (\S+)$", CHANGELOG, re.MULTILINE)
    assert newest
    assert (citation["version"], citation["date-released"]) == newest.groups()


def test_the_version_is_the_newest_release_or_a_later_one() -> None:
    newest = re.search(r"^## (\d\S*)", CHANGELOG, re.MULTILINE)
    assert newest
    assert [int(part) for part in __version__.split(".")[:2]] >= [int(part) for part in newest[1].split(".")[:2]]


def test_the_version_stands_in_one_file_of_the_package() -> None:
    files = {path.name for path in (ROOT / "src").rglob("*.py") if f'"{__version__}"' in path.read_text()}
    assert files == {"version.py"}
    asking = {path.name for path in (ROOT / "src").rglob("*.py") if 'version("lanewise")' in path.read_text()}
    assert asking == set()  # what is installed may be another, or nothing
    assert f'"{__version__}"' not in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_can_be_run_and_say_how(script: Path) -> None:
    assert os.access(script, os.X_OK)
    head = script.read_text().split("\n\n")[0].partition("set -euo pipefail")[0]
    assert f"scripts/{script.name}" in head


def test_the_workflow_calls_scripts_that_there_are() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    called = set(re.findall(r"run: scripts/(\S+)", workflow))
    assert called == {path.name for path in SCRIPTS} - {"check-aarch64"}  # the workflow has machines of that kind
    others = re.findall(r"run: (?!scripts/)(.*)", workflow)
    assert all(line.startswith("python -m pip install ") for line in others), others


def test_the_workflow_takes_every_python_that_the_package_does() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    versions = re.search(r"python: \[(.*)\]", workflow)
    oldest = re.search(r'requires-python = ">=(.*)"', (ROOT / "pyproject.toml").read_text())
    assert versions
    assert oldest
    assert versions[1].split(", ")[0] == f'"{oldest[1]}"'


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason='pip install -e ".[docs]"')
    pytest.importorskip("mkdocstrings_handlers.python", reason='pip install -e ".[docs]"')
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 50
    fetched = re.compile(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="?https?:')
    assert not [page.name for page in pages if fetched.search(page.read_text(encoding="utf-8"))]


def test_all_decisions_are_listed_by_their_titles() -> None:
    pages = (ROOT / "docs" / "decisions").glob("*.md")
    titles = {path.name: path.read_text().partition("\n")[0].removeprefix("# ") for path in pages}
    listed = re.findall(r"^- \[(.*)\]\(decisions/(.*)\)$", (ROOT / "docs" / "decisions.md").read_text(), re.MULTILINE)
    assert {name: title for title, name in listed} == titles


def test_the_api_pages_have_every_public_name() -> None:
    pages = "".join(path.read_text() for path in (ROOT / "docs" / "reference").glob("*.md"))
    shown = set(re.findall(r"^::: (lanewise\.\S+)$", pages, re.MULTILINE))
    wanted = {f"lanewise.{name}" for name in lanewise.__all__} - {"lanewise.explain", "lanewise.__version__"}
    wanted |= {f"lanewise.explain.{name}" for name in lanewise.explain.__all__ if name != "account"}  # a former name
    assert wanted - shown == set()


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_runs(tmp_path: Path) -> None:
    for module in ("build", "twine"):
        pytest.importorskip(module, reason="pip install build twine")
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run([ROOT / "scripts" / "wheel", tmp_path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.suffix for path in tmp_path.iterdir()} == {".whl", ".gz"}
