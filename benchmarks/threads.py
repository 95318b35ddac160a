"""`python -m benchmarks threads`: what more threads bring, training the same net in turn with one and with several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from benchmarks.report import Report
from lanewise.bench.nets import NETS
from lanewise.bench.peers import LANEWISE, Peer
from lanewise.bench.race import Entry, Racer, Settings, lines, run
from lanewise.bench.tables import Table, figure, spread


def measure(nets: Sequence[str], settings: Settings, say: Callable[[str], None]) -> Report:
    """Race one thread against `settings.threads` of them."""
    several, one = peers(settings.threads)
    racers = [Racer(several, threads=settings.threads), Racer(one, threads=1)]
    return report(run([NETS[name] for name in nets], racers, settings, say), settings)


def peers(threads: int) -> tuple[Peer, Peer]:
    """Lanewise with so many threads, and with one."""
    return replace(LANEWISE, name=f"{threads} threads"), replace(LANEWISE, name="1 thread")


def report(entries: list[Entry], settings: Settings) -> Report:
    """One row for each net."""
    several, one = peers(settings.threads)
    rows: list[tuple[str, ...]] = []
    figures = []
    for net in dict.fromkeys(entry.net for entry in entries):
        found = {line.entry.peer: line for line in lines(entries, net, own=several)}
        if one not in found:
            problem = next((entry.problem for entry in entries if entry.net == net and entry.problem), "")
            rows.append((net, "–", "–", "–", problem[:80]))
            continue
        single, many = found[one], found[several]
        speeds = (single.images_per_second, many.images_per_second)
        rows.append((net, *map(figure, speeds), f"{single.ratio:.2f}x", spread(single.ratios)))
        figures.append({"net": net, "images_per_second": speeds, "ratio": single.ratio, "ratios": single.ratios})
    title = f"Training images/s, batch {settings.batch}, medians of rounds: {settings.rounds}"
    table = Table(title, ("", one.name, several.name, "ratio", "over rounds"), tuple(rows))
    remarks = (
        "Each process is kept to as many processors as it has threads. Ratios are of the same rounds. Where all "
        "processors are threads of fewer cores, or share one budget of power, no program reaches their number.",
    )
    return Report("threads", (table,), remarks, {"settings": asdict(settings), "results": figures})
