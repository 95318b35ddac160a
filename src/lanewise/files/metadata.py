"""Classes, network text, history and provenance as text properties of the file, and back.

    lanewise_format   "1"; a file without it is read as anybody's ONNX file
    classes           JSON list of labels
    network           the text of the network, "" where there is none
    preprocessing     JSON object with the fields of Preprocessing
    history           JSON list with an object for each epoch; empty where it would be large
    provenance        JSON object
    digest            of the weights: they are refused when they are not those that were written

All of them are always written, so that a file cut short between two of them is noticed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import ModelFileError
from lanewise.files.contents import Contents, Label

FORMAT = 1
LARGEST_HISTORY = 1 << 20
LARGEST_PROPERTY = 16 << 20
LONGEST_NETWORK = 100_000
KEYS = ("lanewise_format", "classes", "network", "preprocessing", "history", "provenance", "digest")


@dataclass(frozen=True, slots=True)
class Properties:
    """The metadata of a file that Lanewise wrote, of the right types; nothing is compared with the graph yet."""

    classes: tuple[Label, ...]
    network: str | None
    preprocessing: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]
    provenance: Mapping[str, Any]
    digest: str


def to_properties(contents: Contents) -> dict[str, str]:
    """The metadata of a file, as ONNX keeps it: text by key."""
    history = to_json(contents.history)
    return {
        "lanewise_format": str(FORMAT),
        "classes": to_json(contents.classes),
        "network": contents.network or "",
        "preprocessing": to_json(asdict(contents.preprocessing)),
        "history": history if len(history) <= LARGEST_HISTORY else "[]",
        "provenance": to_json(contents.provenance),
        "digest": digest(contents.parameters),
    }


def from_properties(texts: Mapping[str, str]) -> Properties:
    """Read what `to_properties` wrote.

    Raises
    ------
    ModelFileError
        A property is missing, too long or of the wrong kind.
    """
    version = texts.get("lanewise_format", "")
    if version != str(FORMAT) and version.isdecimal() and len(version) < 10 and int(version) > FORMAT:
        raise ModelFileError(
            f"it was written by a newer Lanewise (format {version}, this one reads {FORMAT}); update lanewise"
        )
    missing = [key for key in KEYS if key not in texts]
    if missing or version != str(FORMAT):
        what = f"lacks its property {missing[0]!r}" if missing else f"has the format {version[:20]!r}"
        raise ModelFileError(f"it {what}: it was cut short or edited; copy or save the model again")
    if len(texts["network"]) > LONGEST_NETWORK:
        raise ModelFileError(
            f"it has a network text of {len(texts['network'])} characters; at most {LONGEST_NETWORK} are read"
        )
    classes = _from_json(texts, "classes", list)
    history = _from_json(texts, "history", list)
    if not all(isinstance(label, str | int | float | bool) for label in classes):
        raise ModelFileError("the property 'classes' must be a JSON list of texts or numbers")
    if not all(isinstance(record, dict) for record in history):
        raise ModelFileError("the property 'history' must be a JSON list of objects")
    return Properties(
        classes=tuple(classes),
        network=texts["network"] or None,
        preprocessing=_from_json(texts, "preprocessing", dict),
        history=tuple(history),
        provenance=_from_json(texts, "provenance", dict),
        digest=texts["digest"],
    )


def digest(parameters: Iterable[NDArray[np.float32]]) -> str:
    """A short fingerprint of all weights, independent of the machine's byte order."""
    state = hashlib.blake2b(digest_size=16)
    for array in parameters:
        state.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return state.hexdigest()


def _from_json(texts: Mapping[str, str], key: str, kind: type) -> Any:
    text = texts[key]
    if len(text) > LARGEST_PROPERTY:
        raise ModelFileError(f"the property {key!r} has {len(text)} characters; at most {LARGEST_PROPERTY} are read")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"the property {key!r} is not JSON ({error})") from None
    if not isinstance(value, kind):
        name = "list" if kind is list else "object"
        raise ModelFileError(f"the property {key!r} must be a JSON {name}, not {type(value).__name__}")
    return value


def to_json(value: object) -> str:
    """JSON of a value that may hold NumPy scalars; NaN and infinity become null."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> object:
    """NumPy scalars as Python's, and what JSON cannot say (NaN, infinity: a loss that ran away) as null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
