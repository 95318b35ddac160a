"""Muon's kernels: each by NumPy, and all of a task by the reference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lanewise.engine.muon import SCRATCH, Matrix, Task
from lanewise.engine.schedule import Place
from lanewise.kernels import muon, optimizers
from lanewise.kernels.dense import padded
from lanewise.network import reference
from tests.kernels.support import buffer, run, run_everywhere

Array = npt.NDArray[np.float32]

SHAPES = [(5, 18), (18, 5), (7, 64), (20, 27), (27, 20), (1, 3), (33, 16)]
RATE, MOMENTUM, DECAY = 0.1, 0.8, 0.5


def drawn(rows: int, columns: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


def spread(matrix: Array) -> Array:
    """With zeros behind each row, up to whole vectors."""
    return np.pad(matrix, ((0, 0), (0, padded(matrix.shape[1]) - matrix.shape[1])))


def hyper() -> Array:
    """With NaN where no kernel must look."""
    found = buffer([np.nan] * optimizers.HYPER)
    found[1], found[optimizers.MATRIX_RATE], found[optimizers.MATRIX_DECAY] = MOMENTUM, RATE, DECAY
    return found


def clipped_by(factor: float) -> Array:
    found = buffer([np.nan] * optimizers.CLIPPED)
    found[optimizers.FACTOR] = factor
    return found


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("shape", [(5, 18), (2, 80), (3, 7)])
def test_direction(shape: tuple[int, int], nesterov: bool) -> None:
    velocity, gradient = drawn(*shape), drawn(*shape, seed=1)
    into = np.full((shape[0], padded(shape[1])), np.nan)
    buffers = [buffer(velocity), buffer(gradient), hyper(), clipped_by(0.25), buffer(into)]
    came = run_everywhere(muon.direction(*shape, nesterov), buffers)
    v = MOMENTUM * velocity + 0.25 * gradient
    u = 0.25 * gradient + MOMENTUM * v if nesterov else v
    np.testing.assert_allclose(came[0].reshape(shape), v, atol=1e-6)
    np.testing.assert_allclose(came[4].reshape(into.shape), spread(u / np.linalg.norm(u)), atol=1e-6)


def test_no_gradient_is_no_direction() -> None:
    buffers = [buffer(np.zeros((2, 18))), buffer(np.zeros((2, 18))), hyper(), clipped_by(1), buffer(np.ones((2, 32)))]
    assert not run_everywhere(muon.direction(2, 18), buffers)[4].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_gram(shape: tuple[int, int]) -> None:
    x, n = drawn(*shape), min(shape)
    turned = [buffer(np.full(padded(shape[0]) * padded(shape[1]), np.nan))] if shape[0] <= shape[1] else []
    came = run_everywhere(muon.gram(*shape), [buffer(spread(x)), *turned, buffer(np.full(n * padded(n), np.nan))])
    expected = x @ x.T if shape[0] <= shape[1] else x.T @ x
    np.testing.assert_allclose(came[-1].reshape(n, -1), spread(expected), atol=2e-5)


@pytest.mark.parametrize("n", [1, 5, 18, 33])
def test_polynomial(n: int) -> None:
    half = drawn(n, n) / n
    a = half + half.T
    came = run_everywhere(muon.polynomial(n), [buffer(spread(a)), buffer(np.full(n * padded(n), np.nan))])
    first, second, third = muon.COEFFICIENTS
    expected = first * np.eye(n) + second * a + third * a @ a
    np.testing.assert_allclose(came[1].reshape(n, -1), spread(expected.astype(np.float32)), atol=1e-5)


@pytest.mark.parametrize(("rows", "depth", "columns"), [(5, 5, 18), (20, 3, 3), (18, 18, 18), (7, 33, 100)])
def test_product(rows: int, depth: int, columns: int) -> None:
    left, right = drawn(rows, depth), drawn(depth, columns, seed=1)
    into = np.full((rows, padded(columns)), np.nan)
    buffers = [buffer(spread(left)), buffer(spread(right)), buffer(into)]
    came = run_everywhere(muon.product(rows, depth, columns), buffers)
    np.testing.assert_allclose(came[2].reshape(into.shape), spread(left @ right), atol=1e-5)


@pytest.mark.parametrize("registers", [4, 8])
def test_no_tile_changes_a_bit(registers: int) -> None:
    left, right, into = drawn(20, 33), drawn(33, 100, seed=1), np.zeros((20, padded(100)))
    buffers = [buffer(spread(left)), buffer(spread(right)), buffer(into)]
    one, other = (run(muon.product(20, 33, 100, registers=count), buffers)[2] for count in (32, registers))
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("shape", SHAPES)
def test_step(shape: tuple[int, int]) -> None:
    parameters, orthogonal = drawn(*shape), drawn(*shape, seed=1)
    came = run_everywhere(muon.step(*shape), [buffer(parameters), buffer(spread(orthogonal)), hyper()])
    scale = max(1.0, shape[0] / shape[1]) ** 0.5
    expected = parameters - RATE * (scale * orthogonal + DECAY * parameters)
    np.testing.assert_allclose(came[0].reshape(shape), expected, atol=1e-6)


def done(matrix: Matrix, parameters: Array, velocity: Array, gradients: Array) -> tuple[Array, Array]:
    """What a task leaves of parameters and velocity, by the interpreter."""
    arrays = {"parameters": parameters, "velocity": velocity, "gradients": gradients}
    arrays |= {"hyper": hyper(), "clipped": clipped_by(1), SCRATCH: np.full(sum(matrix.sizes), np.nan, np.float32)}
    arrays = {name: buffer(array) for name, array in arrays.items()}
    places = [Place(name) for name in ("parameters", "velocity", "gradients", "hyper", "clipped")]
    for call in Task(matrix, 0, 32, True).calls(*places):
        pairs = zip(call.places, call.program.buffers, strict=True)
        views = [arrays[place.base][place.offset // 4 :][: spec.scalars] for place, spec in pairs]
        for view, came in zip(views, run(call.program, views), strict=True):
            view[:] = came
    return arrays["parameters"].reshape(parameters.shape), arrays["velocity"].reshape(parameters.shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [None, 2])
def test_a_task_is_a_step_of_the_reference(shape: tuple[int, int], rank: int | None) -> None:
    """Also where the gradient has few directions: rounding in the others must not grow."""
    parameters, velocity, gradients = drawn(*shape), np.zeros(shape, np.float32), drawn(*shape, seed=2)
    if rank:
        gradients = drawn(shape[0], rank) @ drawn(rank, shape[1], seed=1)
    came, came_velocity = done(Matrix(0, 0, *shape), parameters, velocity, gradients)
    expected, expected_velocity = reference.muon(
        parameters, gradients, velocity, learning_rate=RATE, momentum=MOMENTUM, weight_decay=DECAY
    )
    np.testing.assert_allclose(came_velocity, expected_velocity, atol=1e-6)
    np.testing.assert_allclose(came, expected, atol=2e-5)
