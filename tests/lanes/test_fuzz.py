"""Programs drawn by chance: machine code for each target leaves the interpreter's bits, whatever stands beside what.

Kernels are compiled for all targets only where they are small (tests/kernels/support.py); this asks all targets for
every operation among others, in loops, between registers, with more values at once than any of them has registers.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from lanewise.lanes.ir import F32, I32, LANES, OPERATIONS, Affine, Index, Let, Loop, Program, Statement
from lanewise.lanes.program import Recorder, Register, Value
from tests.kernels.support import TARGETS, aligned, buffer, run_everywhere

ROWS = 6
SEEDS = range(16)


class Drawing:
    """A program in the making. Its floats stay within 8 and finite, as a NaN's bits are the processor's own affair."""

    def __init__(self, seed: int) -> None:
        self.random, self.k = random.Random(seed), Recorder("drawn")
        k = self.k
        self.x, self.w, self.n = (
            k.lanes("x", (ROWS, ROWS)),
            k.scalars("w", (ROWS, LANES)),
            k.scalars("n", (LANES,), I32),
        )
        self.y, self.m = k.lanes("y", (ROWS, ROWS)), k.scalars("m", (ROWS, ROWS, LANES), I32)
        self.values: dict[str, list[Value]] = {F32: [self.x[0, 0]], I32: [self.n.vector(0), k.lane_number()]}
        self.registers: list[Register] = [k.register(0.5), k.register(self.values[I32][0])]
        self.body(self.random.randint(20, 60), [])
        for _ in range(self.random.randint(1, 3)):
            self.loop([])
        self.store([])

    def loop(self, outer: list[Index]) -> None:
        kept = {type: list(values) for type, values in self.values.items()}
        registers = list(self.registers)
        for index in self.k.loop(self.random.randint(2, ROWS)):
            if self.random.random() < 0.5:
                self.registers.append(self.k.register(self.pick(F32)))
            self.body(self.random.randint(3, 40), [*outer, index])
            if len(outer) < 2 and self.random.random() < 0.6:
                self.loop([*outer, index])
            self.store([*outer, index])
        self.values, self.registers = kept, registers

    def body(self, count: int, loops: list[Index]) -> None:
        for _ in range(count):
            self.random.choice((self.operation,) * 6 + (self.memory,) * 3 + (self.between,) * 2)(loops)

    def pick(self, type: str) -> Value:
        return self.random.choice(self.values[type])

    def index(self, loops: list[Index]) -> Index:
        """A row, forwards or backwards along a loop or always the same."""
        loop = self.random.choice([*loops, self.random.randrange(ROWS)])
        return loop * -1 + (ROWS - 1) if isinstance(loop, Affine) and self.random.random() < 0.4 else loop

    def keep(self, value: Value) -> None:
        if value.type == F32:
            value = self.k.apply("max", self.k.apply("min", value, 8.0), -8.0)
        self.values[value.type].append(value)

    def operation(self, loops: list[Index]) -> None:
        k, op = self.k, self.random.choice(list(OPERATIONS))
        free = self.random.choice((F32, I32))
        arguments = [self.pick(free if type == "?" else type) for type in OPERATIONS[op][0]]
        if op == "div":
            arguments[1] = k.apply("fma", arguments[1], arguments[1], 0.25)
        elif op == "sqrt":
            arguments[0] = k.apply("mul", arguments[0], arguments[0])
        elif op in ("shl", "shr"):
            arguments[1] = k.apply("iand", arguments[1], 31)
        elif op == "float_of_bits":  # between 1 and 2
            arguments[0] = k.apply("ixor", k.apply("iand", arguments[0], 0x7FFFFF), 0x3F800000)
        self.keep(k.apply(op, *arguments))

    def memory(self, loops: list[Index]) -> None:
        k, row, column = self.k, self.index(loops), self.index(loops)
        reads: list[Callable[[], Value]] = [
            lambda: self.x[row, column],
            lambda: self.w[row, self.random.randrange(LANES)],
            lambda: self.x.lane(self.random.randrange(LANES), row, column),
            lambda: self.w.vector(row, 0),
            lambda: k.shuffle(self.pick(F32), self.pick(F32), [self.random.randrange(32) for _ in range(LANES)]),
            lambda: k.gather(self.w, k.apply("iand", self.pick(I32), 3), LANES, k.apply("iand", self.pick(I32), 15)),
            lambda: self.y[row, column],
        ]
        self.keep(self.random.choice(reads)())

    def between(self, loops: list[Index]) -> None:
        register = self.random.choice(self.registers)
        if self.random.random() < 0.5:
            self.keep(register.get())
        else:
            register.set(self.pick(register.type))

    def store(self, loops: list[Index]) -> None:
        for _ in range(self.random.randint(2, 5)):
            row, column = self.index(loops), self.index(loops)
            self.y[row, column] = self.pick(F32)
            self.m.set_vector(self.pick(I32), row, column, 0, more=self.random.random() < 0.5)
        self.y[self.index(loops), self.index(loops)] = self.registers[0]


def operations(body: list[Statement]) -> set[str]:
    inner = [operations(s.body) for s in body if isinstance(s, Loop)]
    return {s.op for s in body if isinstance(s, Let)}.union(*inner)


def drawn(seed: int) -> Program:
    return Drawing(seed).k.program()


@pytest.mark.parametrize("seed", SEEDS)
def test_each_target_does_what_the_interpreter_does(seed: int) -> None:
    program, rng = drawn(seed), np.random.default_rng(seed)
    sizes = [spec.scalars for spec in program.buffers]
    given = [buffer(rng.uniform(-8, 8, size)) for size in sizes[:2]]
    given += [buffer(rng.integers(-(2**31), 2**31, sizes[2]), np.int32), aligned(sizes[3]), aligned(sizes[4], np.int32)]
    came = run_everywhere(program, given, TARGETS)
    assert np.isfinite(came[3]).all()
    assert len(np.unique(came[3])) > LANES, "it computed something"


def test_all_operations_are_drawn() -> None:
    assert set().union(*(operations(drawn(seed).body) for seed in SEEDS)) == set(OPERATIONS)
