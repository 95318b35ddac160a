"""Packages that come with an extra of Lanewise only: imported where they are used, and named where they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lanewise.errors import MissingPackageError


def need(module: str, what: str, extra: str = "report") -> Any:
    """Import a package that an extra installs.

    Parameters
    ----------
    module : str
    what : str
        What needs it, for the message.
    extra : str
        The extra of Lanewise that installs it.

    Raises
    ------
    MissingPackageError
        It is not installed; the message names the extra.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        missing, _, _ = (error.name or "").partition(".")
        if missing != package:  # it is there, but something of its own is missing: that is another story
            raise
        raise MissingPackageError(f'{what} needs {package}: pip install "lanewise[{extra}]"') from error
