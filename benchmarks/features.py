"""`python -m benchmarks features`: photographs through networks that others trained, in turn with ONNX Runtime.

Both run whole networks of one file, from pixels as float32 to the classes. Many images: Lanewise as it computes
features and predictions, ONNX Runtime with each size of batch, of which the best counts. One image: the same threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.report import Report
from lanewise import Model
from lanewise.bench.tables import Table, figure, spread
from lanewise.engine.many import for_many
from lanewise.engine.single import SingleInference

PAUSE = 0.15
"""Seconds before each turn of one image: threads of ONNX Runtime spin for tens of milliseconds after their work, on a
core that whoever is next needs."""

ENOUGH = 1e-4
"""How far outputs may be from ONNX Runtime's, as a share of the largest."""


@dataclass(frozen=True, slots=True)
class Row:
    """Of one network, images a second by each; `ratios` are those of the rounds."""

    net: str
    images: str
    lanewise: float
    onnxruntime: float
    ratios: tuple[float, ...]
    batch: int
    difference: float


def measure(
    files: Sequence[Path], batches: Sequence[int], images: int, threads: int, rounds: int, say: Callable[[str], None]
) -> Report:
    """Two rows for each file: many images, and one.

    Parameters
    ----------
    files : sequence of Path
        Networks that take (N, channels, rows, columns).
    batches : sequence of int
        Images that ONNX Runtime is given at once.
    images : int
        How many images a turn has.
    threads, rounds : int
        Of both, and how often everybody takes a turn.
    say : callable
        Told which network it is.
    """
    rows = []
    for path in files:
        say(path.name)
        rows += _rows(path, batches, images, threads, rounds)
    table = [
        (
            *(f"{row.net}, {row.images}", figure(row.lanewise), figure(row.onnxruntime), str(row.batch)),
            *(f"{median(row.ratios):.2f}x", spread(row.ratios), f"{row.difference:.0e}"),
        )
        for row in rows
    ]
    columns = ("", "Lanewise", "ONNX Runtime", "its best batch", "Lanewise is", "over rounds", "largest difference")
    title = f"Photographs, images/s, threads: {threads}, medians of rounds: {rounds}"
    wrong = [row.net for row in rows if row.difference > ENOUGH]
    said = f"Outputs differ too much: {', '.join(dict.fromkeys(wrong))}." if wrong else "All outputs agree."
    return Report("features", (Table(title, columns, tuple(table)),), (said,), {"rows": [asdict(row) for row in rows]})


def _rows(path: Path, batches: Sequence[int], images: int, threads: int, rounds: int) -> list[Row]:
    import onnxruntime

    model = Model.load(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    if isinstance(entry.shape[0], int):
        batches = [entry.shape[0]]
    given = np.random.default_rng(0).normal(size=(images, *model.graph.input_shape)).astype(np.float32)
    pixels = np.ascontiguousarray(given.transpose(0, 2, 3, 1))
    preprocessing = model.preprocessing.taking("float32")
    many = for_many(model.graph, model.parameters, preprocessing, threads=threads)
    single = SingleInference(model.graph, model.parameters, preprocessing, threads=threads)

    def theirs(batch: int, count: int) -> Any:
        parts = [given[first : first + batch] for first in range(0, count - count % batch, batch)]
        return np.concatenate([session.run(None, {entry.name: part})[0] for part in parts])

    def ours_single() -> Any:
        return single.run(pixels[0])

    racing: dict[str, tuple[Callable[[], Any], int]] = {"many": (lambda: many.run(pixels), images)}
    racing |= {f"batch {batch}": (partial(theirs, batch, images), images - images % batch) for batch in batches}
    first = _race(racing, rounds, PAUSE)
    best = max(batches, key=lambda batch: median(first[f"batch {batch}"]))
    difference = _difference(many.run(pixels), theirs(best, images))
    name = path.name.split(".")[0]
    rows = [_row(name, f"{images} images", first["many"], first[f"batch {best}"], best, difference)]
    if 1 in batches:
        second = _race({"ours": (ours_single, 1), "theirs": (lambda: theirs(1, 1), 1)}, rounds * 5, PAUSE)
        difference = _difference(ours_single()[None], theirs(1, 1))
        rows.append(_row(name, "one image", second["ours"], second["theirs"], 1, difference))
    return rows


def _race(racing: dict[str, tuple[Callable[[], Any], int]], rounds: int, pause: float = 0) -> dict[str, list[float]]:
    """Images a second of each round; everybody takes a turn before the clock runs, after so many seconds of nothing."""
    speeds: dict[str, list[float]] = {name: [] for name in racing}
    for turn in range(rounds + 1):
        for name, (call, count) in racing.items():
            time.sleep(pause)
            begin = time.perf_counter()
            call()
            if turn:
                speeds[name].append(count / (time.perf_counter() - begin))
    return speeds


def _row(net: str, images: str, ours: list[float], theirs: list[float], batch: int, difference: float) -> Row:
    ratios = tuple(a / b for a, b in zip(ours, theirs, strict=True))
    return Row(net, images, median(ours), median(theirs), ratios, batch, difference)


def _difference(ours: Any, theirs: Any) -> float:
    """As a share of the largest output. Ours end in a softmax where the file has none."""
    count = min(len(ours), len(theirs))
    ours, theirs = ours[:count].reshape(count, -1), theirs[:count].reshape(count, -1)
    if np.allclose(ours.sum(axis=1), 1, atol=1e-3) and not np.allclose(theirs.sum(axis=1), 1, atol=1e-3):
        raised = np.exp(theirs - theirs.max(axis=1, keepdims=True))
        theirs = raised / raised.sum(axis=1, keepdims=True)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())
