"""What came of a race, as rows of a table and as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lanewise.bench.peers import LANEWISE
from lanewise.bench.race import Entry, Line, best_framework, lines, losses_of_lanewise


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings; the first column is left-aligned, the others are figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def figure(value: float) -> str:
    """A number with three significant digits and thousands separators: 31,400, 128, 0.85."""
    if value >= 100:
        digits = max(0, len(str(int(value))) - 3)
        return f"{round(value, -digits):,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: Sequence[float]) -> str:
    """The range of some figures."""
    return f"{figure(min(values))}–{figure(max(values))}"


def race_table(entries: Sequence[Entry], net: str, title: str) -> Table:
    """Tabulate the images/s of all on one net, the fastest first, then those that could not run and why.

    Parameters
    ----------
    entries : sequence of Entry
    net, title : str
    """
    rows = [(figure(line.images_per_second), f"{line.ratio:.2f}x", spread(line.ratios)) for line in lines(entries, net)]
    return _table(entries, net, title, ("images/s", "Lanewise is"), rows)


def latency_table(entries: Sequence[Entry], net: str, title: str) -> Table:
    """Tabulate the microseconds per image of all on one net, and Lanewise's share of them.

    Parameters
    ----------
    entries : sequence of Entry
    net, title : str
    """
    rows = [
        (figure(1e6 / line.images_per_second), f"{1 / line.ratio:.2f}", spread([1 / ratio for ratio in line.ratios]))
        for line in lines(entries, net)
    ]
    return _table(entries, net, title, ("µs an image", "Lanewise's share"), rows)


def _table(
    entries: Sequence[Entry], net: str, title: str, columns: tuple[str, str], figures: list[tuple[str, str, str]]
) -> Table:
    ran = [(line.entry.peer.name, *row) for line, row in zip(lines(entries, net), figures, strict=True)]
    absent = [(e.peer.name, "–", "–", e.problem[:80]) for e in entries if e.net == net and e.problem]
    return Table(title, ("", *columns, "over rounds"), (*ran, *absent))


def verdicts(entries: Sequence[Entry], doing: str = "") -> list[str]:
    """Sentences that compare Lanewise with the best framework on each net; `doing` names the race."""
    nets = list(dict.fromkeys(entry.net for entry in entries))
    start = f"{doing}, " if doing else ""
    best = {net: line for net in nets if (line := best_framework(entries, net))}
    lost = losses_of_lanewise(entries)
    said = [
        f"{start}{net}: {line.ratio:.2f} times the speed of the fastest framework in float32, {line.entry.peer.name}."
        for net, line in best.items()
    ]
    said += [_loss_sentence(line, start) for line in lost]
    others = [line for net in nets for line in lines(entries, net) if line.entry.peer != LANEWISE]
    if others and not lost:
        said.append("No framework was faster in this run." if not doing else f"{doing}: no framework was faster.")
    return said


def loses_to(entries: Sequence[Entry]) -> list[dict[str, str | float]]:
    """The losses for JSON."""
    lost = losses_of_lanewise(entries)
    return [{"net": line.entry.net, "peer": line.entry.peer.name, "ratio": line.ratio} for line in lost]


def _loss_sentence(line: Line, start: str) -> str:
    kind = "" if line.entry.peer.exact else ", which rounds to bfloat16"
    return (
        f"{start}Lanewise LOSES on {line.entry.net}: {line.ratio:.2f} times the speed of {line.entry.peer.name}{kind}."
    )
