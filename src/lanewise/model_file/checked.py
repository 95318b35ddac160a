"""JSON values from a file that nobody vouches for: whether they have the types, sizes and depth that they should."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from types import UnionType
from typing import Annotated, Any, Literal, NoReturn, TypedDict, Union, get_args, get_origin, get_type_hints

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

LARGEST_COUNT = 1 << 63

Figure = float | None
Count = Annotated[int, (0, LARGEST_COUNT)]
Share = Annotated[float, (0, 1)]
"""Numbers that lie in a range, both ends counted."""


class Record(TypedDict, total=False):
    """What is known of the record of an epoch; it may hold more."""

    epoch: Count
    loss: Figure
    accuracy: Figure
    validation_loss: Figure
    validation_accuracy: Figure
    learning_rate: Figure
    seconds: Figure
    images: Count | None


class HeldOut(TypedDict):
    """The share that was held out, and the fingerprint of the images."""

    fraction: Share
    of: str


class Evaluated(TypedDict, total=False):
    """How good a model was on its validation or test set."""

    split: str
    images: Count
    accuracy: Share
    interval: tuple[Share, Share]


class Folds(TypedDict):
    """What cross-validation came to."""

    folds: Count
    images: Count
    correct: Count
    accuracy: Share
    interval: tuple[Share, Share]
    loss: float
    accuracies: tuple[float, ...]
    confusion: tuple[tuple[Count, ...], ...]


class Start(TypedDict, total=False):
    """How good the model was that training started from."""

    validation_loss: Figure
    validation_accuracy: Share | None


class Augmentation(TypedDict, total=False):
    """How images were changed while training."""

    shift_rows: Count
    shift_columns: Count
    flip_rows: bool
    flip_columns: bool
    zoom: Annotated[float, (1, 10)]
    rotate: Annotated[float, (0, 180)]
    brightness: Share
    contrast: Share
    saturation: Share
    erase: Share
    mixup: Share
    cutmix: Share
    alternating: bool


class Temperature(TypedDict):
    """What scores were divided by, and the cross-entropy on so many held-out images before and after."""

    value: Annotated[float, (0.01, 100)]
    images: Count
    loss: tuple[float, float]


class Abstention(TypedDict):
    """What held-out images say of the images that are not named: see `lanewise.abstention`."""

    images: Annotated[int, (1, LARGEST_COUNT)]
    wrong: Count
    thresholds: tuple[tuple[Share, Share, Count], ...]


class Provenance(TypedDict, total=False):
    """What is known of where a model came from; it may say more."""

    version: str
    date: str
    seed: Count | None
    images: Count
    epochs: Count
    steps: Count
    batch_size: Count
    optimizer: str
    learning_rate: Figure
    weight_decay: Figure
    ema: Share
    bias_scaler: Figure
    images_per_second: Figure
    seconds: Figure
    interrupted: bool
    stopped_early: bool
    best_epoch: Count | None
    held_out: HeldOut | None
    evaluated: Evaluated | None
    cross_validation: Folds | None
    candidates: Figure
    augment: str | None
    augmentation: Augmentation | None
    start: Start | None
    temperature: Temperature | None
    abstention: Abstention | None
    seen: dict[str, Any] | None


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
        _check_known(record, Record, f"record {position} of the property 'history'")
        for key, value in record.items():
            if isinstance(value, list | dict):
                raise ModelFileError(
                    f"record {position} of the property 'history' holds a list or object as {_short(key)}"
                )


def check_provenance(provenance: Mapping[str, Any], classes: int) -> None:
    """Raise ModelFileError if something that is known of a model has the wrong type, or figures do not fit together."""
    _check_known(provenance, Provenance, "the property 'provenance'")
    folds = provenance.get("cross_validation")
    if folds is None:
        return
    square = all(len(row) == classes for row in (folds["confusion"], *folds["confusion"]))
    if not square or folds["folds"] < 2 or not 1 <= folds["images"] >= folds["correct"]:
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
    if origin is Annotated:
        kind, (low, high) = parts
        return conforms(value, kind) and isinstance(value, int | float) and low <= value <= high
    if hasattr(hint, "__required_keys__"):  # a TypedDict
        hints = get_type_hints(hint, include_extras=True)
        if not isinstance(value, dict) or not hint.__required_keys__ <= value.keys():
            return False
        return all(conforms(one, hints[name]) for name, one in value.items() if name in hints)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin is tuple:
        if not isinstance(value, list):
            return False
        if len(parts) == 2 and parts[1] is Ellipsis:
            return all(conforms(one, parts[0]) for one in value)
        return len(value) == len(parts) and all(map(conforms, value, parts))
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_COUNT
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is str:
        return isinstance(value, str) and len(value) <= LONGEST_WORD
    return not isinstance(kind := origin or hint, type) or isinstance(value, kind)


def _check_known(record: Mapping[str, Any], known: type, where: str) -> None:
    hints = get_type_hints(known, include_extras=True)
    for key, value in record.items():
        if len(key) > LONGEST_KEY:
            raise ModelFileError(f"{where} has a key of {len(key)} characters{EDITED}")
        if key in hints and not conforms(value, hints[key]):
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
