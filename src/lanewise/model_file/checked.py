"""JSON values from a file that nobody vouches for: whether they have the types, sizes and depth that they should."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from lanewise.errors import ModelFileError
from lanewise.preprocessing import Preprocessing

LARGEST_PROPERTY = 16 << 20
LONGEST_WORD = 100
LONGEST_KEY = 100
DEEPEST = 32
"""Levels of lists and objects inside each other: what Lanewise writes has 4."""

LARGEST_NUMBER = 1e300
"""Larger whole numbers are no floats, and nothing that Lanewise counts comes near."""

EDITED = ": it was damaged or edited"

LARGEST_FLOAT32 = 3.4028234663852886e38

FIGURE = float | None
RECORD: Mapping[str, Any] = {
    "epoch": int,
    "loss": FIGURE,
    "accuracy": FIGURE,
    "validation_loss": FIGURE,
    "validation_accuracy": FIGURE,
    "learning_rate": FIGURE,
    "seconds": FIGURE,
    "images": int | None,
}
"""What is known of the record of an epoch; it may hold more."""

EVALUATED: Mapping[str, Any] = {"split": str, "images": int, "accuracy": float, "interval": tuple[float, float]}
FOLDS: Mapping[str, Any] = {
    "folds": int,
    "images": int,
    "correct": int,
    "accuracy": float,
    "interval": tuple[float, float],
    "loss": float,
    "accuracies": tuple[float, ...],
    "confusion": tuple[tuple[int, ...], ...],
}
START: Mapping[str, Any] = {"validation_loss": FIGURE, "validation_accuracy": FIGURE}

PROVENANCE: Mapping[str, Any] = {
    "version": str,
    "date": str,
    "seed": int | None,
    "images": int,
    "epochs": int,
    "steps": int,
    "batch_size": int,
    "optimizer": str,
    "learning_rate": FIGURE,
    "weight_decay": FIGURE,
    "images_per_second": FIGURE,
    "seconds": FIGURE,
    "interrupted": bool,
    "stopped_early": bool,
    "best_epoch": int | None,
    "held_out": dict | None,
    "evaluated": dict | None,
    "cross_validation": dict | None,
    "candidates": FIGURE,
    "augment": str | None,
    "start": dict | None,
    "seen": dict | None,
}
"""What is known of where a model came from; it may say more."""

COUNTS = ("epoch", "images", "seed", "epochs", "steps", "batch_size", "best_epoch")
LARGEST_COUNT = 1 << 63


def json_of(text: str, key: str, kind: type) -> Any:
    """The list or object that a property holds: of finite numbers, not nested deeply.

    Parameters
    ----------
    text : str
        JSON.
    key : str
        The property's name, for messages.
    kind : list or dict
        What it must be.

    Raises
    ------
    ModelFileError
        It is none, or too long.
    """
    if len(text) > LARGEST_PROPERTY:
        raise ModelFileError(f"the property {key!r} has {len(text)} characters; at most {LARGEST_PROPERTY} are read")
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"the property {key!r} is not JSON ({error})") from None
    if not isinstance(value, kind):
        name = "list" if kind is list else "object"
        raise ModelFileError(f"the property {key!r} must be a JSON {name}, not {type(value).__name__}")
    for level, item in _walk(value):
        if level > DEEPEST:
            raise ModelFileError(f"the property {key!r} is nested more than {DEEPEST} deep{EDITED}")
        if isinstance(item, int | float) and not -LARGEST_NUMBER <= item <= LARGEST_NUMBER:
            raise ModelFileError(f"the property {key!r} holds a number beyond 1e300{EDITED}")
    return value


def check_history(history: list[Any]) -> None:
    """Raise ModelFileError unless `history` is a list of records of epochs."""
    for position, record in enumerate(history):
        if not isinstance(record, dict):
            raise ModelFileError("the property 'history' must be a JSON list of objects")
        if "epoch" not in record:
            raise ModelFileError(
                f"record {position} of the property 'history' lacks its epoch: it was damaged or edited"
            )
        _check_known(record, RECORD, f"record {position} of the property 'history'")
        for key, value in record.items():
            if isinstance(value, list | dict):
                raise ModelFileError(
                    f"record {position} of the property 'history' holds a list or object as {_short(key)}"
                )


def check_provenance(provenance: Mapping[str, Any]) -> None:
    """Raise ModelFileError if something that is known of a model has the wrong type."""
    _check_known(provenance, PROVENANCE, "the property 'provenance'")
    held_out = provenance.get("held_out")
    if held_out is not None and not (
        conforms(held_out.get("fraction"), float)
        and 0 <= held_out["fraction"] <= 1
        and conforms(held_out.get("of"), str)
    ):
        raise ModelFileError(f"the property 'provenance' has a wrong value for 'held_out'{EDITED}")

    for key, known in (("evaluated", EVALUATED), ("cross_validation", FOLDS), ("start", START)):
        record = provenance.get(key)
        if record is not None and not _holds(record, known):
            raise ModelFileError(f"the property 'provenance' has a wrong value for {key!r}{EDITED}")


def _holds(record: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether a record of figures holds possible ones; those of folds must all be there."""
    if known is FOLDS and not record.keys() >= FOLDS.keys():
        return False
    if not all(conforms(record[name], hint) for name, hint in known.items() if name in record):
        return False
    counts = [record[name] for name in ("images", "correct", "folds") if name in known and name in record]
    shares = [record[name] for name in ("accuracy", "validation_accuracy") if record.get(name) is not None]
    shares += record.get("interval", []) if "interval" in known else []
    if min(counts, default=0) < 0 or not all(0 <= share <= 1 for share in shares):
        return False
    if "confusion" not in known:
        return True
    rows, size = record["confusion"], len(record["confusion"])
    square = all(len(row) == size and min(row) >= 0 for row in rows)
    return square and record["folds"] >= 2 and 1 <= record["images"] >= record["correct"]


def check_against_classes(provenance: Mapping[str, Any], classes: int) -> None:
    """Raise ModelFileError if figures are of another number of classes."""
    folds = provenance.get("cross_validation")
    if folds is not None and len(folds["confusion"]) != classes:
        raise ModelFileError(f"the property 'provenance' has a wrong value for 'cross_validation'{EDITED}")


def preprocessing_of(given: Mapping[str, Any]) -> Preprocessing:
    """The Preprocessing that a JSON object describes. Fields with a default may be missing, as in older files.

    Raises
    ------
    ModelFileError
        A field is missing, unknown or of the wrong type.
    OptionError
        The values do not fit each other.
    """
    known, hints = {entry.name: entry for entry in fields(Preprocessing)}, get_type_hints(Preprocessing)
    for name in given.keys() - known.keys():
        raise ModelFileError(
            f"the property 'preprocessing' has the field {_short(name)}, which this version does not know: "
            "update lanewise"
        )
    values: dict[str, Any] = {}
    for name, entry in known.items():
        if name not in given:
            if entry.default is MISSING and entry.default_factory is MISSING:
                raise ModelFileError(f"the property 'preprocessing' lacks {name!r}{EDITED}")
            continue
        value = given[name]
        if name in ("scale", "offset") and isinstance(value, list):
            fits = all(conforms(one, float) and abs(one) <= LARGEST_FLOAT32 for one in value)
        else:
            fits = conforms(value, hints[name])
        if not fits:
            raise ModelFileError(
                f"the property 'preprocessing' has a wrong value for {name!r}: it was damaged or edited"
            )
        values[name] = _frozen(value)
    return Preprocessing(**values)


def conforms(value: object, hint: Any) -> bool:
    """Whether a JSON value is one of the type `hint`: lists stand for tuples, whole numbers for floats, too."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(conforms(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin is tuple:
        if not isinstance(value, list):
            return False
        if len(parts) == 2 and parts[1] is Ellipsis:
            return all(conforms(one, parts[0]) for one in value)
        return len(value) == len(parts) and all(map(conforms, value, parts))
    if hint in (None, NoneType):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_COUNT
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is str:
        return isinstance(value, str) and len(value) <= LONGEST_WORD
    return not isinstance(hint, type) or isinstance(value, hint)


def _check_known(record: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for key, value in record.items():
        if len(key) > LONGEST_KEY:
            raise ModelFileError(f"{where} has a key of {len(key)} characters{EDITED}")
        negative = key in COUNTS and isinstance(value, int) and value < 0
        if key in known and (negative or not conforms(value, known[key])):
            raise ModelFileError(f"{where} has a wrong value for {key!r}{EDITED}")


def _walk(value: object) -> Iterator[tuple[int, object]]:
    """All values inside a JSON value with their level, without recursion."""
    waiting = [(1, value)]
    while waiting:
        level, item = waiting.pop()
        yield level, item
        if isinstance(item, dict):
            waiting += [(level + 1, inner) for inner in item.values()]
        elif isinstance(item, list):
            waiting += [(level + 1, inner) for inner in item]


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _short(name: str) -> str:
    return repr(name if len(name) <= LONGEST_KEY else name[:LONGEST_KEY] + "...")


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")
