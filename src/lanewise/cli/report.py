"""`lanewise report`: a page that shows what a model is, how accurate it is, and what happens inside it."""

from __future__ import annotations

from typing import Any

import click

from lanewise.cli.options import PATH, files_options, image_files, json_option, split_option, strict_option


@click.command(no_args_is_help=True)
@click.argument("model", type=PATH)
@click.argument("images", type=PATH)
@click.option(
    "--output", "-o", metavar="FILE", type=PATH, help="The page to write.  [default: MODEL.html, beside MODEL]"
)
@click.option("--force", is_flag=True, help="Allow --output to replace a file.")
@split_option
@files_options
@strict_option
@json_option
def report(
    model: str,
    images: str,
    output: str | None,
    force: bool,
    split: str | None,
    strict: bool,
    as_json: bool,
    **columns: Any,
) -> None:
    """Write a report on a model: one HTML file that opens offline.

    MODEL is a file that `lanewise train` saved. IMAGES is a folder with one subfolder of images per class, optionally
    inside folders train, val and test; a table or tar files, as for `lanewise train`; an .npz file; or the word digits.

    The report shows the data and its problems, the network beside a fully connected one, learning curves, accuracy with
    intervals, the confusion matrix, calibration, the worst mistakes, the learned filters, and for some images all
    feature maps, the gradient map and the occlusion map.
    """
    import os
    import time

    from lanewise.cli import evaluating, reporting
    from lanewise.cli.output import open_output, skipped_json
    from lanewise.model import Model
    from lanewise.report.page import check_installed, report_html, report_images
    from lanewise.wording import shown

    started, source = time.perf_counter(), image_files(images, columns)
    check_installed()
    out = open_output(as_json)
    loaded = Model.load(model)
    path = reporting.page_for(model, output, force)
    out.tell("Model", shown(model))
    with out.reading() as progress:
        found, part, parts = report_images(loaded, source, split=split, strict=strict, progress=progress)
    notes = evaluating.tell_images(out, images, loaded, found, part)
    with out.reading("comparing") as progress:
        page = report_html(loaded, found, part, parts, os.path.basename(model), progress)
    size = reporting.save_page(out, page, path, new=not force)
    out.finish(
        {
            "report": shown(path),
            "bytes": size,
            "model": shown(model),
            "images": shown(images),
            "split": part,
            "seconds": round(time.perf_counter() - started, 3),
            "notes": notes,
            "skipped": skipped_json(found.skipped),
        }
    )
