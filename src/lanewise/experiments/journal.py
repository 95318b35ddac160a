"""A file to which each finished training is added at once, so that a run that was killed goes on where it stopped.

One JSON object a line, the first with the settings that all trainings share. A line is forced to the disk before the
next training begins. Nothing in the file is ever changed: one that was torn, because the machine went off while it was
written, is passed over and its training done again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lanewise.data.images import ImageSets
from lanewise.errors import OptionError

HEAD = '{"settings": '
"""How each journal begins."""


class Journal:
    """The finished trainings on one set of images.

    Parameters
    ----------
    path : Path
        Made when the first training is finished.
    settings : mapping
        What all trainings have in common. A journal that was kept with others is refused.

    Raises
    ------
    OptionError
        The file is something else, or was kept with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = path, json.loads(json.dumps(settings))
        self.entries: dict[str, dict[str, Any]] = {}
        self._begun = self._torn = False
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise OptionError(f"{path} cannot be read: {error.strerror}") from None
        if text:
            self._read(text)

    def _read(self, text: bytes) -> None:
        begin = text.partition(b"\n")[0][: len(HEAD)]
        if begin != HEAD.encode()[: len(begin)]:  # a torn beginning is still one
            raise OptionError(f"{self.path} is not a journal of trainings: give another folder")
        lines = [entry for line in text.splitlines() if (entry := _entry(line)) is not None]
        self._torn = not text.endswith(b"\n")
        for entry in lines:
            if "settings" in entry:
                self._begun = True
                self._compare(entry["settings"])
            elif isinstance(entry.get("training"), str) and isinstance(entry.get("outcome"), dict):
                self.entries[entry["training"]] = entry["outcome"]

    def _compare(self, kept: Any) -> None:
        if kept != self.settings:
            raise OptionError(
                f"{self.path} was kept with other {differences(kept, self.settings) or 'settings'}: "
                "give another folder, or delete that file to start again"
            )

    def add(self, training: str, outcome: Mapping[str, Any]) -> None:
        """Record the result of a training."""
        lines: list[dict[str, Any]] = [] if self._begun else [{"settings": self.settings}]
        lines.append({"training": training, "outcome": dict(outcome)})
        text = ("\n" if self._torn else "") + "".join(json.dumps(line) + "\n" for line in lines)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OptionError(f"{self.path} cannot be written: {error.strerror}") from None
        self._begun, self._torn = True, False
        self.entries[training] = dict(outcome)


def differences(kept: Any, settings: Mapping[str, Any]) -> str:
    """The names of the settings that are others than those kept, with what differs in each."""
    known = kept if isinstance(kept, dict) else {}
    changed = [name + _difference(known.get(name), now) for name, now in settings.items() if known.get(name) != now]
    return " and ".join(changed)


def _difference(then: Any, now: Any) -> str:
    """The options that differ, like " (epochs: 3 then, 4 now)"; empty for anything but mappings."""
    if not isinstance(then, dict) or not isinstance(now, dict):
        return ""
    names = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    told = [f"{name}: {then.get(name, 'not given')} then, {now.get(name, 'not given')} now" for name in names]
    return f" ({'; '.join(told)})"


def _entry(line: bytes) -> dict[str, Any] | None:
    """A line as an object; None if it is torn."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def fingerprint(sets: ImageSets) -> str:
    """A short digest of all images and labels of `sets`."""
    digest = hashlib.sha256()
    for part in sets.parts.values():
        digest.update(repr((part.pixels.shape, part.pixels.dtype.str, part.classes)).encode())
        digest.update(np.ascontiguousarray(part.pixels).data)
        digest.update(np.ascontiguousarray(part.labels).data)
        if part.groups is not None:
            digest.update(part.groups.numbers.tobytes())
    return digest.hexdigest()[:16]
