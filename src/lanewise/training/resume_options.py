"""The options by which a training that was killed goes on; nothing heavy is imported."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lanewise.training.rules import SWITCH, option, such

if TYPE_CHECKING:
    from lanewise.training.checkpoint import Keeper


@dataclass(frozen=True, eq=False, kw_only=True)
class ResumeOptions:
    """Options of `lanewise.train` on checkpoints."""

    checkpoint: str | os.PathLike[str] | Keeper | None = option(
        None,
        "File that keeps where training is, so that it can be resumed if it is killed; it is removed once the model is "
        "saved.",
        command="File that keeps where training is, so that it can be resumed if it is killed.  [default: "
        "OUTPUT.checkpoint, beside the model]",
        more="It is written at the end of epochs, and every 30 s in long ones; the one before it is FILE.before.",
        values=such(
            "the name of a file",
            lambda value: (isinstance(value, str | os.PathLike) and str(value) != "") or hasattr(value, "identify"),
        ),
        metavar="FILE",
    )
    resume: bool = option(
        False,
        "Go on from the checkpoint, if there is one, with the same data and options: the result has the same bits as "
        "if training had never ended. Of a budget, the time used counts.",
        values=SWITCH,
    )
