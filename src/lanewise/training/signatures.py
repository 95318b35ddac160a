"""Signatures and docstrings of functions that take options: written by the fields, seen by people and by type checkers.

A dataclass is a callable whose parameters are its fields, so `Callable[P, Options]` gives a type checker their names,
types and defaults in P. At run time the same fields become `__signature__`, which `help`, notebooks and scikit-learn's
`get_params` read.
"""

from __future__ import annotations

import functools
import inspect
import os
import textwrap
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from numpy.typing import ArrayLike

from lanewise.data.images import Images, ImageSets
from lanewise.keywords import hinting, renamed
from lanewise.model import Model
from lanewise.training.rules import about

Source = str | os.PathLike[str] | ImageSets | Images | ArrayLike
"""What images come from."""

P = ParamSpec("P")
Options = TypeVar("Options")
Self = TypeVar("Self")
Documented = TypeVar("Documented")

MARK = "    {options}\n"
"""The line of a docstring in whose place the options are explained."""


class Training(Protocol[P]):
    """Images, perhaps their labels, and options by keyword: a model."""

    def __call__(self, source: Source, y: ArrayLike | None = None, *args: P.args, **options: P.kwargs) -> Model:
        """Train a model."""


def options_of_training(
    of: Callable[P, Options], **former: str
) -> Callable[[Callable[[Source, ArrayLike | None, Options], Model]], Training[P]]:
    """Let a function that takes a value of options take its fields as keyword arguments.

    Parameters
    ----------
    of : dataclass
        Makes the options.
    **former : str
        The option of today for each name of before, as for `renamed`.
    """

    def decorate(function: Callable[[Source, ArrayLike | None, Options], Model]) -> Training[P]:
        def called(source: Source, y: ArrayLike | None = None, *args: P.args, **options: P.kwargs) -> Model:
            return function(source, y, of(*args, **options))

        _describe(called, function, of, 2, "Model")
        return cast(Training[P], renamed(**former)(hinting(called)))

    return decorate


def options_of_init(
    of: Callable[P, Options],
) -> Callable[[Callable[[Self, Options], None]], Callable[Concatenate[Self, P], None]]:
    """Let an `__init__` that takes a value of options take its fields as arguments.

    Parameters
    ----------
    of : dataclass
        Makes the options.
    """

    def decorate(function: Callable[[Self, Options], None]) -> Callable[Concatenate[Self, P], None]:
        def called(self: Self, /, *args: P.args, **options: P.kwargs) -> None:
            function(self, of(*args, **options))

        _describe(called, function, of, 1, "None")
        return hinting(called)

    return decorate


def documented(of: Any) -> Callable[[Documented], Documented]:
    """Explain the options of a class or function where its docstring has `{options}`."""

    def decorate(one: Documented) -> Documented:
        entries = textwrap.indent("".join(map(_entry, fields(of))), "    ")
        one.__doc__ = (one.__doc__ or "").replace(MARK, entries)
        return one

    return decorate


def _describe(called: Callable[..., Any], function: Callable[..., Any], of: Any, leading: int, returns: str) -> None:
    """Let `called` look like `function`, with its own leading parameters and the fields of `of` behind them."""
    own = list(inspect.signature(called).parameters.values())[:leading]
    functools.update_wrapper(called, function)
    parameters = [*own, *inspect.signature(of).parameters.values()]
    called.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    documented(of)(called)


def _entry(one: Any) -> str:
    """A field as an entry of a section `Parameters`."""
    known = about(one)
    default = f" Default: {known.default}." if known.default else ""
    text = f"{known.text}{' ' + known.more if known.more else ''}{default}".replace("--", "")
    names = known.values.names if known.values else ()
    takes = f"{{{', '.join(map(repr, names))}}}" if names else one.type
    return f"{one.name} : {takes}, default {one.default!r}\n{textwrap.indent(textwrap.fill(text, 112), '    ')}\n"
