"""`lanewise search`: choose a network and the options of training by trying, on one machine or many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lanewise.cli.options import (
    INTERRUPTED,
    PATH,
    Decorator,
    colour_option,
    files_options,
    image_files,
    json_option,
    quiet_option,
    seconds,
    training_option,
)
from lanewise.training.options import FitOptions, TrainOptions
from lanewise.training.rules import about
from lanewise.training.searched import SEARCHED

if TYPE_CHECKING:
    from lanewise.cli.output import Output
    from lanewise.data.source import ImageFiles
    from lanewise.experiments.search_found import SearchRow
    from lanewise.experiments.search_plan import Plan, SearchProgress
    from lanewise.experiments.search_result import SearchResult

SHOWN = 10
"""Trials in the table at the end; the page has all."""

READING = ("size", "fit", "group_by", "seed")


def _all_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of training; those that can be searched take alternatives."""
    ours = [one for one in fields(TrainOptions) if about(one).command_line and one.name != "network"]
    shared = {one.name for one in fields(FitOptions)} | set(READING)
    for one in reversed([one for one in ours if one.name in shared]):
        command = (_searched(one) if one.name in SEARCHED else training_option(one))(command)
    return command


def _searched(one: Any) -> Decorator:
    """An option that takes one value or several."""
    known = about(one)
    default = known.default or ("none" if one.default is None else f"{one.default}")
    name = "--" + one.name.replace("_", "-")
    return click.option(name, one.name, metavar="SPACE", help=f"{known.command or known.text}  [default: {default}]")


@click.command(no_args_is_help=True)
@click.argument("images", type=PATH)
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    metavar="N",
    help="Number of trainings, those of all workers together.",
)
@click.option(
    "--network",
    multiple=True,
    metavar="SPACE",
    help="Layers with alternatives and ranges in braces, like 'conv {16..64}@{3x3,5x5}, relu, max 2, dense 10'; "
    "several are alternatives themselves.  [default: from small to large, if nothing is searched, else as train]",
)
@click.option(
    "--objectives",
    default="accuracy",
    show_default=True,
    metavar="NAMES",
    help="accuracy or loss, on the validation images; with weights, multiply-adds or latency, the best trade-offs are "
    "searched, like accuracy,weights.",
)
@_all_options
@colour_option
@files_options
@click.option(
    "--output",
    "-o",
    metavar="FOLDER",
    type=PATH,
    help="Folder for the database, the page and the models of the best trials; by default IMAGES-search.",
)
@click.option(
    "--storage",
    metavar="URL",
    envvar="LANEWISE_STORAGE",
    help="Database for workers on several machines, like postgresql://user@host/name; also read from LANEWISE_STORAGE, "
    "where a password is seen by fewer.  [default: a file in the folder]",
)
@click.option("--study", default="search", show_default=True, metavar="NAME", help="Name of the study in the database.")
@click.option(
    "--heartbeat",
    default="10s",
    show_default=True,
    metavar="TIME",
    callback=seconds,
    help="Time between a worker's signs of life; after six without, others begin its trial again.",
)
@json_option
@quiet_option
def search(
    images: str,
    trials: int,
    network: tuple[str, ...],
    objectives: str,
    output: str | None,
    storage: str | None,
    study: str,
    heartbeat: float,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Choose a network, learning rate and augmentation by trying.

    Where SPACE stands, give alternatives, like none,shift,flip, or a range: 0.01..0.3, 16..64 by 8, 16..256 log.
    Without any, networks from small to large, learning rates and augmentation are searched. --budget and --epochs are
    those of each training; what falls behind is stopped early. Validation images choose, and the test set is not looked
    at.

    The same command, on this or any machine that reaches the database, works on the same study at the same time, or
    goes on with it later. A trial whose worker was killed is begun again. IMAGES is what `lanewise train` takes.
    """
    from lanewise.cli.output import open_output
    from lanewise.data.source import stem_of
    from lanewise.extras import need
    from lanewise.wording import shown

    need("optuna", "a search", "search")
    from lanewise.errors import OptionError
    from lanewise.experiments.search_plan import Plan
    from lanewise.experiments.search_worker import Worker

    default = f"{stem_of(images) or 'images'}-search"
    folder = Path(output if output is not None else default)
    out = open_output(as_json, quiet=quiet)
    if options["epochs"] is not None and options["budget"] is not None:
        raise click.UsageError("Give --epochs or --budget, not both.")
    source = image_files(images, options)
    plan = Plan(source, trials, network or None, objectives, folder, storage, study, heartbeat, _given(options))
    _tell(out, source, plan)
    try:
        with _progress(out, plan) as say:
            found = Worker(plan).run(say)
    except KeyboardInterrupt:
        where = shown(folder) if plan.storage is None else "the database"
        click.echo(f"lanewise: stopped: {where} keeps the finished trials, and the same command resumes", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    page = _page(out, found, folder, source)
    _show(out, found, source, page)
    out.finish(
        {
            "images": images,
            **found.to_json(),
            "command": found.command(images=source) if found.best else None,
            "model": found.best and found.file(found.best) and str(found.file(found.best)),
            "page": page,
        }
    )
    failed = [row for row in found.rows if row.state == "failed"]
    if failed and len(failed) == len(found.rows) >= trials:
        raise OptionError(
            f"none of {len(failed):,} trials could be trained; trial {failed[0].number}, {failed[0].choices}: "
            f"{failed[0].reason}"
        )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options of training that were given."""
    defaults = {one.name: one.default for one in fields(TrainOptions)}
    return {name: value for name, value in options.items() if value is not None and value != defaults[name]}


def _tell(out: Output, images: str | ImageFiles, plan: Plan) -> None:
    """Say what there is, and what will be tried."""
    from lanewise.cli import evaluating
    from lanewise.wording import duration, plural, shape, shown

    sets = plan.images.sets
    train = sets.train
    said = f"{shape((train.channels, *train.size))}, {plural(len(train.classes), 'class')}"
    out.tell("Images", f"{shown(images)}: {said}")
    if sets.validation is None:
        held = f"{len(train) - plan.count:,} training images, {plan.count:,} held out for validation"
    else:
        held = f"{len(train):,} training images, {plan.count:,} for validation"
    out.tell("", held + ("; the test set is not looked at" if plan.images.tested else ""))
    out.notes(evaluating.without_lists(sets.notes))
    out.skipped(sets.skipped)
    label = "Searched"
    for name, texts in plan.space.to_json().items():
        for n, text in enumerate(texts if isinstance(texts, list) else [texts], 1):
            number = f" {n}" if isinstance(texts, list) and len(texts) > 1 else ""
            out.tell(label, f"{name}{number}: {text}")
            label = ""
    budget = plan.fixed.get("budget")
    trials = int(min(plan.trials, plan.space.count()))
    length = "" if budget is None else f" of up to {duration(budget)} each, {duration(budget * trials)} in all"
    fewer = "" if trials == plan.trials else ", as there are no more combinations"
    out.tell("Trials", f"{trials}{fewer}{length}")


@contextmanager
def _progress(out: Output, plan: Plan) -> Iterator[Callable[[SearchProgress], None] | None]:
    """A line for each trial that ends; on a terminal, one below that moves."""
    if out.quiet:
        yield None
        return
    if not out.live:
        yield lambda now: _line(out, now, plan)
        return
    with out.console.status("") as status:

        def say(now: SearchProgress) -> None:
            _line(out, now, plan)
            if now.training is not None:
                known = now.training
                accuracy = f", accuracy {100 * known.accuracy:.1f} %" if known.accuracy is not None else ""
                status.update(
                    f"trial {now.number}: epoch {known.epoch} of {known.epochs:.0f}{accuracy}   "
                    "(Ctrl-C stops; the same command resumes)"
                )

        yield say


def _line(out: Output, now: SearchProgress, plan: Plan) -> None:
    if now.waiting:
        out.tell(f"{now.done}/{now.total}", "waiting for trials of other workers")
    if now.row is not None:
        out.tell(f"{now.done}/{now.total}", _in_a_line(now.row, plan.count))


def _in_a_line(row: SearchRow, count: int) -> str:
    from lanewise.experiments.search_found import ended, written
    from lanewise.wording import duration, percent

    accuracy = "" if row.accuracy is None else percent(row.accuracy, count) + "  "
    how = ended(row) if row.state != "complete" else f"{written('weights', row.weights)} weights"
    why = f": {row.reason}" if row.reason else ""
    return f"{accuracy}{how}{why}  {duration(row.seconds)}  trial {row.number}: {row.choices}"


def _page(out: Output, found: SearchResult, folder: Path, images: str | ImageFiles) -> str | None:
    """Write the page, if what draws it is installed."""
    from lanewise.errors import MissingPackageError
    from lanewise.experiments.search_found import file_name

    path = folder / f"{file_name(found.study)}.html"
    try:
        found.save_page(path, images)
    except MissingPackageError as error:
        out.tell("Page", f"not written: {error}")
        return None
    return str(path)


def _show(out: Output, found: SearchResult, images: str | ImageFiles, page: str | None) -> None:
    """Print the best trials and what to do with them."""
    from lanewise.cli.output import laid_out
    from lanewise.data.source import words_of
    from lanewise.experiments.search_found import model_file
    from lanewise.wording import percent, quoted, shown

    out.blank()
    heads, rows = found.table(SHOWN)
    out.table(laid_out(heads, rows, ("ended", "choices")))
    out.blank()
    out.result("Evaluated", found.evaluating)
    out.result("Trials", f"{found.told}, in {shown(found.where)}")
    for objective, shares in found.importances.items():
        if shares:
            told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in list(shares.items())[:4])
            out.result("What mattered", f"for {objective}: {told}")
    best = found.best
    if best is not None:
        out.result("Best", f"{percent(best.accuracy or 0, found.count)}: trial {best.number}, {best.choices}", "bold")
        out.result("Again", found.command(best, images, model_file(found.study, best.number)))
        file = found.file(best)
        elsewhere = f"kept where {best.worker} trained it; the command above trains it again"
        out.result("Model", elsewhere if file is None else shown(file))
        if file is not None and found.tested:
            out.result("Evaluate it", f"lanewise evaluate {quoted(file)} {words_of(images)}, once all is chosen")
    if page is not None:
        out.result("Page", shown(page))
