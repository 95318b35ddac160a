"""Values that options take, as callbacks, and options that several commands have."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any

import click

from lanewise.errors import OptionError
from lanewise.training.options import FitOptions, TrainOptions
from lanewise.training.rules import Rule, about
from lanewise.wording import shown

if TYPE_CHECKING:
    from lanewise.data.source import ImageFiles


class Name(click.Path):
    """The name of a file or folder; an empty one, as of a variable that is not set, is none.

    Nor is "-" where a file is written: only `allow_dash` makes it standard output.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty name, and "-" where there is no pipe.

        Parameters
        ----------
        value, param, ctx
            As in `click.ParamType.convert`.
        """
        if value == "":
            self.fail("the name is empty.", param, ctx)
        if value == "-" and isinstance(param, click.Option) and not self.allow_dash:
            self.fail("there is no pipe here: give the name of a file, ./- for one of that name.", param, ctx)
        return super().convert(value, param, ctx)


PATH = Name()

FAILED, INTERRUPTED = 1, 130
"""Exit statuses."""

WORDS = "lanewise.words"
"""Where the context of a command keeps its name and arguments, as they were typed."""

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read a length of time: "90", "90s", "1.5m" or "1h".

    Parameters
    ----------
    ctx, param, value
        As for every callback of click.

    Returns
    -------
    float or None
        Seconds.
    """
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h|)", value.strip().lower())
    found = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < found < math.inf:
        raise click.BadParameter(f"{value!r} is no time: give one like 30s, 2m or 1h.", ctx, param)
    return found


def share(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read a share: "1%" or "0.01".

    Parameters
    ----------
    ctx, param, value
        As for every callback of click.

    Returns
    -------
    float or None
    """
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(%?)", value.strip())
    found = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < found <= 0.5:
        raise click.BadParameter(f"{value!r} is no share up to a half: give one like 1% or 0.01.", ctx, param)
    return found


def numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Read numbers separated by commas, like "0.5" or "0.485,0.456,0.406".

    Parameters
    ----------
    ctx, param, value
        As for every callback of click.

    Returns
    -------
    tuple of float, or None
    """
    if value is None:
        return None
    try:
        return tuple(float(word) for word in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of numbers like 0.485,0.456,0.406.", ctx, param) from None


def image_shape(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int, int] | None:
    """Read a shape, rows x columns x channels like "30x30x3" (without channels, one).

    Parameters
    ----------
    ctx, param, value
        As for every callback of click.

    Returns
    -------
    (channels, rows, columns) or None
    """
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


def check_apart(**files: str | os.PathLike[str] | None) -> None:
    """Refuse that two options name one file, of which one would replace the other.

    Parameters
    ----------
    **files : path or None
        By the name of the option; "-" is standard output.

    Raises
    ------
    click.UsageError
    """
    seen: dict[str, str] = {}
    for option, file in files.items():
        if file is not None and os.fspath(file) not in ("", "-"):
            other = seen.setdefault(os.path.normcase(os.path.realpath(file)), option)
            if other != option:
                raise click.UsageError(
                    f"--{other} and --{option} name the same file, {shown(file)}: give each its own."
                )


def check_place(name: str, force: bool) -> None:
    """Refuse, before any work, a file that exists, unless `force` lets it be replaced, or whose folder does not."""
    if os.path.lexists(name) and not force:
        raise OptionError(f"{shown(name)} exists: give another name, or --force to replace it")
    folder = os.path.dirname(name) or "."
    if not os.path.isdir(folder):
        raise OptionError(f"{shown(name)} cannot be written: there is no folder {shown(folder)}")


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

split_option = click.option(
    "--split",
    type=click.Choice(["test", "validation", "train", "all"]),
    help="Evaluation set. By default the first of these that exists; for a folder without sets that MODEL was trained "
    "on, the images that were held out.",
)

json_option: Decorator = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object to standard output, and everything else to standard error.",
)
csv_option: Decorator = click.option(
    "--csv",
    "csv",
    metavar="FILE",
    type=Name(allow_dash=True),
    help="Also write a table with one row per file; - prints it instead of the predictions.  [default: none]",
)
abstain_option: Decorator = click.option(
    "--abstain",
    metavar="SHARE",
    callback=share,
    help="Do not name images unless on average at most this share of those named is wrong, like 1%, by the images held "
    "out when MODEL was trained.  [default: name all]",
)
strict_option: Decorator = click.option(
    "--strict", is_flag=True, help="Stop if a file cannot be used, instead of skipping it."
)
quiet_option: Decorator = click.option("--quiet", "-q", is_flag=True, help="Print only the results.")
_COLUMNS = {
    "path_column": click.option(
        "--path-column",
        metavar="NAME",
        help="The column of image files in a table, by its name or its number from 1.  [default: found by its values]",
    ),
    "label_column": click.option(
        "--label-column",
        metavar="NAME",
        help="The column of classes in a table, or the key of the class in JSON of tar files.  [default: label, class "
        "or the like]",
    ),
    "split_column": click.option(
        "--split-column",
        metavar="NAME",
        help="The column of a table that says train, val or test.  [default: split, set or the like, if there is one]",
    ),
}
"""Options on tables of image files, by the parameters of `ImageFiles`."""

path_column_option: Decorator = _COLUMNS["path_column"]


def columns_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name columns of a table of image files."""
    return _all(*_COLUMNS.values())(command)


def files_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options on a table of image files, of commands that take a folder of images, too."""
    labels = click.option(
        "--labels",
        metavar="FILE",
        type=PATH,
        help="A table (CSV) of paths and classes; IMAGES is then the folder that the paths are below.  [default: "
        "folders are the classes]",
    )
    return columns_options(labels(command))


def image_files(images: str, options: dict[str, Any]) -> str | ImageFiles:
    """What the images are, with the options on tables of files, which are taken out of `options`."""
    told = {name: options.pop(name, None) for name in ("labels", *_COLUMNS)}
    if not any(told.values()):
        return images
    from lanewise.data.source import ImageFiles

    return ImageFiles(images, **told)


colour_option: Decorator = click.option(
    "--grey/--colour",
    "--gray/--color",
    "channels",
    default=None,
    callback=lambda _, __, grey: {None: None, True: 1, False: 3}[grey],
    help="Read images as grey or in colour.  [default: as they are]",
)


def training_option(one: Field[Any]) -> Decorator:
    """An option of training as one of the command line: its name, values, default and text."""
    known, name = about(one), "--" + one.name.replace("_", "-")
    text = known.command or known.text
    if one.default is True:
        return click.option(name.replace("--", "--no-", 1), one.name, flag_value=False, default=True, help=text)
    if one.default is False:
        return click.option(name, one.name, is_flag=True, default=False, help=text)
    kind: dict[str, Any] = {"default": one.default, "show_default": one.default is not None and not known.default}
    if known.default:
        kind["default"] = None  # whoever reads the value has a default of its own
        text += f"  [default: {known.default}]"
    match known.values:
        case Rule(kind="whole", least=least):
            kind |= {"type": click.IntRange(least), "metavar": "N"}
        case Rule(kind="seconds"):
            kind |= {"callback": seconds, "metavar": "TIME"}
        case Rule(kind="number", names=(word,)):
            kind |= {"callback": _number_or(word), "metavar": f"X|{word}"}
        case Rule(kind="number"):
            kind |= {"type": float, "metavar": "X"}
        case Rule(kind="word", names=names):
            kind |= {"type": click.Choice(names)}
        case _ if known.words:
            kind |= {"type": click.Choice(known.words)}
        case _:
            kind |= {"type": PATH if known.metavar in ("MODEL", "FILE") else None, "metavar": known.metavar or "N"}
    if known.alone:
        kind |= {"is_flag": False, "flag_value": known.alone, "callback": _checked(one.name, known.values)}
    return click.option(name, one.name, help=text, **kind)


def _number_or(word: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Read a number or a word."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            return value if value is None or value == word else float(value)
        except ValueError:
            raise click.BadParameter(f"{value!r} is no number, nor {word!r}.", ctx, param) from None

    return callback


def _checked(name: str, values: Rule | None) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Read a number or a word; another word may be the next argument, taken for the value of the option before it."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if value is not None and value.isdecimal():
            value = int(value)
        problem = None if value is None or values is None else values.problem(name, value)
        if problem is not None:
            raise click.BadParameter(f"{problem}.", ctx, param)
        return value

    return callback


def training_options(of: type[Any], without: Container[str] = ()) -> Decorator:
    """All options of training that commands have.

    Parameters
    ----------
    of : dataclass
        `TrainOptions`, or `FitOptions` for what is the same in each of several trainings.
    without : names
        Those that the command has its own way.
    """
    ours = [one for one in fields(of) if about(one).command_line and one.name not in without]
    return _all(*map(training_option, ours))


def passed_on(options: Mapping[str, Any], of: type[Any] = TrainOptions) -> dict[str, Any]:
    """The options of training among those of a command, where they are not the default."""
    return {
        one.name: options[one.name]
        for one in fields(of)
        if options.get(one.name) is not None and options[one.name] != one.default
    }


def _all(*options: Decorator) -> Decorator:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        return functools.reduce(lambda made, option: option(made), reversed(options), command)

    return decorate


def experiment_options(seeds: int) -> Decorator:
    """The options of commands that train several networks; `seeds` is how many each is trained with by default."""
    return _all(
        click.option(
            "--seeds",
            type=click.IntRange(1),
            default=seeds,
            metavar="N",
            show_default=True,
            help="Number of seeds; each network is trained once with each.",
        ),
        training_options(FitOptions, without=("network",)),
        *(training_option(one) for one in fields(TrainOptions) if one.name in ("size", "fit", "group_by")),
        colour_option,
        files_options,
        click.option(
            "--output",
            "-o",
            metavar="FOLDER",
            type=PATH,
            help="Folder for the results, the plot and the journal of finished runs; by default only the journal is "
            "kept, in the cache.",
        ),
        click.option(
            "--plot", metavar="FILE", type=PATH, help="Plot the results, as .svg, .png or .pdf.  [default: none]"
        ),
        click.option(
            "--force", is_flag=True, help="Allow --plot and --output to replace files that no earlier run wrote."
        ),
        json_option,
        quiet_option,
    )
