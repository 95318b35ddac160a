"""The lessons run, on the digits and on other images; what they print and draw is what their page shows."""

from __future__ import annotations

import re
import runpy
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lanewise import lessons
from lanewise.errors import DataError
from tests.cli.conftest import failed
from tests.cli.conftest import run as lanewise

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "lessons" / "README.md"
SCRIPTS = list(lessons.SCRIPTS.values())
PHOTOGRAPHS = ROOT.parent / "shared" / "data" / "signboard30.tar.gz"


def each_lesson(quick: str) -> pytest.MarkDecorator:
    """All of them, those that are not called quick by their numbers only where slow tests are asked for."""
    marked = [pytest.param(s, marks=[] if s.name[0] in quick else pytest.mark.slow, id=s.stem) for s in SCRIPTS]
    return pytest.mark.parametrize("script", marked)


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run a lesson in an empty folder; give the lines that it printed, and the names of what it drew."""

    def lesson(script: Path, *images: str) -> tuple[list[str], set[str]]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(script), *images])
        capsys.readouterr()
        runpy.run_path(str(script), run_name="__main__")
        printed = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
        return printed, {path.name for path in Path("lessons").iterdir()}

    return lesson


def section(number: str) -> str:
    return PAGE.read_text().partition(f"\n## {number}. ")[2].partition("\n## ")[0]


def quotes(number: str) -> list[list[str]]:
    """What the page says that a lesson prints: blocks of lines, without blank ones."""
    blocks = re.findall(r"```text\n(.*?)\n```", section(number), re.DOTALL)
    return [[line.rstrip() for line in block.splitlines() if line.strip()] for block in blocks]


def update(number: str, old: list[str], new: list[str]) -> None:
    """Write into the page, line for line, what a lesson prints now."""
    page = PAGE.read_text()
    at = page.index(section(number))
    for before, after in zip(old, new, strict=True):
        at = page.index(f"\n{before}\n", at) + 1
        page = page[:at] + after + page[at + len(before) :]
    PAGE.write_text(page)


def told(printed: list[str]) -> list[str]:
    """What the page quotes of it: all but how many images there are, and where drawings went."""
    return [line for line in printed[2:] if not line.startswith("-> ")]


def drawn(printed: list[str]) -> set[str]:
    return {Path(line.removeprefix("-> ")).name for line in printed if line.startswith("-> ")}


@each_lesson(quick="125")
def test_it_prints_and_draws_what_the_page_shows(run, script, request):
    printed, made = run(script)
    shown = section(script.name[0])
    quoted = [line for block in quotes(script.name[0]) for line in block]
    lines = told(printed)
    if request.config.getoption("--update-golden") and len(quoted) >= len(lines):
        update(script.name[0], quoted[: len(lines)], lines)
        quoted[: len(lines)] = lines
    assert quoted[: len(lines)] == lines
    assert (len(quoted) == len(lines)) or script.name[0] == "3"  # which goes on with what it says of photographs
    assert made == drawn(printed) == set(re.findall(r"!\[.*?\]\(\.\./images/lessons/(.*?)\)", shown))
    assert f"](../../src/lanewise/lessons/{script.name})" in PAGE.read_text()


@pytest.mark.slow
def test_what_the_page_says_of_photographs(run, tmp_path, request):
    if not PHOTOGRAPHS.exists():
        pytest.skip(f"{PHOTOGRAPHS} is not there")
    with tarfile.open(PHOTOGRAPHS) as archive:
        archive.extractall(tmp_path, filter="data")
    printed, _ = run(SCRIPTS[2], str(tmp_path / "signboard30"))
    block = quotes("3")[-1]
    assert "1,113" in block[0]
    lines = told(printed)[-len(block) :]
    if request.config.getoption("--update-golden"):
        update("3", block, lines)
        block = lines
    assert lines == block


def test_every_drawing_of_the_page_is_there_and_no_other():
    linked = re.findall(r"!\[(.*?)\]\(\.\./images/lessons/(.*?)\)", PAGE.read_text())
    assert {name for _, name in linked} == {path.name for path in (ROOT / "docs" / "images" / "lessons").iterdir()}
    assert all(len(alternative) > 30 for alternative, _ in linked)
    assert sum(path.stat().st_size for path in (ROOT / "docs" / "images" / "lessons").iterdir()) < 2**20


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    """A folder of colour images of 14x20 pixels in two classes: upright stripes and level ones."""
    folder, random = tmp_path_factory.mktemp("stripes"), np.random.default_rng(0)
    for name in ("level", "a rather long name of the other class"):
        (folder / name).mkdir()
        for n in range(20):
            rows, columns = np.indices((14, 20))
            wave = np.sin((rows if name == "level" else columns) * 1.5 + random.uniform(0, 6))
            colour = 128 + 60 * wave[:, :, None] * random.uniform(-1, 1, 3) + random.normal(0, 10, (14, 20, 3))
            Image.fromarray(colour.clip(0, 255).astype(np.uint8)).save(folder / name / f"{n}.png")
    return folder


@each_lesson(quick="5")
def test_it_runs_on_other_images(run, script, stripes):
    printed, made = run(script, str(stripes))
    assert printed[:2] == [
        "32 training images, 8 test images, 2 classes.",
        "Each is 14 x 20 pixels x 3 = 840 numbers.",
    ]
    assert made == drawn(printed)


def test_images_that_cannot_be_used_are_one_line(run):
    with pytest.raises(DataError, match="nowhere"):
        run(SCRIPTS[0], "nowhere")


def test_images_that_are_too_small_are_one_line(run, tmp_path):
    np.savez(tmp_path / "small.npz", x_train=np.zeros((8, 4, 9), np.uint8), y_train=np.arange(8) % 2)
    with pytest.raises(DataError, match="4x9 pixels; the lessons need 8x8"):
        run(SCRIPTS[0], "small.npz")


def test_a_verdict_claims_no_more_than_the_numbers_hold():
    from lanewise.lessons.common import verdict

    random = np.random.default_rng(0)
    good, poor = random.random((3, 400)) < 0.95, random.random((3, 400)) < 0.9
    assert verdict("a", good, "b", poor).startswith("a is better than b by ")
    assert verdict("b", poor, "a", good).startswith("b is worse than a by ")
    assert verdict("a", good, "b", good).startswith("a may be better or worse than b (-")
    assert verdict("a", good, "b", poor, claims=10**6).startswith("a may be better or worse")


def test_the_command_lists_the_lessons_and_where_their_scripts_are():
    said = lanewise("lesson").stdout
    for number in lessons.SCRIPTS:
        assert f"{number}  {lessons.title(number)}" in said
    assert str(lessons.SCRIPTS[1].parent) in said


def test_the_command_runs_a_lesson(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)  # a lesson reads it
    said = lanewise("lesson", 2).stdout
    assert [line.rstrip() for line in said.splitlines() if line.strip()][2] == quotes("2")[0][0]
    assert (tmp_path / "lessons" / "2-kernel.png").exists()


def test_the_command_says_in_one_line_what_is_wrong_with_images(monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)
    assert "nowhere" in failed(lanewise("lesson", 1, "nowhere"))
