"""`lanewise check`: problems in a set of images, before training on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from lanewise.cli.options import PATH, check_page, check_place, columns_options, image_files, json_option

if TYPE_CHECKING:
    from lanewise.cli.output import Output
    from lanewise.data_check.findings import Finding, Findings

MOST_CASES = 5
LONG = 3.0
"""Seconds from which on the time a stage takes is announced."""

STYLES = {"serious": "bold red", "warning": "yellow", "note": ""}


@click.command(no_args_is_help=True)
@click.argument("images", type=PATH)
@click.option(
    "--page",
    type=PATH,
    metavar="FILE",
    help="Also write an HTML page that shows the images.  [default: none]",
)
@click.option("--force", is_flag=True, help="Allow --page to replace a file.")
@click.option("--labels/--no-labels", default=True, show_default=True, help="Train networks to find wrong labels.")
@click.option(
    "--model",
    type=PATH,
    metavar="FILE",
    help="Find the training images of this model, and test the labels of the others with it.  [default: none]",
)
@click.option(
    "--start",
    type=PATH,
    default="auto",
    metavar="lite0|FILE|none",
    help="Network whose features find wrong labels and near copies.  [default: lite0 for photographs, if it is "
    "installed and labels are tested]",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed for training these networks.",
)
@click.option(
    "--group-by",
    metavar="PATTERN",
    help="Images that belong together, as for `lanewise train`: they stay in one fold, and groups that are in two sets "
    "are found.  [default: none]",
)
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Number of threads.  [default: all processors]")
@columns_options
@click.option("--strict", is_flag=True, help="End with exit status 1 if anything serious is found.")
@json_option
def check(
    images: str,
    page: str | None,
    force: bool,
    labels: bool,
    model: str | None,
    start: str,
    seed: int,
    group_by: str | None,
    threads: int | None,
    strict: bool,
    as_json: bool,
    **columns: Any,
) -> None:
    """Check images for problems before training.

    IMAGES is what `lanewise train` takes: a folder with one subfolder of images per class, optionally inside folders
    train, val and test; a table (.csv) of paths and classes; tar files; an .npz file; or the word digits. Finds
    duplicates, above all across training and test set, images that look mislabelled, unreadable files, classes with few
    images, and outliers. Changes nothing.
    """
    import lanewise
    from lanewise.cli.output import open_output
    from lanewise.errors import DataError
    from lanewise.wording import shown

    out, source = open_output(as_json), image_files(images, columns)
    if page is not None:
        check_page(page)
        check_place(page, force)
        from lanewise.data_check.page import require

        require()
    loaded = None if model is None else lanewise.Model.load(model)
    with _progress(out) as progress:
        found = lanewise.check(
            source,
            labels=labels,
            model=loaded,
            start=start,
            group_by=group_by,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    _tell(out, found)
    if page is not None:
        from lanewise.data_check.page import write

        write(found, page)
        out.result("Page", shown(page))
    out.finish({**found.to_json(), "model": model, "page": page})
    if strict and found.count("serious"):
        serious = "; ".join(one.message.rstrip(".") for one in found.items if one.severity == "serious")
        raise DataError(f"{images} has serious faults: {serious}")


@contextmanager
def _progress(out: Output) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar that names what is being done, with the time left; where nobody watches, a line for what takes long."""
    from lanewise.cli.output import LABEL
    from lanewise.data_check.check import Pace
    from lanewise.wording import duration

    if not out.live:
        pace, said = Pace(), set[str]()

        def tell(stage: str, done: int, total: int) -> None:
            left = pace.left(stage, done, total)
            if left is not None and left >= LONG and stage not in said:
                said.add(stage)
                spared = "; --no-labels skips it" if stage == "testing labels" else ""
                out.tell("Time", f"{stage} takes about {duration(left)}{spared}")

        yield tell
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(" " * LABEL + "{task.description}"),
        BarColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    with Progress(*columns, console=out.console, transient=True) as bar:
        task, current = bar.add_task("reading", total=None), ["reading"]

        def show(stage: str, done: int, total: int) -> None:
            if stage != current[0]:
                current[0] = stage
                bar.reset(task, total=total, description=stage)
            bar.update(task, completed=done, total=total)

        yield show


def _tell(out: Output, found: Findings) -> None:
    from lanewise.wording import duration, plural, shown

    collection = found.collection
    parts = [
        f"{plural(int((collection.parts == n).sum()), 'image')} in {name}"
        for n, name in enumerate(collection.part_names)
    ]
    out.result("Images", f"{shown(found.source)}: {', '.join(parts)}")
    out.result("Classes", ", ".join(_classes(found)))
    for one in found.items:
        out.blank()
        _finding(out, one)
    out.blank()
    for sentence in found.notes:
        out.result("Note", sentence)
    for sentence in found.not_done:
        out.result("Not done", sentence)
    told = ", ".join(plural(found.count(s), s) if s != "serious" else f"{found.count(s)} serious" for s in STYLES)
    out.result("Findings", f"{told}, in {duration(found.seconds)}" if found.items else "none")


def _classes(found: Findings) -> list[str]:
    from lanewise.wording import shown

    counts = found.collection.counts()
    names = [f"{shown(name)} {sum(part[name] for part in counts.values()):,}" for name in found.collection.classes]
    return names[:12] + ([f"and {len(names) - 12} more"] if len(names) > 12 else [])


def _finding(out: Output, one: Finding) -> None:
    from lanewise.wording import shown, some

    out.result(one.severity.capitalize(), shown(one.message), STYLES[one.severity])
    for case in one.cases[:MOST_CASES]:
        names = some(map(shown, case.names), 4)
        out.result("", f"  {names}: {shown(case.detail)}" if case.detail else f"  {names}")
    if len(one.cases) > MOST_CASES:
        groups = "" if one.images is None else " groups"
        out.result("", f"  and {len(one.cases) - MOST_CASES:,} more{groups}")
    out.result("", one.advice)
