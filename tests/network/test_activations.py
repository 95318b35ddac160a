"""What the family of activations says of its members: functions, derivatives, gains, ONNX operators."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from lanewise.network.activations import ACTIVATIONS, Activation
from lanewise.network.text import parse, to_text

KINDS = pytest.mark.parametrize("kind", ACTIVATIONS.values(), ids=ACTIVATIONS)
ABOUT_LINEAR = {"sigmoid", "hardsigmoid", "tanh"}
"""Those whose gain is that of x itself, as they are near 0."""


@KINDS
def test_the_derivative_is_that_of_the_function(kind: type[Activation]) -> None:
    activation, x = kind(), np.random.default_rng(0).uniform(-8, 8, 1000)
    step = 1e-6
    expected = (activation.value(x + step) - activation.value(x - step)) / (2 * step)
    np.testing.assert_allclose(activation.derivative(x, activation.value(x)), expected, atol=1e-7)


@KINDS
def test_the_gain_keeps_the_size_of_values(kind: type[Activation]) -> None:
    z = np.linspace(-12, 12, 200_001)
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    expected = 1 / float((kind().value(z) ** 2 * density).sum())
    assert kind().gain == (1.0 if kind.word in ABOUT_LINEAR else pytest.approx(expected, rel=1e-3))


@KINDS
def test_the_text_gives_the_activation_with_its_options(kind: type[Activation]) -> None:
    assert parse(kind.word) == (kind(),)
    odd = kind(**{option: low + (high - low) / 4 for option, (low, high) in kind.bounds.items()})
    assert parse(to_text([odd])) == (odd,)
    assert odd.options.keys() == kind.bounds.keys()


@KINDS
def test_onnx_knows_the_operators_and_takes_what_is_left_out_as_we_say(kind: type[Activation]) -> None:
    for node in kind.onnx:
        schema = onnx.defs.get_schema(node.operator, kind.opset)
        usual = {name: onnx.helper.get_attribute_value(a.default_value) for name, a in schema.attributes.items()}
        ours: dict[str, float | str] = {name: kind().options[option] for name, option in node.options.items()}
        ours |= {name: default for name, (_, default) in node.attributes.items()}
        assert {name: v.decode() if isinstance(v, bytes) else v for name, v in usual.items()} == pytest.approx(ours)
        assert len(node.inputs) <= schema.max_input


@KINDS
def test_what_it_is_below_zero(kind: type[Activation]) -> None:
    x = np.array([-2.0, -0.5, 0.5, 2.0])
    linear = None if kind().below is None else np.where(x > 0, x, kind().below * x)
    assert linear is None or (linear == kind().value(x)).all()


@KINDS
def test_the_formula_names_only_what_the_page_knows(kind: type[Activation]) -> None:
    known = {"x": "", "-x": "", "y": ""} | dict.fromkeys(kind().options, "")
    assert kind.formula.format_map(known) != kind.formula
