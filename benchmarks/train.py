"""`python -m benchmarks train`: full training steps of Lanewise and of other frameworks, and where Lanewise loses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import environment
from benchmarks.nets import NETS
from benchmarks.peers import LANEWISE, Peer
from benchmarks.race import Entry, Line, Settings, as_record, best_framework, lines, losses_of_lanewise, run
from benchmarks.report import Report, Table, figure, spread


def measure(
    nets: Sequence[str], peers: Sequence[Peer], folder: Path, settings: Settings, say: Callable[[str], None]
) -> tuple[Report, dict[str, str]]:
    """Race the installed ones of `peers` on `nets`; returns the report and the versions of those who took part."""
    versions = environment.installed(folder)
    absent = [
        Entry(net, peer, problem=f"not installed ({', '.join(without)})")
        for net in nets
        for peer in peers
        if (without := environment.missing(peer, versions))
    ]
    present = [peer for peer in peers if not environment.missing(peer, versions)]
    racers = [(LANEWISE, Path(sys.executable)), *((peer, environment.python_of(folder)) for peer in present)]
    entries = run([NETS[name] for name in nets], racers, settings, say) + absent
    return report(entries, settings), environment.versions_of(present, versions)


def report(entries: list[Entry], settings: Settings) -> Report:
    """The tables, one a net, and what they come to."""
    nets = list(dict.fromkeys(entry.net for entry in entries))
    lost = losses_of_lanewise(entries)
    drawn = {line.entry: line for net in nets for line in lines(entries, net)}
    remarks = [
        "A step is forward, loss, backward and an SGD update with momentum, on the same pictures from the same "
        "weights; losses agreed before the clock ran. The others get float32 pictures prepared beforehand; Lanewise "
        "gets bytes and scales them in each step.",
        *_verdicts(entries, nets),
        *(_loss_sentence(line) for line in lost),
    ]
    if not lost and any(line.entry.peer != LANEWISE for line in drawn.values()):
        remarks.append("Lanewise lost nowhere in this run.")
    if any(not line.entry.peer.exact for line in drawn.values()):
        remarks.append("bfloat16 keeps 8 bits of every factor instead of 24: shown for honesty, not counted as best.")
    figures = {
        "settings": asdict(settings),
        "results": [as_record(entry, drawn.get(entry)) for entry in entries],
        "loses_to": [{"net": line.entry.net, "peer": line.entry.peer.name, "ratio": line.ratio} for line in lost],
    }
    return Report("train", tuple(_table(entries, net, settings) for net in nets), tuple(remarks), figures)


def _table(entries: list[Entry], net: str, settings: Settings) -> Table:
    rows = [
        (line.entry.peer.name, figure(line.images_per_second), f"{line.ratio:.2f}x", spread(line.ratios))
        for line in lines(entries, net)
    ]
    rows += [(entry.peer.name, "–", "–", entry.problem[:80]) for entry in entries if entry.net == net and entry.problem]
    title = (
        f"{net}: training images/s, batch {settings.batch}, threads: {settings.threads}, "
        f"medians of rounds: {settings.rounds}"
    )
    return Table(title, ("", "images/s", "Lanewise is", "over rounds"), tuple(rows))


def _verdicts(entries: list[Entry], nets: list[str]) -> list[str]:
    best = {net: best_framework(entries, net) for net in nets}
    return [
        f"{net}: {line.ratio:.2f} times the best framework in float32, {line.entry.peer.name}."
        for net, line in best.items()
        if line
    ]


def _loss_sentence(line: Line) -> str:
    kind = "" if line.entry.peer.exact else ", which rounds to bfloat16"
    return f"Lanewise LOSES on {line.entry.net}: {line.ratio:.2f} times the speed of {line.entry.peer.name}{kind}."
