"""`python -m benchmarks train`: full training steps of Lanewise and of other frameworks, and where Lanewise loses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import environment
from benchmarks.report import Report
from lanewise.bench.nets import NETS
from lanewise.bench.peers import LANEWISE, Peer, missing, versions_of
from lanewise.bench.race import Entry, Racer, Settings, as_record, lines, run
from lanewise.bench.tables import loses_to, race_table, verdicts


def measure(
    nets: Sequence[str], peers: Sequence[Peer], folder: Path, settings: Settings, say: Callable[[str], None]
) -> tuple[Report, dict[str, str]]:
    """Race the installed ones of `peers` on `nets`; returns the report and the versions of those who took part."""
    versions = environment.installed(folder)
    absent = [
        Entry(net, peer, problem=f"not installed ({', '.join(without)})")
        for net in nets
        for peer in peers
        if (without := missing(peer, versions))
    ]
    racers = environment.racers_of(peers, folder, versions)
    entries = run([NETS[name] for name in nets], [Racer(LANEWISE), *racers], settings, say) + absent
    return report(entries, settings), versions_of([racer.peer for racer in racers], versions)


def report(entries: list[Entry], settings: Settings) -> Report:
    """The tables, one a net, and what they come to."""
    nets = list(dict.fromkeys(entry.net for entry in entries))
    drawn = {line.entry: line for net in nets for line in lines(entries, net)}
    remarks = [
        "A step is forward, loss, backward and an SGD update with momentum, on the same images from the same "
        "weights; losses agreed before the clock ran. The others get float32 images prepared beforehand; Lanewise "
        "gets bytes and scales them in each step.",
        *verdicts(entries),
    ]
    if any(not line.entry.peer.exact for line in drawn.values()):
        remarks.append("bfloat16 keeps 8 bits of every factor instead of 24: shown for honesty, not counted as best.")
    figures = {
        "settings": asdict(settings),
        "results": [as_record(entry, drawn.get(entry)) for entry in entries],
        "loses_to": loses_to(entries),
    }
    tables = tuple(
        race_table(
            entries,
            net,
            f"{net}: training images/s, batch {settings.batch}, threads: {settings.threads}, "
            f"medians of rounds: {settings.rounds}",
        )
        for net in nets
    )
    return Report("train", tables, tuple(remarks), figures)
