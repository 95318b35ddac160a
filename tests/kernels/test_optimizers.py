"""Updates against the reference, whole chunks at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.errors import ProgramError
from lanewise.kernels import optimizers
from lanewise.lanes.program import Program
from lanewise.network import reference
from tests.kernels.support import buffer, run_everywhere

CHUNK, SHARDS, TOTAL = 112, 3, 160  # seven vectors: a whole turn of the loop and a part of one

Array = npt.NDArray[np.float32]


def drawn() -> tuple[Array, Array, Array, Array]:
    """Parameters, gradients of the shards, decay, and something positive."""
    rng = np.random.default_rng(0)
    parameters, gradients = buffer(rng.normal(size=CHUNK)), buffer(rng.normal(size=SHARDS * TOTAL))
    return parameters, gradients, buffer(rng.integers(0, 2, CHUNK)), buffer(rng.random(CHUNK))


def hyper_of(*numbers: float) -> Array:
    """The buffer `hyper`, with NaN where an update must not look."""
    return buffer([*numbers, *[np.nan] * (optimizers.HYPER - len(numbers))])


def summed(gradients: Array) -> npt.NDArray[np.float64]:
    return gradients.reshape(SHARDS, TOTAL)[:, :CHUNK].astype(np.float64).sum(axis=0)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd(nesterov: bool) -> None:
    parameters, gradients, decay, velocity = drawn()
    hyper = hyper_of(0.1, 0.9, 0.01)
    program = optimizers.sgd(CHUNK, SHARDS, TOTAL, nesterov)
    came, came_velocity, *rest = run_everywhere(program, [parameters, velocity, gradients, decay, hyper])
    for chosen, weight_decay in ((decay == 1, 0.01), (decay == 0, 0.0)):
        expected, expected_velocity = reference.sgd(
            parameters[chosen],
            summed(gradients)[chosen],
            velocity[chosen],
            learning_rate=0.1,
            momentum=0.9,
            nesterov=nesterov,
            weight_decay=weight_decay,
        )
        np.testing.assert_allclose(came[chosen], expected, atol=5e-7)
        np.testing.assert_allclose(came_velocity[chosen], expected_velocity, atol=1e-6)
    for before, after in zip((gradients, decay, hyper), rest, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("step", [1, 5])
def test_adamw(step: int) -> None:
    parameters, gradients, decay, square = drawn()
    mean = buffer(np.random.default_rng(1).normal(size=CHUNK)) if step > 1 else buffer(np.zeros(CHUNK))
    square = square if step > 1 else buffer(np.zeros(CHUNK))
    hyper = hyper_of(0.1, 0.9, 0.99, 1e-6, 0.01, 1 / (1 - 0.9**step), 1 / (1 - 0.99**step))
    program = optimizers.adamw(CHUNK, SHARDS, TOTAL)
    came = run_everywhere(program, [parameters, mean, square, gradients, decay, hyper])
    for chosen, weight_decay in ((decay == 1, 0.01), (decay == 0, 0.0)):
        expected = reference.adamw(
            parameters[chosen],
            summed(gradients)[chosen],
            mean[chosen],
            square[chosen],
            step,
            learning_rate=0.1,
            beta1=0.9,
            beta2=0.99,
            epsilon=1e-6,
            weight_decay=weight_decay,
        )
        for a, b in zip(came[:3], expected, strict=True):
            np.testing.assert_allclose(a[chosen], b, rtol=5e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_rates_of_their_own(name: str) -> None:
    """The steps are as many times as long as the multiples say."""
    parameters, gradients, decay, square = drawn()
    rates = buffer(np.random.default_rng(3).integers(1, 9, CHUNK))
    hyper = hyper_of(0.1, 0.9, 0.99, 1e-6, 0.01, 2.0, 3.0)
    states = [buffer(np.zeros(CHUNK)), square] if name == "adamw" else [buffer(np.zeros(CHUNK))]
    arrays = [parameters, *states, gradients, decay, hyper]

    def program(own_rates: bool) -> Program:
        if name == "sgd":
            return optimizers.sgd(CHUNK, SHARDS, TOTAL, True, own_rates=own_rates)
        return optimizers.adamw(CHUNK, SHARDS, TOTAL, own_rates=own_rates)

    plain, own = (run_everywhere(program(len(more) > 0), [*arrays, *more]) for more in ([], [rates]))
    np.testing.assert_allclose(own[0] - parameters, rates * (plain[0] - parameters), rtol=2e-4, atol=2e-6)
    for a, b in zip(own[1 : 1 + len(states)], plain[1:], strict=False):
        np.testing.assert_array_equal(a, b)


def test_shards_are_added_in_order() -> None:
    gradients = np.zeros((3, 16), np.float32)
    gradients[:, 0] = [2.0**24, 1.0, -(2.0**24)]  # 0 in this order, 1 in any other
    arrays = [buffer(np.zeros(16)), buffer(np.zeros(16)), buffer(gradients), buffer(np.zeros(16))]
    _, velocity, *_ = run_everywhere(optimizers.sgd(16, 3, 16, False), [*arrays, hyper_of(0, 0, 0)])
    assert velocity[0] == 0


def test_chunks_do_not_change_bits() -> None:
    parameters, gradients, decay, velocity = drawn()
    hyper = hyper_of(0.1, 0.9, 0.01)
    whole = run_everywhere(optimizers.sgd(CHUNK, SHARDS, TOTAL, True), [parameters, velocity, gradients, decay, hyper])
    at = slice(32, 96)
    parts = [parameters[at], velocity[at], gradients.reshape(SHARDS, TOTAL)[:, 32:], decay[at], hyper]
    part = run_everywhere(optimizers.sgd(64, SHARDS, TOTAL - 32, True), [buffer(p) for p in parts], ("host",))
    np.testing.assert_array_equal(part[0], whole[0][at])
    np.testing.assert_array_equal(part[1], whole[1][at])


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_rows_of_a_matrix(name: str) -> None:
    """Columns 16 to 64 of a matrix, row by row: the bits of each row alone; and nothing else is touched."""
    rows, columns, at = 3, 80, slice(16, 64)
    rng = np.random.default_rng(2)
    arrays = [np.float32(rng.random((rows, columns))) for _ in range(4 if name == "adamw" else 3)]
    *values, gradients = arrays
    hyper = hyper_of(0.1, 0.9, 0.99, 1e-6, 0.01, 2.0, 3.0)

    def program(count: int) -> Program:
        return optimizers.sgd(48, 1, columns, True, count) if name == "sgd" else optimizers.adamw(48, 1, columns, count)

    shifted = [buffer(np.roll(array, -16, axis=1)) for array in arrays]
    came = run_everywhere(program(rows), [*shifted, hyper])
    for n, before in enumerate(values):
        after = np.roll(came[n].reshape(rows, columns), 16, axis=1)
        for row in range(rows):
            part = [buffer(array[row, at]) for array in values] + [buffer(np.roll(gradients[row], -16))]
            alone = run_everywhere(program(0), [*part, buffer(np.ones(48)), hyper], ("host",))
            np.testing.assert_array_equal(after[row, at], alone[n])
        after[:, at] = before[:, at]
        np.testing.assert_array_equal(after, before)


def test_average() -> None:
    parameters, _, _, averages = drawn()
    hyper = buffer([*[np.nan] * (optimizers.HYPER - 3), 0.25, np.nan, np.nan])
    came, *rest = run_everywhere(optimizers.average(CHUNK), [averages, parameters, hyper])
    np.testing.assert_allclose(came, 0.75 * averages.astype(float) + 0.25 * parameters, atol=2e-7)
    for before, after in zip((parameters, hyper), rest, strict=True):
        np.testing.assert_array_equal(before, after)


def test_zero() -> None:
    values = buffer(np.full(16 * 21, np.nan))
    assert not run_everywhere(optimizers.zero(16 * 19), [values])[0][: 16 * 19].any()
    assert np.isnan(run_everywhere(optimizers.zero(16 * 19), [values])[0][16 * 19 :]).all()


def test_chunks_are_whole_vectors() -> None:
    with pytest.raises(ProgramError, match="sgd: 20 scalars are not a multiple of 16"):
        optimizers.sgd(20, 1, 20, False)
