"""`python -m benchmarks install`: how much a fresh install takes on disk, and how long until one can train.

Each package is installed by pip into an empty virtual environment; what the environment itself takes is not counted.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.environment import TORCH, create, python_of
from benchmarks.process import ROOT
from benchmarks.report import Report
from lanewise.bench.tables import Table, figure

IMPORTS = 11
LARGEST = 4


@dataclass(frozen=True, slots=True)
class Package:
    """What pip is asked for (None: this repository), and the line of Python that loads all it takes to train."""

    requirement: str | None
    ready: str


PACKAGES = {
    "lanewise": Package(None, "import lanewise; lanewise.train, lanewise.Model"),
    "torch": Package(TORCH, "import torch, torch.nn, torch.optim"),
}


def measure(packages: tuple[str, ...], say: Callable[[str], None]) -> Report:
    """Install each of `packages` (keys of PACKAGES) by itself."""
    results = []
    for name in packages:
        say(f"installing {PACKAGES[name].requirement or name}")
        with tempfile.TemporaryDirectory() as folder:
            results.append(_measure_one(name, Path(folder)))
    return report(results)


def _measure_one(name: str, folder: Path) -> dict[str, Any]:
    package, environment = PACKAGES[name], folder / "environment"
    requirement = package.requirement or str(_copied_repository(folder))
    python = str(create(environment))
    before = _sizes(environment)
    _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement])
    sizes = {part: size - before.get(part, 0) for part, size in _sizes(environment).items()}
    version = _run([python, "-c", f"from importlib.metadata import version; print(version({name!r}))"]).strip()
    return {
        "package": name,
        "version": version,
        "bytes": sum(sizes.values()),
        "largest": dict(sorted(sizes.items(), key=lambda item: -item[1])[:LARGEST]),
        "import": _extra_seconds(environment, f"import {name}"),
        "ready": _extra_seconds(environment, package.ready),
    }


def _copied_repository(folder: Path) -> Path:
    """A copy to build from: building leaves files where it happens."""
    ignored = shutil.ignore_patterns(".*", "build", "dist", "tests", "*.egg-info", "__pycache__")
    return Path(shutil.copytree(ROOT, folder / "repository", ignore=ignored))


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def _extra_seconds(environment: Path, code: str) -> float:
    """Median over fresh processes; the bare interpreter is timed in turn and taken off."""
    differences = []
    for _ in range(IMPORTS + 1):
        bare = _process_seconds(environment, "pass")
        differences.append(_process_seconds(environment, code) - bare)
    return median(differences[1:])  # the first one fills the system's file cache


def _process_seconds(environment: Path, code: str) -> float:
    start = time.perf_counter()
    _run([str(python_of(environment)), "-c", code])
    return time.perf_counter() - start


def _sizes(environment: Path) -> dict[str, int]:
    """Bytes below each entry of site-packages, and of all else together."""
    sizes: dict[str, int] = {}
    for path in environment.rglob("*"):
        if path.is_file() and not path.is_symlink():
            parts = path.relative_to(environment).parts
            inside = parts.index("site-packages") + 1 if "site-packages" in parts else None
            part = parts[inside] if inside else "else"
            sizes[part] = sizes.get(part, 0) + path.stat().st_size
    return sizes


def report(results: list[dict[str, Any]]) -> Report:
    """One row for each package."""
    rows = tuple(
        (
            f"{result['package']} {result['version']}",
            figure(result["bytes"] / 1e6),
            f"{result['import']:.3f}",
            f"{result['ready']:.3f}",
        )
        for result in results
    )
    columns = ("", "MB on disk", "import, seconds", "ready to train, seconds")
    remarks = [
        "MB are 10^6 bytes of all files that pip installed, dependencies included. Seconds are medians of "
        f"{IMPORTS} fresh processes, less those of an interpreter that does nothing."
    ]
    for result in results:
        parts = ", ".join(f"{part} {figure(size / 1e6)} MB" for part, size in result["largest"].items())
        remarks.append(f"Largest parts of {result['package']}: {parts}.")
    return Report("install", (Table("A fresh install", columns, rows),), tuple(remarks), {"packages": results})
