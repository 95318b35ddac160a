"""How training goes: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.text import Text

from lanewise.cli.output import LABEL, Output
from lanewise.training.progress import Report, epoch, figures, image
from lanewise.training.task import Progress
from lanewise.wording import duration

LINE_SECONDS = 2.0
"""Between two lines, where there is no terminal."""


@contextmanager
def training_progress(out: Output) -> Iterator[Report | None]:
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
            yield lambda now: live.update(image(now, out.console.width), refresh=True)


class Lines:
    """A line for an epoch that is done, if the last line is long enough ago; the last epoch always has one."""

    def __init__(self, out: Output) -> None:
        """Begin with nothing said."""
        self.out = out
        self.said = -math.inf
        self.unsaid: Progress | None = None

    def __call__(self, now: Progress) -> None:
        """Take note of how it goes."""
        if now.seconds < self.said:  # the next fold, whose time begins anew
            self.close()
            self.said = -math.inf
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
            self.out.tell(epoch(now), f"{figures(now)}{left}")
