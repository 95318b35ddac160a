"""The recorder: what kernels may write, what it refuses, and the texts of a few programs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from lanewise.errors import ProgramError
from lanewise.lanes.ir import F32, I32, LANES, U8, Affine, Constant, Loop
from lanewise.lanes.program import Recorder
from tests.conftest import Golden
from tests.kernels.support import aligned, buffer, run, run_everywhere
from tests.lanes.programs import every_statement

# Affine indices


def test_affine_arithmetic() -> None:
    a, b = Affine(3, ((0, 2),)), Affine(-1, ((0, -2), (4, 5)))
    assert str(a + b) == "5*L4 + 2"
    assert str(a - b) == "4*L0 + -5*L4 + 4"
    assert str(2 * a + 1) == str(1 + a * 2) == "4*L0 + 7"
    assert str(a * 0) == "0"
    assert str(a - 3) == "2*L0"


def test_bounds_cover_all_loop_variables() -> None:
    k = Recorder("bounds")
    for i in k.loop(3):
        for j in k.loop(5):
            assert k.bounds(2 * i - 3 * j + 1) == (1 - 12, 1 + 4)


# Bounds of buffers


def _indexed(shape: tuple[int, ...], border: list[tuple[int, int]], index: Callable[[Recorder], object]) -> None:
    k = Recorder("probe")
    x = k.lanes("x", shape, border)
    for i in k.loop(4):
        x[index(i)]  # type: ignore[index, arg-type]


@pytest.mark.parametrize(
    ("shape", "border", "index", "fits"),
    [
        ((4,), [(0, 0)], lambda i: i, True),
        ((3,), [(0, 0)], lambda i: i, False),
        ((4,), [(0, 0)], lambda i: i - 1, False),
        ((4,), [(1, 0)], lambda i: i - 1, True),
        ((4,), [(0, 0)], lambda i: i + 1, False),
        ((4,), [(0, 1)], lambda i: i + 1, True),
        ((4,), [(0, 0)], lambda i: i * -1 + 3, True),
        ((4,), [(0, 0)], lambda i: i * -1 + 4, False),
        ((7,), [(0, 0)], lambda i: 2 * i, True),
        ((6,), [(0, 0)], lambda i: 2 * i, False),
        ((2, 4), [(0, 0), (0, 0)], lambda i: (1, i), True),
        ((2, 4), [(0, 0), (0, 0)], lambda i: (2, i), False),
        # within the memory, but past the end of its row: the neighbour's element would be read
        ((2, 3), [(0, 0), (0, 0)], lambda i: (0, i), False),
        ((2, 4), [(1, 0), (0, 0)], lambda i: (-1, i), True),
        ((2, 4), [(1, 0), (0, 0)], lambda i: (-2, i), False),
    ],
)
def test_index_is_checked_on_each_axis(
    shape: tuple[int, ...], border: list[tuple[int, int]], index: Callable[[Recorder], object], fits: bool
) -> None:
    if fits:
        _indexed(shape, border, index)
        return
    with pytest.raises(ProgramError, match=r"index .* on axis . of x leaves"):
        _indexed(shape, border, index)


def test_number_of_indices() -> None:
    k = Recorder("probe")
    with pytest.raises(ProgramError, match="2 axes, but 1 indices"):
        k.lanes("x", (2, 3))[1]


def test_vectors_reach_sixteen_scalars() -> None:
    k = Recorder("probe")
    x = k.scalars("x", (2, 20))
    x.vector(1, 4)
    x.set_vector(1.0, 0, 4)
    for wrong in (5, -1):
        with pytest.raises(ProgramError, match="leaves"):
            x.vector(1, wrong)
        with pytest.raises(ProgramError, match="leaves"):
            x.set_vector(1.0, 0, wrong)
    lanes = k.lanes("y", (3,))
    lanes.vector(2)  # an element is 16 scalars already


def test_lane_exists() -> None:
    k = Recorder("probe")
    x, scalars = k.lanes("x", (2,)), k.scalars("s", (64,))
    x.lane(15, 1)
    for wrong in (-1, 16):
        with pytest.raises(ProgramError, match=f"x has no lane {wrong}"):
            x.lane(wrong, 0)
    with pytest.raises(ProgramError, match="s has no lane 3"):
        scalars.lane(3, 0)


def test_borders_move_the_origin() -> None:
    k = Recorder("copy")
    x, y = k.lanes("x", (2, 3), [(1, 0), (2, 1)]), k.lanes("y", (2, 3))
    for i in range(2):
        for c in range(3):
            y[i, c] = x[i, c]
    memory = np.arange(3 * 6 * LANES, dtype=np.float32)
    _, copied = run(k.program(), [memory, aligned(6 * LANES)])
    np.testing.assert_array_equal(copied.reshape(2, 3, LANES), memory.reshape(3, 6, LANES)[1:, 2:5])


# What belongs to a loop stays there


def test_value_after_its_loop() -> None:
    k = Recorder("probe")
    x = k.lanes("x", (4,))
    for i in k.loop(4):
        value, accumulator = x[i], k.register()
    uses: list[Callable[[], object]] = [
        lambda: value + 1.0,
        lambda: k.register(value),
        lambda: x.__setitem__(0, value),
        lambda: k.shuffle(value, value, range(LANES)),
        accumulator.get,
        lambda: accumulator.set(k.constant(0.0)),
        lambda: accumulator.accumulate(1.0, 2.0),
        lambda: k.apply("add", accumulator, 1.0),
    ]
    for use in uses:
        with pytest.raises(ProgramError, match="after the loop ended"):
            use()


def test_gathering_checks_its_operands() -> None:
    k = Recorder("probe")
    pixels = k.scalars("pixels", (8,), U8)
    zero = k.integer(0)
    for _ in k.loop(2):
        place = zero + 1
    with pytest.raises(ProgramError, match="after the loop ended"):
        k.gather(pixels, zero, 8, place)
    with pytest.raises(ProgramError, match="takes two values of i32"):
        k.gather(pixels, k.constant(0.0), 8, zero)
    with pytest.raises(ProgramError, match="3 scalars of u8 cannot be gathered at once"):
        k.gather(pixels, zero, 8, zero, bytes=3)
    with pytest.raises(ProgramError, match="4 scalars of f32 cannot be gathered at once"):
        k.gather(k.scalars("reals", (8,)), zero, 8, zero, bytes=4)
    with pytest.raises(ProgramError, match="only be gathered"):
        pixels[0]


def test_loop_variable_after_its_loop() -> None:
    k = Recorder("probe")
    x = k.lanes("x", (4,))
    for i in k.loop(4):
        x[i] = 0.0
    with pytest.raises(ProgramError, match="loop that has ended"):
        x[i]


def test_loop_left_early() -> None:
    k = Recorder("probe")
    for _ in k.loop(4):
        break
    with pytest.raises(ProgramError, match="still open"):
        k.program()


def test_inner_loop_left_early() -> None:
    def kernel(k: Recorder) -> None:
        for _ in k.loop(4):
            for _ in k.loop(4):
                break

    with pytest.raises(ProgramError, match="left before"):
        kernel(Recorder("probe"))


def test_value_of_another_program() -> None:
    k, other = Recorder("probe"), Recorder("other")
    with pytest.raises(ProgramError, match="another program, other"):
        k.apply("add", other.constant(1.0), 1.0)


def test_short_loops_are_not_loops() -> None:
    k = Recorder("probe")
    y = k.lanes("y", (1,))
    for i in k.loop(1):
        assert i == 0
        y[i] = 2.0
    for _ in k.loop(0):
        raise AssertionError("there is no turn")
    assert not any(isinstance(s, Loop) for s in k.program().body)


# Types


def test_wrong_types() -> None:
    k = Recorder("probe")
    x, n = k.lanes("x", (1,)), k.scalars("n", (16,), I32)
    whole, real = n.vector(0), x[0]
    refused: list[Callable[[], object]] = [
        lambda: k.apply("add", whole, real),
        lambda: k.apply("iadd", whole, real),
        lambda: k.apply("where_gt", real, 0.0, whole, real),
        lambda: k.apply("to_float", real),
        lambda: x.__setitem__(0, whole),
        lambda: n.set_vector(real, 0),
        lambda: k.register(real).set(whole),
        lambda: k.register(whole).accumulate(1.0, 2.0),
    ]
    for wrong in refused:
        with pytest.raises(ProgramError, match=r"takes|holds|was given"):
            wrong()
    with pytest.raises(ProgramError, match="takes 2 operands, not 1"):
        k.apply("add", real)
    with pytest.raises(ProgramError, match="16 lane numbers below 32"):
        k.shuffle(real, real, [0] * 15)
    with pytest.raises(ProgramError, match="16 lane numbers below 32"):
        k.shuffle(real, real, [32] * 16)
    with pytest.raises(ProgramError, match="two values of one type"):
        k.shuffle(real, whole, range(16))


def test_plain_numbers_take_the_type_that_fits() -> None:
    k = Recorder("probe")
    n = k.scalars("n", (16,), I32)
    whole = n.vector(0)
    chosen = k.apply("where_gt", 1.0, 0.0, 7, whole)
    assert chosen.type == I32
    assert k.apply("where_gt", 1.0, 0.0, 7, 8).type == F32
    assert (whole + 1).type == (whole - 1).type == (whole * 3).type == I32


def test_unsigned_integers_by_their_bits() -> None:
    k = Recorder("probe")
    n = k.scalars("n", (48,), I32)
    for at, number in enumerate((2**31, 2**32 - 1, 2**31 - 1)):
        n.set_vector(k.integer(number), 16 * at)
    (came,) = run(k.program(), [aligned(48, np.int32)])
    assert came.view(np.uint32)[::16].tolist() == [2**31, 2**32 - 1, 2**31 - 1]


def test_constants_are_recorded_once_and_zeros_have_signs() -> None:
    k = Recorder("probe")
    y = k.lanes("y", (4,))
    for at, number in enumerate((0.0, -0.0, 0.0, math.nan)):
        y[at] = number
    y[3] = math.nan
    program = k.program()
    assert sum(isinstance(s, Constant) for s in program.body) == 3
    (came,) = run_everywhere(program, [aligned(4 * LANES)])
    assert np.signbit(came.reshape(4, LANES)[:3, 0]).tolist() == [False, True, False]


def test_constant_first_used_inside_a_loop_serves_outside() -> None:
    k = Recorder("probe")
    y = k.lanes("y", (5,))
    for i in k.loop(4):
        y[i] = 3.0
    y[4] = 3.0
    (came,) = run_everywhere(k.program(), [aligned(5 * LANES)])
    assert (came == 3.0).all()


# Registers and nesting


def test_reading_a_register_takes_a_snapshot() -> None:
    k = Recorder("probe")
    y = k.lanes("y", (2,))
    register = k.register(1.0)
    before = register.get()
    register.set(k.constant(2.0))
    y[0], y[1] = before, register
    (came,) = run_everywhere(k.program(), [aligned(2 * LANES)])
    assert came.reshape(2, LANES)[:, 0].tolist() == [1.0, 2.0]


def test_registers_through_nested_loops() -> None:
    """Registers set in an inner loop, in an outer one, in both, swapped, and one that lives inside a loop only."""
    k = Recorder("nested")
    y = k.lanes("y", (5, 3))
    inner, both, swapped, other = k.register(0.0), k.register(0.0), k.register(1.0), k.register(2.0)
    for i in k.loop(3):
        local = k.register(10.0)
        both.add(100.0)
        for _ in k.loop(2):
            inner.add(1.0)
            both.add(1.0)
            local.add(inner)
            for _ in k.loop(2):
                local.add(0.5)
        a, b = swapped.get(), other.get()
        swapped.set(b)
        other.set(a)
        for row, register in enumerate((inner, both, local, swapped, other)):
            y[row, i] = register
    (came,) = run_everywhere(k.program(), [aligned(15 * LANES)])
    assert came.reshape(5, 3, LANES)[:, :, 5].tolist() == [
        [2.0, 4.0, 6.0],
        [102.0, 204.0, 306.0],
        [10.0 + 1 + 2 + 2, 10.0 + 3 + 4 + 2, 10.0 + 5 + 6 + 2],
        [2.0, 1.0, 2.0],
        [1.0, 2.0, 1.0],
    ]


def test_addresses_depend_on_the_loops_they_use() -> None:
    """Indices of an outer loop, an inner loop and both, used before, in and after the inner loop."""
    k = Recorder("addresses")
    x, y = k.lanes("x", (3, 4)), k.lanes("y", (3, 6))
    for i in k.loop(3):
        y[i, 4] = x[i, 0]
        for j in k.loop(4):
            y[i, j] = x[i * -1 + 2, j] + x[0, j * -1 + 3]
        y[i, 5] = x[i, 3]
    data = np.repeat(np.arange(12, dtype=np.float32), LANES)
    _, came = run_everywhere(k.program(), [buffer(data), aligned(18 * LANES)])
    rows = np.arange(12.0).reshape(3, 4)
    expected = np.hstack([rows[::-1] + rows[0, ::-1], rows[:, :1], rows[:, 3:]])
    np.testing.assert_array_equal(came.reshape(3, 6, LANES)[..., 7], expected)


# Golden text: what a program looks like; those of kernels are in tests/kernels/test_golden.py


def test_program_text(golden: Golden) -> None:
    golden("every_statement.txt", str(every_statement()))
