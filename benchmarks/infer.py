"""`python -m benchmarks infer` and `latency`: predictions of Lanewise and of ONNX Runtime from the same model file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from benchmarks.report import Report
from lanewise.bench.nets import NETS
from lanewise.bench.peers import LANEWISE, ONNX_RUNTIME
from lanewise.bench.race import Entry, Line, Racer, Settings, as_record, lines, run
from lanewise.bench.tables import Table, figure, loses_to, spread, verdicts

SAME_FILE = (
    "Both predict from one model file that Lanewise saved, raw bytes in and probabilities out, and agreed on them "
    "before the clock ran."
)


def measure(
    nets: Sequence[str], batches: Sequence[int], settings: Settings, say: Callable[[str], None]
) -> dict[int, list[Entry]]:
    """Race on `nets` at each of `batches`."""
    racers = [Racer(LANEWISE), Racer(ONNX_RUNTIME)]
    chosen = [NETS[name] for name in nets]
    entries = {}
    for batch in batches:
        say(f"batch {batch}")
        entries[batch] = run(chosen, racers, replace(settings, kind="infer", batch=batch), say)
    return entries


def throughput(entries: dict[int, list[Entry]], settings: Settings) -> Report:
    """One row for each net and batch: images/s."""
    rows = [
        (
            f"{net}, batch {batch}",
            *(figure(line.images_per_second) if line else "–" for line in (own, other)),
            *((f"{other.ratio:.2f}x", spread(other.ratios)) if other else ("–", _problem(found, net))),
        )
        for batch, found in entries.items()
        for net in dict.fromkeys(entry.net for entry in found)
        for own, other in [_both(found, net)]
    ]
    title = f"Predicting, images/s, threads: {settings.threads}, medians of rounds: {settings.rounds}"
    columns = ("", "Lanewise", "ONNX Runtime", "Lanewise is", "over rounds")
    said = [sentence for batch, found in entries.items() for sentence in verdicts(found, f"batch {batch}")]
    return Report("infer", (Table(title, columns, tuple(rows)),), (SAME_FILE, *said), _figures(entries, settings))


def latency(entries: dict[int, list[Entry]], settings: Settings) -> Report:
    """One row for each net: microseconds of one image after the other."""
    rows = []
    for net in dict.fromkeys(entry.net for entry in entries[1]):
        own, other = _both(entries[1], net)
        share = (f"{1 / other.ratio:.2f}", spread([1 / r for r in other.ratios])) if other else ()
        times = (figure(1e6 / line.images_per_second) if line else "–" for line in (own, other))
        rows.append((net, *times, *(share or ("–", _problem(entries[1], net)))))
    title = f"One image, µs, call from Python included, threads: {settings.threads}"
    columns = ("", "Lanewise", "ONNX Runtime", "Lanewise's share", "over rounds")
    remarks = (SAME_FILE, *verdicts(entries[1], "one image"))
    return Report("latency", (Table(title, columns, tuple(rows)),), remarks, _figures(entries, settings))


def _both(entries: list[Entry], net: str) -> tuple[Line | None, Line | None]:
    found = {line.entry.peer: line for line in lines(entries, net)}
    return found.get(LANEWISE), found.get(ONNX_RUNTIME)


def _problem(entries: list[Entry], net: str) -> str:
    return next((entry.problem[:80] for entry in entries if entry.net == net and entry.problem), "")


def _figures(entries: dict[int, list[Entry]], settings: Settings) -> dict[str, object]:
    return {
        "settings": asdict(settings),
        "batches": {
            str(batch): {
                "results": [
                    as_record(entry, next((line for line in lines(found, entry.net) if line.entry == entry), None))
                    for entry in found
                ],
                "loses_to": loses_to(found),
            }
            for batch, found in entries.items()
        },
    }
