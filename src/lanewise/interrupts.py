"""Presses of Ctrl-C while training: the first ends it with the best weights so far, further ones change nothing.

    with Presses():            from here on, signals are counted; `train` does this, too, where nobody else does
        ...
        attend()               training begins: a press raises KeyboardInterrupt, as it did before
        defer()                training is over: presses only count, so that what was learned is not lost
        ...
    a press after the first one is never raised

SIGTERM (a system that shuts down, a batch queue) and SIGHUP (a terminal that closes) are like a press where
`all_signals` says so. Where the terminal has really gone, though, training goes on: its results are no less wanted.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, ParamSpec, Self, TypeVar

Options = ParamSpec("Options")
Result = TypeVar("Result")

ends_soon = False
"""Whether the process ends when its command has: presses after the first are then ignored to the last moment."""

_active: Presses | None = None


class Presses:
    """Counts signals while it is entered; the first press raises KeyboardInterrupt unless presses are deferred.

    Attributes
    ----------
    count : int
        Presses so far.
    """

    def __init__(self, *, all_signals: bool = False) -> None:
        names = ("SIGINT", "SIGTERM", "SIGHUP") if all_signals else ("SIGINT",)
        self._numbers = [number for name in names if (number := getattr(signal, name, None)) is not None]
        self._before: dict[int, Any] = {}
        self._outer: Presses | None = None
        self._terminals: list[int] = []
        self.count = 0
        self.deferred = self.raised = False

    def __enter__(self) -> Self:
        global _active
        self._outer = _active
        if threading.current_thread() is not threading.main_thread() or _active is not None:
            return self
        self._terminals = [fd for fd in (0, 1, 2) if _is_terminal(fd)]
        for number in self._numbers:
            handler = signal.getsignal(number)
            # What the user's program does with a signal is its own business, and nohup stays nohup.
            if handler is signal.default_int_handler or (handler == signal.SIG_DFL and number != signal.SIGINT):
                self._before[number] = signal.signal(number, self._pressed)
        if self._before:
            _active = self
        return self

    def __exit__(self, *error: object) -> None:
        global _active
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self.count and ends_soon else handler)
        if _active is self:
            _active = self._outer

    def attend(self) -> None:
        """Let a press raise; raise now if one came while presses were deferred."""
        self.deferred = False
        if self.count and not self.raised:
            self.raised = True
            raise KeyboardInterrupt

    def _pressed(self, number: int, frame: FrameType | None) -> None:
        hangup = number == getattr(signal, "SIGHUP", None)
        if hangup and self._terminals and not all(map(_is_terminal, self._terminals)):
            return
        self.count += 1
        if not (self.deferred or self.raised):
            self.raised = True
            raise KeyboardInterrupt


def attend() -> None:
    """Training begins: a press may end it, and ends it now if it came a moment ago."""
    if _active is not None:
        _active.attend()


def defer() -> None:
    """Training is over: no press may take away what came of it."""
    if _active is not None:
        _active.deferred = True


def pressed() -> bool:
    """Whether a press has come that was not raised, as presses were deferred."""
    return _active is not None and _active.count > 0 and not _active.raised


def ignore() -> None:
    """No press may disturb a process that ends anyway while it says so and shuts down."""
    if ends_soon and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def one_press_ends(function: Callable[Options, Result]) -> Callable[Options, Result]:
    """Make one press of Ctrl-C end what the function does its own way, and further ones nothing."""

    @functools.wraps(function)
    def counting(*args: Options.args, **options: Options.kwargs) -> Result:
        with Presses():
            return function(*args, **options)

    return counting
