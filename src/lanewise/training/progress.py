"""What is seen of training while it runs, from Python and from the command line: figures, a bar, a line an epoch.

    with watched(verbose, progress) as report:
        Loop(..., report).run()

Whatever happens to the place where it is shown, training goes on: a display that fails is switched off.
"""

from __future__ import annotations

import html
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO

from lanewise.wording import duration

if TYPE_CHECKING:  # the command line shows its help without the engine
    from rich.console import Group

    from lanewise.training.task import Progress, TrainResult

Report = Callable[["Progress"], None]

BAR = 30
"""Characters of a bar at most."""

LABEL = 20
"""Characters of the column of labels."""


_FOLD: ContextVar[tuple[int, int]] = ContextVar("fold", default=(0, 0))


@contextmanager
def fold_of(number: int, folds: int) -> Iterator[None]:
    """Tell all that watch training meanwhile which fold it is for; `folds` + 1 is the final model."""
    before = _FOLD.set((number, folds))
    try:
        yield
    finally:
        _FOLD.reset(before)


def which_fold() -> str:
    """The fold that is trained, "in fold 2 of 5, "; nothing for the final model."""
    fold, folds = _FOLD.get()
    return f"in fold {fold} of {folds}, " if 0 < fold <= folds else ""


def ending(result: TrainResult, figures: Mapping[str, Any] | None = None) -> str:
    """What came out, in one line; `figures` are those of cross-validation."""
    fold, folds = _FOLD.get()
    if 0 < fold <= folds and not result.interrupted:
        return f"Fold {fold} of {folds}: trained in {duration(result.seconds)}"
    if figures is not None:
        told = f"{figures['folds']}-fold cross-validation accuracy {100 * figures['accuracy']:.1f} %"
        ended = "interrupted" if result.interrupted else f"final model in {duration(result.seconds)}"
        return f"Trained: {told}, {ended}"
    record = result.history[(result.best_epoch or len(result.history)) - 1] if result.history else {}
    epochs = "1 epoch" if len(result.history) == 1 else f"{len(result.history)} epochs"
    kind = "validation" if record.get("validation_accuracy") is not None else "training"
    share = record.get("validation_accuracy" if kind == "validation" else "accuracy")
    accuracy = "" if share is None else f"{kind} accuracy {100 * share:.1f} %, "
    how = "interrupted after" if result.interrupted else "stopped early after" if result.stopped_early else ""
    return f"Trained: {accuracy}{how + ' ' if how else ''}{epochs} in {duration(result.seconds)}"


@contextmanager
def watched(verbose: int | None, progress: Report | None) -> Iterator[Watch]:
    """A callable that shows progress as `verbose` says, and passes it on to `progress`."""
    watch = Watch(_display(verbose, progress), progress)
    try:
        yield watch
    finally:
        watch.close()


class Watch:
    """Shows progress, and outlives the place where it is shown."""

    def __init__(self, display: Display | None, progress: Report | None) -> None:
        """Begin with nothing shown."""
        self.display, self.progress = display, progress
        self.said: str | None = None

    def __call__(self, now: Progress) -> None:
        """Show how it goes. Errors of the user's own callable are the user's."""
        now = _among_folds(now)
        if self.display is not None:
            try:
                self.display(now)
            except Exception:  # whatever a terminal, a notebook or a pipe may raise when it goes away
                self.display = None
        if self.progress is not None:
            self.progress(now)

    def close(self) -> None:
        """End the display. Ctrl-C at this moment comes too late to lose the model."""
        display, self.display = self.display, None
        if display is not None:
            with suppress(Exception, KeyboardInterrupt):
                display.close(self.said)


def _display(verbose: int | None, progress: Report | None) -> Display | None:
    notebook = _notebook()
    if verbose is None:
        watched = progress is None and (notebook is not None or _is_terminal(sys.stderr))
        verbose = 1 if watched else 0
    if not verbose:
        return None
    if verbose == 1 and notebook is not None:
        return _Cell(notebook)
    stream = sys.stdout if notebook is not None else sys.stderr
    if stream is None:  # a program without a console
        return None
    with suppress(Exception):
        return _Bar(stream) if verbose == 1 and _is_terminal(stream) else _Lines(stream)
    return None


def tell(sentence: str) -> None:
    """Print a sentence where progress is shown, if that is possible: nothing is worth ending a training for it."""
    stream = sys.stdout if _notebook() is not None else sys.stderr
    if stream is not None:
        with suppress(Exception):
            _Lines(stream).close(sentence)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (ValueError, AttributeError):  # closed, or a stand-in that is no file
        return False


def _notebook() -> Any:
    """IPython's module `display` inside a Jupyter kernel; None elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = getattr(ipython, "get_ipython", lambda: None)()
    if shell is None or getattr(shell, "kernel", None) is None:
        return None
    try:
        return import_module("IPython.display")
    except ImportError:
        return None


class _Lines:
    """A line for each epoch."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __call__(self, now: Progress) -> None:
        if now.epoch_done:
            self._print(f"{epoch(now)}  {figures(now)}")

    def close(self, said: str | None) -> None:
        if said:
            self._print(said)

    def _print(self, line: str) -> None:
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        print(line.encode(encoding, "replace").decode(encoding), file=self.stream, flush=True)


class _Bar:
    """A live bar on a terminal; it goes away, and the last sentence stays."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        class Calm(Console):
            def on_broken_pipe(self) -> None:
                raise

        self.console = Calm(file=stream, markup=False, emoji=False, highlight=False)
        # Output of the user's own code is left alone: it would be taken for the bar's.
        self.live = Live(
            console=self.console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=True
        )
        self.live.start()

    def __call__(self, now: Progress) -> None:
        self.live.update(image(now, self.console.width), refresh=True)

    def close(self, said: str | None) -> None:
        self.live.stop()
        if said:
            self.console.print(said, soft_wrap=True)


class _Cell:
    """A bar below the cell of a notebook."""

    def __init__(self, display: Any) -> None:
        self.display = display
        self.handle = display.display(self._html("getting ready", 0.0), display_id=True)

    def __call__(self, now: Progress) -> None:
        self.handle.update(self._html(f"{epoch(now)}  {figures(now)}  {duration(now.seconds_left)} left", now.fraction))

    def close(self, said: str | None) -> None:
        self.handle.update(self._html(said or "stopped", None))

    def _html(self, text: str, fraction: float | None) -> Any:
        bar = "" if fraction is None else f'<progress value="{fraction:.3f}" max="1" style="width: 16em"></progress> '
        return self.display.HTML(f'<div style="font-variant-numeric: tabular-nums">{bar}{html.escape(text)}</div>')


Display = _Lines | _Bar | _Cell
"""Where progress is shown: called with it, and closed with a last sentence or without one."""


def _among_folds(now: Progress) -> Progress:
    """Progress of one fold as a part of all of them; each takes about as long as the final model."""
    fold, folds = _FOLD.get()
    if not folds:
        return now
    left = now.seconds_left + (folds + 1 - fold) * (now.seconds + now.seconds_left)
    fraction = (fold - 1 + now.fraction) / (folds + 1)
    return replace(now, fold=fold, folds=folds, fraction=fraction, seconds_left=left)


def epoch(now: Progress) -> str:
    """Which epoch of how many, "Epoch  3/12", "Fine-tuning 3/10", or which fold of how many, "Fold 2/5"; before the
    first epoch "Features", or "Maps"."""
    if now.features:
        return "Maps" if now.tuning else "Features"
    if 0 < now.fold <= now.folds:
        return f"Fold {now.fold}/{now.folds}"
    return f"{'Fine-tuning' if now.tuning else 'Epoch'} {_epoch(now)}"


def _epoch(now: Progress) -> str:
    planned = str(max(now.epoch, math.ceil(now.epochs - 1e-6)))
    return f"{now.epoch:>{len(planned)}}/{planned}"


def figures(now: Progress) -> str:
    """Loss, accuracies and speed."""
    if now.features:
        return f"{now.features:,} images  {now.images_per_second:,.0f} images/s"
    which = [f"epoch {_epoch(now)}"] if 0 < now.fold <= now.folds else []
    parts = [*which, f"loss {now.loss:.4f}", f"accuracy {100 * now.accuracy:.1f} %"]
    if now.validation_accuracy is not None:
        parts.append(f"validation {100 * now.validation_accuracy:.1f} %")
    return "  ".join([*parts, f"{now.images_per_second:,.0f} images/s"])


def image(now: Progress, width: int) -> Group:
    """The bar, and below it figures and a hint, none wider than the terminal."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    label, left = LABEL if width >= 72 else 0, f"{duration(now.seconds_left)} left"
    name, percent = f"{epoch(now):<{max(0, label - 2)}}", f"{100 * now.fraction:.0f} %"
    bar = Table.grid(padding=(0, 2, 0, 0))
    room = width - sum(len(one) + 2 for one in (name, percent, left))
    cells: list[Any] = [Text(name, "bold", no_wrap=True), percent, left]
    if room >= 6:
        cells.insert(1, ProgressBar(total=1.0, completed=now.fraction, width=min(BAR, room - 2)))
    bar.add_row(*cells)
    start = " " * label
    lines = [Text(start + line) for line in _folded(figures(now).split("  "), width - label)]
    hint = "Ctrl-C stops and keeps the best model so far"
    hints = [Text(start + line, "dim") for line in _folded(hint.split(" "), width - label, " ")]
    return Group(bar, *lines, *hints)


def _folded(parts: list[str], width: int, between: str = "  ") -> list[str]:
    """The parts on as few lines of that width as hold them."""
    lines = [parts[0]]
    for part in parts[1:]:
        longer = f"{lines[-1]}{between}{part}"
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines
