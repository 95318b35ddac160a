"""`lanewise vary`: train a grid of networks, and find those that are worth their weights and time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from lanewise.cli.options import PATH, experiment_options

if TYPE_CHECKING:
    from rich.table import Table

    from lanewise.cli.output import Output
    from lanewise.experiments.grid import Impossible
    from lanewise.experiments.rows import Row
    from lanewise.experiments.vary import Grid, VaryProgress

SHOWN_LIVE, BESIDES = 12, 5
"""Networks in the table that grows, and lines that it takes besides."""

SPARED = ("gap", "connections")
"""Columns that narrow terminals go without; --json has all."""

MOST_IMPOSSIBLE = 12
MANY = 8
"""The number of networks from which on the accuracy of the best is noticeably too high."""


def _one_text(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> str:
    """The text of the option; refuse two, of which one would be ignored."""
    if len(value) > 1:
        raise click.BadParameter(f"there are {len(value)}; give one, with alternatives in braces.", ctx, param)
    return value[0]


@click.command(no_args_is_help=True)
@click.argument("images", type=PATH)
@click.option(
    "--network",
    required=True,
    multiple=True,
    callback=_one_text,
    metavar="TEXT",
    help="Layers with alternatives in braces, like 'conv {8,16}@{3x3,5x5}, relu, {max,average} 2, dense 10'.",
)
@experiment_options(seeds=1)
def vary(images: str, network: str, **options: Any) -> None:
    """Train many variants of a network, and see what accuracy costs.

    Every combination of the alternatives in braces is trained on the same images for the same number of epochs. The
    best weights are chosen on the validation set and evaluated on the test set; without a test set, they are evaluated
    on the validation set, and without either, on a fifth of the images. IMAGES is what `lanewise train` takes.

    Finished trainings are kept: the same command resumes a run that was stopped or killed. Combinations that are not
    valid networks are listed with the reason.
    """
    from lanewise.cli.experimenting import conduct
    from lanewise.experiments.grid import expand
    from lanewise.experiments.vary import vary as run
    from lanewise.wording import plural

    each = f", {options['seeds']} seeds each" if options["seeds"] > 1 else ""
    told = plural(len(expand(network)), "combination") + each  # a typo is reported before images are read
    conduct("vary", images, options, partial(run, network=network), _progress, show, grid=network, networks=told)


def show(out: Output, grid: Grid) -> None:
    """Print the table, the Pareto front, and the combinations that are not valid networks."""
    from lanewise.training.crossvalidation import FEW_HELD_OUT
    from lanewise.wording import plural

    if grid.rows:
        out.table(_table(out, *grid.table()))
        out.blank()
        out.result("Evaluated", grid.evaluating.sentence)
        best = max(grid.rows, key=lambda row: (row.accuracy, -row.weights))
        out.result("Most accurate", f"{100 * best.accuracy:.1f} %: {best.text}", "bold")
        small = _small_enough(grid, best)
        if small is not best:
            out.result(
                "Nearly as good",
                f"{100 * small.accuracy:.1f} %, within the interval of that, with {small.weights:,} weights instead of "
                f"{best.weights:,}: {small.text}",
            )
        few = grid.count < FEW_HELD_OUT
        if len(grid.rows) >= (2 if few else MANY):
            how = (
                f"on only {plural(grid.count, 'image')}, its accuracy may be much"
                if few
                else "its accuracy is slightly"
            )
            out.tell("", f"it is the best of {len(grid.rows)}, so {how} too high")
    _show_impossible(out, grid.impossible)


def _show_impossible(out: Output, impossible: Sequence[Impossible]) -> None:
    """Each reason once, with the first combination that it holds for."""
    from lanewise.wording import some

    reasons: dict[str, list[str]] = {}
    for one in impossible:
        reasons.setdefault(one.reason, []).append(one.text)
    for n, (reason, texts) in enumerate(list(reasons.items())[:MOST_IMPOSSIBLE]):
        out.result("" if n else "Impossible", f"{some(texts, 1)}: {reason}", "yellow")
    if len(reasons) > MOST_IMPOSSIBLE:
        out.result("", f"and {sum(map(len, list(reasons.values())[MOST_IMPOSSIBLE:])):,} more, for other reasons")


def _small_enough(grid: Grid, best: Row) -> Row:
    """The smallest network whose accuracy lies within the interval of the best."""
    good = [row for row in grid.rows if row.accuracy >= best.interval[0]]
    return min(good, key=lambda row: (row.weights, -row.accuracy))


@contextmanager
def _progress(out: Output, count: int) -> Iterator[Callable[[VaryProgress], None]]:
    """A table that grows on a terminal, a line a network elsewhere."""
    if not out.live:
        yield lambda now: _line(out, now, count)
        return
    from rich.live import Live

    rows: list[Row] = []
    with Live(console=out.console, transient=True, refresh_per_second=4) as live:
        yield lambda now: live.update(_image(out, now, rows, count))


def _line(out: Output, now: VaryProgress, count: int) -> None:
    if now.row is not None:
        accuracy, _, _, weights, _, time = _figures(now.row, count)
        out.tell(f"{now.done}/{now.total}", f"{accuracy} %  {weights} weights  {time}  {now.row.text}")


def _image(out: Output, now: VaryProgress, rows: list[Row], count: int) -> Any:
    from rich.console import Group
    from rich.text import Text

    if now.row is not None:
        rows.append(now.row)
    heads = ["accuracy %", "95 %", "gap", "weights", "connections", "time", "network"]
    latest = rows[-max(1, min(SHOWN_LIVE, out.console.height - BESIDES)) :]
    table = _table(out, heads, [[*_figures(row, count), row.text] for row in latest])
    *numbers, network = table.columns
    for column in numbers:
        column.min_width = max(len(str(cell)) for cell in (column.header, *column.cells))  # a number cut is another one
    network.no_wrap, network.overflow = True, "ellipsis"
    where = Text(f"{now.done} of {now.total} done; now seed {now.seed}: {now.text}", no_wrap=True, overflow="ellipsis")
    return Group(table, where, Text("Ctrl-C stops; the same command resumes", "dim"))


def _table(out: Output, heads: list[str], rows: list[list[str]]) -> Table:
    """All columns, or on a narrow terminal the most important ones."""
    from lanewise.cli.experimenting import fitting

    kept = [head for head in heads if head not in SPARED]
    return next(fitting(out, heads, rows, ("best for", "network"), (kept,)))


def _figures(row: Row, count: int) -> list[str]:
    from lanewise.experiments.rows import figures

    return figures(row, count)
