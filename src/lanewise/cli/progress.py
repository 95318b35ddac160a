"""How training goes: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lanewise.cli.output import LABEL, Output
from lanewise.cli.wording import duration
from lanewise.learning.train import Progress

Report = Callable[[Progress], None]

LINE_SECONDS = 2.0
"""Between two lines, where there is no terminal."""

BAR = 30


@contextmanager
def learning(out: Output) -> Iterator[Report | None]:
    """Show the progress that the callable is given; None when nobody listens."""
    if out.quiet:
        yield None
    elif not out.live:
        lines = Lines(out)
        yield lines
        lines.close()
    else:
        with Live(Text(" " * LABEL + "getting ready"), console=out.console, auto_refresh=False, transient=True) as live:
            live.refresh()
            yield lambda now: live.update(_picture(now), refresh=True)


class Lines:
    """A line for an epoch that is done, if the last line is long enough ago; the last epoch always has one."""

    def __init__(self, out: Output) -> None:
        """Begin with nothing said."""
        self.out = out
        self.said = -math.inf
        self.unsaid: Progress | None = None

    def __call__(self, now: Progress) -> None:
        """Take note of how it goes."""
        # An epoch may take minutes: then its parts are worth a line too.
        if not now.epoch_done and now.seconds - max(self.said, 0.0) < 5 * LINE_SECONDS:
            return
        self.unsaid = now
        if now.seconds - self.said >= LINE_SECONDS:
            self.close()

    def close(self) -> None:
        """Say what was held back."""
        if self.unsaid is not None:
            now, self.unsaid = self.unsaid, None
            self.said = now.seconds
            left = f"  {duration(now.seconds_left)} left" if now.fraction < 1 else ""
            self.out.tell(_epoch(now), f"{_figures(now)}{left}")


def _epoch(now: Progress) -> str:
    planned = str(max(now.epoch, math.ceil(now.epochs - 1e-6)))
    return f"Epoch {now.epoch:>{len(planned)}}/{planned}"


def _figures(now: Progress) -> str:
    parts = [f"loss {now.loss:.4f}", f"accuracy {100 * now.accuracy:.1f} %"]
    if now.validation_accuracy is not None:
        parts.append(f"validation {100 * now.validation_accuracy:.1f} %")
    return "  ".join([*parts, f"{now.images_per_second:,.0f} images/s"])


def _picture(now: Progress) -> Group:
    bar = Table.grid(padding=(0, 2, 0, 0))
    bar.add_row(
        Text(f"{_epoch(now):<{LABEL - 2}}", "bold"),
        ProgressBar(total=1.0, completed=now.fraction, width=BAR),
        f"{100 * now.fraction:.0f} %",
        f"{duration(now.seconds_left)} left",
    )
    start = " " * LABEL
    figures = Text(start + _figures(now), no_wrap=True, overflow="ellipsis")
    hint = Text(f"{start}Ctrl-C stops and keeps the best model so far", "dim", no_wrap=True, overflow="ellipsis")
    return Group(bar, figures, hint)
