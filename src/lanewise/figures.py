"""Matplotlib's figures in files: the format by the name of the file, and the same bytes for the same figure."""

from __future__ import annotations

import io
import os
from typing import Any

from lanewise.errors import OptionError
from lanewise.extras import need
from lanewise.saving import write_whole

UNDATED: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
"""The formats, and what Matplotlib would write of the day."""


def format_of(path: str | os.PathLike[str]) -> str:
    """The format that the name of a file asks for.

    Raises
    ------
    OptionError
        It is none of `UNDATED`.
    """
    ending = os.fspath(path).rpartition(".")[2].lower()
    if ending not in UNDATED:
        raise OptionError(f"{os.fspath(path)}: an image ends in .svg, .png or .pdf")
    return ending


def require_matplotlib() -> Any:
    """Matplotlib.

    Raises
    ------
    MissingPackageError
        It is not installed.
    """
    return need("matplotlib", "an image")


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format that the name of the file asks for; a file of that name is replaced.

    Raises
    ------
    OptionError
        The file has another ending than .svg, .png or .pdf, or cannot be written.
    """
    kind, drawn = format_of(path), io.BytesIO()
    # text stays text, and names are counted from a fixed start
    with require_matplotlib().rc_context({"svg.fonttype": "none", "svg.hashsalt": "lanewise"}):
        figure.savefig(drawn, format=kind, dpi=150, metadata=UNDATED[kind])
    try:
        write_whole(path, drawn.getvalue())
    except OSError as error:
        raise OptionError(f"{os.fspath(path)} cannot be written: {error.strerror}") from None
