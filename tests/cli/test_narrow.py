"""What a terminal of few columns shows: everything, on more lines."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from lanewise.cli import evaluating, layers
from lanewise.cli.output import Output, laid_out
from lanewise.data.images import Images
from lanewise.evaluation.evaluate import evaluate_images
from lanewise.model import Preprocessing
from lanewise.network.graph import build
from lanewise.network.text import parse

NAMES = ["class{}", "a class of a very long name with blanks in it, {}", "c" * 60 + "{}", "\u5f88\u957f" * 20 + "{}"]
DEEP = (
    "conv 100@11x11 stride 2 pad 3, relu, max 3 stride 2, "
    "3 * (residual(conv 100@3x3 same, relu, conv 100@3x3 same), relu), dense 1000"
)
WIDTHS = (30, 40, 60, 80)


class Told:
    """A model that answers what it is told to."""

    def __init__(self, probabilities, classes):
        self.probabilities, self.classes = np.asarray(probabilities, np.float32), tuple(classes)
        self.preprocessing = Preprocessing(2, 2, 1, "uint8", scale=(1 / 255,), offset=(0.0,))

    def predict_proba(self, x):
        return self.probabilities


def shown_on(width, show):
    out = Output(Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None), False, False)
    show(out)
    text = out.console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    return text


def evaluation(count, name):
    random = np.random.default_rng(count)
    labels = random.integers(0, count, 2000)
    probabilities = random.dirichlet(np.ones(count), 2000)
    classes = [name.format(n) for n in range(count)]
    images = Images(np.zeros((2000, 2, 2, 1), np.uint8), labels.astype(np.int32), tuple(classes))
    return evaluate_images(Told(probabilities, classes), images, split="test", top=min(3, count))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", [2, 12, 200])
@pytest.mark.parametrize("name", NAMES)
def test_an_evaluation(width, count, name):
    found = evaluation(count, name)
    text = shown_on(width, lambda out: (evaluating.accuracy(out, found), evaluating.details(out, found)))
    tables = text[text.index("Classes") :].splitlines()
    assert max(map(len, tables)) <= width
    hardest = sorted(found.per_class, key=lambda one: one.f1 or 0.0)[0]
    assert f"{100 * hardest.f1:.1f} %" in text
    worst = found.mistakes[0]
    assert f"{100 * worst.probability:.1f} %" in text
    assert f"number {worst.image}" in " ".join(text.split())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("network", ["dense 2", DEEP])
def test_a_network(width, network):
    graph = build(parse(network), (3, 200, 200))
    text = shown_on(width, lambda out: layers.show(out, graph, network))
    for one in layers.to_json(graph, network)["layers"]:
        assert f"{one['connections']:,}" in text or not one["connections"]


@pytest.mark.parametrize("width", WIDTHS)
def test_experiments(width):
    heads = ["", "accuracy %", "95 %", "gap", "weights", "connections", "time", "network"]
    numbers = ["97.25", "95.1 to 98.6", "+12.5", "1,234,567", "987,654,321", "12 min 5 s"]
    row = ["fully connected", *numbers, "conv 16@3x3 same, relu"]
    text = shown_on(width, lambda out: out.table(laid_out(heads, [row] * 3, ("", "network"))))
    for cell in numbers:
        assert text.count(cell) == 3


@pytest.mark.parametrize("width", WIDTHS)
def test_sentences(width):
    sentence = "The model was trained on 10 of these 12 images: the accuracy says little about new images."
    text = shown_on(width, lambda out: (out.tell("Notes", sentence), out.tell("", sentence)))
    assert max(map(len, text.splitlines())) <= width
    assert " ".join(text.split()) == f"Notes {sentence} {sentence}"
