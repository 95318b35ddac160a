"""The pages for beginners show what their commands and scripts print: each page is run in a folder of its own.

`pytest --update-golden -m slow tests/test_getting_started.py` writes what they print now into the pages. A line of
three dots stands for any lines. Times and speeds are not compared, nor how many epochs between the first and the last
are told, which depends on how long they take.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in (ROOT / "docs" / "start").glob("*.md") if path.name != "index.md")
DATA = ROOT.parent / "shared" / "data"
BLOCK = re.compile(r"^```(console|python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
VARIES = re.compile(r"\d[\d,.]*(?= ?(s|ms|µs|min|images/s|pictures/s)\b)|\d{4}-\d\d-\d\dT?[\d:.+Z]*")


EPOCH = re.compile(r"Epoch (\d+)/(\d+) ")
LEFT = re.compile(r"(?<=images/s)  [^(]* left$")


def steady(text: str) -> list[str]:
    """The lines of an output without what differs from run to run."""
    lines = [line for line in text.splitlines() if line.strip()]
    lines = [" ".join(VARIES.sub("#", LEFT.sub("", line.rstrip())).split()) for line in lines]
    epochs = [EPOCH.match(line) for line in lines]
    return [
        line
        for line, this, following in zip(lines, epochs, [*epochs[1:], None], strict=True)
        # a long epoch is told several times, the last time whole
        if this is None or (this[1] in ("1", this[2]) and not (following and this.groups() == following.groups()))
    ]


def test_how_fast_a_second_is_changes_nothing_of_what_is_compared() -> None:
    shown = (
        "Epoch  1/60   loss 2.4  validation 55.9 %  35,960 images/s  2.1 s left\n"
        "Epoch 60/60   loss 0.1  92 images/s\nSaved\n"
    )
    slow = (
        "Epoch  1/60   loss 2.9  12 images/s  5 min 59 s left\n"
        "Epoch  1/60   loss 2.4  validation 55.9 %  13 images/s  4 min 1 s left\n"
        "Epoch 57/60   loss 0.2  35,536 images/s  0.11 s left\nEpoch 60/60   loss 0.1  92 images/s\nSaved\n"
    )
    assert fits(shown, slow)
    assert fits(shown.replace("images/s\nSaved", "images/s\n...\nSaved"), slow)
    assert not fits(shown, slow.replace("loss 2.4", "loss 2.5"))
    assert not fits(shown, slow.replace("Epoch 60/60   loss 0.1", "Epoch 60/60   loss 0.2"))


def fits(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed; "..." on a line of its own stands for any lines."""
    parts = ["(?:.*\n)*?" if line == "..." else re.escape(line) + "\n" for line in steady(shown)]
    return re.fullmatch("".join(parts), "".join(f"{line}\n" for line in steady(printed))) is not None


class Shell:
    """A folder in which commands and Python code are run as a reader would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code: list[str] = []
        commands = folder.parent / "commands"
        commands.mkdir()
        (commands / "lanewise").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lanewise "$@"\n')
        (commands / "lanewise").chmod(0o755)
        path = f"{commands}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | {
            "PATH": path,
            "COLUMNS": "100",
            "PYTHONWARNINGS": "error::DeprecationWarning:lanewise",
        }
        folder.mkdir()

    def command(self, line: str) -> str:
        done = subprocess.run(
            line, shell=True, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def python(self, code: str) -> str:
        """Run a block after all those before it, and return what it alone prints."""
        before, quiet = "".join(self.code), "quiet = {'print': lambda *_, **__: None, '__name__': '__main__'}"
        script = f"{quiet}\nexec({before!r}, quiet)\ndel quiet['print']\nexec({code!r}, quiet)"
        self.code.append(code)
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        return done.stdout


def said(shell: Shell, body: str) -> list[tuple[str, str, str]]:
    """What a console block shows and prints, command by command: (command, shown, printed)."""
    found = []
    for command, shown in re.findall(r"^\$ (.*(?:\\\n.*)*)\n((?:(?!\$ ).*\n)*)", body, re.MULTILINE):
        found.append((command, shown, shell.command(command)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_commands_print_what_the_page_shows(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = page.read_text()
    shell = Shell(tmp_path / "here")
    if "street" in text:
        archive = DATA / "signboard30.tar.gz"
        if not archive.exists():
            pytest.skip(f"{archive} is not there")
        with tarfile.open(archive) as packed:
            packed.extractall(shell.folder, filter="data")
        (shell.folder / "signboard30").rename(shell.folder / "street")
    update, wrong, printed = request.config.getoption("--update-golden"), [], ""
    for kind, body in BLOCK.findall(text):
        if kind == "python":
            printed = shell.python(body)
            continue
        pairs = [("", body, printed)] if kind == "text" else said(shell, body)
        for command, shown, now in pairs:
            if not shown.strip() or fits(shown, now):
                continue
            wrong.append(f"{command}\n--- the page\n{shown}--- printed\n{now}")
            before = f"$ {command}\n{shown}" if command else f"```text\n{shown}"
            text = text.replace(before, before.removesuffix(shown) + now.replace("```", "'''"), 1)
    if update:
        page.write_text(text)
    else:
        assert not wrong, "\n".join(wrong)


def test_dots_stand_for_lines_and_times_for_any() -> None:
    assert fits("a\n...\nd 3.1 s\n", "a\nb\nc\nd 17 s\n")
    assert not fits("a\n...\nd\n", "a\nb\n")
    assert not fits("accuracy 98.1 %\n", "accuracy 98.2 %\n")
