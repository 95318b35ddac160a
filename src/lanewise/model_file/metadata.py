"""Classes, network text, history and provenance as text properties of the file, and back.

    lanewise_format   "1", or "2" with tta; a file without it is read as anybody's ONNX file
    classes           JSON list of labels
    network           the text of the network, "" where there is none
    preprocessing     JSON object with the fields of Preprocessing
    history           JSON list with an object for each epoch; every second one, or fourth, ... where it would be large
    provenance        JSON object
    digest            of the weights: they are refused when they are not those that were written
    tta               only with test-time augmentation: "flip"
    label_type        only where text and numbers do not tell it: "date", "int8" and the like

All others are always written, so that a file cut short between two of them is noticed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import ModelFileError
from lanewise.model_file.checked import LARGEST_PROPERTY, check_history, check_provenance, json_of
from lanewise.model_file.contents import Contents, Label, label_problem

FORMAT, TTA_FORMAT = 1, 2
"""Of files that every version reads, and of those that versions before test-time augmentation would not answer as."""

LARGEST_HISTORY = 8 << 20
LONGEST_NETWORK = 100_000
FORMER_NAMES = {"pictures": "images", "judged": "evaluated"}
"""Entries of the provenance in files of version 0.1.0, and what they are called now."""

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
    label_type: str | None = None
    tta: str | None = None


def to_properties(contents: Contents) -> dict[str, str]:
    """The metadata of a file, as ONNX keeps it: text by key."""
    optional = {"tta": contents.tta, "label_type": contents.label_type}
    return {
        "lanewise_format": str(FORMAT if contents.tta is None else TTA_FORMAT),
        "classes": to_json(contents.classes),
        "network": contents.network or "",
        "preprocessing": to_json(asdict(contents.preprocessing)),
        "history": _history(contents.history),
        "provenance": to_json(contents.provenance),
        "digest": digest(contents.parameters),
    } | {key: text for key, text in optional.items() if text is not None}


def from_properties(texts: Mapping[str, str]) -> Properties:
    """Read what `to_properties` wrote.

    Raises
    ------
    ModelFileError
        A property is missing, too long or of the wrong kind.
    """
    version = texts.get("lanewise_format", "")
    if version.isdecimal() and len(version) < 10 and int(version) > TTA_FORMAT:
        raise ModelFileError(
            f"it was written by a newer Lanewise (format {version}, this one reads {TTA_FORMAT}); update lanewise"
        )
    with_tta = version == str(TTA_FORMAT)
    missing = [key for key in (*KEYS, *["tta"] * with_tta) if key not in texts]
    if missing or version not in (str(FORMAT), str(TTA_FORMAT)) or with_tta != ("tta" in texts):
        what = f"lacks its property {missing[0]!r}" if missing else f"has the format {version[:20]!r}"
        raise ModelFileError(f"it {what}: it was cut short or edited; copy or save the model again")
    if len(texts["network"]) > LONGEST_NETWORK:
        raise ModelFileError(
            f"it has a network text of {len(texts['network'])} characters; at most {LONGEST_NETWORK} are read"
        )
    classes = json_of(texts["classes"], "classes", list)
    history = json_of(texts["history"], "history", list)
    provenance = _in_todays_words(json_of(texts["provenance"], "provenance", dict))
    if any(label_problem(label) for label in classes):
        raise ModelFileError("the property 'classes' must be a JSON list of texts or numbers")
    check_history(history)
    check_provenance(provenance, len(classes))
    return Properties(
        classes=tuple(classes),
        network=texts["network"] or None,
        preprocessing=json_of(texts["preprocessing"], "preprocessing", dict),
        history=tuple(history),
        provenance=provenance,
        digest=texts["digest"],
        label_type=texts.get("label_type"),
        tta=texts.get("tta"),
    )


def _in_todays_words(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance as version 0.1.0 and its successors before 0.2 wrote it, with the names that its entries have now."""
    told = {}
    for key, value in provenance.items():
        nested = isinstance(value, Mapping)
        if key == "images" and nested:  # hashes of the images; today the word means their number
            key = "seen"
        told[FORMER_NAMES.get(key, key)] = (
            _in_todays_words(value) if key in ("judged", "cross_validation") and nested else value
        )
    return told


def digest(parameters: Iterable[NDArray[np.float32]]) -> str:
    """A short fingerprint of all weights, independent of the machine's byte order."""
    state = hashlib.blake2b(digest_size=16)
    for array in parameters:
        state.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return state.hexdigest()


def _history(history: Sequence[Mapping[str, Any]]) -> str:
    """The records as JSON; of very many every second one, or fourth, ... , and always the last."""
    records = list(history)
    while len(text := to_json(records)) > LARGEST_HISTORY and len(records) > 1:
        records = records[-1::-2][::-1]
    return text if len(text) <= LARGEST_PROPERTY else "[]"


def to_json(value: object) -> str:
    """JSON of a value that may hold NumPy scalars; NaN and infinity become null."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # names of folders that are no UTF-8 hold half characters, which only escapes can say
        return json.dumps(_plain(value), allow_nan=False)
    return text


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
