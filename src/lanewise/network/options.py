"""Which options make sense for a layer on its own, before it meets an image.

`parse` and `build` both ask here, so text and Python are held to the same rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import TypeGuard, get_args

from lanewise.network import layers
from lanewise.network.base import Initial
from lanewise.network.filters import BANKS

MOST_FILTERS = 1_000_000
"""Filters of a convolution, units of a dense layer."""

MOST_STEPS = 10_000
"""Rows or columns of a kernel, window, stride, dilation or padding."""

MOST_BESIDE = 15
"""Channels that count for one, in local response normalisation."""

MOST_LAYERS = 10_000
"""Layers of a network, those inside residual and concat counted."""

MOST_DEPTH = 50
"""Residuals and concats inside each other."""


def option_problem(layer: layers.Layer) -> str | None:
    """Say in one clause what is wrong with the options of `layer`, or None.

    Layers inside a residual or a concat are not looked at: they are asked about one by one.
    """
    bounds = layer.bounds if isinstance(layer, layers.Elementwise) else {}
    for option in fields(layer):
        name, value = option.name, getattr(layer, option.name)
        if name in bounds:
            problem = _within(name, value, *bounds[name])
        elif value is None and option.default is None:  # a pool's stride, which then is its window
            continue
        else:
            problem = _CHECKS[name](name, value)
        if problem:
            return problem
    if isinstance(layer, layers.Residual) and not layer.body:
        return "its body is empty; put layers into it, like residual(conv 16@3x3 same, relu)"
    if isinstance(layer, layers.Gate) and not layer.body:
        return "its body is empty; put layers into it, like gate(global average, dense 32, sigmoid)"
    return None


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether `value` is an int; True and False are not meant as numbers."""
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _within(option: str, value: object, low: float, high: float) -> str | None:
    if _finite(value) and low <= value <= high:
        return None
    return f"its {option} must be a number from {low} to {high}, not {value!r}"


def _rate(option: str, value: object) -> str | None:
    if _finite(value) and 0 <= value < 1:
        return None
    return f"its {option} must be at least 0 and less than 1, not {value!r}"


def _count(option: str, value: object) -> str | None:
    if is_whole(value) and 1 <= value <= MOST_FILTERS:
        return None
    return f"its {option} must be a whole number from 1 to {MOST_FILTERS:,}, not {value!r}"


def _odd(option: str, value: object) -> str | None:
    if is_whole(value) and value % 2 and 1 <= value <= MOST_BESIDE:
        return None
    return f"its {option} must be an odd number from 1 to {MOST_BESIDE}, not {value!r}"


def _pair(option: str, value: object) -> str | None:
    if isinstance(value, tuple) and len(value) == 2 and all(is_whole(v) and 1 <= v <= MOST_STEPS for v in value):
        return None
    advice = f"; write ({value}, {value})" if is_whole(value) else ""
    return f"its {option} must be (rows, columns), whole numbers from 1 to {MOST_STEPS:,}, not {value!r}{advice}"


def _padding(option: str, value: object) -> str | None:
    if isinstance(value, str) and value in ("valid", "same"):
        return None
    if isinstance(value, tuple) and len(value) == 4 and all(is_whole(v) and 0 <= v <= MOST_STEPS for v in value):
        return None
    return (
        f'its {option} must be "valid", "same" or (top, left, bottom, right), '
        f"whole numbers from 0 to {MOST_STEPS:,}, not {value!r}"
    )


def _flag(option: str, value: object) -> str | None:
    return None if isinstance(value, bool) else f"its {option} must be True or False, not {value!r}"


def _initial(option: str, value: object) -> str | None:
    known = get_args(Initial)
    return None if value in known else f"its {option} must be one of {', '.join(map(repr, known))}, not {value!r}"


def _bank(option: str, names: object) -> str | None:
    if not isinstance(names, tuple) or not names or not all(isinstance(name, str) for name in names):
        return f'its {option} must be a tuple of names, like ("sobel", "blur"), not {names!r}'
    if unknown := [name for name in names if name not in BANKS]:
        return f"{unknown[0]!r} are no filters known; those that are: {', '.join(BANKS)}"
    twice = next((name for name in names if names.count(name) > 1), None)
    return None if twice is None else f"{twice} is there twice; once is enough"


def _layers(option: str, value: object) -> str | None:
    if isinstance(value, tuple) and all(isinstance(layer, layers.Layer) for layer in value):
        return None
    return f"its {option} must be a tuple of layers, not {value!r}"


def _branches(option: str, branches: object) -> str | None:
    if not isinstance(branches, tuple):
        return f"its {option} must be a tuple of tuples of layers, not {branches!r}"
    if len(branches) < 2:
        return "it needs at least two branches, like concat(conv 8@1x1 | conv 8@3x3 same)"
    return next(filter(None, (_layers(option, branch) for branch in branches)), None)


_CHECKS: dict[str, Callable[[str, object], str | None]] = {
    **dict.fromkeys(("filters", "units", "groups"), _count),
    **dict.fromkeys(("kernel", "window", "stride", "dilation"), _pair),
    **dict.fromkeys(("bias", "frozen", "count_padding"), _flag),
    **dict.fromkeys(("body", "shortcut"), _layers),
    "padding": _padding,
    "bank": _bank,
    "initial": _initial,
    "branches": _branches,
    "rate": _rate,
    "size": _odd,
    "alpha": lambda option, value: _within(option, value, 0.0, 1e6),
    "beta": lambda option, value: _within(option, value, 0.0, 100.0),
    "k": lambda option, value: _within(option, value, 1e-6, 1e6),
    "epsilon": lambda option, value: _within(option, value, 1e-12, 1.0),
}
"""What says whether an option makes sense, by its name, which means the same in all layers."""
