"""`lanewise train`: images in, a trained and evaluated model out."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import click

from lanewise.cli.options import (
    FAILED,
    INTERRUPTED,
    PATH,
    check_apart,
    colour_option,
    files_options,
    image_files,
    json_option,
    quiet_option,
    strict_option,
    training_options,
)
from lanewise.training.options import TrainOptions


@click.command(no_args_is_help=True)
@click.argument("images", type=PATH)
@training_options(TrainOptions)
@colour_option
@files_options
@click.option("--output", "-o", metavar="FILE", type=PATH, help="File for the model; by default IMAGES.onnx.")
@click.option("--force", is_flag=True, help="Allow --output to replace a file.")
@click.option(
    "--report",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    type=click.Path(),
    help="Also write a report on the model; by default MODEL.html, beside the model.",
)
@click.option(
    "--history",
    metavar="FILE",
    type=PATH,
    help="Write the loss, accuracy and other figures of each epoch as CSV.  [default: none]",
)
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Also report files matching PATTERN separately; repeatable.  [default: none]",
)
@strict_option
@json_option
@quiet_option
def train(
    images: str,
    output: str | None,
    force: bool,
    report: str | None,
    history: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a network to classify images, and save the model.

    IMAGES is a folder that holds a folder of images per class, or folders train, val and test that do; a table (.csv)
    of paths and classes, or a folder and such a table as --labels; such a folder as a tar file, or tar files like
    'train-{000..009}.tar' of WebDataset's form; an .npz file with arrays x_train and y_train; or the word digits, for
    the built-in handwritten digits. The model is evaluated on the test set. Without one it is evaluated on the
    validation set, and the figure is called validation accuracy.

    Ctrl-C or SIGTERM stops training and keeps the best model so far; the exit status is then 130. A training that was
    killed is resumed by the same command with --resume.
    """
    source = image_files(images, options)
    if options["epochs"] is not None and options["budget"] is not None:
        raise click.UsageError("Give --epochs or --budget, not both.")
    if options["only"]:
        if options["folds"]:
            raise click.UsageError("--only needs images that are held out, and --folds holds none out.")
        options["folds"] = 0
    from lanewise.cli import reporting, training
    from lanewise.cli.output import open_output
    from lanewise.cli.resuming import keeper_for
    from lanewise.cli.saving import amend, name_for, place_for, save
    from lanewise.cli.tables import check_table, write_table
    from lanewise.frames import history_table
    from lanewise.interrupts import Presses
    from lanewise.ranks import together
    from lanewise.report.page import check_installed
    from lanewise.wording import shown

    began = time.perf_counter()
    out = open_output(as_json, quiet=quiet)
    check_table(history, force, "--history")
    check_apart(output=name_for(images, output), checkpoint=options["checkpoint"], history=history, report=report)
    with Presses(all_signals=True) as presses, ExitStack() as last:
        with together() as ranks:
            keeper = keeper_for(out, name_for(images, output), options["checkpoint"], options["resume"])
            last.callback(keeper.close)
            place = place_for(images, output, force, keeper.about.get("weights"))
            if report is not None:
                check_installed()
                reporting.page_for(place.path, report or None, force)
            prepared = training.prepare(out, source, options, keeper)
            model = training.fit(out, prepared, options, keeper)
        if ranks is not None and ranks.rank > 0:  # the first one saves the model
            raise click.exceptions.Exit(INTERRUPTED if model.provenance["interrupted"] else 0)
        # Saved before it is evaluated: whatever happens from here on, the model is there.
        saved = save(model, place)
        evaluated = training.evaluate(prepared, model)
        amend(training.with_figures(model, evaluated), saved)
    if history is not None:
        write_table(history, force, *history_table(model.history))
    page = None if report is None else reporting.page_for(saved.path, report or None, force)
    training.report(out, prepared, model, evaluated, saved, began, page, new_page=not force)
    training.end(out, model, keeper)
    if saved.trouble is not None:
        click.echo(f'lanewise: {shown(saved.trouble)}; it was saved as "{shown(saved.path)}" instead', err=True)
        raise click.exceptions.Exit(FAILED)
    if model.provenance["interrupted"] or presses.count:
        raise click.exceptions.Exit(INTERRUPTED)
