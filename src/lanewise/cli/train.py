"""`lanewise train`: images in, a trained and evaluated model out."""

from __future__ import annotations

import time
from typing import Any

import click

from lanewise.cli.options import PATH, json_option, seconds, strict_option

FAILED, INTERRUPTED = 1, 130


@click.command(no_args_is_help=True)
@click.argument("images", type=PATH)
@click.option(
    "--network",
    metavar="TEXT",
    help="Layers, like 'conv 16@3x3 same, relu, max 2, dense 10'; by default chosen from the images.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    metavar="N",
    help="How often each image is learned from; by default chosen from their number.",
)
@click.option(
    "--budget", callback=seconds, metavar="TIME", help="How long to learn instead: 30s, 2m, 1h; no limit by default."
)
@click.option(
    "--batch-size", type=click.IntRange(1), metavar="N", help="Images of a step; by default chosen from their number."
)
@click.option("--optimizer", type=click.Choice(["sgd", "adamw"]), default="sgd", show_default=True)
@click.option(
    "--learning-rate",
    type=float,
    metavar="X",
    help="The largest.  [default: 0.05 for sgd, 0.002 for adamw; a tenth of that with --start]",
)
@click.option(
    "--weight-decay",
    type=float,
    metavar="X",
    help="How fast weights shrink.  [default: 0.0005 for sgd, 0.01 for adamw]",
)
@click.option(
    "--schedule",
    type=click.Choice(["one-cycle", "cosine", "constant"]),
    default="one-cycle",
    show_default=True,
    help="How the learning rate goes up and down.",
)
@click.option(
    "--label-smoothing", type=float, default=0.0, metavar="X", show_default=True, help="Label smoothing, 0 to below 1."
)
@click.option(
    "--augment",
    type=click.Choice(["auto", "none", "shift", "flip", "shift+flip"]),
    default="auto",
    show_default=True,
    help="How images are varied while learning.",
)
@click.option(
    "--class-weight",
    type=click.Choice(["balanced"]),
    help="Let rare classes count as much as frequent ones; by default all images count alike.",
)
@click.option(
    "--validation-fraction",
    type=float,
    default=0.1,
    metavar="X",
    show_default=True,
    help="Share of the training images held out to find the best weights by, where there are no validation images.",
)
@click.option(
    "--folds",
    type=click.IntRange(0),
    metavar="N",
    help="Cross-validate with N folds: accuracy by all images, and the model from all. By default 5 where a class has "
    "fewer than 30 images and it takes seconds; 0 holds images out.",
)
@click.option("--no-early-stopping", is_flag=True, help="Go through all epochs, even if nothing improves any more.")
@click.option(
    "--size",
    metavar="SIZE",
    help="Resize images to this: 32, or rows x columns like 32x48; chosen from their sizes by default.",
)
@click.option("--grey/--colour", "--gray/--color", default=None, help="How images are read; by default as they are.")
@click.option(
    "--start",
    metavar="MODEL",
    type=PATH,
    help="Go on training this model; with --network, from the layers that both begin with; none by default.",
)
@click.option("--threads", type=click.IntRange(1), metavar="N", help="By default as many as processors.")
@click.option("--no-winograd", is_flag=True, help="Compute all convolutions directly: slower, with less rounding.")
@click.option("--seed", type=int, default=0, metavar="N", show_default=True, help="Same seed, same result.")
@click.option("--output", "-o", metavar="FILE", type=PATH, help="Where the model goes; by default IMAGES.onnx.")
@click.option("--force", is_flag=True, help="Let --output replace a file.")
@click.option(
    "--report",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    type=click.Path(),
    help="Write a page that shows the model, too; by default beside it, as MODEL.html.",
)
@click.option(
    "--history",
    metavar="FILE",
    type=PATH,
    help="Write loss, accuracy and more of each epoch as CSV; no file by default.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Evaluate the files that match apart too; repeatable, none by default.",
)
@strict_option
@json_option
@click.option("--quiet", "-q", is_flag=True, help="Say the results only.")
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
    """Learn to tell images apart, and save the model.

    IMAGES is a folder that holds a folder of images per class, or folders train, val and test that do; an .npz
    file with arrays x_train and y_train; or the word digits, for the handwritten digits built in. Test images only
    evaluate. Without them the validation images do, and the figure is called a validation figure.

    Ctrl-C stops learning and keeps the best model so far, and so does SIGTERM; the exit status is then 130.
    """
    if options["epochs"] is not None and options["budget"] is not None:
        raise click.UsageError("Give --epochs or --budget, not both.")
    if options["only"]:
        if options["folds"]:
            raise click.UsageError("--only evaluates by images that are held out, and --folds holds none out.")
        options["folds"] = 0
    from lanewise.cli import reporting, training
    from lanewise.cli.output import open_output
    from lanewise.cli.saving import amend, place_for, save
    from lanewise.cli.tables import check_table, write_table
    from lanewise.frames import history_table
    from lanewise.interrupts import Presses
    from lanewise.wording import shown

    began = time.perf_counter()
    out = open_output(as_json, quiet=quiet)
    check_table(history, force, "--history")
    place = place_for(images, output, force)
    if report is not None:
        reporting.check(place.path, report or None, force)
    with Presses(all_signals=True) as presses:
        lesson = training.prepare(out, images, options)
        model = training.learn(out, lesson, options)
        # Saved before it is evaluated: whatever happens from here on, the model is there.
        saved = save(model, place)
        evaluated = training.evaluate(lesson, model)
        amend(training.with_figures(model, evaluated), saved)
    if history is not None:
        write_table(history, force, *history_table(model.history))
    page = None if report is None else reporting.page_for(saved.path, report or None, force)
    training.report(out, lesson, model, evaluated, saved, began, page, new_page=not force)
    if saved.trouble is not None:
        click.echo(f'lanewise: {shown(saved.trouble)}; it was saved as "{shown(saved.path)}" instead', err=True)
        raise click.exceptions.Exit(FAILED)
    if model.provenance["interrupted"] or presses.count:
        raise click.exceptions.Exit(INTERRUPTED)
