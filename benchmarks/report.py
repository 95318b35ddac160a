"""What every command prints: on what machine, a table for the terminal or for a document, and figures as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from lanewise.bench.environment import Environment
from lanewise.bench.tables import Table
from lanewise.cli.bench import drawn


@dataclass(frozen=True, slots=True)
class Report:
    """A measurement: its tables, sentences that belong to them, and `figures` to be read by programs."""

    name: str
    tables: tuple[Table, ...]
    remarks: tuple[str, ...]
    figures: dict[str, Any]


def show(report: Report, environment: Environment, *, markdown: bool, json_file: Path | None) -> None:
    """Print the report, and write its figures to `json_file` if there is one."""
    if json_file:
        head = {"benchmark": report.name, "machine": environment.machine, "date": environment.date}
        record = head | {"versions": environment.versions, **report.figures}
        json_file.write_text(json.dumps(record, indent=2) + "\n")
    if markdown:
        print(as_markdown(report, environment))
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for sentence in environment.sentences:
        console.print(sentence, style="dim")
    for table in report.tables:
        console.print(f"\n{table.title}", style="bold")
        console.print(environment.processor, style="dim")
        console.print(drawn(table))
    for remark in report.remarks:
        console.print(remark)


def as_markdown(report: Report, environment: Environment) -> str:
    """The report as a piece of a Markdown document."""
    parts = ["  \n".join(environment.sentences)]
    for table in report.tables:
        head = [table.columns, ("---", *("---:" for _ in table.columns[1:]))]
        rows = "\n".join("| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in [*head, *table.rows])
        parts += [f"**{table.title}**  \n{environment.processor}", rows]
    if report.remarks:
        parts.append("\n".join(f"- {remark}" for remark in report.remarks))
    return "\n\n".join(parts)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
