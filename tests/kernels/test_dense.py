"""The fully connected layer against its formula, exactly for whole numbers, and the same bits for any tile."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.kernels import dense, optimizers
from lanewise.lanes.ir import LANES, Program
from tests.kernels.support import Arrays, aligned, buffer, by_tree, run_everywhere, run_native

Array = npt.NDArray[Any]

SIZES = [(1, 1), (13, 1), (1, 5), (4, 14), (16, 15), (17, 29), (31, 17), (50, 33)]
VALUES = (32, 8, 4)
BEFORE = 3.0


class Setting:
    """Operands x (inputs, 16), w (units, inputs), b (units,), dy (units, 16)."""

    def __init__(self, inputs: int, units: int, *, whole: bool) -> None:
        self.inputs, self.units = inputs, units
        rng = np.random.default_rng(inputs * 100 + units)

        def draw(*shape: int) -> Array:
            return rng.integers(-8, 9, shape).astype(np.float32) if whole else np.float32(rng.standard_normal(shape))

        self.x, self.w = draw(inputs, LANES), draw(units, inputs)
        self.b, self.dy = draw(units), draw(units, LANES)

    @property
    def rows(self) -> Array:
        """Weights as they lie in memory: rows of whole vectors."""
        stored = np.zeros((self.units, dense.padded(self.inputs)), np.float32)
        stored[:, : self.inputs] = self.w
        return stored

    def forward(self, registers: int = 32, *, bias: bool = True, relu: bool = False) -> tuple[Program, Arrays]:
        program = dense.forward(self.inputs, self.units, bias=bias, relu=relu, registers=registers)
        biases = [buffer(self.b)] if bias else []
        return program, [buffer(self.x), buffer(self.rows), *biases, aligned(self.units * LANES)]

    def backward_input(
        self, registers: int = 32, *, mask: bool = False, accumulate: bool = False
    ) -> tuple[Program, Arrays]:
        program = dense.backward_input(self.inputs, self.units, mask=mask, accumulate=accumulate, registers=registers)
        x = [buffer(self.x)] if mask else []
        return program, [buffer(self.rows), buffer(self.dy), *x, buffer(np.full(self.x.shape, BEFORE))]

    def backward_weight(
        self, registers: int = 32, *, bias: bool = True, accumulate: bool = True
    ) -> tuple[Program, Arrays]:
        program = dense.backward_weight(self.inputs, self.units, bias=bias, accumulate=accumulate, registers=registers)
        before = np.where(np.arange(dense.padded(self.inputs)) < self.inputs, BEFORE, 0)
        biases = [buffer(np.full(self.units, BEFORE))] if bias else []
        weights = buffer(np.broadcast_to(before, self.rows.shape))
        return program, [buffer(self.x), buffer(self.dy), weights, *biases]

    def kernels(self, registers: int) -> list[tuple[Program, Arrays]]:
        masked = self.backward_input(registers, mask=True, accumulate=True)
        return [self.forward(registers), self.backward_input(registers), masked, self.backward_weight(registers)]


def close(came: Array, expected: Array, whole: bool) -> None:
    if whole:
        np.testing.assert_array_equal(came, expected.reshape(came.shape))
    else:
        np.testing.assert_allclose(
            came, expected.reshape(came.shape), rtol=2e-5, atol=2e-5 * float(abs(expected).max())
        )


both = pytest.mark.parametrize("whole", [True, False], ids=["whole numbers", "real numbers"])
sizes = pytest.mark.parametrize(("inputs", "units"), SIZES)


@both
@sizes
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_forward(inputs: int, units: int, whole: bool, bias: bool, relu: bool) -> None:
    s = Setting(inputs, units, whole=whole)
    y = run_everywhere(*s.forward(bias=bias, relu=relu), ("host",))[-1]
    expected = s.w.astype(float) @ s.x + (s.b[:, None] if bias else 0)
    close(y, np.maximum(expected, 0) if relu else expected, whole)


@both
@sizes
@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("accumulate", [True, False])
def test_backward_input(inputs: int, units: int, whole: bool, mask: bool, accumulate: bool) -> None:
    s = Setting(inputs, units, whole=whole)
    dx = run_everywhere(*s.backward_input(mask=mask, accumulate=accumulate), ("host",))[-1]
    expected = s.w.T.astype(float) @ s.dy
    expected = expected + BEFORE * accumulate
    close(dx, np.where(s.x > 0, expected, 0) if mask else expected, whole)


@sizes
@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("accumulate", [True, False])
@pytest.mark.parametrize("registers", VALUES)
def test_backward_input_by_rows(
    inputs: int, units: int, mask: bool, accumulate: bool, registers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few rows of weights at a time, as for large layers: the same bits."""
    s = Setting(inputs, units, whole=False)
    program, arrays = s.backward_input(mask=mask, accumulate=accumulate)
    expected = run_native(program, arrays)[-1]
    monkeypatch.setattr(dense, "BY_ROWS", 1)
    record = vars(dense.backward_input)["__wrapped__"]
    by_rows = record(inputs, units, mask=mask, accumulate=accumulate, registers=registers)
    dx = run_everywhere(by_rows, arrays, ("host",))[-1]
    np.testing.assert_array_equal(dx.view(np.uint32), expected.view(np.uint32))


def test_large_layers_go_by_rows() -> None:
    large, small = (str(dense.backward_input(inputs, 100)) for inputs in (1008, 992))
    assert "= dx[" in large
    assert "= dx[" not in small


@both
@sizes
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("accumulate", [True, False])
def test_backward_weight(inputs: int, units: int, whole: bool, bias: bool, accumulate: bool) -> None:
    """Gradients are written, or added to what is there, and the padding of rows stays zero."""
    s = Setting(inputs, units, whole=whole)
    there = np.float32(BEFORE * accumulate)
    _, _, dw, *db = run_everywhere(*s.backward_weight(bias=bias, accumulate=accumulate), ("host",))
    rows = dw.reshape(s.rows.shape)
    close(rows[:, :inputs] - there, s.dy.astype(float) @ s.x.T, whole)
    assert not rows[:, inputs:].any()
    assert len(db) == bias
    for gradient in db:
        close(gradient - there, s.dy.astype(float).sum(axis=1), whole)


@pytest.mark.parametrize("accumulate", [True, False])
def test_backward_bias(accumulate: bool) -> None:
    """The very bits of the kernel that does the weights, too."""
    s = Setting(4, 14, whole=False)
    program = dense.backward_bias(s.units, accumulate=accumulate)
    db = run_everywhere(program, [buffer(s.dy), buffer(np.full(s.units, BEFORE))])[-1]
    expected = run_native(*s.backward_weight(accumulate=accumulate))[-1]
    np.testing.assert_array_equal(db.view(np.uint32), expected.view(np.uint32))


def slices(s: Setting, vectors: int, shards: int, groups: int, registers: int = 32) -> tuple[Array, ...]:
    """The weight gradient of a batch, slice by slice; the x and dy it was computed from, (groups, elements, 16); and
    the sum of squares of each slice, lane by lane."""
    rng, count, width = np.random.default_rng(7), shards * groups, dense.padded(s.inputs)
    x, dy = np.zeros((count, width, LANES), np.float32), np.float32(rng.standard_normal((count, s.units, LANES)))
    x[:, : s.inputs] = rng.standard_normal((count, s.inputs, LANES))
    dw, squares = np.full((s.units, width), np.nan, np.float32), []
    for first in range(0, width, vectors * LANES):
        size = min(vectors, (width - first) // LANES)
        program = dense.backward_weight_slice(s.inputs, s.units, size, shards, groups, registers=registers)
        scratch = aligned(program.buffers[2].scalars)
        arrays = [np.roll(x, -first, axis=1), dy, scratch, np.roll(dw, -first, axis=1), np.full(LANES, np.nan)]
        run = run_everywhere if registers == VALUES[0] else run_native
        *_, came, square = run(program, [buffer(array) for array in arrays])
        dw = np.roll(came.reshape(dw.shape), first, axis=1)
        squares.append(square)
    return dw, x, dy, np.array(squares)


def sums_of_squares(dw: Array, vectors: int) -> Array:
    """What `sum_squares` makes of the same slices."""
    units, width = dw.shape
    found = []
    for first in range(0, width, vectors * LANES):
        program = optimizers.sum_squares(units, min(vectors * LANES, width - first), width)
        found.append(run_native(program, [buffer(np.roll(dw, -first, axis=1)), buffer(np.zeros(LANES))])[-1])
    return np.array(found)


@sizes
@pytest.mark.parametrize(("vectors", "shards", "groups"), [(1, 5, 1), (2, 1, 2), (3, 2, 3)])
def test_slices_of_a_batch(inputs: int, units: int, vectors: int, shards: int, groups: int) -> None:
    """What `backward_weight` makes of each shard, group after group, and then the tree of shards: the very bits."""
    s = Setting(inputs, units, whole=False)
    dw, x, dy, squares = slices(s, vectors, shards, groups)
    close(dw[:, :inputs], np.einsum("gon,gin->oi", dy.astype(float), x[:, :inputs]), False)
    parts = []
    for shard in range(shards):
        part = buffer(np.zeros_like(dw))
        for group in range(shard * groups, (shard + 1) * groups):
            s.x, s.dy = x[group, :inputs], dy[group]
            program, arrays = s.backward_weight(bias=False)
            part = run_native(program, [*arrays[:2], part])[2]
        parts.append(part.reshape(dw.shape))
    np.testing.assert_array_equal(dw, by_tree(parts))
    np.testing.assert_allclose(squares.sum(axis=0), (dw.reshape(-1, LANES).astype(float) ** 2).sum(axis=0), rtol=1e-5)
    assert sums_of_squares(dw, vectors).tobytes() == squares.tobytes()
    for values in VALUES[1:]:
        other, *_, other_squares = slices(s, vectors, shards, groups, values)
        np.testing.assert_array_equal(other, dw)
        np.testing.assert_array_equal(other_squares, squares)


@sizes
def test_tiles_change_no_bits(inputs: int, units: int) -> None:
    s = Setting(inputs, units, whole=False)
    widest = [run_native(*kernel) for kernel in s.kernels(VALUES[0])]
    for values in VALUES[1:]:
        for kernel, expected in zip(s.kernels(values), widest, strict=True):
            for came, wanted in zip(run_native(*kernel), expected, strict=True):
                np.testing.assert_array_equal(came.view(np.uint32), wanted.view(np.uint32))


def test_each_target() -> None:
    for kernel in Setting(17, 29, whole=False).kernels(8):
        run_everywhere(*kernel)


def test_finite_differences() -> None:
    """The forward kernel is linear, so for whole numbers the differences of its values are the gradients, exactly."""
    s = Setting(5, 3, whole=True)

    def loss() -> float:
        return float((run_native(*s.forward())[-1].reshape(s.dy.shape) * s.dy).sum(dtype=float))

    dx = run_native(*s.backward_input())[-1].reshape(s.x.shape)
    _, _, dw, db = run_native(*s.backward_weight())
    dw = dw.reshape(s.rows.shape)[:, :5]
    for array, gradient in ((s.x, dx), (s.w, dw - np.float32(BEFORE)), (s.b, db - np.float32(BEFORE))):
        before = loss()
        for place in np.ndindex(array.shape):
            array[place] += 1
            assert loss() - before == gradient[place]
            array[place] -= 1


def test_rows_are_whole_vectors() -> None:
    assert [dense.padded(n) for n in (1, 15, 16, 17, 32)] == [16, 16, 16, 32, 32]
