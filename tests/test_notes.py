"""Notes reach whoever trains from Python: what harms as a warning at their own line, the rest in the log."""

from __future__ import annotations

import logging

import pytest

import lanewise
from lanewise.notes import Caution, Note, say


def test_a_caution_is_a_warning_at_the_line_that_called():
    with pytest.warns(lanewise.LanewiseWarning, match="40 files") as caught:
        say(Caution("40 files were left out"))
    assert caught[0].filename == __file__


def test_a_note_is_logged_and_not_a_warning(caplog):
    with caplog.at_level(logging.INFO, "lanewise"):
        say(Note("90 pictures are held out"))
    assert caplog.messages == ["90 pictures are held out"]
