"""Where a report goes, and saying so: shared by `report` and `train --report`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lanewise.cli.options import check_page
from lanewise.cli.output import Output
from lanewise.errors import OptionError
from lanewise.report.page import save_report
from lanewise.saving import free_name
from lanewise.wording import file_size, shown


def page_for(model: str | os.PathLike[str], output: str | None, force: bool) -> Path:
    """Choose the file of the report on a model, and test whether it can be written.

    Parameters
    ----------
    model : path
    output : str or None
        The page or folder that was asked for; by default beside the model.
    force : bool
        Let a file be replaced.

    Returns
    -------
    Path

    Raises
    ------
    click.BadParameter
        `output` exists, and `force` is not given.
    OptionError
        `output` does not end like a page, or nothing can be written there.
    """
    beside = Path(model).with_suffix(".html")
    if output is None or os.path.isdir(output):
        path = free_name(beside if output is None else Path(output, beside.name))
    else:
        path = Path(output)
        check_page(path)
        if os.path.lexists(path) and not (force and os.path.isfile(path)):
            advice = "choose another name" if force else "choose another name, or give --force to replace it"
            raise click.BadParameter(f"{shown(output)} exists already: {advice}.")
    folder = path.parent
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        reason = "is no folder that can be written to" if os.path.isdir(folder) else "is no folder"
        raise OptionError(f"the report cannot go to {shown(path)}: {shown(folder)} {reason}; choose another place")
    return path


def save_page(out: Output, page: str, path: Path, *, new: bool = False) -> int:
    """Write the report and print where it is.

    Parameters
    ----------
    out : Output
    page : str
        HTML.
    path : Path
    new : bool
        Choose another name rather than replace a file.

    Returns
    -------
    int
        Its size in bytes.
    """
    path = save_report(page, path, new=new)
    size = path.stat().st_size
    out.result("Report", f"{shown(path)} ({file_size(size)}): open it in a browser", "bold")
    return size
