"""`lanewise evaluate`: how good a model is on images whose classes are known."""

from __future__ import annotations

from typing import Any

import click

from lanewise.cli.options import (
    PATH,
    abstain_option,
    files_options,
    image_files,
    json_option,
    split_option,
    strict_option,
)


@click.command(no_args_is_help=True)
@click.argument("model", type=PATH)
@click.argument("images", type=PATH)
@split_option
@click.option(
    "--only", metavar="PATTERN", help="Evaluate only files whose name matches, like 'street-*'.  [default: all]"
)
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="Also report the top-N accuracy: how often the true class is among the N most probable.  [default: none]",
)
@abstain_option
@click.option(
    "--group-by",
    metavar="PATTERN",
    help="Images that belong together, as for `lanewise train`: of a group that MODEL knows, all are left out. "
    " [default: by folder, if MODEL was trained so]",
)
@files_options
@strict_option
@json_option
def evaluate(
    model: str,
    images: str,
    split: str | None,
    only: str | None,
    top: int | None,
    abstain: float | None,
    group_by: str | None,
    strict: bool,
    as_json: bool,
    **columns: Any,
) -> None:
    """Evaluate a model on labelled images.

    MODEL is a file that `lanewise train` saved. IMAGES is a folder with one subfolder of images per class, optionally
    inside folders train, val and test; a table or tar files, as for `lanewise train`; an .npz file; or the word digits.
    Shows the accuracy with its 95 % interval,
    figures for each class, the confusion matrix and the worst mistakes.
    """
    import time

    from lanewise.cli import evaluating
    from lanewise.cli.output import open_output, skipped_json
    from lanewise.evaluation.evaluate import check_top, evaluate_images, images_for
    from lanewise.model import Model
    from lanewise.wording import plural, shape, shown

    started, source = time.perf_counter(), image_files(images, columns)
    out = open_output(as_json)
    loaded = Model.load(model)
    check_top(loaded, top)
    if abstain is not None:
        loaded.threshold(abstain)  # refused before images are read
    out.tell("Model", f"{shown(model)}: {shape(loaded.graph.input_shape)}, {plural(len(loaded.classes), 'class')}")
    with out.reading() as progress:
        found, part = images_for(loaded, source, split=split, strict=strict, progress=progress, group_by=group_by)
    if only is not None:
        found = found.matching(only)
    more = []
    if part == "train" and not any("training accuracy" in note for note in (*loaded.notes, *found.notes)):
        more.append("These are training images: the accuracy says nothing about new images.")
    matching = f" that match {shown(only)}" if only is not None else ""
    notes = evaluating.tell_images(out, images, loaded, found, part, matching, more)
    evaluated = evaluate_images(loaded, found, split=part, top=top, abstain=abstain)
    out.blank()
    evaluating.accuracy(out, evaluated)
    evaluating.abstention(out, evaluated)
    evaluating.groups(out, evaluated)
    evaluating.details(out, evaluated)
    out.finish(
        {
            **evaluated.to_json(),
            "model": shown(model),
            "images": shown(images),
            "only": only,
            "network": loaded.network,
            "seconds": round(time.perf_counter() - started, 3),
            "notes": notes,
            "skipped": skipped_json(found.skipped),
        }
    )
