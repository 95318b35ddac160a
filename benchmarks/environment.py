"""The environment where the other frameworks live, apart from Lanewise's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from benchmarks.process import SOURCE
from lanewise.bench.peers import FRAMEWORKS, Peer, missing
from lanewise.bench.race import Racer

TORCH = "torch==2.13.0"
"""The version that all published figures are measured against."""

_WANTED = {"torch": [[TORCH]], "keras": [["tensorflow-cpu", "keras"], ["tensorflow", "keras"]], "jax": [["jax"]]}
"""What to install for each framework: the first line that can be had."""

_LIST = """
import json
from importlib import metadata
print(json.dumps({(d.metadata["Name"] or "").lower().replace("_", "-"): d.version for d in metadata.distributions()}))
"""


def default_folder() -> Path:
    """`lanewise/peers` under the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or os.path.join(Path.home(), ".cache")
    return Path(base) / "lanewise" / "peers"


def python_of(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def create(folder: Path) -> Path:
    """Make a virtual environment, unless there is one; returns its interpreter."""
    python = python_of(folder)
    if not python.exists():
        venv.create(folder, with_pip=True)
    return python


def install(folder: Path, frameworks: tuple[str, ...], say: Callable[[str], None]) -> None:
    """Install `frameworks` into the environment at `folder`, which is made if need be."""
    python = create(folder)
    held = [TORCH] if "torch" in frameworks else []  # named each time, so that nothing else decides its version
    for framework in FRAMEWORKS:
        if framework in frameworks:
            say(f"installing {framework} into {folder}")
            _install_first(python, framework, [[*held, *line] for line in _WANTED[framework]])


def _install_first(python: Path, framework: str, choices: list[list[str]]) -> None:
    for packages in choices:
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
            stdout=sys.stderr,
        )
        if done.returncode == 0:
            return
    raise click.ClickException(f"{framework} could not be installed; pip's own words are above")


def installed(folder: Path) -> dict[str, str]:
    """Name and version of all distributions in the environment at `folder`; empty if there is none."""
    python = python_of(folder)
    if not python.exists():
        return {}
    found = subprocess.run([str(python), "-c", _LIST], stdout=subprocess.PIPE, check=True)
    versions: dict[str, str] = json.loads(found.stdout)
    return versions


def racers_of(peers: Sequence[Peer], folder: Path, versions: dict[str, str]) -> list[Racer]:
    """Those of `peers` that can run in the environment at `folder`, which has the distributions `versions`."""
    return [Racer(peer, python_of(folder), (SOURCE,)) for peer in peers if not missing(peer, versions)]
