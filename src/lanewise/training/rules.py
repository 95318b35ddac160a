"""What is known of an option: its words, which values it takes, and the sentence that refuses others.

Nothing heavy is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import Field, dataclass, field
from numbers import Real
from typing import Any, Literal

from lanewise.network.base import Layer


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """Which values an option takes.

    Attributes
    ----------
    fits : callable
        Whether it takes a value; one of another type altogether may raise an error instead.
    refusal : str
        The sentence that refuses a value and says which it takes, with places for `{name}` and `{value}`.
    kind : {"whole", "number", "seconds", "word", ""}
        How the command line reads a value.
    least : int
        The smallest of the whole numbers that it takes.
    names : tuple of str
        The words of which it takes one.
    """

    fits: Callable[[Any], bool]
    refusal: str
    kind: Literal["whole", "number", "seconds", "word", ""] = ""
    least: int = 0
    names: tuple[str, ...] = ()

    def problem(self, name: str, value: Any) -> str | None:
        """What is wrong with a value, in a sentence; None if nothing is."""
        try:
            fits = bool(self.fits(value))
        except (AttributeError, TypeError, ValueError):
            fits = False
        return None if fits else self.refusal.format(name=name, value=value)


def whole(least: int = 1, zero: str = "") -> Rule:
    """Whole numbers from `least` on, and 0 if it means something."""

    def fits(value: Any) -> bool:
        number = isinstance(value, Real) and not isinstance(value, bool) and value % 1 == 0
        return number and bool(value >= least or (zero and value == 0))

    from_0 = f", or 0 for {zero}" if zero else ""
    refusal = f"{{name}} must be a whole number of at least {least}{from_0}, not {{value!r}}"
    return Rule(fits, refusal, "whole", 0 if zero else least)


def positive(said: str, kind: Literal["number", "seconds"] = "number", word: str = "") -> Rule:
    """Numbers above 0, or lengths of time, or perhaps a word; `said` begins the sentence that refuses others.

    Parameters
    ----------
    said : str
    kind : {"number", "seconds"}
    word : str
    """
    or_word = f', or "{word}"' if word else ""
    return Rule(
        lambda value: (word != "" and value == word) or bool(value > 0 and (kind != "number" or math.isfinite(value))),
        f"{said} above 0{or_word}, not {{value!r}}",
        kind,
        names=(word,) if word else (),
    )


def such(said: str, test: Callable[[Any], bool]) -> Rule:
    """Values that pass a test; `said` says what they are."""
    return Rule(test, f"{{name}} must be {said}, not {{value!r}}")


def one_of(noun: str, names: tuple[str, ...]) -> Rule:
    """One of a few words."""
    refusal = f'unknown {noun} "{{value}}": choose one of {", ".join(names)}'
    return Rule(lambda value: value in names, refusal, "word", names=names)


def between(low: float, high: float) -> Rule:
    """Numbers from `low` to `high`, both included."""
    refusal = f"{{name}} must be from {low:g} to {high:g}, not {{value!r}}"
    return Rule(lambda value: bool(low <= value <= high), refusal, "number")


SHARE = Rule(lambda value: 0 <= value < 1, "{name} must be from 0 to below 1, not {value!r}", "number")
"""Numbers from 0 to below 1."""


def _is_network(value: Any) -> bool:
    return isinstance(value, str) or all(isinstance(layer, Layer) for layer in value)


NETWORK = such("text like 'conv 16@3x3 same, relu, dense 10', or layers", _is_network)
SWITCH = such("True or False", lambda value: value in (True, False))
CALLED = such("a function", callable)


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """What is known of an option besides its name, type and default.

    Attributes
    ----------
    text : str
        One or two sentences, for Python's help and that of the command line.
    default : str
        The default in words, where the value does not say it.
    more : str
        Further sentences for Python's help.
    values : rule, optional
        Which values it takes; others are refused. Without one, the code that uses the value checks it.
    command : str
        The text for the command line, where it is another; for a switch, what `--no-...` does.
    metavar : str
        The word for its value in the help of the command line.
    words : tuple of str
        What the command line takes of the values that Python takes.
    alone : str
        What the command line takes the option for if it comes without a value.
    command_line : bool
        Whether commands have it by this name.
    """

    text: str
    default: str = ""
    more: str = ""
    values: Rule | None = None
    command: str = ""
    metavar: str = ""
    words: tuple[str, ...] = ()
    alone: str = ""
    command_line: bool = True


def option(default: Any, text: str, said: str = "", **known: Any) -> Any:
    """A field of options.

    Parameters
    ----------
    default : Any
    text : str
        What the option does, for help and docstrings.
    said : str
        The default in words.
    **known
        What else `Option` holds.
    """
    return field(default=default, metadata={"option": Option(text, said, **known)})


def about(one: Field[Any]) -> Option:
    """What is known of a field of options."""
    found: Option = one.metadata["option"]
    return found
