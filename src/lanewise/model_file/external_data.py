"""Weights in a second file beside the model, as PyTorch's exporter writes them: read only where the user asks for it.

A model file names the other by a text, which nobody vouches for. It must be the plain name of a regular file in the
folder of the model, and no more is read than its tensors have numbers.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lanewise.errors import ModelFileError
from lanewise.model_file.tensors import EXTERNAL, bytes_of, quoted

LONGEST_NAME = 255


def take_in(model: Any, folder: Path, most_bytes: int) -> None:
    """Put the numbers that an `onnx.ModelProto` keeps in files of `folder` into it.

    Parameters
    ----------
    model : onnx.ModelProto
        Changed.
    folder : Path
        Where the model file lies.
    most_bytes : int
        Of all files together.

    Raises
    ------
    ModelFileError
        A file is elsewhere, no regular file, or too short; the message names the tensor and the file.
    """
    files: dict[str, BinaryIO] = {}
    try:
        for tensor in _external(model):
            where = {entry.key: entry.value for entry in tensor.external_data}
            name, size = str(where.get("location", "")), bytes_of(tensor)
            most_bytes -= size
            if most_bytes < 0:
                raise ModelFileError(
                    f"tensor {quoted(tensor.name)}: its weights in other files take more than are read"
                )
            if name not in files:
                files[name] = _opened(folder, name, tensor)
            tensor.raw_data = _part(files[name], where, size, tensor)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    finally:
        for file in files.values():
            file.close()


def _external(model: Any) -> Iterator[Any]:
    """The tensors whose numbers are elsewhere: weights, and those of Constant nodes."""
    yield from (tensor for tensor in model.graph.initializer if tensor.data_location == EXTERNAL)
    for node in model.graph.node:
        yield from (one.t for one in node.attribute if one.HasField("t") and one.t.data_location == EXTERNAL)


def _opened(folder: Path, name: str, tensor: Any) -> BinaryIO:
    what = f"tensor {quoted(tensor.name)} keeps its numbers in the file {quoted(name)}"
    plain = 0 < len(name) <= LONGEST_NAME and name == os.path.basename(name) and name.isprintable()
    if not plain or name in (".", "..") or any(sign in name for sign in "/\\:"):
        raise ModelFileError(f"{what}, which is no plain name of a file beside the model: only such files are opened")
    path = folder / name
    try:
        # Of a link or a pipe not even the opening is safe.
        file = path.open("rb") if stat.S_ISREG(os.lstat(path).st_mode) else None
    except OSError as error:
        raise ModelFileError(f"{what}, which cannot be read: {error.strerror or error}") from None
    if file is None or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise ModelFileError(f"{what}, which is not a regular file")
    return file


def _part(file: BinaryIO, where: dict[Any, Any], size: int, tensor: Any) -> bytes:
    """The bytes of one tensor."""
    begin, length = (str(where.get(key, default)) for key, default in (("offset", "0"), ("length", str(size))))
    if not (begin.isascii() and begin.isdecimal() and length == str(size) and len(begin) < 16):
        raise ModelFileError(
            f"tensor {quoted(tensor.name)}: its place in the other file does not fit its {size:,} bytes"
        )
    if int(begin) + size > os.fstat(file.fileno()).st_size:
        raise ModelFileError(f"tensor {quoted(tensor.name)}: the other file ends before its {size:,} bytes")
    file.seek(int(begin))
    return file.read(size)
