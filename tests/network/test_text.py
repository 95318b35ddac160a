import random

import pytest

from lanewise.errors import NetworkTextError
from lanewise.network.filters import BANKS
from lanewise.network.layers import (
    Add,
    AvgPool2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    FilterBank,
    Fixed,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Input,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
)
from lanewise.network.options import MOST_DEPTH
from lanewise.network.text import layer_text, parse, to_text
from tests.cases import LAYER_CASES, NETWORK_CASES

# Canonical text and what it means.
MEANINGS = {
    "conv 16@3x3": Conv2D(16, (3, 3)),
    "conv 16@3x5 same": Conv2D(16, (3, 5), padding="same"),
    "conv 16@3x3 pad 1 stride 2 dilation 2x3 groups 4 nobias": Conv2D(
        16, (3, 3), (2, 2), (1, 1, 1, 1), (2, 3), 4, False
    ),
    "conv 1@1x1 pad 1x2 stride 2x1": Conv2D(1, (1, 1), (2, 1), (1, 2, 1, 2)),
    "conv 1@1x1 pad 1:2:3:4": Conv2D(1, (1, 1), padding=(1, 2, 3, 4)),
    "conv 1@1x1 pad 0": Conv2D(1, (1, 1), padding=(0, 0, 0, 0)),
    "conv 16@3x3 nobias frozen": Conv2D(16, (3, 3), bias=False, frozen=True),
    "fixed sobel": Fixed(("sobel",)),
    "fixed sobel+laplacian+blur+sharpen": Fixed(("sobel", "laplacian", "blur", "sharpen")),
    "fixed gabor valid": Fixed(("gabor",), padding="valid"),
    "fixed emboss+identity pad 1x2 stride 2": Fixed(("emboss", "identity"), (2, 2), (1, 2, 1, 2)),
    "max 2": MaxPool2D((2, 2)),
    "max 2 stride 2": MaxPool2D((2, 2), (2, 2)),
    "max 3x2 same stride 2x1": MaxPool2D((3, 2), (2, 1), "same"),
    "average 3 pad 1 stride 2 count-padding": AvgPool2D((3, 3), (2, 2), (1, 1, 1, 1), True),
    "average 2x3": AvgPool2D((2, 3)),
    "global average": GlobalAvgPool2D(),
    "global max": GlobalMaxPool2D(),
    "conv 32@3x3 identity": Conv2D(32, (3, 3), initial="identity"),
    "conv 24@2x2 nobias whiten frozen": Conv2D(24, (2, 2), bias=False, frozen=True, initial="whiten"),
    "dense 100": Dense(100),
    "dense 100 nobias": Dense(100, bias=False),
    "dense 100 frozen": Dense(100, frozen=True),
    "relu": ReLU(),
    "leaky 0.1": LeakyReLU(0.1),
    "leaky 1e-05": LeakyReLU(1e-5),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "softmax": Softmax(),
    "flatten": Flatten(),
    "dropout 0.25": Dropout(0.25),
    "residual(conv 4@3x3 same, relu)": Residual((Conv2D(4, (3, 3), padding="same"), ReLU())),
    "residual(relu | conv 4@1x1)": Residual((ReLU(),), (Conv2D(4, (1, 1)),)),
    "concat(relu | tanh, relu | )": Concat(((ReLU(),), (Tanh(), ReLU()), ())),
}


@pytest.mark.parametrize(("text", "layer"), MEANINGS.items(), ids=str)
def test_text_means_the_layer_and_the_layer_prints_it(text, layer):
    assert parse(text) == (layer,)
    assert layer_text(layer) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("conv 16@5", "conv 16@5x5"),
        ("conv 2@3 valid", "conv 2@3x3"),
        ("conv 2@3 nobias groups 2 stride 2x2 same", "conv 2@3x3 same stride 2 groups 2 nobias"),
        ("  CONV 2 @ 3 x 5\n pad 1 : 2 : 1 : 2 ,\tReLU ", "conv 2@3x5 pad 1x2, relu"),
        ("conv 2@3 frozen nobias same", "conv 2@3x3 same nobias frozen"),
        ("Fixed Sobel + blur same", "fixed sobel+blur"),
        ("avg 2", "average 2"),
        ("global avg", "global average"),
        ("leaky relu 0.10", "leaky 0.1"),
        ("leaky, leaky relu", "leaky 0.01, leaky 0.01"),
        ("leaky 0", "leaky 0.0"),
        ("dropout", "dropout 0.5"),
        ("residual(relu|)", "residual(relu)"),
        ("concat(||relu)", "concat( |  | relu)"),
        ("2 * (conv 2@1, relu), 2*(2*(max 2))", "conv 2@1x1, relu, conv 2@1x1, relu, max 2, max 2, max 2, max 2"),
    ],
)
def test_other_ways_to_write_print_in_one(text, canonical):
    assert to_text(parse(text)) == canonical
    assert to_text(parse(canonical)) == canonical


@pytest.mark.parametrize("case", LAYER_CASES + NETWORK_CASES, ids=str)
def test_cases_go_round(case):
    assert parse(to_text(parse(case.text))) == parse(case.text)


def random_layer(rng, depth):
    def pair():
        return rng.choice([(1, 1), (2, 2), (3, 1), (2, 5)])

    def padding():
        return rng.choice(
            ["valid", "same", (0, 0, 0, 0), (1, 1, 1, 1), (1, 2, 1, 2), (1, 2, 1, 3), (3, 0, 1, 2), (1, 2, 2, 1)]
        )

    def yes():
        return rng.choice([True, False])

    def how():
        return rng.choice(["random", "identity", "whiten"])

    def branch(shortest):
        return tuple(random_layer(rng, depth - 1) for _ in range(rng.randint(shortest, 3)))

    kinds = [
        lambda: Conv2D(rng.randint(1, 99), pair(), pair(), padding(), pair(), rng.randint(1, 3), yes(), yes(), how()),
        lambda: Fixed(tuple(rng.sample([*BANKS], rng.randint(1, 3))), pair(), padding()),
        lambda: MaxPool2D(pair(), rng.choice([None, pair()]), padding()),
        lambda: AvgPool2D(pair(), rng.choice([None, pair()]), padding(), yes()),
        lambda: Dense(rng.randint(1, 9), yes(), yes()),
        lambda: LeakyReLU(rng.random() ** 30),
        lambda: Dropout(rng.random()),
        lambda: rng.choice([ReLU(), Sigmoid(), Tanh(), Softmax(), Flatten(), GlobalAvgPool2D(), GlobalMaxPool2D()]),
        lambda: Residual(branch(1), branch(0)),
        lambda: Concat(tuple(branch(0) for _ in range(rng.randint(2, 4)))),
    ]
    return rng.choice(kinds if depth else kinds[:-2])()


def test_random_networks_go_round():
    rng = random.Random(0)
    for _ in range(300):
        layers = tuple(random_layer(rng, 3) for _ in range(rng.randint(1, 4)))
        assert parse(to_text(layers)) == layers


MISTAKES = [
    # text, the wrong part of it, a part of the message
    ("conv 16@3x3, cnov 16@3x3", "cnov", 'unknown layer "cnov"; did you mean "conv"?'),
    ("linear 10", "linear", 'did you mean "dense"?'),
    ("conv 3@3, bn", "bn", 'did you mean "batchnorm"?'),
    ("batchnorm 2", "batchnorm 2", "batchnorm: its epsilon must be a number from 1e-12 to 1.0, not 2.0"),
    ("batchnorm nobias", "nobias", 'unknown option "nobias"; known are frozen'),
    ("maxpool2d 2", "maxpool2d", 'did you mean "max"?'),
    ("pad 1", "pad", "known are conv, fixed, max"),
    ("conv 16@3x3 smae, relu", "smae", 'unknown option "smae"; did you mean "same"?'),
    ("dense 10 same", "same", 'unknown option "same"; known are nobias'),
    ("fixed sobl+blur", "sobl", 'unknown filters "sobl"; did you mean "sobel"?'),
    ("fixed sobel+edges", "edges", 'did you mean "sobel"?'),
    ("fixed sobel+xyz", "xyz", "known are identity, blur, gaussian"),
    ("fixed 3@3", "3", "the name of filters is needed here"),
    ("fixed", "", 'like "fixed sobel+blur"; known are identity'),
    ("fixed sobel+, relu", ",", "the name of filters is needed here"),
    ("fixed sobel+blur+sobel", "sobel", "is there twice"),
    ("fixed sobel blur", "blur", 'a "+" is missing before "blur"'),
    ("fixed sobel frozen", "frozen", 'unknown option "frozen"; known are same'),
    ("fixed sobel, frozen conv 3@3", "frozen", "a layer begins with its name"),
    ("conv 3@3 frozen frozen", "frozen", "frozen is given twice"),
    ("max 2 frozen", "frozen", 'unknown option "frozen"'),
    ("relu frozen", "frozen", "layers are parted by commas"),
    ("relu + tanh", "+", "layers are parted by commas"),
    ("max 2 count-padding", "count-padding", "unknown option"),
    ("conv 16@3x3 relu", "relu", 'a comma is missing before "relu"'),
    ("relu tanh", "tanh", 'a comma is missing before "tanh"'),
    ("dense 5 6", "6", "layers are parted by commas"),
    ("relu £", "£", "does not belong here"),
    ("conv {8,16}@3x3", "{", "alternatives in braces are for `lanewise vary`"),
    ("conv 3x3", "x", '"@" and the size of the kernel are missing'),
    ("conv @3", "@", "the number of filters"),
    ("conv 16@3x3 stride, relu", ",", "a whole number is needed here (stride)"),
    ("dense 10.5", "10.5", 'not "10.5"'),
    ("dense -3", "-3", 'not "-3"'),
    ("dense 99999999999", "99999999999", "a whole number is needed"),
    ("dense ", "", "the text ends"),
    ("conv 3@3 same valid", "valid", "padding is given twice"),
    ("conv 3@3 stride 1 stride 1", "stride", "stride is given twice"),
    ("conv 3@3 pad 1:2", "", "top:left:bottom:right"),
    ("conv 3@3 pad 1:2:3, relu", ",", "top:left:bottom:right"),
    ("relu, conv 0@3, relu", "conv 0@3", "its filters must be a whole number from 1"),
    ("max 0", "max 0", "its window must be"),
    ("leaky 1.5", "leaky 1.5", "its slope must be a number from 0 to 1, not 1.5"),
    ("leaky 1e999", "leaky 1e999", "its slope must be"),
    ("dropout 1", "dropout 1", "at least 0 and less than 1, not 1.0"),
    ("global min", "min", 'only "global average" and "global max"'),
    ("relu,", "", "the text ends where a layer should be"),
    ("relu,,relu", ",", "where a layer should be"),
    ("", "", "the network is empty"),
    (" \n ", "", "the network is empty"),
    ("relu)", ")", "no bracket is open"),
    ("residual relu", "relu", "residual needs its layers in brackets"),
    ("relu, residual(relu, residual(relu)", "(", "this bracket is never closed"),
    ("residual(relu | relu | relu)", "|", "at most 2 parts"),
    ("residual( | relu)", "residual( | relu)", "its body is empty"),
    ("concat(relu)", "concat(relu)", "at least two branches"),
    ("3 relu", "3", "repetition is 3 * ("),
    ("3 * relu", "relu", "repetition needs its layers in brackets"),
    ("3 * ()", "3 * ()", "nothing to repeat"),
    ("0 * (relu)", "0", "repeat from 1 time"),
    ("100 * (100 * (relu, relu))", "100", "10,000 layers in all"),
    ("9000 * (relu), 9000 * (relu)", "9000 * (relu)", "more than 10,000 layers"),
    ("2 * (relu | relu)", "|", "at most 1 part;"),
    ("residual(relu concat(relu|))", "concat", "a comma is missing"),
]


@pytest.mark.parametrize(("text", "culprit", "message"), MISTAKES, ids=[text or "empty" for text, _, _ in MISTAKES])
def test_mistakes_get_a_caret_and_a_suggestion(text, culprit, message):
    with pytest.raises(NetworkTextError) as caught:
        parse(text)
    error = caught.value
    assert message in error.problem
    assert error.text[error.start : error.stop] == culprit
    assert len(error.text) == len(text)
    _, shown, caret = str(error).split("\n")
    assert shown[2:] == error.text
    assert caret == "  " + " " * error.start + "^" * max(1, len(culprit))


def test_caret_stands_at_the_second_of_two_equal_words():
    with pytest.raises(NetworkTextError) as caught:
        parse("relu,\n\tdense 3 dense 3")
    assert (caught.value.start, caught.value.text) == (15, "relu,  dense 3 dense 3")


def test_depth_has_a_limit():
    def nested(depth):
        return "residual(" * depth + "relu" + ")" * depth

    assert to_text(parse(nested(MOST_DEPTH))) == nested(MOST_DEPTH)
    with pytest.raises(NetworkTextError, match="more than 50 brackets are inside each other"):
        parse(nested(MOST_DEPTH + 1))
    with pytest.raises(NetworkTextError):
        parse("concat(" * 100_000)
    assert len(parse(", ".join(["residual(relu)"] * (MOST_DEPTH + 1)))) == MOST_DEPTH + 1


def test_what_only_a_graph_holds_has_a_name_but_cannot_be_written():
    assert [layer_text(layer) for layer in (Input(), Add())] == ["input", "add"]
    bank = FilterBank(6, (3, 3), padding="same", groups=2, bias=False, frozen=True, bank=("sobel", "blur"))
    assert layer_text(bank) == "fixed sobel+blur"
    with pytest.raises(NetworkTextError, match='unknown layer "add"'):
        parse("add")
