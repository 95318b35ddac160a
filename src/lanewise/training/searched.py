"""Which options of training a search may choose; nothing heavy is imported, as for the options."""

from __future__ import annotations

from dataclasses import fields

from lanewise.training.options import FitOptions
from lanewise.training.rules import about

SEARCHED = (
    *(
        one.name
        for one in fields(FitOptions)
        if (rule := about(one).values) is not None
        and rule.kind in ("whole", "number", "word")
        and one.name not in ("preset", "epochs", "threads", "validation_fraction")
    ),
    "size",
)
"""Options of which a search may choose; others say how much work a training is, and which images it holds out."""
