"""`lanewise import`: a classifier from elsewhere as a model file of Lanewise."""

from __future__ import annotations

from dataclasses import replace

import click

from lanewise.cli.options import PATH, json_option, numbers
from lanewise.wording import shown


@click.command("import", no_args_is_help=True)
@click.argument("file", type=PATH)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    type=PATH,
    help="Where to save the model; by default in this folder, under the name of FILE.",
)
@click.option(
    "--classes",
    metavar="FILE",
    type=PATH,
    help="A text file with the name of each class on a line, in the order of the outputs; by default they are numbers.",
)
@click.option(
    "--preprocess",
    type=click.Choice(["imagenet", "unit", "symmetric", "bytes"]),
    help="What the network takes: pixels by the mean and standard deviation of ImageNet, from 0 to 1, from -1 to 1, or "
    "from 0 to 255. By default what FILE says, which is mostly nothing.",
)
@click.option(
    "--mean",
    metavar="X[,X,X]",
    callback=numbers,
    help="Of pixels from 0 to 1: what is subtracted from all channels, or from each.  [default: 0]",
)
@click.option(
    "--std", metavar="X[,X,X]", callback=numbers, help="What the difference is then divided by.  [default: 1]"
)
@click.option(
    "--external-data", is_flag=True, help="Read weights that FILE keeps in a second file, from the same folder alone."
)
@click.option("--force", is_flag=True, help="Let --output replace a file.")
@json_option
def import_(
    file: str,
    output: str | None,
    classes: str | None,
    preprocess: str | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    external_data: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Save a classifier from elsewhere as a model of Lanewise.

    FILE is an ONNX file, like those that PyTorch and Keras export. The names of its classes, and how it wants images to
    be prepared, are seldom in it: say them here once, and they are part of the model that all other commands take.
    """
    if preprocess is not None and (mean or std):
        raise click.UsageError("--preprocess stands for a --mean and a --std: give it, or them.")
    from pathlib import Path

    from lanewise.cli import layers, saving
    from lanewise.cli.output import open_output
    from lanewise.model import Model
    from lanewise.model_file import write_beside
    from lanewise.model_file.read import UNPREPARED
    from lanewise.preprocessing import USUAL
    from lanewise.resizing import STRETCH

    place = saving.place_for(Path(file).stem, output, force)
    model = Model.load(file, classes=None if classes is None else _names(classes), external_data=external_data)
    if preprocess is not None or mean or std:
        how = (mean or (0.0,), std or (1.0,)) if preprocess is None else USUAL[preprocess]
        prepared = tuple(note for note in model.notes if note != UNPREPARED)
        model = replace(model, preprocessing=model.preprocessing.of_bytes(*how, STRETCH), notes=prepared)
    path = place.path
    if place.replace:
        model.save(path)
    else:
        path = write_beside(model, path)
    out = open_output(as_json)
    layers.tell_model(out, model, file)
    out.result("Saved", f"in {shown(path)}")
    out.finish({"model": shown(path), "classes": model.classes, "notes": model.notes})


def _names(path: str) -> tuple[str, ...]:
    """The lines of a text file, without those that are empty at its end."""
    from pathlib import Path

    try:
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").split("\n")]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not text"
        raise click.BadParameter(f"{path!r} cannot be read: {reason}.", param_hint="--classes") from None
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise click.BadParameter(
            f"line {lines.index('') + 1} of {path!r} is empty; each line names a class.", param_hint="--classes"
        )
    return tuple(lines)
