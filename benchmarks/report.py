"""What every command prints: on what machine, a table for the terminal or for a document, and figures as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from lanewise.bench.environment import Circumstances
from lanewise.bench.tables import Table
from lanewise.cli.bench import drawn


@dataclass(frozen=True, slots=True)
class Report:
    """A measurement: its tables, sentences that belong to them, and `figures` to be read by programs."""

    name: str
    tables: tuple[Table, ...]
    remarks: tuple[str, ...]
    figures: dict[str, Any]


def show(report: Report, circumstances: Circumstances, *, markdown: bool, json_file: Path | None) -> None:
    """Print the report, and write its figures to `json_file` if there is one."""
    if json_file:
        head = {"benchmark": report.name, "machine": circumstances.machine, "date": circumstances.date}
        record = head | {"versions": circumstances.versions, **report.figures}
        json_file.write_text(json.dumps(record, indent=2) + "\n")
    if markdown:
        print(as_markdown(report, circumstances))
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for sentence in circumstances.sentences:
        console.print(sentence, style="dim")
    for table in report.tables:
        console.print(f"\n{table.title}", style="bold")
        console.print(circumstances.processor, style="dim")
        console.print(drawn(table))
    for remark in report.remarks:
        console.print(remark)


def as_markdown(report: Report, circumstances: Circumstances) -> str:
    """The report as a piece of a Markdown document."""
    parts = ["  \n".join(circumstances.sentences)]
    for table in report.tables:
        head = [table.columns, ("---", *("---:" for _ in table.columns[1:]))]
        rows = "\n".join("| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in [*head, *table.rows])
        parts += [f"**{table.title}**  \n{circumstances.processor}", rows]
    if report.remarks:
        parts.append("\n".join(f"- {remark}" for remark in report.remarks))
    return "\n\n".join(parts)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
