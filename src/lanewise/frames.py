"""Predictions and history as tables: CSV text, and pandas data frames for whoever has pandas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import MissingPackageError


def predictions_table(
    probabilities: NDArray[np.float32], classes: Sequence[Any], named: NDArray[np.bool_] | None = None
) -> tuple[list[str], list[list[Any]]]:
    """Columns "class", "probability" and one for each class, and a row for each image.

    Parameters
    ----------
    probabilities : (N, classes) float32
    classes : sequence of labels
    named : (N,) bool, optional
        Images of which the class is told; that of others is None.
    """
    best = probabilities.argmax(axis=1) if len(probabilities) else np.zeros(0, np.int64)
    told = np.ones(len(best), bool) if named is None else named
    rows = [
        [classes[k] if tells else None, float(row[k]), *map(float, row)]
        for k, tells, row in zip(best, told, probabilities, strict=True)
    ]
    return ["class", "probability", *map(str, classes)], rows


def history_table(history: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """A column for each figure, and a row for each epoch; None where an epoch has no such figure."""
    columns = list(dict.fromkeys(key for record in history for key in record))
    return columns, [[record.get(key) for key in columns] for record in history]


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The table as CSV, with commas and a head line; cells with commas, quotes or breaks are quoted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def predictions_frame(probabilities: NDArray[np.float32], classes: Sequence[Any]) -> Any:
    """The table of predictions as a data frame."""
    return _frame(*predictions_table(probabilities, classes))


def history_frame(history: Sequence[Mapping[str, Any]]) -> Any:
    """The history as a data frame."""
    return _frame(*history_table(history))


def _frame(columns: list[str], rows: list[list[Any]]) -> Any:
    try:
        pandas = import_module("pandas")
    except ImportError:
        raise MissingPackageError("a data frame needs pandas: pip install pandas") from None
    return pandas.DataFrame(rows, columns=columns)
