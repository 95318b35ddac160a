"""`lanewise.load`: as `load.load`, and the user hears what was found."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from lanewise import notes
from lanewise.data.images import ImageSets
from lanewise.data.load import load as load_quietly
from lanewise.keywords import hinting

P = ParamSpec("P")


def _aloud(read: Callable[P, ImageSets]) -> Callable[P, ImageSets]:
    @wraps(read)
    def reading(*args: P.args, **kwargs: P.kwargs) -> ImageSets:
        sets = read(*args, **kwargs)
        for note in sets.notes:
            notes.say(note)
        return sets

    return reading


load = hinting(_aloud(load_quietly))
