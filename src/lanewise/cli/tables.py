"""Tables that commands write as CSV files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import click

from lanewise.errors import DataError
from lanewise.frames import csv_text
from lanewise.saving import write_new, write_whole
from lanewise.wording import shown

STANDARD_OUTPUT = "-"


def check_table(path: str | None, force: bool, option: str) -> None:
    """Refuse, before any work, a file that exists or whose folder does not.

    Parameters
    ----------
    path : str or None
        "-" is standard output.
    force : bool
        Let a file be replaced.
    option : str
        The option that named it, for the message.

    Raises
    ------
    click.BadParameter
    """
    if path is None or path == STANDARD_OUTPUT:
        return
    if os.path.isdir(path):
        raise click.BadParameter(f"{shown(path)} is a folder: give the name of a file.", param_hint=option)
    if os.path.lexists(path) and not force:
        raise click.BadParameter(
            f"{shown(path)} exists already: choose another name, or give --force to replace it.", param_hint=option
        )
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise click.BadParameter(f"there is no folder {shown(folder)}: make it first.", param_hint=option)


def write_table(path: str, force: bool, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as CSV, as a whole or not at all; bytes of names that are not UTF-8 are escaped.

    Parameters
    ----------
    path : str
        "-" is standard output.
    force : bool
        Let a file be replaced.
    columns : sequence of str
    rows : iterable of sequences

    Raises
    ------
    DataError
        The file cannot be written; the message says why.
    """
    text = csv_text(columns, rows).encode("utf-8", "backslashreplace")
    if path == STANDARD_OUTPUT:
        click.echo(text, nl=False)
        return
    try:
        if force:
            write_whole(path, text)
        else:
            write_new(path, text)
    except OSError as error:
        raise DataError(f'the table could not be written as "{shown(path)}": {error.strerror}') from None
