"""Where Lanewise keeps what it can make again: machine code and decoded pictures."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """The folder for one kind of entries: under LANEWISE_CACHE, or else under lanewise/ in the user's cache folder."""
    named = os.environ.get("LANEWISE_CACHE")
    if named:
        return Path(named) / kind
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base) and os.name == "nt":
        base = os.environ.get("LOCALAPPDATA", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.cache")
    if not os.path.isabs(base):
        base = os.devnull  # a user without a home: nothing can be written there, so nothing is kept
    return Path(base) / "lanewise" / kind
