"""What tells programs apart: every field of every statement, and buffers by names that any language can spell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, get_args

import pytest

from lanewise.errors import ProgramError
from lanewise.kernels import conv_pooled_gradient, winograd, winograd_weight_gradient
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.kernels.pool import Pool
from lanewise.lanes import javascript
from lanewise.lanes.ir import I32, LANES, U8, Affine, BufferSpec, Loop, Program, Statement
from lanewise.lanes.program import Recorder
from tests.lanes.programs import every_statement


def changed(value: Any) -> Iterator[Any]:
    """Values that differ from `value`, in each of its parts."""
    if isinstance(value, Affine):
        yield from (Affine(constant, value.terms) for constant in changed(value.constant))
        yield from (Affine(value.constant, terms) for terms in changed(value.terms))
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, float):
        yield from (value + 1, -value) if value == value else (0.0,)
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, str):
        yield value + "x"
    elif isinstance(value, set):
        yield {*value, 99}
    elif isinstance(value, BufferSpec):
        for field in fields(value):
            yield from (replace(value, **{field.name: other}) for other in changed(getattr(value, field.name)))
    elif isinstance(value, get_args(Statement)):
        for name in value._fields:
            yield from (value._replace(**{name: other}) for other in changed(getattr(value, name)))
    elif isinstance(value, list | tuple):
        yield type(value)([*value, 1])
        for n, part in enumerate(value):
            yield from (type(value)([*value[:n], other, *value[n + 1 :]]) for other in changed(part))
    else:
        raise AssertionError(value)


def statements(body: list[Statement]) -> Iterator[Statement]:
    for s in body:
        yield s
        if isinstance(s, Loop):
            yield from statements(s.body)


def with_bytes(bytes: int) -> Program:
    k = Recorder("gather")
    pixels, n = k.scalars("pixels", (99,), U8), k.scalars("n", (LANES,), I32)
    n.set_vector(k.gather(pixels, k.lane_number(), 4, k.integer(0), bytes=bytes), 0)
    return k.program()


def test_programs_that_gather_other_numbers_of_bytes_differ() -> None:
    assert with_bytes(1).digest != with_bytes(4).digest
    assert str(with_bytes(1)) != str(with_bytes(4))


def test_every_field_reaches_the_digest() -> None:
    program = every_statement()
    found = {type(s) for s in statements(program.body)}
    assert found == set(get_args(Statement))
    seen = {program.digest}
    parts = [f.name for f in fields(Program) if f.name not in ("name", "body")]
    others = [replace(program, **{part: other}) for part in parts for other in changed(getattr(program, part))]
    # `changed` appends a 1 to lists and tuples, which is no statement: of a body, only its statements are changed.
    others += [replace(program, body=body) for body in bodies(program.body)]
    for other in others:
        assert other.digest not in seen, other
        seen.add(other.digest)
    assert len(others) > 300


def bodies(body: list[Statement]) -> Iterator[list[Statement]]:
    """The body with one field of one statement changed, for each of them, and without one statement."""
    for n, s in enumerate(body):
        before, after = body[:n], body[n + 1 :]
        yield [*before, *after]
        if isinstance(s, Loop):
            yield from ([*before, s._replace(body=inner), *after] for inner in bodies(s.body))
            yield [*before, *s.body, *after]
            s, inner = s._replace(body=[]), s.body
            for name in ("variable", "turns", "registers"):
                for other in changed(getattr(s, name)):
                    yield [*before, s._replace(body=inner, **{name: other}), *after]
        else:
            yield from ([*before, other, *after] for other in changed(s))


def test_zeros_of_either_sign_differ() -> None:
    digests = set()
    for value in (0.0, -0.0):
        k = Recorder("zero")
        k.lanes("y", (1,))[0] = value
        digests.add(k.program().digest)
    assert len(digests) == 2


def test_the_digest_does_not_depend_on_how_a_set_of_registers_came_about() -> None:
    program = every_statement()

    def with_registers(numbers: list[int]) -> Program:
        body = [s._replace(registers=set(numbers)) if isinstance(s, Loop) else s for s in program.body]
        return replace(program, body=body)

    assert with_registers([0, 8, 64]).digest == with_registers([64, 8, 0]).digest != program.digest


@pytest.mark.parametrize("name", ["", "scratch inputs", "1x", "a-b", "dw/dx", "größe", "x\n", "v1", "r20", "L3"])
def test_names_of_buffers_are_identifiers(name: str) -> None:
    k = Recorder("named")
    with pytest.raises(ProgramError, match="cannot name a buffer"):
        k.lanes(name, (1,))
    with pytest.raises(ProgramError, match="cannot name a buffer"):
        k.scalars(name, (1,))


def test_two_buffers_have_two_names() -> None:
    k = Recorder("named")
    k.lanes("x", (1,))
    with pytest.raises(ProgramError, match="'x' cannot name a buffer"):
        k.scalars("x", (2,))


def test_javascript_refuses_its_own_words() -> None:
    k = Recorder("named")
    k.lanes("new", (1,))[0] = 1.0
    with pytest.raises(ProgramError, match="named new in JavaScript"):
        javascript.render(k.program(), "f")


@pytest.mark.parametrize("channels", [4, 64])
def test_scratch_of_all_kernels_has_names_that_javascript_takes(channels: int) -> None:
    conv, x = Conv(channels, channels, (3, 3), padding=(1, 1, 1, 1)), Layout((channels, 12, 12))
    border = winograd.x_border(conv, x, x)
    few = winograd.forward(conv, x.with_border(border), x)
    weight = winograd_weight_gradient.backward_weight(conv, x.with_border(border), x)
    pooled = conv_pooled_gradient.backward_weight(
        conv, x.with_border((1, 1, 1, 1)), Layout((channels, 6, 6)), Pool((2, 2), (2, 2))
    )
    for program in (few, weight, pooled):
        assert any(buffer.name.startswith("scratch") for buffer in program.buffers)
        assert all(buffer.name.isidentifier() for buffer in program.buffers)
    assert javascript.render(few, "f").startswith(
        "function f(x, transformed, bias, scratch_inputs, scratch_products, y)"
    )
