"""`python -m benchmarks install`: how much a fresh install takes on disk, and how long its import takes.

Each package is installed by pip into an empty virtual environment; what the environment itself takes is not counted.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.environment import TORCH, create, python_of
from benchmarks.process import ROOT
from benchmarks.report import Report, Table, figure

PACKAGES = {"lanewise": str(ROOT), "torch": TORCH}
"""What is imported, and what pip is asked for."""

IMPORTS = 11


def measure(packages: tuple[str, ...], say: Callable[[str], None]) -> Report:
    """Install each of `packages` (keys of PACKAGES) by itself."""
    results = []
    for package in packages:
        say(f"installing {PACKAGES[package]}")
        with tempfile.TemporaryDirectory() as folder:
            results.append(_measure_one(package, Path(folder) / "environment"))
    return report(results)


def _measure_one(package: str, folder: Path) -> dict[str, Any]:
    python = create(folder)
    before = _bytes(folder)
    # Compiled files are left to the imports, which make those of the modules that they use.
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGES[package]]
    subprocess.run(command, check=True)
    size = _bytes(folder) - before
    show = f"from importlib.metadata import version; print(version({package!r}))"
    version = subprocess.run([str(python), "-c", show], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return {"package": package, "version": version, "bytes": size, **_import_seconds(folder, package)}


def _import_seconds(folder: Path, package: str) -> dict[str, float]:
    """Medians over fresh processes; the bare interpreter is timed in turn and taken off."""
    differences = []
    for _ in range(IMPORTS + 1):
        bare = _process_seconds(folder, "pass")
        differences.append(_process_seconds(folder, f"import {package}") - bare)
    return {"first_import": differences[0], "import": median(differences[1:])}


def _process_seconds(folder: Path, code: str) -> float:
    start = time.perf_counter()
    subprocess.run([str(python_of(folder)), "-c", code], check=True)
    return time.perf_counter() - start


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def report(results: list[dict[str, Any]]) -> Report:
    """One row for each package."""
    rows = tuple(
        (
            f"{result['package']} {result['version']}",
            figure(result["bytes"] / 1e6),
            f"{result['first_import']:.3f}",
            f"{result['import']:.3f}",
        )
        for result in results
    )
    columns = ("", "MB on disk", "seconds of the first import", f"median of {IMPORTS} later ones")
    remarks = (
        "MB are 10^6 bytes of all files that pip installed, dependencies included; imports are in fresh processes.",
    )
    return Report("install", (Table("A fresh install", columns, rows),), remarks, {"packages": results})
