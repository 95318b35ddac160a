"""What every command prints: on what machine, a table for the terminal or for a document, and figures as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from lanewise.racing.tables import Table

BUSY = 0.5
"""Processors in use before a measurement starts; above it, a warning goes with the figures."""


@dataclass(frozen=True, slots=True)
class Report:
    """A measurement: its tables, sentences that belong to them, and `figures` to be read by programs."""

    name: str
    tables: tuple[Table, ...]
    remarks: tuple[str, ...]
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where and when figures were taken; `versions` are of Lanewise, what it runs on, and whoever took part."""

    machine: dict[str, Any]
    versions: dict[str, str]
    date: str

    @staticmethod
    def now() -> Circumstances:
        """Those of this machine at this moment; call it before the work, which loads the machine itself."""
        versions = {name: metadata.version(name) for name in ("lanewise", "numpy", "llvmlite")}
        machine = {
            "cpu": _cpu_name(),
            "cores": os.cpu_count() or 1,
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "busy": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        }
        return Circumstances(machine, versions, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))

    def with_versions(self, versions: dict[str, str]) -> Circumstances:
        """The same, and `versions` of others who took part."""
        return replace(self, versions=self.versions | versions)

    @property
    def sentences(self) -> list[str]:
        """The same for people."""
        machine = self.machine
        said = [
            f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; {self.date}",
            ", ".join(f"{name} {version}" for name, version in ({"Python": machine["python"]} | self.versions).items()),
        ]
        if machine["busy"] and machine["busy"] > BUSY:
            said.append(
                f"The machine was not idle: {machine['busy']} processors were busy with other work before the start."
            )
        return said


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


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
        console.print(_rich(table))
    for remark in report.remarks:
        console.print(remark)


def _rich(table: Table) -> RichTable:
    drawn = RichTable(box=box.SIMPLE_HEAD)
    for number, column in enumerate(table.columns):
        drawn.add_column(column, justify="right" if number else "left")
    for row in table.rows:
        drawn.add_row(*row)
    return drawn


def as_markdown(report: Report, circumstances: Circumstances) -> str:
    """The report as a piece of a Markdown document."""
    parts = ["  \n".join(circumstances.sentences)]
    for table in report.tables:
        head = [table.columns, ("---", *("---:" for _ in table.columns[1:]))]
        rows = "\n".join("| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in [*head, *table.rows])
        parts += [f"**{table.title}**", rows]
    if report.remarks:
        parts.append("\n".join(f"- {remark}" for remark in report.remarks))
    return "\n\n".join(parts)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
