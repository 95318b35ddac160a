"""Labels as users have them, and as a model keeps them: as text or numbers, with the type by which they come back.

plain(y) -> (labels, kind)           dates, bytes, decimal numbers as text; kind names their type, or is None
typed(classes, kind) -> array        what `predict` picks from
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import DataError

SMALL = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64", "float16", "float32")
"""Types of numbers that Python's own do not come back as."""

TIMES = re.compile(r"(datetime|timedelta)64\[(Y|M|W|D|h|m|s|ms|us|ns)\]")
UTF8, LATIN = "bytes", "bytes (latin-1)"

OBJECTS: dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    "datetime": (datetime, lambda time: _shortest(time.isoformat()), datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "Decimal": (Decimal, lambda number: format(number.normalize(), "f"), Decimal),
    "Fraction": (Fraction, str, Fraction),
    "UUID": (UUID, str, UUID),
}
"""Python's own types by their names: how they become text, and come back."""


def plain(y: Any) -> tuple[NDArray[Any], str | None]:
    """Labels as numbers, booleans or text, and the type that they had if that does not tell it.

    Raises
    ------
    DataError
        A label is missing, or of a type that is no label.
    """
    _refuse_missing(y)
    labels = as_array(y)
    kind = labels.dtype.kind
    if kind in "mM":
        return _times(labels), str(labels.dtype)
    if kind == "T":
        return np.array(labels.tolist()), None
    if kind == "S":
        return _decoded(labels)
    if kind == "O" and labels.ndim == 1:
        return _objects(labels.tolist())
    return labels, labels.dtype.name if labels.dtype.name in SMALL else None


def typed(classes: Sequence[Any], kind: str | None) -> NDArray[Any]:
    """The labels with the type that they had, one for each class.

    Raises
    ------
    ValueError
        They cannot be of this type.
    """
    if kind is None:
        # Labels of several types stay what they are, instead of all becoming text.
        alike = len(set(map(type, classes))) == 1
        cut = any(isinstance(label, str) and label.endswith("\0") for label in classes)  # as NumPy's texts are
        labels = np.array(classes, dtype=None if alike and not cut else object)
        if labels.dtype.kind == "f" and isinstance(classes[0], int):  # numbers too large for NumPy's own
            labels = np.array(classes, dtype=object)
        return labels
    if kind in SMALL:
        numbers = np.array(classes).astype(kind)
        if numbers.tolist() != list(classes):
            raise ValueError(kind)
        return numbers
    if not all(isinstance(label, str) for label in classes):
        raise ValueError(kind)
    if kind in (UTF8, LATIN):
        return np.array([label.encode("utf-8" if kind == UTF8 else "latin-1") for label in classes])
    if TIMES.fullmatch(kind):
        return np.array(list(classes), kind) if kind[0] == "d" else np.array(list(map(int, classes))).astype(kind)
    if kind not in OBJECTS:
        raise ValueError(kind)
    *_, back = OBJECTS[kind]
    found = np.empty(len(classes), object)
    try:
        found[:] = [back(label) for label in classes]
    except ArithmeticError:
        raise ValueError(kind) from None
    return found


def _refuse_missing(y: Any) -> None:
    missing: Any = None
    if np.ma.isMaskedArray(y):
        missing = np.ma.getmaskarray(y)
    elif callable(getattr(y, "isna", None)):
        missing = np.asarray(y.isna())
    if missing is not None and missing.any():
        raise _missing(int(np.flatnonzero(missing)[0]), "missing")


def _missing(place: int, what: object) -> DataError:
    return DataError(f"label {place} is {what}: labels are classes; give it one, or leave the image out")


def as_array(y: Any) -> NDArray[Any]:
    """Labels as an array of one type, or of objects where they have several."""
    if isinstance(y, list | tuple) and len({isinstance(label, str) for label in y}) == 2:
        labels = np.empty(len(y), object)  # NumPy would write numbers beside text as text
        labels[:] = list(y)
        return labels
    if isinstance(y, list | tuple) and any(isinstance(label, bool | np.bool_) for label in y):
        return np.array(list(y))
    labels = np.asarray(y)
    column = labels.ndim == 2 and labels.shape[-1] == 1 and labels.dtype.kind in "OSmMT"
    return labels[..., 0] if column else labels


def _objects(labels: list[Any]) -> tuple[NDArray[Any], str | None]:
    for place, label in enumerate(labels):
        if label is None or type(label).__name__ in ("NAType", "NaTType") or bool(label != label):
            raise _missing(place, label)
    if not labels:
        return np.array(labels), None
    if all(isinstance(label, str) for label in labels):
        for place, label in enumerate(labels):
            if label.endswith("\0"):
                raise DataError(
                    f"label {place} ends in a NUL character, which arrays of text drop: choose another name"
                )
        return np.array(list(map(str, labels))), None
    if all(isinstance(label, bytes) for label in labels):
        return _decoded(np.array(labels))
    if all(isinstance(label, bool | np.bool_) for label in labels):
        return np.array(labels, bool), None
    if all(isinstance(label, int | float | np.integer | np.floating | np.bool_) for label in labels):
        numbers = np.array(labels)
        if numbers.dtype.kind not in "biuf":
            raise DataError("labels hold a whole number of more than 64 bits: give text or smaller numbers")
        return numbers, None
    for name, (known, text, _) in OBJECTS.items():
        if all(isinstance(label, known) for label in labels) and (
            known is not date or not any(isinstance(label, datetime) for label in labels)
        ):
            return np.array([text(label) for label in labels]), name
    kinds = sorted({_kind(label) for label in labels})
    names = all(hasattr(label, "name") and hasattr(label, "value") for label in labels)
    way = "[label.name for label in y]" if names else "[str(label) for label in y]"
    raise DataError(
        f"labels must be all whole numbers or all strings, but here they are {', '.join(kinds)}: give {way}"
    )


def _kind(label: object) -> str:
    if isinstance(label, str):
        return "string"
    return "whole number" if isinstance(label, int | np.integer) else type(label).__name__


def _decoded(labels: NDArray[Any]) -> tuple[NDArray[Any], str]:
    try:
        return np.char.decode(labels, "utf-8"), UTF8
    except UnicodeDecodeError:
        return np.char.decode(labels, "latin-1"), LATIN


def _times(labels: NDArray[Any]) -> NDArray[Any]:
    """Times as text that does not depend on their unit; spans as the number of their unit."""
    odd = np.flatnonzero(np.isnat(labels))
    if len(odd):
        raise _missing(int(odd[0]), "NaT")
    if labels.dtype.kind == "m":
        return labels.astype(np.int64).astype(str)
    values, inverse = np.unique(labels, return_inverse=True)
    fine = (
        values.astype("M8[D]") if labels.dtype.name in ("datetime64[Y]", "datetime64[M]", "datetime64[W]") else values
    )
    return np.array([_shortest(str(time)) for time in fine])[inverse.reshape(labels.shape)]


def _shortest(time: str) -> str:
    """A time without parts that are zero: one time has one name, whatever its unit."""
    if "." in time and "+" not in time:
        time = time.rstrip("0").rstrip(".")
    return re.sub(r"T00(:00(:00)?)?$", "", time)
