"""What a user should hear about data and choices: a sentence, and whether it matters for the result.

    Note("90 of 900 images are held out ...")        good to know
    Caution("40 of 70 files were left out: ...")       may harm the result

A function that takes `notes` hands each to that callable. Where there is none, as in plain Python, `say` is called: a
caution becomes a warning, which Python shows once by default, and the rest goes to the log "lanewise".
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable

from lanewise.errors import LanewiseWarning

Say = Callable[[str], None]
"""Takes a note and does something with it."""

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Note(str):
    """A sentence that is good to know."""


class Caution(Note):
    """A sentence about what may harm the result."""


def say(note: str) -> None:
    """Warn of a caution on the line of the user's own code; log any other note."""
    if isinstance(note, Caution):
        warnings.warn(str(note), LanewiseWarning, stacklevel=_levels_to_user())
    else:
        logging.getLogger("lanewise").info("%s", note)


def unheard(note: str) -> None:
    """Drop a note: for work inside, whose user has heard it or would not know what it is about."""


def _levels_to_user() -> int:
    """How many calls lie between `warnings.warn` in `say` and the first line outside the package."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
