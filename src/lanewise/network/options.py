"""Which options make sense for a layer on its own, before it meets an image.

`parse` and `build` both ask here, so text and Python are held to the same rules.
"""

from __future__ import annotations

import math
from typing import TypeGuard

from lanewise.network import layers
from lanewise.network.filters import BANKS

MOST_FILTERS = 1_000_000
"""Filters of a convolution, units of a dense layer."""

MOST_STEPS = 10_000
"""Rows or columns of a kernel, window, stride, dilation or padding."""

MOST_LAYERS = 10_000
"""Layers of a network, those inside residual and concat counted."""

MOST_DEPTH = 50
"""Residuals and concats inside each other."""


def option_problem(layer: layers.Layer) -> str | None:
    """Say in one clause what is wrong with the options of `layer`, or None.

    Layers inside a residual or a concat are not looked at: they are asked about one by one.
    """
    problems: list[str | None] = []
    match layer:
        case layers.Conv2D():
            problems = [
                _count("filters", layer.filters, MOST_FILTERS),
                _pair("kernel", layer.kernel),
                _padding(layer.padding),
                _pair("stride", layer.stride),
                _pair("dilation", layer.dilation),
                _count("groups", layer.groups, MOST_FILTERS),
                _flag("bias", layer.bias),
            ]
        case layers.Fixed():
            problems = [_bank(layer.bank), _padding(layer.padding), _pair("stride", layer.stride)]
        case layers.MaxPool2D() | layers.AvgPool2D():
            problems = [
                _pair("window", layer.window),
                _padding(layer.padding),
                None if layer.stride is None else _pair("stride", layer.stride),
            ]
            if isinstance(layer, layers.AvgPool2D):
                problems.append(_flag("count_padding", layer.count_padding))
        case layers.Dense():
            problems = [
                _count("units", layer.units, MOST_FILTERS),
                _flag("bias", layer.bias),
            ]
        case layers.Elementwise():
            problems = [_within(option, value, *layer.bounds[option]) for option, value in layer.options.items()]
        case layers.Dropout():
            if not (_finite(layer.rate) and 0 <= layer.rate < 1):
                problems = [f"its rate must be at least 0 and less than 1, not {layer.rate!r}"]
        case layers.Residual():
            problems = [
                _layers("body", layer.body),
                _layers("shortcut", layer.shortcut),
                None if layer.body else "its body is empty; put layers into it, like residual(conv 16@3x3 same, relu)",
            ]
        case layers.Concat():
            problems = _branches(layer.branches)
    problems.append(_flag("frozen", getattr(layer, "frozen", False)))
    return next((problem for problem in problems if problem), None)


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether `value` is an int; True and False are not meant as numbers."""
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _within(option: str, value: object, low: float, high: float) -> str | None:
    if isinstance(value, int | float) and _finite(value) and low <= value <= high:
        return None
    return f"its {option} must be a number from {low} to {high}, not {value!r}"


def _count(option: str, value: int, most: int) -> str | None:
    if is_whole(value) and 1 <= value <= most:
        return None
    return f"its {option} must be a whole number from 1 to {most:,}, not {value!r}"


def _pair(option: str, value: object) -> str | None:
    if isinstance(value, tuple) and len(value) == 2 and all(is_whole(v) and 1 <= v <= MOST_STEPS for v in value):
        return None
    advice = f"; write ({value}, {value})" if is_whole(value) else ""
    return f"its {option} must be (rows, columns), whole numbers from 1 to {MOST_STEPS:,}, not {value!r}{advice}"


def _padding(value: object) -> str | None:
    if isinstance(value, str) and value in ("valid", "same"):
        return None
    if isinstance(value, tuple) and len(value) == 4 and all(is_whole(v) and 0 <= v <= MOST_STEPS for v in value):
        return None
    return (
        'its padding must be "valid", "same" or (top, left, bottom, right), '
        f"whole numbers from 0 to {MOST_STEPS:,}, not {value!r}"
    )


def _flag(option: str, value: object) -> str | None:
    return None if isinstance(value, bool) else f"its {option} must be True or False, not {value!r}"


def _bank(names: object) -> str | None:
    if not isinstance(names, tuple) or not names or not all(isinstance(name, str) for name in names):
        return f'its bank must be a tuple of names, like ("sobel", "blur"), not {names!r}'
    if unknown := [name for name in names if name not in BANKS]:
        return f"{unknown[0]!r} are no filters known; those that are: {', '.join(BANKS)}"
    twice = next((name for name in names if names.count(name) > 1), None)
    return None if twice is None else f"{twice} is there twice; once is enough"


def _layers(option: str, value: object) -> str | None:
    if isinstance(value, tuple) and all(isinstance(layer, layers.Layer) for layer in value):
        return None
    return f"its {option} must be a tuple of layers, not {value!r}"


def _branches(branches: object) -> list[str | None]:
    if not isinstance(branches, tuple):
        return [f"its branches must be a tuple of tuples of layers, not {branches!r}"]
    if len(branches) < 2:
        return ["it needs at least two branches, like concat(conv 8@1x1 | conv 8@3x3 same)"]
    return [_layers("branches", branch) for branch in branches]
