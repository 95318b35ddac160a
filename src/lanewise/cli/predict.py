"""`lanewise predict`: the class of each image, and how probable it is."""

from __future__ import annotations

import click

from lanewise.cli.options import (
    PATH,
    abstain_option,
    csv_option,
    image_files,
    json_option,
    path_column_option,
    strict_option,
)


@click.command(no_args_is_help=True)
@click.argument("model", type=PATH)
@click.argument("paths", nargs=-1, required=True, type=PATH)
@click.option(
    "--top", type=click.IntRange(1), default=1, metavar="N", show_default=True, help="Show the N most probable classes."
)
@abstain_option
@csv_option
@click.option("--force", is_flag=True, help="Allow --csv to replace a file.")
@path_column_option
@strict_option
@json_option
def predict(
    model: str,
    paths: tuple[str, ...],
    top: int,
    abstain: float | None,
    csv: str | None,
    force: bool,
    path_column: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Predict the classes of images.

    Prints the most probable class of each image and its probability. MODEL is a file that `lanewise train` saved. PATHS
    are image files; folders, which are searched recursively; tables (.csv) of paths; and tar files. Images are
    preprocessed as in training.
    """
    if as_json and csv == "-":
        raise click.UsageError("--json and --csv - both want standard output: give a file to one of them.")
    import numpy as np

    from lanewise.cli.output import open_output, skipped_json
    from lanewise.cli.tables import STANDARD_OUTPUT, check_table, write_table
    from lanewise.data.reading import listed_reasons
    from lanewise.errors import DataError
    from lanewise.frames import predictions_table
    from lanewise.inputs import read_files
    from lanewise.model import Model
    from lanewise.pixel_scale import on_scale
    from lanewise.wording import plural, shown

    # Standard output is for answers alone, so that they can be piped; all else goes to standard error.
    out = open_output(as_json, aside=True)
    check_table(csv, force, "--csv")
    loaded = Model.load(model)
    rule = None if abstain is None else loaded.threshold(abstain)
    sources = [image_files(path, {"path_column": path_column}) for path in paths]
    with out.reading() as progress:
        pixels, names, skipped = read_files(sources, loaded.preprocessing, progress)
    if skipped and (strict or not names):
        raise DataError(f"{plural(len(skipped), 'file')} cannot be used ({listed_reasons(skipped)})")
    scaled, note = on_scale(pixels, loaded.preprocessing)
    probabilities = loaded.predict_proba(scaled)
    named = np.ones(len(names), bool) if rule is None else rule.named(probabilities)
    notes = [*loaded.notes, *([] if note is None else [note])]
    if rule is not None:
        notes.append(f"{int((~named).sum()):,} of {plural(len(names), 'image')} not named: {rule}.")
    out.notes(notes)
    out.skipped(skipped)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    answers = [
        [(loaded.classes[k], float(row[k])) for k in order] for row, order in zip(probabilities, best, strict=True)
    ]
    if csv is not None:
        heads, table = predictions_table(probabilities, loaded.classes, named)
        write_table(csv, force, ["file", *heads], [[name, *row] for name, row in zip(names, table, strict=True)])
    if not as_json and csv != STANDARD_OUTPUT:
        longest = max(len(shown(name)) for name in names)
        widest = max(len(shown(label)) for label in loaded.classes)
        for name, answer, tells in zip(names, answers, named, strict=True):
            cells = [f"{shown(label):<{widest}}  {100 * probability:5.1f} %" for label, probability in answer]
            cells = cells if tells else ["not named", *cells]
            click.echo("   ".join([f"{shown(name):<{longest}}", *cells]))
    out.finish(
        {
            "model": shown(model),
            "classes": loaded.classes,
            "predictions": [
                {
                    "file": name,
                    "class": answer[0][0] if tells else None,
                    "probability": answer[0][1],
                    "top": [{"class": label, "probability": probability} for label, probability in answer],
                }
                for name, answer, tells in zip(names, answers, named, strict=True)
            ],
            "notes": notes,
            "skipped": skipped_json(skipped),
        }
    )
