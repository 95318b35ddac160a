"""Values that options take, as callbacks, and options that several commands have."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import click

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read a length of time: "90", "90s", "1.5m" or "1h"."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h|)", value.strip().lower())
    found = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < found < math.inf:
        raise click.BadParameter(f"{value!r} is no time: give one like 30s, 2m or 1h.", ctx, param)
    return found


def picture_shape(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int, int] | None:
    """Read a shape, rows x columns x channels like "30x30x3" (without channels, one), as (channels, rows, columns)."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})(?:x([0-9]{1,9}))?", value.strip().lower())
    rows, columns, channels = (int(size or 1) for size in match.groups()) if match else (0, 0, 0)
    if min(rows, columns, channels) < 1:
        problem = f"{value!r} is no shape of pictures: give rows x columns x channels, like 30x30x3."
        raise click.BadParameter(problem, ctx, param)
    return channels, rows, columns


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object to standard output, and all else to standard error."
)
strict_option: Decorator = click.option(
    "--strict", is_flag=True, help="Refuse to work if a file cannot be used, instead of skipping it."
)
