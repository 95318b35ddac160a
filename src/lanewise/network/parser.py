"""Reads networks from text: "conv 16@3x3 same, relu, max 2, dense 10".

    network   item, item, ...
    item      layer, or 3 * (item, item, ...)
    conv      conv 16@3x3  [same | valid | pad P] [stride S] [dilation S] [groups 4] [nobias] [identity | whiten]
              [frozen]
    fixed     fixed sobel+blur  [same | valid | pad P] [stride S]
    pools     max 2 | average 2  [same | valid | pad P] [stride S] [count-padding, of average];  global average | max
    dense     dense 100 [nobias] [frozen]
    channels  batchnorm [0.00001] [frozen],  scale [frozen],  prelu [frozen]
    others    relu, leaky 0.1 and the other activations, softmax, flatten, dropout 0.5
    lrn       lrn 5 [alpha 0.0001] [beta 0.75] [k 1]
    branches  residual(items | items of the shortcut),  concat(items | items | ...)

Sizes are rows x columns, `5` means 5x5. P is `1`, `1x2` (rows x columns) or `1:2:1:2` (top:left:bottom:right). White
space and letter case do not matter; options come in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from lanewise.network import layers
from lanewise.network.activations import ACTIVATIONS, Activation
from lanewise.network.channelwise import CHANNELWISE, Channelwise
from lanewise.network.filters import BANKS
from lanewise.network.layers import Layer
from lanewise.network.options import MOST_DEPTH, MOST_LAYERS, option_problem
from lanewise.network.tokens import Tokens, suggestion


def parse(text: str) -> tuple[Layer, ...]:
    """Read the layers of a network from its text.

    Raises
    ------
    NetworkTextError
        If there is a mistake; a caret stands under it and the message says what would be right.
    """
    return _Parser(text).network()


class _Parser(Tokens):
    """Reads networks, items and brackets; layers are read by the functions of `LAYERS`."""

    depth = 0

    def network(self) -> tuple[Layer, ...]:
        if self.token.kind == "end":
            self.fail('the network is empty; write layers, like "conv 16@3x3 same, relu, max 2, dense 10"')
        brace = next((token for token in self.tokens if token.text in ("{", "}")), None)
        if brace is not None:
            self.fail("one network is written without braces; alternatives in braces are for `lanewise vary`", brace)
        found = self.items()
        if self.token.kind != "end":
            self.fail(f'"{self.token.text}" does not belong here; no bracket is open')
        return found

    def items(self) -> tuple[Layer, ...]:
        found: list[Layer] = []
        while True:
            first = self.token
            found += self.item()
            if len(found) > MOST_LAYERS:
                self.fail(f"these are more than {MOST_LAYERS:,} layers", first, self.last)
            if not self.accept(","):
                return tuple(found)

    def item(self) -> tuple[Layer, ...]:
        if self.token.kind != "number":
            return (self.layer(),)
        first = self.token
        times = self.whole("times to repeat")
        if not self.accept("*"):
            self.fail(f'a layer cannot start with "{first.text}"; repetition is 3 * (conv 16@3x3, relu)', first)
        (inner,) = self.bracketed("repetition", at_most=1)
        if not inner:
            self.fail("there is nothing to repeat between the brackets", first, self.last)
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
        if first.text not in LAYERS:
            self.fail(f'unknown layer "{first.text}"; {suggestion(first.text, [*LAYERS])}')
        self.advance()
        layer = LAYERS[first.text](self)
        self.end_of_layer()
        if problem := option_problem(layer):
            self.fail(f"{first.text}: {problem}", first, self.last)
        return layer

    def end_of_layer(self) -> None:
        """Complain where a layer does not end in ",", "|", ")" or the end of the text."""
        if self.token.kind == "end" or (self.token.kind == "sign" and self.token.text in ",|)"):
            return
        if self.token.text in LAYERS:
            self.fail(f'a comma is missing before "{self.token.text}"')
        self.fail(f'"{self.token.text}" does not belong here; layers are parted by commas')

    def options(self, known: _Options) -> dict[str, object]:
        """Read options up to the end of the layer: word -> (name of the value, how to read it)."""
        values: dict[str, object] = {}
        while self.token.kind == "word":
            word = self.token
            if word.text not in known:
                if word.text in LAYERS:
                    self.fail(f'a comma is missing before "{word.text}"')
                self.fail(f'unknown option "{word.text}"; {suggestion(word.text, [*known])}')
            name, read = known[word.text]
            if name in values:
                self.fail(f"{name} is given twice")
            self.advance()
            values[name] = read(self)
        return values


_Read = Callable[[_Parser], object]
_Options = Mapping[str, tuple[str, _Read]]
"""By the word of an option: the name of its value, and what reads it."""

WINDOW: _Options = {
    "same": ("padding", lambda parser: "same"),
    "valid": ("padding", lambda parser: "valid"),
    "pad": ("padding", lambda parser: parser.sides()),
    "stride": ("stride", lambda parser: parser.pair("stride")),
}
FROZEN: _Options = {"frozen": ("frozen", lambda parser: True)}
WEIGHTS: _Options = {"nobias": ("bias", lambda parser: False), **FROZEN}
CONV: _Options = {
    **WINDOW,
    **WEIGHTS,
    "identity": ("initial", lambda parser: "identity"),
    "whiten": ("initial", lambda parser: "whiten"),
    "dilation": ("dilation", lambda parser: parser.pair("dilation")),
    "groups": ("groups", lambda parser: parser.whole("groups")),
}
LRN: _Options = {
    "alpha": ("alpha", lambda parser: _number(parser, "alpha")),
    "beta": ("beta", lambda parser: _number(parser, "beta")),
    "k": ("k", lambda parser: _number(parser, "k")),
}
AVERAGE: _Options = {**WINDOW, "count-padding": ("count_padding", lambda parser: True)}


def _conv(parser: _Parser) -> Layer:
    example = ', like "conv 16@3x3": 16 filters of 3 rows and 3 columns'
    filters = parser.whole(f"the number of filters{example}")
    if not parser.accept("@"):
        parser.fail(f'"@" and the size of the kernel are missing{example}')
    return layers.Conv2D(filters, parser.pair("size of the kernel"), **parser.options(CONV))  # type: ignore[arg-type]


def _fixed(parser: _Parser) -> Layer:
    names = [_filters(parser)]
    while parser.accept("+"):
        if (token := parser.token).text in names:
            parser.fail(f'"{token.text}" is there twice; once is enough')
        names.append(_filters(parser))
    if parser.token.text in BANKS:
        parser.fail(f'a "+" is missing before "{parser.token.text}"')
    return layers.Fixed(tuple(names), **parser.options(WINDOW))  # type: ignore[arg-type]


def _filters(parser: _Parser) -> str:
    """Read the name of fixed filters."""
    token = parser.token
    if token.kind != "word":
        parser.fail(f'the name of filters is needed here, like "fixed sobel+blur"; known are {", ".join(BANKS)}')
    if token.text not in BANKS:
        parser.fail(f'unknown filters "{token.text}"; {suggestion(token.text, [*BANKS])}')
    return parser.advance().text


def _max_pool(parser: _Parser) -> Layer:
    return layers.MaxPool2D(parser.pair('size of the window, like "max 2"'), **parser.options(WINDOW))  # type: ignore[arg-type]


def _average_pool(parser: _Parser) -> Layer:
    window = parser.pair('size of the window, like "average 2"')
    return layers.AvgPool2D(window, **parser.options(AVERAGE))  # type: ignore[arg-type]


def _global_pool(parser: _Parser) -> Layer:
    if parser.accept("max"):
        return layers.GlobalMaxPool2D()
    if parser.accept("average") or parser.accept("avg"):
        return layers.GlobalAvgPool2D()
    parser.fail('only "global average" and "global max" are known')


def _dense(parser: _Parser) -> Layer:
    units = parser.whole('the number of units, like "dense 100"')
    return layers.Dense(units, **parser.options(WEIGHTS))  # type: ignore[arg-type]


def _channelwise(kind: type[Channelwise], parser: _Parser) -> Layer:
    numbers = [parser.fraction(default) for default in kind().options.values()]
    return kind(*numbers, **parser.options(FROZEN))


def _layer_norm(parser: _Parser) -> Layer:
    return layers.LayerNorm(parser.fraction(layers.LayerNorm().epsilon))


def _number(parser: _Parser, what: str) -> float:
    if parser.token.kind != "number":
        parser.fail(f"a number is needed here ({what})")
    return parser.fraction(0)


def _lrn(parser: _Parser) -> Layer:
    size = parser.whole('how many channels count, like "lrn 5"')
    return layers.LRN(size, **parser.options(LRN))  # type: ignore[arg-type]


def _dropout(parser: _Parser) -> Layer:
    return layers.Dropout(parser.fraction(layers.Dropout().rate))


def _residual(parser: _Parser) -> Layer:
    return layers.Residual(*parser.bracketed("residual", at_most=2))


def _gate(parser: _Parser) -> Layer:
    return layers.Gate(*parser.bracketed("gate", at_most=1))


def _concat(parser: _Parser) -> Layer:
    return layers.Concat(tuple(parser.bracketed("concat", at_most=MOST_LAYERS)))


def _activation(kind: type[Activation], parser: _Parser) -> Layer:
    parser.accept(kind.filler)
    return kind(*(parser.fraction(default) for default in kind().options.values()))


LAYERS: dict[str, Callable[[_Parser], Layer]] = {
    "conv": _conv,
    "fixed": _fixed,
    "max": _max_pool,
    "average": _average_pool,
    "avg": _average_pool,
    "global": _global_pool,
    "dense": _dense,
    "layernorm": _layer_norm,
    "lrn": _lrn,
    "dropout": _dropout,
    "residual": _residual,
    "gate": _gate,
    "concat": _concat,
    "softmax": lambda parser: layers.Softmax(),
    "flatten": lambda parser: layers.Flatten(),
    **{word: partial(_activation, kind) for word, kind in ACTIVATIONS.items()},
    **{word: partial(_channelwise, kind) for word, kind in CHANNELWISE.items()},
}
"""What reads a layer, by the word that it begins with."""
