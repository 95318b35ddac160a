"""Reads networks from text: "conv 16@3x3 same, relu, max 2, dense 10".

    network   item, item, ...
    item      layer, or 3 * (item, item, ...)
    conv      conv 16@3x3  [same | valid | pad P] [stride S] [dilation S] [groups 4] [nobias] [frozen]
    fixed     fixed sobel+blur  [same | valid | pad P] [stride S]
    pools     max 2 | average 2  [same | valid | pad P] [stride S] [count-padding, of average];  global average
    dense     dense 100 [nobias] [frozen]
    others    relu, leaky 0.1 and the other activations, softmax, flatten, dropout 0.5
    branches  residual(items | items of the shortcut),  concat(items | items | ...)

Sizes are rows x columns, `5` means 5x5. P is `1`, `1x2` (rows x columns) or `1:2:1:2` (top:left:bottom:right). White
space and letter case do not matter; options come in any order.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from lanewise.errors import NetworkTextError
from lanewise.network.activations import ACTIVATIONS, Activation
from lanewise.network.filters import BANKS
from lanewise.network.layers import (
    AvgPool2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Fixed,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    MaxPool2D,
    Padding,
    Pair,
    Residual,
    Softmax,
)
from lanewise.network.options import MOST_DEPTH, MOST_LAYERS, option_problem

PLAIN: dict[str, type[Layer]] = {"softmax": Softmax, "flatten": Flatten}
"""Layers without options."""

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


def parse(text: str) -> tuple[Layer, ...]:
    """Read the layers of a network from its text.

    Raises
    ------
    NetworkTextError
        If there is a mistake; a caret stands under it and the message says what would be right.
    """
    return _Parser(text).network()


@dataclass(frozen=True, slots=True)
class _Token:
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


def _tokens(text: str) -> list[_Token]:
    found = [
        _Token(match.lastgroup or "", match.group().lower(), match.start(), match.end())
        for match in _TOKEN.finditer(text)
    ]
    end = len(text.rstrip())
    return [*found, _Token("end", "the end", end, end)]


class _Parser:
    """Reads tokens from left to right; each method reads what it is named after."""

    def __init__(self, text: str) -> None:
        self.text = re.sub(r"\s", " ", text)
        self.tokens = _tokens(self.text)
        self.position = 0
        self.layers: dict[str, Callable[[], Layer]] = {
            "conv": self.conv,
            "fixed": self.fixed,
            "max": self.max_pool,
            "average": self.average_pool,
            "avg": self.average_pool,
            "global": self.global_average,
            "dense": self.dense,
            "dropout": self.dropout,
            "residual": self.residual,
            "concat": self.concat,
            **PLAIN,
            **{word: partial(self.activation, kind) for word, kind in ACTIVATIONS.items()},
        }
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.position]

    def fail(self, problem: str, first: _Token | None = None, last: _Token | None = None) -> NoReturn:
        first = first or self.token
        raise NetworkTextError(problem, self.text, first.start, (last or first).stop)

    def accept(self, text: str) -> bool:
        """Read the sign or word `text` if it is next."""
        found = self.token.kind in ("sign", "word") and self.token.text == text
        self.position += found
        return found

    def network(self) -> tuple[Layer, ...]:
        if self.token.kind == "end":
            self.fail('the network is empty; write layers, like "conv 16@3x3 same, relu, max 2, dense 10"')
        brace = next((token for token in self.tokens if token.text in ("{", "}")), None)
        if brace is not None:
            self.fail("one network is written without braces; alternatives in braces are for `lanewise vary`", brace)
        layers = self.items()
        if self.token.kind != "end":
            self.fail(f'"{self.token.text}" does not belong here; no bracket is open')
        return layers

    def items(self) -> tuple[Layer, ...]:
        layers: list[Layer] = []
        while True:
            first = self.token
            layers += self.item()
            if len(layers) > MOST_LAYERS:
                self.fail(f"these are more than {MOST_LAYERS:,} layers", first, self.tokens[self.position - 1])
            if not self.accept(","):
                return tuple(layers)

    def item(self) -> tuple[Layer, ...]:
        if self.token.kind != "number":
            return (self.layer(),)
        first = self.token
        times = self.whole("times to repeat")
        if not self.accept("*"):
            self.fail(f'a layer cannot start with "{first.text}"; repetition is 3 * (conv 16@3x3, relu)', first)
        (inner,) = self.bracketed("repetition", at_most=1)
        if not inner:
            self.fail("there is nothing to repeat between the brackets", first, self.tokens[self.position - 1])
        if times < 1 or times * len(inner) > MOST_LAYERS:
            self.fail(f"repeat from 1 time to {MOST_LAYERS:,} layers in all", first)
        return inner * times

    def bracketed(self, what: str, at_most: int) -> list[tuple[Layer, ...]]:
        """Read "(items | items ...)"; parts may be empty, but not the only one."""
        opening = self.token
        if not self.accept("("):
            self.fail(f"{what} needs its layers in brackets: (conv 16@3x3 same, relu)")
        if self.depth == MOST_DEPTH:
            self.fail(f"more than {MOST_DEPTH} brackets are inside each other", opening)
        self.depth += 1
        parts: list[tuple[Layer, ...]] = []
        while True:
            empty = self.token.kind == "sign" and self.token.text in "|)"
            parts.append(() if empty else self.items())
            if self.accept(")"):
                self.depth -= 1
                return parts
            if self.token.kind == "end":
                self.fail("this bracket is never closed", opening)
            if len(parts) == at_most:
                self.fail(f'{what} has at most {at_most} part{"s" * (at_most > 1)}; a ")" is missing here')
            if not self.accept("|"):
                self.fail(f'"{self.token.text}" does not belong here; write "," or ")"')

    def layer(self) -> Layer:
        first = self.token
        if first.kind != "word":
            came = "the text ends" if first.kind == "end" else f'"{first.text}" stands'
            self.fail(f'{came} where a layer should be, like "relu"')
        if first.text == "frozen":
            self.fail('a layer begins with its name; "frozen" comes after it, like "conv 16@3x3 frozen"')
        if first.text not in self.layers:
            self.fail(f'unknown layer "{first.text}"; {self.suggestion(first.text, [*self.layers])}')
        self.position += 1
        layer = self.layers[first.text]()
        self.end_of_layer()
        if problem := option_problem(layer):
            self.fail(f"{first.text}: {problem}", first, self.tokens[self.position - 1])
        return layer

    def suggestion(self, word: str, known: list[str]) -> str:
        close = [HABITS[word]] if word in HABITS else difflib.get_close_matches(word, known, 1)
        return f'did you mean "{close[0]}"?' if close else f"known are {', '.join(known)}"

    def end_of_layer(self) -> None:
        """Complain where a layer does not end in ",", "|", ")" or the end of the text."""
        if self.token.kind == "end" or (self.token.kind == "sign" and self.token.text in ",|)"):
            return
        if self.token.text in self.layers:
            self.fail(f'a comma is missing before "{self.token.text}"')
        self.fail(f'"{self.token.text}" does not belong here; layers are parted by commas')

    # Numbers

    def whole(self, what: str) -> int:
        token = self.token
        if token.kind != "number" or not re.fullmatch("[0-9]{1,9}", token.text):
            came = "the text ends" if token.kind == "end" else f'not "{token.text}"'
            self.fail(f"a whole number is needed here ({what}), {came}")
        self.position += 1
        return int(token.text)

    def pair(self, what: str) -> Pair:
        rows = self.whole(what)
        return (rows, self.whole(what)) if self.accept("x") else (rows, rows)

    def fraction(self, default: float) -> float:
        if self.token.kind != "number":
            return default
        self.position += 1
        return float(self.tokens[self.position - 1].text)

    def sides(self) -> Padding:
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

    # Options

    def options(self, users: Mapping[str, tuple[str, Callable[[], object]]]) -> dict[str, object]:
        """Read options up to the end of the layer: word -> (name of the value, how to read it)."""
        values: dict[str, object] = {}
        while self.token.kind == "word":
            word = self.token
            if word.text not in users:
                if word.text in self.layers:
                    self.fail(f'a comma is missing before "{word.text}"')
                self.fail(f'unknown option "{word.text}"; {self.suggestion(word.text, [*users])}')
            name, read = users[word.text]
            if name in values:
                self.fail(f"{name} is given twice")
            self.position += 1
            values[name] = read()
        return values

    def window_options(self) -> dict[str, tuple[str, Callable[[], object]]]:
        return {
            "same": ("padding", lambda: "same"),
            "valid": ("padding", lambda: "valid"),
            "pad": ("padding", self.sides),
            "stride": ("stride", lambda: self.pair("stride")),
        }

    # Layers

    def conv(self) -> Layer:
        example = ', like "conv 16@3x3": 16 filters of 3 rows and 3 columns'
        filters = self.whole(f"the number of filters{example}")
        if not self.accept("@"):
            self.fail(f'"@" and the size of the kernel are missing{example}')
        kernel = self.pair("size of the kernel")
        more: dict[str, tuple[str, Callable[[], object]]] = {
            "dilation": ("dilation", lambda: self.pair("dilation")),
            "groups": ("groups", lambda: self.whole("groups")),
            "nobias": ("bias", lambda: False),
            "frozen": ("frozen", lambda: True),
        }
        return Conv2D(filters, kernel, **self.options(self.window_options() | more))  # type: ignore[arg-type]

    def fixed(self) -> Layer:
        names = [self.filters()]
        while self.accept("+"):
            if (token := self.token).text in names:
                self.fail(f'"{token.text}" is there twice; once is enough')
            names.append(self.filters())
        if self.token.text in BANKS:
            self.fail(f'a "+" is missing before "{self.token.text}"')
        return Fixed(tuple(names), **self.options(self.window_options()))  # type: ignore[arg-type]

    def filters(self) -> str:
        """Read the name of fixed filters."""
        token = self.token
        if token.kind != "word":
            self.fail(f'the name of filters is needed here, like "fixed sobel+blur"; known are {", ".join(BANKS)}')
        if token.text not in BANKS:
            self.fail(f'unknown filters "{token.text}"; {self.suggestion(token.text, [*BANKS])}')
        self.position += 1
        return token.text

    def max_pool(self) -> Layer:
        window = self.pair('size of the window, like "max 2"')
        return MaxPool2D(window, **self.options(self.window_options()))  # type: ignore[arg-type]

    def average_pool(self) -> Layer:
        window = self.pair('size of the window, like "average 2"')
        more = self.window_options() | {"count-padding": ("count_padding", lambda: True)}
        return AvgPool2D(window, **self.options(more))  # type: ignore[arg-type]

    def global_average(self) -> Layer:
        if not (self.accept("average") or self.accept("avg")):
            self.fail('only "global average" is known')
        return GlobalAvgPool2D()

    def dense(self) -> Layer:
        units = self.whole('the number of units, like "dense 100"')
        words: dict[str, tuple[str, Callable[[], object]]] = {
            "nobias": ("bias", lambda: False),
            "frozen": ("frozen", lambda: True),
        }
        return Dense(units, **self.options(words))  # type: ignore[arg-type]

    def activation(self, kind: type[Activation]) -> Layer:
        self.accept(kind.filler)
        return kind(*(self.fraction(default) for default in kind().options.values()))

    def dropout(self) -> Layer:
        return Dropout(self.fraction(Dropout().rate))

    def residual(self) -> Layer:
        return Residual(*self.bracketed("residual", at_most=2))

    def concat(self) -> Layer:
        return Concat(tuple(self.bracketed("concat", at_most=MOST_LAYERS)))
