"""Where a trained model goes. Nothing that somebody made is lost: no file is replaced unasked, and no model is let go.

place_for(...)   before training: a name, and whether something can be written there at all
save(...)        after it: there, or somewhere else if that fails
amend(...)       the same file again, with what has come to be known
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lanewise.errors import LanewiseError, ModelFileError
from lanewise.saving import free_name, numbered, temporary_beside
from lanewise.wording import shown

if TYPE_CHECKING:
    from lanewise.model import Model

SUFFIX = ".onnx"


@dataclass(frozen=True, slots=True)
class Destination:
    """A file to save to; `replace` allows to replace an existing one."""

    path: Path
    replace: bool


@dataclass(frozen=True, slots=True)
class Saved:
    """Where a model was saved, and why it was not saved at its destination, if so."""

    path: Path
    trouble: str | None = None


def name_for(images: str, output: str | None) -> Path:
    """The file of the model trained on `images`, if nothing has that name.

    Parameters
    ----------
    images : str
        The folder, the `.npz` file or the word that the user named: the default name derives from it.
    output : str or None
        The file or folder that the user wants.
    """
    from lanewise.data.source import stem_of

    name = (stem_of(images) or "model") + SUFFIX
    return Path(output or "", name) if output is None or os.path.isdir(output) else Path(output)


def place_for(images: str, output: str | None, force: bool, weights: str | None = None) -> Destination:
    """Choose the file of the model trained on `images`, and test whether it can be written.

    Parameters
    ----------
    images : str
        The folder, the `.npz` file or the word that the user named: the default name derives from it.
    output : str or None
        The file or folder that the user wants.
    force : bool
        An older file `output` may be replaced.
    weights : str, optional
        The digest of weights that were to be saved when the training to be resumed ended: a model that has them is its
        own, and is replaced.

    Raises
    ------
    click.BadParameter
        `output` is there already.
    ModelFileError
        Nothing can be written there.
    """
    path = name_for(images, output)
    if output is None or os.path.isdir(output):  # or another name with a number, which is found when there is a model
        _try(path)
        last = free_name(path)
        number, same = 1, None
        while weights is not None and same is None and (taken := numbered(path, number)) != last:
            number, same = number + 1, taken if _has(taken, weights) else None
        return Destination(same or path, replace=same is not None)
    if weights is not None and _has(path, weights):
        return Destination(path, replace=True)
    if os.path.lexists(path):
        if not force:
            raise click.BadParameter(
                f"{shown(output)} exists already: choose another name, or give --force to replace it.",
                param_hint="--output",
            )
        if not os.path.isfile(path):
            raise click.BadParameter(
                f"{shown(output)} is not a regular file: choose another name.", param_hint="--output"
            )
    _try(path)
    return Destination(path, replace=force)


def save(model: Model, place: Destination) -> Saved:
    """Save a model; in the folder for temporary files or the home folder if its destination fails.

    Raises
    ------
    ModelFileError
        It can be saved nowhere.
    """
    from lanewise.model_file import write_beside

    try:
        if place.replace:
            model.save(place.path)
            return Saved(place.path)
        # Somebody else may have written a file of this name since training began.
        return Saved(write_beside(model, place.path))
    except ModelFileError as error:
        trouble = error
    for make_folder in (_new_temporary, Path.home):
        with suppress(ModelFileError, OSError, RuntimeError):
            return Saved(write_beside(model, make_folder() / place.path.name), str(trouble))
    raise trouble


def amend(model: Model, saved: Saved) -> None:
    """Save a model again where it was saved; if that fails, the older file is still there."""
    with suppress(ModelFileError):
        model.save(saved.path)


def _has(path: Path, weights: str) -> bool:
    """Whether a model is there that has these weights, by their digest."""
    from lanewise.model_file import read
    from lanewise.model_file.metadata import digest

    try:
        return path.is_file() and digest(read(path).parameters) == weights
    except (LanewiseError, OSError):
        return False


def _new_temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="lanewise-"))


def _try(path: Path) -> None:
    """Write a small file beside `path` and remove it: hours of training should not end with a full disk."""
    target = Path(os.path.realpath(path))
    probe = temporary_beside(target)
    try:
        with suppress(FileNotFoundError):
            os.lstat(target)  # a name that is too long is none
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, bytes(4096))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            probe.unlink()
    except OSError as error:
        raise ModelFileError(
            f'the model could not be saved as "{shown(path)}": {error.strerror}; choose another place with --output'
        ) from None
