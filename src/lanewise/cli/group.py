"""The command `lanewise`: errors as one line on standard error, and the exit status.

0     done
1     it could not be done
2     the command was not understood
130   stopped by Ctrl-C, or `train` by SIGTERM; it has kept the best model so far
"""

from __future__ import annotations

import re
import shutil
import sys
import warnings
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any

import click

from lanewise import interrupts
from lanewise.cli.bench import bench
from lanewise.cli.cache import cache
from lanewise.cli.check import check
from lanewise.cli.compare import compare
from lanewise.cli.evaluate import evaluate
from lanewise.cli.import_ import import_
from lanewise.cli.inspect import inspect
from lanewise.cli.lesson import lesson
from lanewise.cli.options import FAILED, INTERRUPTED, WORDS
from lanewise.cli.predict import predict
from lanewise.cli.report import report
from lanewise.cli.search import search
from lanewise.cli.train import train
from lanewise.cli.vary import vary
from lanewise.errors import LanewiseError, LanewiseWarning, NetworkTextError, ProgramError
from lanewise.keywords import by_alias
from lanewise.launch import launched
from lanewise.wording import NARROW, shown

NARROWEST, WIDEST = 16, 78
"""Columns of help, at least, and that the longest line of it takes."""

ALIASES = by_alias(
    {
        "--learning-rate": "--lr",
        "--batch-size": "--batch -b",
        "--epochs": "-e",
        "--weight-decay": "--wd",
        "--output": "--out",
        "--validation-fraction": "--val-fraction --val-split --validation-split",
        "--label-smoothing": "--smoothing",
        "--optimizer": "--optim",
        "--size": "--image-size --img-size",
        "--grey": "--greyscale --grayscale",
        "--seed": "--random-state",
        "--threads": "--workers --jobs -j",
        "--top": "--topk --top-k -k",
    }
)
"""What other programs call our options. A command that has an option by such a name keeps it."""

FORMER = {"--smoothing"}
"""Names that our own options had in the version before, and lose in the next."""


def in_our_words(command: click.Command, args: list[str]) -> list[str]:
    """The arguments with options by our names, where the command has them."""
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    words: list[str] = []
    for n, word in enumerate(args):
        if word == "--":
            return [*words, *args[n:]]
        name, sign, value = word.partition("=")
        ours = ALIASES.get(name)
        translated = ours in known and name not in known
        if translated and name in FORMER:
            _say(f"{name} is deprecated and will be removed in the next version: use {ours}")
        words.append(f"{ours}{sign}{value}" if translated else word)
    return words


class Fitting(click.HelpFormatter):
    """Help for terminals of fewer than 50 columns, the minimum that click assumes."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        """Take the width of the terminal, if that is a small one."""
        columns = shutil.get_terminal_size().columns
        if width is None and 0 < columns < NARROW:
            width = max(columns - 1, NARROWEST)
        super().__init__(indent_increment, width, max_width)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write terms and definitions; on a narrow terminal, one below the other.

        Parameters
        ----------
        rows : iterable of (term, definition)
        col_max, col_spacing : int
            As in `click.HelpFormatter.write_dl`.
        """
        if self.width < NARROW - 1:
            room = max(self.width - self.current_indent, 1)
            rows, col_max = [(_folded(name, room), text) for name, text in rows], 4
        super().write_dl(rows, col_max, col_spacing)

    def write_text(self, text: str) -> None:
        """Write paragraphs; lines that are to stay as they are, too, if they are too long."""
        if self.width < WIDEST and "\b\n" in text:
            room = max(self.width - self.current_indent - 4, 1)
            text = re.sub(r"(?<=\S)  +(\S.*)", lambda found: "\n    " + "\n    ".join(wrap(found[1], room)), text)
        super().write_text(text)


def _folded(name: str, room: int) -> str:
    """An option with its choices, on as many lines as it takes."""
    lines = [""]
    for part in re.findall(r"[^| ]+[| ]?|.", name):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > room:
            lines.append("  ")
        lines[-1] += part
    return "\n  ".join(line.rstrip() for line in lines)


class Commands(click.Group):
    """A group that reports errors in one line."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and translate options named as in other programs."""
        name, command, rest = super().resolve_command(ctx, args)
        if launched() and name != "train":
            raise click.UsageError("Only lanewise train shares its work among ranks: start this without mpiexec.")
        ctx.meta[WORDS] = [name, *rest]
        return name, command, rest if command is None else in_our_words(command, rest)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with a whole sentence each, however narrow the terminal."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(1000)) for name, one in self.commands.items()])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which they are used."""
        return list(self.commands)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command, and exit with its status unless `standalone_mode` is false.

        Parameters
        ----------
        args, prog_name, complete_var, standalone_mode, **extra
            As in `click.Group.main`.
        """
        name = prog_name or "lanewise"
        if not standalone_mode:
            return super().main(args, name, complete_var, False, **extra)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LanewiseWarning)  # commands print these sentences among their notes
                status = super().main(args, name, complete_var, False, **extra) or 0
        except click.UsageError as error:
            status = error.exit_code
            _say_usage(error)
        except click.ClickException as error:
            status = error.exit_code
            _say(error.format_message())
        except click.Abort:
            interrupts.ignore()
            exec("pass")  # as in `main`: the status is what it says, whatever was interrupted
            status = INTERRUPTED
            _say("stopped")
        except ProgramError:
            raise
        except LanewiseError as error:
            status = FAILED
            _say(str(error), lines=isinstance(error, NetworkTextError))
        except OSError as error:  # the system refused what no command can do without
            if error.strerror is None:
                raise
            status = FAILED
            _say(f"{error.strerror}: {error.filename}" if error.filename else error.strerror)
        interrupts.ignore()
        sys.exit(status)


def _safe(message: str, lines: bool = False) -> str:
    return "\n".join(map(shown, message.split("\n"))) if lines else shown(message)


def _say(message: str, lines: bool = False) -> None:
    """One line, whatever a name in it holds; only the caret under a network's text needs lines of its own."""
    click.echo(f"lanewise: {_safe(message, lines)}", err=True)


def _say_usage(error: click.UsageError) -> None:
    """One line, but the whole help for a command without anything."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    command = error.ctx.command_path if error.ctx is not None else "lanewise"
    message = error.format_message()
    if "unexpected extra argument" in message and ".tar" in message:  # the shell took a pattern apart
        message += " Quote a pattern of tar files, like 'train-{000..009}.tar', or give their folder."
    click.echo(f"{command}: {_safe(message)} See: {command} --help", err=True)


click.Context.formatter_class = Fitting


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="lanewise", message="%(prog)s %(version)s")
def lanewise() -> None:
    """Train convolutional networks on the CPU you already have, and look inside them.

    \b
    lanewise train digits                 train on the built-in digits
    lanewise train photos/                train on a folder with a subfolder per class
    lanewise predict photos.onnx new.jpg  predict the classes of images
    lanewise evaluate photos.onnx other/  evaluate a model on labelled images
    lanewise inspect photos.onnx          show its layers and weights
    lanewise report photos.onnx other/    write a page on the model and its mistakes
    lanewise import model.onnx            use a classifier from PyTorch or Keras
    lanewise compare photos/              measure what learned filters are worth
    lanewise vary photos/ --network ...   train many variants of a network
    lanewise search photos/ --trials 50   choose network and options by trying
    lanewise check photos/                check images before training
    lanewise bench                        compare speed with other frameworks
    lanewise lesson                       learn what a convolutional network is
    lanewise cache                        show or clear what is kept on disk
    """


for _command in (
    train,
    predict,
    evaluate,
    inspect,
    report,
    check,
    import_,
    compare,
    vary,
    search,
    bench,
    lesson,
    cache,
):
    lanewise.add_command(_command)
