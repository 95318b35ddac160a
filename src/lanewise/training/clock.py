"""The time of a training, and whether somebody wants it to end: of one process, or what its ranks agree on.

Ranks go the same way only if they decide by the same numbers. So time is the first rank's, as of the last `look`, and a
press of Ctrl-C in any of them is one in all, at the next look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lanewise.interrupts import attend, defer, pressed
from lanewise.ranks import Ranks


class Clock:
    """Seconds of training, and since the budget began to run.

    Parameters
    ----------
    ranks : Ranks or None
    started : float
        When the budget began to run.
    now : callable
        Seconds of the clock that `started` is by.
    """

    def __init__(self, ranks: Ranks | None, started: float, now: Callable[[], float] = time.perf_counter) -> None:
        self.ranks, self.started, self.now, self.begun = ranks, started, now, now()
        self.stop = self.stopped = False
        self._agreed = (0.0, 0.0)

    @property
    def training(self) -> float:
        """Seconds of training so far."""
        return self.now() - self.begun if self.ranks is None else self._agreed[0]

    @property
    def budget(self) -> float:
        """Seconds of the budget that are used up."""
        return self.now() - self.started if self.ranks is None else self._agreed[1]

    def back_to(self, seconds: float) -> None:
        """Go on as if training had taken so long."""
        self.begun = self.now() - seconds
        self.look()

    def attend(self) -> None:
        """Let a press of Ctrl-C end training from here on; that of a rank counts where all of them look."""
        if self.ranks is None:
            attend()
        else:
            defer()
        self.look()

    def look(self) -> None:
        """Agree with the other ranks.

        Raises
        ------
        KeyboardInterrupt
            Somebody wants training to end: it is raised in all ranks.
        """
        if self.ranks is None:
            return
        now = self.now()
        told = self.ranks.gather([now - self.begun, now - self.started, self.stop or pressed()])
        self._agreed = (told[0][0], told[0][1])
        if any(stop for *_, stop in told) and not self.stopped:
            self.stopped = True
            raise KeyboardInterrupt

    @contextmanager
    def heeding(self) -> Iterator[None]:
        """Take an interrupt that somebody raises in here for the wish to end; the other ranks hear of it at a look."""
        try:
            yield
        except KeyboardInterrupt:
            if self.ranks is None:
                raise
            self.stop = True

    def mine_alone(self) -> bool:
        """Whether an interrupt that was raised is one of this rank, of which the others know nothing."""
        return self.ranks is not None and not self.stopped
