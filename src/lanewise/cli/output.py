"""What a command says: to people, in labelled lines and tables; to programs, as one JSON object."""

from __future__ import annotations

import io
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from lanewise.cli.streams import ERRORS
from lanewise.data.reading import FilesProgress
from lanewise.model_file.metadata import to_json
from lanewise.wording import NARROW, plural, shown

LABEL = 20
"""Characters of the column of labels."""

PIPE_WIDTH = 200
"""Characters of a line that goes to no terminal: programs like grep want it whole."""

FOLDED = 12
"""Characters of a column of words that leave it legible."""

MOST_SKIPPED = 10
"""Files that could not be used and are listed, of more there is a count."""


FORMER_KEYS = {"images": "pictures", "image": "picture", "evaluated_by": "judged_by", "evaluating": "judging"}
"""Keys of JSON that had another name in version 0.1.0; the old ones go with the next version."""


@dataclass(frozen=True, slots=True)
class Output:
    """The output of a command.

    Attributes
    ----------
    console : Console
        Standard output; standard error if standard output is for JSON.
    as_json, quiet : bool
    """

    console: Console
    as_json: bool
    quiet: bool

    @property
    def live(self) -> bool:
        """Whether to show a progress bar."""
        return self.console.is_terminal and not self.quiet

    def tell(self, label: str, text: str = "", style: str | None = None) -> None:
        """Print progress, unless quiet.

        Parameters
        ----------
        label, text : str
        style : str, optional
            Of Rich, like "yellow".
        """
        if not self.quiet:
            self._line(label, text, style)

    def result(self, label: str, text: str = "", style: str | None = None) -> None:
        """Print a result, unless it goes to JSON.

        Parameters
        ----------
        label, text : str
        style : str, optional
            Of Rich, like "bold".
        """
        if not self.as_json:
            self._line(label, text, style)

    def blank(self) -> None:
        """Leave a line empty, between paragraphs of results."""
        if not self.quiet and not self.as_json:
            self.console.print()

    def table(self, table: Table) -> None:
        """Show a table of results; one that is too wide in parts, so that nothing of it is cut."""
        if not self.as_json and not self.quiet:
            for n, part in enumerate(fitted(self.console, table)):
                if n:
                    self.console.print()
                self.console.print(part)

    def fits(self, table: Table) -> bool:
        """Whether a table can be shown without cutting any of its cells."""
        return _width(self.console, table) <= self.console.width

    def skipped(self, skipped: Sequence[tuple[str, str]]) -> None:
        """List the files that could not be used; with `quiet`, on standard error."""
        if not skipped:
            return
        lines = [f"{shown(name)}: {shown(reason)}" for name, reason in skipped[:MOST_SKIPPED]]
        if len(skipped) > MOST_SKIPPED:
            lines.append(f"and {len(skipped) - MOST_SKIPPED:,} more")
        if self.quiet:
            click.echo(f"lanewise: {plural(len(skipped), 'file')} skipped: {'; '.join(lines)}", err=True)
            return
        self._line("Skipped", plural(len(skipped), "file"), "yellow")
        for line in lines:
            self._line("", line)

    def notes(self, notes: Sequence[str]) -> None:
        """Print notes."""
        for n, note in enumerate(notes):
            self.tell("" if n else "Notes", note)

    def finish(self, record: Mapping[str, Any]) -> None:
        """Print the results as JSON if requested. JSON is UTF-8, whatever the encoding of the terminal."""
        if self.as_json:
            # What a terminal might obey (text from right to left, other ends of lines) is written as escapes.
            text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in to_json(with_former_keys(record)))
            click.echo(text.encode("utf-8", "backslashreplace"))

    @contextmanager
    def reading(self, doing: str = "reading") -> Iterator[FilesProgress | None]:
        """A progress bar that disappears when the work is done; None without a terminal."""
        if not self.live:
            yield None
            return
        columns = (TextColumn(" " * LABEL + doing), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def _line(self, label: str, text: str, style: str | None = None) -> None:
        """A label and text beside it, which is wrapped on a terminal only."""
        text = shown(text)
        lines, indent = [text], LABEL
        if self.console.is_terminal:
            if self.console.width < NARROW:  # the text below its label
                if label.strip():
                    self.console.print(Text(label, "bold"), soft_wrap=True)
                label, indent = "", 3
            width = max(self.console.width - indent - 1, 12)
            lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
        for n, line in enumerate(lines):
            start = f"{label if n == 0 else '':<{indent - 1}} "
            # One print for one line: between two a live bar would be drawn.
            self.console.print(Text.assemble((start, "bold"), (line, style or "")), soft_wrap=True)


def with_former_keys(value: Any) -> Any:
    """JSON with the keys of version 0.1.0 beside those of today, so that programs that read it have time to change."""
    if isinstance(value, Mapping):
        told = {key: with_former_keys(one) for key, one in value.items()}
        former = {FORMER_KEYS[key]: one for key, one in told.items() if key in FORMER_KEYS}
        return told | former
    return [with_former_keys(one) for one in value] if isinstance(value, list | tuple) else value


def laid_out(heads: Sequence[str], rows: Iterable[Sequence[str | Text]], words: Sequence[str]) -> Table:
    """Lay out a table for a terminal.

    Parameters
    ----------
    heads : sequence of str
    rows : iterable of sequences of str or Text
    words : sequence of str
        Heads of the columns that hold words; the others hold numbers: they are right-aligned and never folded.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for head in heads:
        table.add_column(head, justify="left" if head in words else "right", overflow="fold", no_wrap=head not in words)
    for row in rows:
        table.add_row(*row)
    return table


def fitted(console: Console, table: Table) -> list[Table]:
    """The table, or several that begin with its first column, or else a list of its cells: whatever the width holds.

    Cells of words are folded, those of numbers never.
    """
    columns = list(range(len(table.columns)))
    if _holds(console, table, columns):
        return [table]
    parts: list[list[int]] = []
    for n in columns[1:]:
        if parts and _holds(console, table, [*parts[-1], n]):
            parts[-1].append(n)
        elif _holds(console, table, [0, n]):
            parts.append([0, n])
        else:
            return [_as_list(table)]
    return [_part(table, part) for part in parts]


def _width(console: Console, table: Table) -> int:
    """Columns of the terminal that a table takes if nothing of it is cut or folded."""
    return console.measure(table, options=console.options.update(width=100_000)).maximum


def _holds(console: Console, table: Table, columns: Sequence[int]) -> bool:
    part = _part(table, columns)
    for column in part.columns:
        if not column.no_wrap:
            column.max_width = FOLDED
    return _width(console, part) <= console.width


def _part(table: Table, columns: Sequence[int]) -> Table:
    """Some columns of a table."""
    part = Table(box=table.box, show_edge=table.show_edge, pad_edge=table.pad_edge, show_footer=table.show_footer)
    chosen = [table.columns[n] for n in columns]
    for one in chosen:
        part.add_column(one.header, one.footer, justify=one.justify, overflow=one.overflow, no_wrap=one.no_wrap)
    for cells in zip(*(one.cells for one in chosen), strict=True):
        part.add_row(*cells)
    return part


def _as_list(table: Table) -> Table:
    """A row for each cell, under the name of its column."""
    rows = Table.grid(padding=(0, 1))
    rows.add_column(overflow="fold")
    rows.add_column(overflow="fold")
    whole = list(zip(*(one.cells for one in table.columns), strict=True))
    if table.show_footer:
        whole.append(tuple(one.footer for one in table.columns))
    for n, cells in enumerate(whole):
        if n:
            rows.add_row()
        for one, cell in zip(table.columns, cells, strict=True):
            rows.add_row(Text(str(one.header).replace("\n", " "), "bold"), cell)
    return rows


def skipped_json(skipped: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Files that could not be used, for JSON."""
    return [{"file": name, "reason": reason} for name, reason in skipped]


def open_output(as_json: bool, *, quiet: bool = False, aside: bool = False) -> Output:
    """Open the output of a command: standard output, or standard error if the former is reserved.

    Parameters
    ----------
    as_json : bool
        Standard output is for one JSON object.
    quiet : bool
        Print only results.
    aside : bool
        Standard output is for the answers alone.
    """
    stream = sys.stderr if as_json or aside else sys.stdout
    for one in (sys.stdout, sys.stderr):  # also where the command line was not entered by its front door
        if isinstance(one, io.TextIOWrapper):
            one.reconfigure(errors=ERRORS)
    options: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
    console = Console(file=stream, **options)
    if not console.is_terminal:
        console = Console(file=stream, width=PIPE_WIDTH, **options)
    return Output(console, as_json, quiet)
