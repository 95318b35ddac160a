"""Entries of races that nobody ran."""

from __future__ import annotations

from lanewise.bench.peers import LANEWISE, PEERS
from lanewise.bench.race import Entry

TORCH, CHANNELS_LAST, COMPILE, BFLOAT16, KERAS = PEERS[:5]


def entries() -> list[Entry]:
    """Two rounds; the machine was slow in the second."""
    return [
        Entry("mid", LANEWISE, (1000.0, 500.0)),
        Entry("mid", TORCH, (500.0, 200.0)),
        Entry("mid", CHANNELS_LAST, (800.0, 400.0)),
        Entry("mid", BFLOAT16, (2000.0, 1000.0)),
        Entry("mid", KERAS, problem="not installed (keras)"),
    ]
