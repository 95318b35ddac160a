"""The words, numbers and signs of a network's text, read from left to right."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import NoReturn

from lanewise.errors import NetworkTextError
from lanewise.network.layers import Padding, Pair

HABITS = {
    "conv2d": "conv",
    "convolution": "conv",
    "linear": "dense",
    "fc": "dense",
    "maxpool": "max",
    "maxpool2d": "max",
    "avgpool": "average",
    "avgpool2d": "average",
    "gap": "global average",
    "bn": "batchnorm",
    "batchnorm2d": "batchnorm",
    "batchnormalization": "batchnorm",
    "leakyrelu": "leaky",
    "logistic": "sigmoid",
    "box": "blur",
    "mean": "blur",
    "gauss": "gaussian",
    "laplace": "laplacian",
    "edge": "laplacian",
    "edges": "sobel",
}
"""What people used to other libraries write first, and what it is called here."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text, from `start` to `stop`."""

    kind: str  # "number", "word", "sign", "unknown" or "end"
    text: str
    start: int
    stop: int


# The x of 3x3 is a sign, not a word; words may hold digits, so that "conv2d" is one (wrong) name.
_TOKEN = re.compile(
    r"(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)|(?P<sign>x(?=\s*[0-9])|[@:,()|*+])"
    r"|(?P<word>[a-z][a-z0-9_-]*)|(?P<unknown>\S)",
    re.ASCII | re.IGNORECASE,
)


def _tokens(text: str) -> list[Token]:
    found = [
        Token(match.lastgroup or "", match.group().lower(), match.start(), match.end())
        for match in _TOKEN.finditer(text)
    ]
    end = len(text.rstrip())
    return [*found, Token("end", "the end", end, end)]


class Tokens:
    """The tokens of a text and a place among them; each method reads what it is named after, or fails with a caret."""

    def __init__(self, text: str) -> None:
        self.text = re.sub(r"\s", " ", text)
        self.tokens = _tokens(self.text)
        self.position = 0

    @property
    def token(self) -> Token:
        """The next one."""
        return self.tokens[self.position]

    @property
    def last(self) -> Token:
        """The one read last."""
        return self.tokens[self.position - 1]

    def advance(self) -> Token:
        """Read the next one, whatever it is."""
        self.position += 1
        return self.last

    def fail(self, problem: str, first: Token | None = None, last: Token | None = None) -> NoReturn:
        """Raise NetworkTextError with carets under some tokens.

        Parameters
        ----------
        problem : str
            What is wrong, and what would be right.
        first, last : Token, optional
            Where the carets begin and end: under the next token by default, or under `first` alone.
        """
        first = first or self.token
        raise NetworkTextError(problem, self.text, first.start, (last or first).stop)

    def accept(self, text: str) -> bool:
        """Read the sign or word `text` if it is next."""
        found = self.token.kind in ("sign", "word") and self.token.text == text
        self.position += found
        return found

    def whole(self, what: str) -> int:
        """A whole number; `what` says of what it is."""
        token = self.token
        if token.kind != "number" or not re.fullmatch("[0-9]{1,9}", token.text):
            came = "the text ends" if token.kind == "end" else f'not "{token.text}"'
            self.fail(f"a whole number is needed here ({what}), {came}")
        return int(self.advance().text)

    def pair(self, what: str) -> Pair:
        """Rows x columns, or one number for both."""
        rows = self.whole(what)
        return (rows, self.whole(what)) if self.accept("x") else (rows, rows)

    def fraction(self, default: float) -> float:
        """Any number, or `default` where none stands."""
        if self.token.kind != "number":
            return default
        return float(self.advance().text)

    def sides(self) -> Padding:
        """Padding: one number, rows x columns, or top:left:bottom:right."""
        top, left = self.whole("padding"), 0
        if self.accept("x"):
            left = self.whole("padding columns")
            return (top, left, top, left)
        if not self.accept(":"):
            return (top, top, top, top)
        left = self.whole("padding on the left")
        rest = []
        for side in ("bottom", "right"):
            if not self.accept(":"):
                self.fail("padding is one number, rows x columns (1x2), or top:left:bottom:right (1:2:1:2)")
            rest.append(self.whole(f"padding on the {side}"))
        return (top, left, rest[0], rest[1])


def suggestion(word: str, known: list[str]) -> str:
    """Which known word was probably meant, or all that are known."""
    close = [HABITS[word]] if word in HABITS else difflib.get_close_matches(word, known, 1)
    return f'did you mean "{close[0]}"?' if close else f"known are {', '.join(known)}"
