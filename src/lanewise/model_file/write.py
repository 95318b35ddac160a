"""Saving a model file: an older file of its name is replaced whole, or not at all, once the new one reads back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lanewise.errors import LanewiseError, ModelFileError
from lanewise.model_file.builder import MOST_WEIGHTS
from lanewise.model_file.contents import Contents
from lanewise.model_file.export import INPUT, to_onnx
from lanewise.model_file.read import read_own
from lanewise.saving import write_new, write_whole


def write(contents: Contents, path: str | os.PathLike[str], input_name: str = INPUT) -> None:
    """Save a model file. An older file of that name is replaced at once and whole, or not at all.

    Parameters
    ----------
    contents : Contents
    path : path
    input_name : str
        The name of the ONNX graph's input, for programs that run the file.

    Raises
    ------
    ModelFileError
        The file cannot be written; the message names it and says why, and an older file is as it was.
    """
    with _told(path):
        write_whole(path, _serialised(contents, input_name))


def write_beside(contents: Contents, path: str | os.PathLike[str]) -> Path:
    """Save a model file that replaces none: where `path` is taken, another name is found, and returned.

    Raises
    ------
    ModelFileError
        The file cannot be written.
    """
    with _told(path):
        return write_new(path, _serialised(contents, INPUT))


def _serialised(contents: Contents, input_name: str) -> bytes:
    if contents.graph.parameter_count > MOST_WEIGHTS:  # Protocol Buffers cannot write it
        raise ModelFileError(f"the network has more than {MOST_WEIGHTS:,} weights, which is all that a file can hold")
    model = to_onnx(contents, input_name)
    _check(model, contents)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@contextlib.contextmanager
def _told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say in one line why a file cannot be written."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        kept = "; the older file is unchanged" if os.path.isfile(path) else ""
        raise ModelFileError(f'the model cannot be saved as "{os.fspath(path)}": {reason}{kept}') from None


def _check(model: Any, contents: Contents) -> None:
    """Raise ModelFileError if what would be written could not be read again, or not as what it is."""
    try:
        found = read_own(model)
    except LanewiseError as error:
        raise ModelFileError(f"it could not be loaded again: {str(error).partition(chr(10))[0]}") from None
    for name in ("classes", "preprocessing", "network", "tta"):
        if getattr(found, name) != getattr(contents, name):
            raise ModelFileError(f"it could not be loaded again: its {name} would come back as another")
