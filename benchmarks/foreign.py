"""`python -m benchmarks foreign`: networks that others exported, read by Lanewise and compared with ONNX Runtime.

Torchvision's and timm's come from `foreign_export.py`, Keras' from `foreign_export_keras.py`; those that the `onnx`
package ships have no weights worth the name and get random ones here.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.report import Report, as_markdown
from lanewise import Model
from lanewise.bench.environment import Environment
from lanewise.bench.race import SETTLE
from lanewise.bench.tables import Table, figure
from lanewise.errors import LanewiseError

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
"""Classifiers that the `onnx` package ships, without weights."""

_TABLE = re.compile(r"(?:^\*\*Networks from elsewhere.*\n.*\n\n)?^\| network \|.*\n(?:\|.*\n)*", re.MULTILINE)
"""The table in a page, with its title and the processor."""

ENOUGH = 1e-4
"""How far a probability may be from ONNX Runtime's, as a share of the largest."""

BATCH = 16
"""Images that both predict at once when speeds are measured, unless the file is fixed to fewer."""

ROUNDS = 7
"""In how many rounds both take turns when speeds are measured."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Row:
    """One file: `reason` says why it is refused; the other figures are of one that is read."""

    net: str
    exporter: str
    nodes: int
    reason: str = ""
    difference: float = 0.0
    largest: float = 0.0
    lanewise: float = 0.0
    onnxruntime: float = 0.0
    ratio: float = 0.0


def export(python: Path, folder: Path, nets: tuple[str, ...]) -> None:
    """Write the files, with the interpreter of the environment that PyTorch is in."""
    script = Path(__file__).with_name("foreign_export.py")
    subprocess.run([str(python), str(script), str(folder), *nets], check=True)


def measure(folder: Path, nets: tuple[str, ...], threads: int, burst: float, say: Callable[[str], None]) -> Report:
    """A row for each file in `folder`, and for each that `onnx` ships; those of `nets` alone, if there are any."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for net, exporter, path in files(folder, Path(scratch)):
            if not nets or net in nets:
                say(f"{net}, {exporter}")
                rows.append(tried(net, exporter, path, threads, burst))
    read = [row for row in rows if not row.reason]
    wrong = [row.net for row in read if row.difference > ENOUGH]
    said = f"Of {len(rows)} files {len(read)} are read; {', '.join(wrong) if wrong else 'none'} of them wrong."
    table = [(row.net, row.exporter, str(row.nodes), row.reason or "read", *_figures(row, burst > 0)) for row in rows]
    speeds = ("Lanewise", "ONNX Runtime", "ratio") if burst else ()
    columns = ("network", "exporter", "nodes", "outcome", "largest difference", *speeds)
    title = "Networks from elsewhere, beside ONNX Runtime" + (f"; images/s, threads: {threads}" if burst else "")
    batches = (
        f"Batches of {BATCH} images; files that are fixed to another number of images get that. One image is given to "
        "`predict_one`."
    )
    remarks = (said, batches) if burst else (said,)
    return Report("foreign", (Table(title, columns, tuple(table)),), remarks, {"rows": [asdict(row) for row in rows]})


def put_into(page: Path, report: Report, environment: Environment) -> None:
    """Put the table in place of the one that the page has.

    Raises
    ------
    ValueError
        The page has none.
    """
    text, table = page.read_text(), _TABLE.search(as_markdown(report, environment) + "\n")
    if table is None or not _TABLE.search(text):
        raise ValueError(f"{page} has no table that begins with a column for the network")
    page.write_text(_TABLE.sub(lambda found: table.group(), text, count=1))


def _figures(row: Row, timed: bool) -> tuple[str, ...]:
    if row.reason:
        return ("–",) * (4 if timed else 1)
    speeds = (figure(row.lanewise), figure(row.onnxruntime), f"{row.ratio:.2f}") if timed else ()
    return (f"{row.difference:.1e}", *speeds)


def files(folder: Path, scratch: Path) -> Iterator[tuple[str, str, Path]]:
    """The name of each net, its exporter, and its file."""
    for path in sorted(folder.glob("*.onnx")):
        net, exporter = path.stem.rsplit(".", 1)
        yield net, exporter, path
    for path in sorted(LIGHT.glob("*.onnx")):
        model = onnx.load(path)
        draw_weights(model)
        onnx.save(model, scratch / path.name)
        yield path.stem.removeprefix("light_"), "onnx", scratch / path.name


def tried(net: str, exporter: str, path: Path, threads: int, burst: float) -> Row:
    """Read a file, and compare what it predicts for two images; with a `burst`, measure the speed of both."""
    import onnxruntime

    nodes = len(onnx.load(path, load_external_data=False).graph.node)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = Model.load(path, external_data=True)
        except LanewiseError as error:
            return Row(net, exporter, nodes, str(error).split('": ', 1)[-1].partition("; those that are")[0])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options)
    entry = session.get_inputs()[0]
    batch = entry.shape[0] if isinstance(entry.shape[0], int) else 2
    x = np.random.default_rng(0).normal(size=(batch, *entry.shape[1:])).astype(np.float32)
    expected = _probabilities(session.run(None, {entry.name: x})[0].reshape(batch, -1))
    last = tuple(entry.shape[1:]) == model.preprocessing.shape
    channels_last = x if last else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    found = model.predict_proba(channels_last, threads=threads)
    largest = float(expected.max())
    row = Row(net, exporter, nodes, "", float(np.abs(found - expected).max()) / largest, largest)
    if not burst:
        return row
    many = x if isinstance(entry.shape[0], int) else np.repeat(x, BATCH // batch, axis=0)
    ours = many if last else np.ascontiguousarray(many.transpose(0, 2, 3, 1))

    def own() -> object:
        return (
            model.predict_one(ours[0], threads=threads)
            if len(ours) == 1
            else model.predict_proba(ours, threads=threads)
        )

    rates = _rates(
        (own, lambda: session.run(None, {entry.name: many})),
        len(many),
        burst,
    )
    return replace(row, lanewise=rates[0], onnxruntime=rates[1], ratio=rates[2])


def _probabilities(outputs: Floats) -> Floats:
    """The outputs, by a softmax unless the file ends in one."""
    if outputs.min() >= 0 and np.allclose(outputs.sum(axis=1), 1, atol=1e-4):
        return outputs
    raised = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _rates(calls: tuple[Callable[[], object], Callable[[], object]], images: int, burst: float) -> list[float]:
    """Images/s of both, medians of turns of `burst` seconds, and the median ratio within a round of turns."""
    turns = []
    for call in calls:
        call()
    for _ in range(ROUNDS):
        turn = []
        for call in calls:
            time.sleep(SETTLE)
            turn.append(_turn(call, burst) * images)
        turns.append([*turn, turn[0] / turn[1]])
    return [float(median) for median in np.median(turns, axis=0)]


def _turn(call: Callable[[], object], burst: float) -> float:
    """Calls a second, in `burst` seconds."""
    count, begin = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - begin < burst:
        call()
        count += 1
    return count / (time.perf_counter() - begin)


def draw_weights(model: Any) -> None:
    """Random weights in place of the constants of one number.

    They are small in networks that add, whose values grow from sum to sum: one class would get all.
    """
    from onnx import numpy_helper

    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    roles: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            roles |= {name: place for place, name in enumerate(node.input)}
    gain = 0.3 if any(node.op_type == "Sum" for node in model.graph.node) else 2
    draw, kept = np.random.default_rng(0), []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        name, shape = node.output[0], tuple(arrays[node.input[0]].tolist())
        array = draw.normal(0, (gain / max(1, np.prod(shape[1:]))) ** 0.5, shape)
        if len(shape) == 1:
            low, high = (0.6, 1.4) if roles.get(name) in (1, 4) else (-0.2, 0.2)
            array = draw.uniform(low, high, shape)
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    del model.graph.node[:]
    model.graph.node.extend(kept)
