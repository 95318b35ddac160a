"""`lanewise compare`: what learned filters are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from lanewise.cli.options import PATH, experiment_options

if TYPE_CHECKING:
    from rich.table import Table

    from lanewise.cli.output import Output
    from lanewise.experiments.compare import CompareProgress, Comparison

EVALUATED = ("accuracy %", "95 %", "gap", "training")
"""Columns of the first of two tables on a narrow terminal."""


@click.command(no_args_is_help=True)
@click.argument("images", type=PATH)
@click.option(
    "--network",
    default="auto",
    metavar="TEXT",
    help="The convolutional network.  [default: chosen from the images]",
)
@click.option(
    "--bank",
    metavar="NAMES",
    help="Fixed filters, like sobel+laplacian+blur+sharpen.  [default: chosen from the images]",
)
@experiment_options(seeds=3)
def compare(images: str, network: str, bank: str | None, **options: Any) -> None:
    """Measure what learned filters are worth, by training five networks on the same images.

    The networks are a fully connected one; one on hand-made features (fixed edge, blur and sharpen filters, ReLU,
    pooling, and a trained classifier); a convolutional one whose first layer is fixed; one of harmonic blocks (fixed
    cosines and learned 1x1 convolutions); and a convolutional one that learns all its filters. All are trained on the
    same images for the same number of epochs, with several seeds. The best weights are chosen on the validation set and
    evaluated on the test set; without a test set, they are evaluated on the validation set, and without either, on a
    fifth of the images. IMAGES is what `lanewise train` takes.

    Finished trainings are kept: the same command resumes a run that was stopped or killed.
    """
    from lanewise.cli.experimenting import conduct
    from lanewise.experiments.compare import compare as run

    conduct("compare", images, options, partial(run, network=network, bank=bank), watch=_progress, show=show)


def show(out: Output, found: Comparison) -> None:
    """Print the table, the networks and the conclusion."""
    for table in _tables(out, found):
        out.table(table)
        out.blank()
    for row in found.rows:
        out.tell(row.name.capitalize(), row.network)
    out.blank()
    out.result("Evaluated", found.evaluating.sentence)
    out.result("Conclusion", found.sentence, "bold")


def _tables(out: Output, found: Comparison) -> Iterator[Table]:
    """One table, or on a narrow terminal two: how good the networks are, and what they take."""
    from lanewise.cli.experimenting import fitting

    heads, rows = found.table()
    others = [head for head in heads if head not in EVALUATED]
    return fitting(out, heads, rows, ("", "training"), (["", *EVALUATED], others))


@contextmanager
def _progress(out: Output, count: int) -> Iterator[Callable[[CompareProgress], None]]:
    """The current training, on a terminal, and a line for each training that is done."""
    if not out.live:
        yield partial(_line, out)
        return
    with out.console.status("getting ready") as status:

        def say(now: CompareProgress) -> None:
            _line(out, now)
            if now.training is not None:
                share = f"{100 * now.training.fraction:.0f} %"
                status.update(f"{now.done + 1} of {now.total}: {now.name}, seed {now.seed}: {share}")

        yield say


def _line(out: Output, now: CompareProgress) -> None:
    if now.accuracy is not None:
        out.tell(f"{now.done}/{now.total}", f"{100 * now.accuracy:.1f} %  {now.name}, seed {now.seed}")
