"""`python -m benchmarks signboard`: is there a signboard in the photograph? Learned by the command that users have.

Each network is trained by `lanewise train` for several seeds and evaluated on the test photographs: all of them, and
those of one source, `roadsign-*`, which has both classes, so that recognising the camera does not help.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import click

from benchmarks.process import SOURCE
from benchmarks.report import Report
from lanewise.bench.process import environment
from lanewise.bench.tables import Table, figure

FOLDER = "signboard30"
ONE_SOURCE = "roadsign-*"
NETWORKS = {"default": None, "fully connected": "dense 100, relu, dense 100, relu, dense 1, sigmoid"}


def measure(data: Path, seeds: int, threads: int, say: Callable[[str], None]) -> Report:
    """Train all networks for all seeds."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(data) as archive:
            archive.extractall(folder, filter="data")
        runs = []
        for name, text in NETWORKS.items():
            for seed in range(seeds):
                say(f"{name}, seed {seed}")
                runs.append({"name": name, **_train(Path(folder), text, seed, threads)})
    return report(runs)


def _train(folder: Path, network: str | None, seed: int, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "lanewise", "train", str(folder / FOLDER)]
    command += ["--json", "--quiet", "--force", "--output", str(folder / "model.onnx")]
    command += ["--only", ONE_SOURCE, "--seed", str(seed), "--threads", str(threads)]
    command += ["--network", network] if network else []
    start = time.perf_counter()
    variables = environment(threads, (SOURCE,)) | dict.fromkeys(
        ("LANEWISE_CACHE", "XDG_CACHE_HOME"), str(folder / "cache")
    )
    done = subprocess.run(command, stdout=subprocess.PIPE, env=variables)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise click.ClickException(f"lanewise train ended with status {done.returncode}; its own words are above")
    said = json.loads(done.stdout)
    return {
        "seed": seed,
        "network": said["network"],
        "parameters": said["parameters"],
        "accuracy": said["accuracy"],
        "test": said["count"],
        "one_source_accuracy": said["only"][0]["accuracy"],
        "one_source_test": said["only"][0]["count"],
        "seconds": seconds,
        "images_per_second": said["images_per_second"],
    }


def report(runs: list[dict[str, Any]]) -> Report:
    """One row for each run, and a mean for each network."""
    rows = []
    remarks = ["The cache is empty at first: the very first run decodes the photographs, and each seed 0 compiles."]
    for name in dict.fromkeys(run["name"] for run in runs):
        own = [run for run in runs if run["name"] == name]
        rows += [(f"{name}, seed {run['seed']}", *_cells(run)) for run in own]
        keys = ("accuracy", "one_source_accuracy", "seconds")
        rows.append((f"{name}, mean", *_cells({key: mean(run[key] for run in own) for key in keys})))
        remarks.append(f"{name}: {own[0]['network']}; {own[0]['parameters']:,} parameters.")
    columns = ("", f"{runs[0]['test']:,} test photographs", f"{runs[0]['one_source_test']} of {ONE_SOURCE}", "seconds")
    title = "signboard30: accuracy, and seconds of the whole command"
    return Report("signboard", (Table(title, columns, tuple(rows)),), tuple(remarks), {"runs": runs})


def _cells(run: dict[str, Any]) -> tuple[str, str, str]:
    return f"{100 * run['accuracy']:.2f} %", f"{100 * run['one_source_accuracy']:.2f} %", figure(run["seconds"])
