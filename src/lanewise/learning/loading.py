"""`lanewise.load`: as `images.load`, and the user hears what was found."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from lanewise import notes
from lanewise.keywords import hinting
from lanewise.learning import images
from lanewise.learning.pictures import PictureSets

P = ParamSpec("P")


def _aloud(read: Callable[P, PictureSets]) -> Callable[P, PictureSets]:
    @wraps(read)
    def reading(*args: P.args, **kwargs: P.kwargs) -> PictureSets:
        sets = read(*args, **kwargs)
        for note in sets.notes:
            notes.say(note)
        return sets

    return reading


load = hinting(_aloud(images.load))
