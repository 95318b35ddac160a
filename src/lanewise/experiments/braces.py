"""Braces in the text of a network: what may stand in their place.

    conv {8,16}@{3x3,5x5}          alternatives, put into their place as they are: numbers, sizes, layers, options
    conv {16..64}@3x3              whole numbers from 16 to 64; {16..64 by 8} in steps; {16..256 log} on a
                                   logarithmic scale; {0.1..0.5} any number
    conv {n=16..64}@3x3, residual(conv {n}@3x3 same)
                                   a name, by which the same choice stands in several places

`vary` trains all that a text stands for (grid.py), `search` tries some of it (space.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from lanewise.errors import NetworkTextError, OptionError

T = TypeVar("T")

_NOTHING = "\0"
"""Stands for an alternative that is nothing until it is known whether a whole layer is nothing."""

_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"
_RANGE = re.compile(
    rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})(?:\s+by\s+({_NUMBER})|\s+(log))?\s*", re.ASCII | re.IGNORECASE
)
_NAMED = re.compile(r"\s*([a-z][a-z0-9_]*)\s*=", re.ASCII | re.IGNORECASE)
DIGITS, DIGITS_OF_STEPS = 3, 12
"""Of a number that is drawn from a range: more would say nothing, and make commands long. Steps are what was written;
their sums are rid of what binary fractions add."""

LONGEST_NAME = 200
"""Of a choice: databases take names of up to 512 characters."""

LEAST, MOST = 1e-15, 1e15
"""Between these, or 0, are the ends and steps of ranges: all whole numbers up to there are exact."""


@dataclass(frozen=True, slots=True)
class Choices:
    """Alternatives of which each stands for itself."""

    values: tuple[str | int | float | bool | None, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.values))

    def count(self) -> float:
        """How many there are."""
        return len(self.values)

    def ends(self) -> tuple[object, object]:
        """The first and the last."""
        return self.values[0], self.values[-1]


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included; `step` is None where there are no steps."""

    low: float
    high: float
    step: float | None = None
    log: bool = False
    whole: bool = False

    def __str__(self) -> str:
        step = "" if self.step is None or self.step == self.whole else f" by {_written(self.step)}"
        return f"{_written(self.low)}..{_written(self.high)}{step}{' log' if self.log else ''}"

    def values(self) -> list[float] | None:
        """All of them; None where there is no end of them."""
        if self.step is None or self.log:
            return None
        return [self.low + n * self.step for n in range(self._steps(self.step) + 1)]

    def _steps(self, step: float) -> int:
        """How many fit between the ends."""
        return int((self.high - self.low) / step + 1e-9)

    def count(self) -> float:
        """How many numbers there are in it, perhaps without end; none of them is made for that."""
        if self.log and self.whole:
            return self.high - self.low + 1
        return math.inf if self.step is None or self.log else self._steps(self.step) + 1

    def ends(self) -> tuple[float, float]:
        """The first and the last as they are tried."""
        last = self.high if self.step is None else self.low + self._steps(self.step) * self.step
        return self.rounded(self.low), self.rounded(last)

    def rounded(self, value: float) -> float:
        """A number of the range as it is tried, with few digits, and not beyond an end that has more of them."""
        if self.whole:
            return int(value)
        digits = DIGITS if self.step is None else DIGITS_OF_STEPS
        return min(max(float(f"{value:.{digits}g}"), self.low), self.high)


Alternatives = Choices | Range


def alternatives_in(text: str) -> Alternatives:
    """Read "8,16,32" or "16..64".

    Raises
    ------
    OptionError
        A range is not written as one, or has not two numbers; an alternative stands there twice.
    """
    found = _RANGE.fullmatch(text)
    text = text.strip()
    if found is None:
        if ".." in text:
            raise OptionError(f"{text!r} is no range: write one alone, like 16..64, 16..64 by 8 or 16..256 log")
        return Choices(different([one.strip() for one in text.split(",")]))
    numbers = [_end(one) for one in found.groups()[:3] if one]
    whole = all("." not in one and _end(one).is_integer() for one in found.groups()[:3] if one)
    (low, high), step = numbers[:2], numbers[2] if len(numbers) > 2 else None
    if low > high:
        raise OptionError(f"the range {text} is empty: write the smaller number first")
    if low == high:
        raise OptionError(f"the range {text} holds one number: write {_written(low)} alone")
    if step is not None and not 0 < step <= high - low:
        raise OptionError(f"the steps of {text} do not fit between its ends")
    if step is not None and (high - low) / step > MOST:
        raise OptionError(f"the range {text} has too many steps: write longer ones, or none")
    if found[4] and low <= 0:
        raise OptionError(f"the logarithmic range {text} must begin above 0")
    made = Range(low, high, 1.0 if step is None and whole and not found[4] else step, bool(found[4]), whole)
    if made.step is None and not whole and f"{low:.{DIGITS}g}" == f"{high:.{DIGITS}g}":
        raise OptionError(
            f"the ends of {text} are the same to {DIGITS} digits, as numbers are tried: give steps, or alternatives"
        )
    return made


def _end(text: str) -> float:
    """An end of a range, or its step."""
    value = float(text)
    if not (LEAST <= abs(value) <= MOST or not text.lower().partition("e")[0].strip("-0.")):
        raise OptionError(f"{text} is no number for a range: they are 0, or from {LEAST:g} to {MOST:g}")
    return value


def _written(value: float) -> str:
    return f"{value:.15g}"


def different(values: Sequence[T]) -> tuple[T, ...]:
    """Alternatives, of which no two may be the same: "8" and "08" are, and what differs by spaces or capitals.

    Raises
    ------
    OptionError
        Two are.
    """
    known: set[object] = set()
    for value in values:
        same = _meaning(value)
        if same in known:
            told = ",".join(map(str, values))
            raise OptionError(f"{str(value) or 'nothing'!r} stands twice in {told!r}: give different alternatives")
        known.add(same)
    return tuple(values)


def _meaning(value: object) -> object:
    """The same for alternatives that mean the same."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "".join(str(value).lower().split())


@dataclass(frozen=True, slots=True)
class Brace:
    """One choice of a template.

    Attributes
    ----------
    name : str
        Its own, or what stands in it and in which layer.
    alternatives : Choices or Range
    start, stop : int
        Its place in the text.
    """

    name: str
    alternatives: Alternatives
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Template:
    """A text with braces: `parts` are text, or which of the `braces` stands there."""

    text: str
    parts: tuple[str | int, ...]
    braces: tuple[Brace, ...]

    def filled(self, values: Sequence[object]) -> str:
        """The text with a value for each of the braces.

        One that is nothing leaves out an option, "conv 8@3x3 {same,}", or a layer, "conv 8@3x3, {relu,}, max 2".
        """
        texts = [
            f"{value:.{DIGITS_OF_STEPS}g}" if isinstance(value, float) else str(value) or _NOTHING for value in values
        ]
        return _tidy("".join(part if isinstance(part, str) else texts[part] for part in self.parts))


def template(text: str) -> Template:
    """Read a text with braces.

    Raises
    ------
    NetworkTextError
        Braces that do not close, are empty or lie within one another; ranges that are none.
    """
    parts: list[str | int] = []
    braces: list[Brace] = []
    named: dict[str, int] = {}
    begin = 0
    for found in _braces(text):
        parts.append(text[begin : found.start()])
        begin, inside = found.end(), found[1]
        if inside.strip().lower() in named:
            parts.append(named[inside.strip().lower()])
            continue
        name = _NAMED.match(inside)
        if name is not None and name[1].lower() in named:
            problem = f"{name[1]} has its alternatives already: write {{{name[1]}}} for the same choice"
            raise NetworkTextError(problem, text, *found.span())
        try:
            alternatives = alternatives_in(inside[name.end() :] if name else inside)
        except OptionError as error:
            raise NetworkTextError(str(error), text, *found.span()) from None
        if name is not None:
            named[name[1].lower()] = len(braces)
        braces.append(Brace(_called(text, found, braces, name), alternatives, *found.span()))
        parts.append(len(braces) - 1)
    return Template(text, (*parts, text[begin:]), tuple(braces))


def _called(text: str, found: re.Match[str], others: Sequence[Brace], name: re.Match[str] | None) -> str:
    """What a brace is called: by its own name, or by what stands in it and before it in its layer."""
    if name is not None:
        return name[1].lower()
    before = re.sub(r"\{[^{}]*\}", "", text[: found.start()])
    told = re.split(r"[,(|]", before)[-1].lstrip() + found[0]
    told = told if len(told) <= LONGEST_NAME else told[: LONGEST_NAME - 1] + "…"
    again = sum(one.name.partition(" #")[0] == told for one in others)
    return f"{told} #{again + 1}" if again else told


def _tidy(text: str) -> str:
    """Leave out layers that are nothing, with a comma of theirs, and the spaces around options that are."""
    text = re.sub(rf"(^|[,(|])(?:[\s{_NOTHING}]*{_NOTHING}\s*,)+", r"\1", text)
    text = re.sub(rf",[\s{_NOTHING}]*{_NOTHING}(?=\s*(?:[)|]|$))", "", text)
    return re.sub(r"\s+(?=[\s,)]|$)", "", text.replace(_NOTHING, "")).strip()


def _braces(text: str) -> list[re.Match[str]]:
    opened: int | None = None
    for place, sign in enumerate(text):
        if sign == "{" and opened is not None:
            raise NetworkTextError(
                "braces cannot be nested: write all alternatives in one pair", text, place, place + 1
            )
        if sign == "}" and opened is None:
            raise NetworkTextError("this brace has no opening brace", text, place, place + 1)
        if sign == "{":
            opened = place
        elif sign == "}":
            assert opened is not None
            if not text[opened + 1 : place].strip(" ,"):
                raise NetworkTextError("these braces hold nothing; write {8,16}", text, opened, place + 1)
            opened = None
    if opened is not None:
        raise NetworkTextError("this brace is not closed", text, opened, opened + 1)
    return list(re.finditer(r"\{([^{}]*)\}", text))
