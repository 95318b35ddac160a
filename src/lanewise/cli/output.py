"""What a command says: to people, in labelled lines and tables; to programs, as one JSON object."""

from __future__ import annotations

import io
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from lanewise.cli.wording import plural, shown
from lanewise.files.metadata import to_json
from lanewise.learning.reading import Progress as Reading

LABEL = 20
"""Characters of the column of labels."""

PIPE_WIDTH = 200
"""Characters of a line that goes to no terminal: programs like grep want it whole."""

MOST_SKIPPED = 10
"""Files that could not be used and are listed, of more there is a count."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command speaks.

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
        """Whether there is someone to watch a bar."""
        return self.console.is_terminal and not self.quiet

    def tell(self, label: str, text: str = "", style: str | None = None) -> None:
        """Say something on the way: not to be heard when quiet."""
        if not self.quiet:
            self._line(label, text, style)

    def result(self, label: str, text: str = "", style: str | None = None) -> None:
        """Say what came out: not where it is told as JSON."""
        if not self.as_json:
            self._line(label, text, style)

    def blank(self) -> None:
        """Leave a line empty, between paragraphs of results."""
        if not self.quiet and not self.as_json:
            self.console.print()

    def table(self, table: Table) -> None:
        """Show a table of results."""
        if not self.as_json and not self.quiet:
            self.console.print(table)

    def fits(self, table: Table) -> bool:
        """Whether a table can be shown without cutting any of its cells."""
        roomy = self.console.options.update(width=100_000)
        return self.console.measure(table, options=roomy).maximum <= self.console.width

    def skipped(self, skipped: Sequence[tuple[str, str]]) -> None:
        """List the files that could not be used. People who are quiet hear it on standard error all the same."""
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
        """Say sentences that the user should hear."""
        for n, note in enumerate(notes):
            self.tell("" if n else "Notes", note)

    def finish(self, record: Mapping[str, Any]) -> None:
        """Print the results as JSON if that was asked for. JSON is UTF-8 whatever the terminal speaks."""
        if self.as_json:
            click.echo(to_json(record).encode("utf-8", "backslashreplace"))

    @contextmanager
    def reading(self, doing: str = "reading") -> Iterator[Reading | None]:
        """A bar that goes away when the pictures are read, or whatever is done to them; none where nobody watches."""
        if not self.live:
            yield None
            return
        columns = (TextColumn(" " * LABEL + doing), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def _line(self, label: str, text: str, style: str | None = None) -> None:
        """A label and text beside it, which is wrapped on a terminal only."""
        lines = [text]
        if self.console.is_terminal:
            width = max(self.console.width - LABEL - 1, 30)
            lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
        for n, line in enumerate(lines):
            start = f"{label if n == 0 else '':<{LABEL - 1}} "
            # One print for one line: between two a live bar would be drawn.
            self.console.print(Text.assemble((start, "bold"), (line, style or "")), soft_wrap=True)


def skipped_json(skipped: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Files that could not be used, for JSON."""
    return [{"file": name, "reason": reason} for name, reason in skipped]


def open_output(as_json: bool, *, quiet: bool = False, aside: bool = False) -> Output:
    """Speak on standard output; on standard error if that is for one JSON object, or, `aside`, for answers alone."""
    stream = sys.stderr if as_json or aside else sys.stdout
    # Where the terminal cannot say a character, a question mark does; that is no reason to fail.
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    options: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
    console = Console(file=stream, **options)
    if not console.is_terminal:
        console = Console(file=stream, width=PIPE_WIDTH, **options)
    return Output(console, as_json, quiet)
