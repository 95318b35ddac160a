"""Values that options take, as callbacks, and options that several commands have."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import click

from lanewise.errors import OptionError
from lanewise.wording import shown


class Name(click.Path):
    """The name of a file or folder; an empty one, as of a variable that is not set, is none.

    Nor is "-" where a file is written: only `allow_dash` makes it standard output.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse what is no name."""
        if value == "":
            self.fail("the name is empty.", param, ctx)
        if value == "-" and isinstance(param, click.Option) and not self.allow_dash:
            self.fail("there is no pipe here: give the name of a file, ./- for one of that name.", param, ctx)
        return super().convert(value, param, ctx)


PATH = Name()

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read a length of time: "90", "90s", "1.5m" or "1h"."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h|)", value.strip().lower())
    found = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < found < math.inf:
        raise click.BadParameter(f"{value!r} is no time: give one like 30s, 2m or 1h.", ctx, param)
    return found


def image_shape(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int, int] | None:
    """Read a shape, rows x columns x channels like "30x30x3" (without channels, one), as (channels, rows, columns)."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})(?:x([0-9]{1,9}))?", value.strip().lower())
    rows, columns, channels = (int(size or 1) for size in match.groups()) if match else (0, 0, 0)
    if min(rows, columns, channels) < 1:
        problem = f"{value!r} is no shape of images: give rows x columns x channels, like 30x30x3."
        raise click.BadParameter(problem, ctx, param)
    return channels, rows, columns


def check_page(name: object) -> None:
    """Refuse a name that says that a file is no page: it may be a model or an image, which --force would replace."""
    if not str(name).lower().endswith((".html", ".htm")):
        raise OptionError(f"{shown(name)} is no name of a page: give one that ends in .html")


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object to standard output, and all else to standard error."
)
csv_option: Decorator = click.option(
    "--csv",
    "csv",
    metavar="FILE",
    type=Name(allow_dash=True),
    help="Write a table, too, a row a file; - prints it instead of the answers; none by default.",
)
strict_option: Decorator = click.option(
    "--strict", is_flag=True, help="Refuse to work if a file cannot be used, instead of skipping it."
)


def experiment_options(seeds: int) -> Decorator:
    """The options of commands that train several networks; `seeds` is how many each is trained with by default."""
    options = [
        click.option(
            "--seeds",
            type=click.IntRange(1),
            default=seeds,
            metavar="N",
            show_default=True,
            help="How often each network is trained, each time with another seed.",
        ),
        click.option(
            "--epochs",
            type=click.IntRange(1),
            metavar="N",
            help="How often each image is learned from; by default chosen from their number.",
        ),
        click.option(
            "--budget",
            callback=seconds,
            metavar="TIME",
            help="How long to learn instead: 30s, 2m, 1h; no limit by default.",
        ),
        click.option(
            "--batch-size",
            type=click.IntRange(1),
            metavar="N",
            help="Images of a step; by default chosen from their number.",
        ),
        click.option("--learning-rate", type=float, metavar="X", help="The largest.  [default: 0.05]"),
        click.option(
            "--augment",
            type=click.Choice(["auto", "none", "shift", "flip", "shift+flip"]),
            default="auto",
            show_default=True,
            help="How images are varied while learning.",
        ),
        click.option(
            "--size",
            metavar="SIZE",
            help="Resize images to this: 32, or rows x columns like 32x48; chosen from their sizes by default.",
        ),
        click.option(
            "--grey/--colour", "--gray/--color", default=None, help="How images are read; by default as they are."
        ),
        click.option("--threads", type=click.IntRange(1), metavar="N", help="By default as many as processors."),
        click.option(
            "--output",
            "-o",
            metavar="FOLDER",
            type=PATH,
            help="Where results, image and what is finished go; by default only the last is kept, in the cache.",
        ),
        click.option(
            "--plot", metavar="FILE", type=PATH, help="Draw the results: .svg, .png or .pdf; none by default."
        ),
        click.option("--force", is_flag=True, help="Let --plot and --output replace files that no earlier run wrote."),
    ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
