"""Updates against the reference, whole chunks at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.errors import ProgramError
from lanewise.kernels import optimizers
from lanewise.kernels.shards import nodes
from lanewise.lanes.program import Program
from lanewise.network import reference
from tests.kernels.support import buffer, by_tree, run_everywhere

CHUNK, SHARDS, TOTAL = 112, 3, 160  # seven vectors: a whole turn of the loop and a part of one

Array = npt.NDArray[np.float32]


def drawn() -> tuple[Array, Array, Array, Array]:
    """Parameters, gradients, decay, and something positive."""
    rng = np.random.default_rng(0)
    parameters, gradients = buffer(rng.normal(size=CHUNK)), buffer(rng.normal(size=CHUNK))
    return parameters, gradients, buffer(rng.integers(0, 2, CHUNK)), buffer(rng.random(CHUNK))


def hyper_of(*numbers: float) -> Array:
    """The buffer `hyper`, with NaN where an update must not look."""
    return buffer([*numbers, *[np.nan] * (optimizers.HYPER - len(numbers))])


def clipped_by(factor: float = 1.0) -> Array:
    """The buffer `clipped`, likewise."""
    clipped = buffer([np.nan] * optimizers.CLIPPED)
    clipped[optimizers.FACTOR] = factor
    return clipped


FACTORS = pytest.mark.parametrize("factor", [1.0, 0.25])


@FACTORS
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd(nesterov: bool, factor: float) -> None:
    parameters, gradients, decay, velocity = drawn()
    hyper, clipped = hyper_of(0.1, 0.9, 0.01), clipped_by(factor)
    program = optimizers.sgd(CHUNK, nesterov)
    came, came_velocity, *rest = run_everywhere(program, [parameters, velocity, gradients, decay, hyper, clipped])
    for chosen, weight_decay in ((decay == 1, 0.01), (decay == 0, 0.0)):
        expected, expected_velocity = reference.sgd(
            parameters[chosen],
            factor * gradients[chosen].astype(np.float64),
            velocity[chosen],
            learning_rate=0.1,
            momentum=0.9,
            nesterov=nesterov,
            weight_decay=weight_decay,
        )
        np.testing.assert_allclose(came[chosen], expected, atol=5e-7)
        np.testing.assert_allclose(came_velocity[chosen], expected_velocity, atol=1e-6)
    for before, after in zip((gradients, decay, hyper, clipped), rest, strict=True):
        np.testing.assert_array_equal(before, after)


@FACTORS
@pytest.mark.parametrize("step", [1, 5])
def test_adamw(step: int, factor: float) -> None:
    parameters, gradients, decay, square = drawn()
    mean = buffer(np.random.default_rng(1).normal(size=CHUNK)) if step > 1 else buffer(np.zeros(CHUNK))
    square = square if step > 1 else buffer(np.zeros(CHUNK))
    hyper = hyper_of(0.1, 0.9, 0.99, 1e-6, 0.01, 1 / (1 - 0.9**step), 1 / (1 - 0.99**step))
    program = optimizers.adamw(CHUNK)
    came = run_everywhere(program, [parameters, mean, square, gradients, decay, hyper, clipped_by(factor)])
    for chosen, weight_decay in ((decay == 1, 0.01), (decay == 0, 0.0)):
        expected = reference.adamw(
            parameters[chosen],
            factor * gradients[chosen].astype(np.float64),
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
    arrays = [parameters, *states, gradients, decay, hyper, clipped_by()]

    def program(own_rates: bool) -> Program:
        if name == "sgd":
            return optimizers.sgd(CHUNK, True, own_rates=own_rates)
        return optimizers.adamw(CHUNK, own_rates=own_rates)

    plain, own = (run_everywhere(program(len(more) > 0), [*arrays, *more]) for more in ([], [rates]))
    np.testing.assert_allclose(own[0] - parameters, rates * (plain[0] - parameters), rtol=2e-4, atol=2e-6)
    for a, b in zip(own[1 : 1 + len(states)], plain[1:], strict=False):
        np.testing.assert_array_equal(a, b)


def sum_of(gradients: npt.NDArray[np.float32], chunk: int) -> tuple[Array, Array]:
    """What `sum_shards` makes of the rows of the shards, and the squares by lane."""
    shards, total = gradients.shape
    program = optimizers.sum_shards(chunk, shards, total)
    came, squares = run_everywhere(program, [buffer(gradients), buffer(np.full(16, np.nan))])
    return came.reshape(shards, total), squares


@pytest.mark.parametrize("shards", [1, SHARDS])
def test_sum_of_shards(shards: int) -> None:
    gradients = np.float32(np.random.default_rng(0).normal(size=(shards, TOTAL)))
    came, squares = sum_of(gradients, CHUNK)
    expected = gradients.astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(came[0, :CHUNK], expected[:CHUNK], atol=1e-6)
    np.testing.assert_array_equal(came[1:], gradients[1:])
    np.testing.assert_array_equal(came[0, CHUNK:], gradients[0, CHUNK:])
    np.testing.assert_allclose(squares, (expected[:CHUNK].reshape(-1, 16) ** 2).sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("shards", [*range(1, 9), 13, 64])
def test_shards_are_added_by_a_tree(shards: int) -> None:
    gradients = np.random.default_rng(shards).normal(size=(shards, 16)).astype(np.float32)
    assert sum_of(gradients, 16)[0][0].tobytes() == by_tree(list(gradients)).tobytes()
    others = [gradients.sum(axis=0), gradients[::-1].cumsum(axis=0)[-1]]
    assert shards < 8 or all((other != by_tree(list(gradients))).any() for other in others), "no order would do"


@pytest.mark.parametrize("shards", [8, 11, 13, 64])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_nodes_are_added_like_the_whole_tree(shards: int, depth: int) -> None:
    """Each node by itself, and then by pairs."""
    gradients = list(np.random.default_rng(shards).normal(size=(shards, 16)).astype(np.float32))
    parts = nodes(shards, depth)
    assert [n for first, count in parts for n in range(first, first + count)] == list(range(shards))
    assert max(count for _, count in parts) <= min(count for _, count in parts) + 1
    sums: list[Array] = [by_tree(gradients[first : first + count]) for first, count in parts]
    while len(sums) > 1:
        sums = [sums[n] + sums[n + 1] for n in range(0, len(sums), 2)]
    assert sums[0].tobytes() == by_tree(gradients).tobytes()


def test_sums_are_carried_from_round_to_round() -> None:
    """Rows 3 and 4 hold what shards before came to; the sum goes where the next round finds it."""
    gradients = np.float32(np.random.default_rng(1).normal(size=(7, TOTAL)))
    program = optimizers.sum_shards(CHUNK, 3, TOTAL, (3, 4), 5, squares=False)
    came = run_everywhere(program, [buffer(gradients[:6])])[0].reshape(6, TOTAL)
    expected = gradients[4] + (gradients[3] + by_tree(list(gradients[:3])))
    np.testing.assert_array_equal(came[5, :CHUNK], expected[:CHUNK])
    np.testing.assert_array_equal(came[:5], gradients[:5])
    np.testing.assert_array_equal(came[5, CHUNK:], gradients[5, CHUNK:])


def test_squares_alone_are_those_of_the_sum() -> None:
    """Of a part of a matrix whose rows are further apart."""
    matrix = np.float32(np.random.default_rng(1).normal(size=(5, TOTAL)))
    program = optimizers.sum_squares(5, CHUNK, TOTAL)
    *_, squares = run_everywhere(program, [buffer(matrix), buffer(np.full(16, np.nan))])
    expected = (matrix[:, :CHUNK].astype(np.float64).reshape(-1, 16) ** 2).sum(axis=0)
    np.testing.assert_allclose(squares, expected, rtol=1e-5)


def clipped(squares: npt.ArrayLike, limit: float) -> tuple[float, float]:
    """Norm and factor."""
    parts = np.asarray(squares, np.float32)
    hyper = hyper_of()
    hyper[optimizers.LIMIT] = limit
    *_, came = run_everywhere(optimizers.clip(len(parts)), [buffer(parts), hyper, clipped_by(np.nan)])
    return float(came[optimizers.NORM]), float(came[optimizers.FACTOR])


def test_clip() -> None:
    for parts in (1, 5, 23):
        squares = np.random.default_rng(parts).random((parts, 16))
        norm = float(np.sqrt(squares.sum()))
        for limit in (np.inf, 2 * norm, norm / 3, 0.0):
            came, factor = clipped(squares, limit)
            assert came == pytest.approx(norm, rel=1e-6)
            assert factor == (1.0 if limit > norm else pytest.approx(limit / norm, rel=1e-6))
    exact, factor = clipped(np.ones((4, 16)), 8.0)
    assert (exact, factor) == (8.0, 1.0), "at the limit nothing is clipped"
    assert clipped(np.full((1, 16), 3e38), 5.0) == (np.inf, 0.0), "squares beyond float32: no step at all"


def test_chunks_do_not_change_bits() -> None:
    parameters, gradients, decay, velocity = drawn()
    hyper = hyper_of(0.1, 0.9, 0.01)
    whole = run_everywhere(optimizers.sgd(CHUNK, True), [parameters, velocity, gradients, decay, hyper, clipped_by()])
    at = slice(32, 96)
    parts = [parameters[at], velocity[at], gradients[at], decay[at], hyper, clipped_by()]
    part = run_everywhere(optimizers.sgd(64, True), [buffer(p) for p in parts], ("host",))
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
        return optimizers.sgd(48, True, count, columns) if name == "sgd" else optimizers.adamw(48, count, columns)

    shifted = [buffer(np.roll(array, -16, axis=1)) for array in arrays]
    came = run_everywhere(program(rows), [*shifted, hyper, clipped_by()])
    for n, before in enumerate(values):
        after = np.roll(came[n].reshape(rows, columns), 16, axis=1)
        for row in range(rows):
            part = [buffer(array[row, at]) for array in (*values, gradients)]
            alone = run_everywhere(program(0), [*part, buffer(np.ones(48)), hyper, clipped_by()], ("host",))
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
        optimizers.sgd(20, False)
