"""`python -m benchmarks files`: folders of very many files and of very many bytes, beside torchvision's ImageFolder.

Two folders are made: many small PNG files, and few large ones that decode to many bytes. Each run is a fresh process
that reads the folder and copies all images once, in random order, in batches of 128, as training takes them. The first
run of Lanewise decodes into an empty cache, the second finds it. ImageFolder decodes in each pass. Before each run all
files are read once, so that none waits for the disk where another had not to.

Memory is that of the process and all its children, added up five times a second: their own (anonymous), and the most
that was mapped from files, which the system takes back when it needs it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from PIL import Image

from benchmarks.process import ROOT, SOURCE
from benchmarks.report import Report
from lanewise.bench.process import environment
from lanewise.bench.tables import Table, figure

SMALL, LARGE = 32, 512
"""Rows and columns."""

CLASSES = 10
DISTINCT = 100
"""Images of each size that differ; the files are many, their content is not."""


@dataclass(frozen=True, slots=True)
class Run:
    """One process that read a folder.

    Attributes
    ----------
    folder, reader : str
    seconds : until it was ready for the first batch, and for all of a pass
    processor : seconds of all processors
    own, mapped : bytes
    """

    folder: str
    reader: str
    ready: float
    seconds: float
    processor: float
    own: int
    mapped: int


def make(folder: Path, count: int, side: int) -> None:
    """Write `count` PNG files of `side` rows and columns, of ten classes."""
    random = np.random.default_rng(side)
    contents = []
    for _ in range(DISTINCT):
        pixels = np.zeros((side, side, 3), np.uint8)
        pixels[: side // 4, : side // 4] = random.integers(0, 256, (side // 4, 1, 3), np.uint8)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "PNG", compress_level=1)
        contents.append(content.getvalue())
    making = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    for label in range(CLASSES):
        (making / f"class{label}").mkdir(parents=True)
    for n in range(count):
        (making / f"class{n % CLASSES}" / f"{n:07}.png").write_bytes(contents[n % DISTINCT])
    making.rename(folder)


def measure(
    images: int, gigabytes: float, workers: int, place: Path, keep: bool, python: Path, say: Callable[[str], None]
) -> Report:
    """Make the folders, read them, and remove them.

    Parameters
    ----------
    images : int
        Small ones.
    gigabytes : float
        Of the large ones, decoded; 0 leaves them out.
    workers : int
        Of ImageFolder, and processors of Lanewise.
    place : Path
        A folder on a disk with room for all of it.
    keep : bool
        Leave the images in `place`, and take those that are there; the cache is removed.
    python : Path
        An interpreter that has torchvision.
    say : callable
    """
    runs: list[Run] = []
    large = round(gigabytes * 1e9 / (LARGE * LARGE * 3))
    with TemporaryDirectory(dir=place) as inside:
        home = place if keep else Path(inside)
        for name, count, side in ((f"{images:,} files", images, SMALL), (f"{gigabytes:g} GB decoded", large, LARGE)):
            if not count:
                continue
            folder, cache = home / f"{count}-of-{side}x{side}", Path(inside, "cache")
            cache.mkdir(mode=0o700)
            began = time.perf_counter()
            if not folder.is_dir():
                make(folder, count, side)
            say(f"{name}: {count:,} of {side}x{side}, there after {time.perf_counter() - began:.0f} s")
            for reader in ("lanewise, first run", "lanewise, second run", "ImageFolder, each run"):
                for path in folder.rglob("*.png"):
                    path.read_bytes()
                asked = json.dumps({"folder": str(folder), "workers": workers, "side": side})
                own = reader.startswith("lanewise")
                command = (
                    [sys.executable, "-m", "benchmarks.files"] if own else [str(python), "-m", "benchmarks.files_torch"]
                )
                variables = environment(workers, (ROOT, SOURCE)) | {
                    "LANEWISE_CACHE": str(cache),
                    "LANEWISE_CACHE_LIMIT": "none",
                }
                runs.append(_watched(name, reader, [*command, asked], variables))
                say(_told(runs[-1]))
            shutil.rmtree(cache)
    return report(runs, workers)


def _told(run: Run) -> str:
    return (
        f"{run.folder}, {run.reader}: {run.ready:.1f} s to the first batch, {run.seconds:.1f} s for a pass, "
        f"{run.processor:.1f} s of the processor, {run.own / 1e6:,.0f} MB of its own, {run.mapped / 1e6:,.0f} MB mapped"
    )


def _watched(folder: str, reader: str, command: list[str], variables: dict[str, str]) -> Run:
    before = os.times()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables)
    own = mapped = 0
    while process.poll() is None:
        anonymous, files = _memory(process.pid)
        own, mapped = max(own, anonymous), max(mapped, files)
        time.sleep(0.2)
    after = os.times()
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.read()
    if process.returncode:
        raise click.ClickException(f"{reader} ended with status {process.returncode}; its own words are above")
    told = json.loads(said)
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(folder, reader, told["ready"], told["seconds"], spent, own, mapped)


def _memory(process: int) -> tuple[int, int]:
    """Bytes of a process and its children: their own, and the most that one of them has mapped from files."""
    own = mapped = 0
    for one in _family(process):
        with suppress(OSError, ValueError, KeyError):  # it has ended
            lines = dict(line.split(":", 1) for line in Path(f"/proc/{one}/status").read_text().splitlines())
            own += 1024 * sum(int(lines[name].split()[0]) for name in ("RssAnon", "RssShmem"))
            mapped = max(mapped, 1024 * int(lines["RssFile"].split()[0]))
    return own, mapped


def _family(process: int) -> Iterator[int]:
    yield process
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def report(runs: list[Run], workers: int) -> Report:
    """A row for each folder and reader."""
    rows = tuple(
        (
            f"{run.folder}: {run.reader}",
            figure(run.ready),
            figure(run.seconds),
            figure(run.processor),
            f"{run.own / 1e6:,.0f}",
            f"{run.mapped / 1e6:,.0f}",
        )
        for run in runs
    )
    columns = (
        "folder, reader",
        "s to the first batch",
        "s for a pass",
        "s of the processor",
        "MB of its own",
        "MB mapped",
    )
    table = Table(f"Reading folders, processes: {workers}", columns, rows)
    remark = "Memory that is mapped from files is the system's to take back; a shuffled pass touches all of it."
    return Report("files", (table,), (remark,), {"runs": [asdict(run) for run in runs]})


def read(folder: str, side: int) -> dict[str, float]:
    """Read a folder by Lanewise, and copy all its images once in random order."""
    began = time.perf_counter()
    from lanewise.data.load import load
    from lanewise.notes import unheard

    pixels = load(folder, size=side, notes=unheard).train.pixels
    order = np.random.default_rng(0).permutation(len(pixels))
    ready = total = 0.0
    for start in range(0, len(order), 128):
        total += float(pixels[order[start : start + 128]][:, 0, 0, 0].sum())
        ready = ready or time.perf_counter() - began
    return {"ready": ready, "seconds": time.perf_counter() - began, "sum": total}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(read(asked["folder"], asked["side"])))
