"""The meaning of a lane program, in NumPy: the definition that every renderer is compared with, bit for bit.

It is slow and obvious. The one subtle thing is the fused multiply-add, which rounds once: see `fused_multiply_add`.
Numbers below the smallest normal float32 keep their value here, while native code flushes them to zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import ProgramError
from lanewise.lanes import ir

Lanes = NDArray[Any]


def fused_multiply_add(a: Lanes, b: Lanes, c: Lanes) -> Lanes:
    """a * b + c for float32, rounded once.

    The product of two float32 is exact in float64. The sum may not be; its error is found exactly (Knuth's two-sum) and
    the sum is rounded to odd, so that the second rounding, to float32, gives what a single one would have given
    (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", IEEE Transactions on Computers, 2008).

    Parameters
    ----------
    a, b, c : float32 arrays of 16 lanes
    """
    with np.errstate(all="ignore"):
        return _fused(a, b, c)


_DROPPED, _HALF, _SMALLEST = (1 << 29) - 1, 1 << 28, float(np.finfo(np.float32).tiny)


def _fused(a: Lanes, b: Lanes, c: Lanes) -> Lanes:
    product = np.multiply(a, b, dtype=np.float64)
    total = product + c
    bits = total.view(np.int64)
    # Rounding twice errs only where the first rounding ends halfway between two float32. Mostly none of the lanes does.
    below = np.count_nonzero(np.abs(total) < _SMALLEST)  # float32 lie otherwise there, but for zero
    if below == total.size - np.count_nonzero(total) and not np.count_nonzero((bits & _DROPPED) == _HALF):
        return np.asarray(total.astype(np.float32))
    back = total - product
    error = (product - (total - back)) + (c - back)
    inexact = np.isfinite(total) & (error != 0) & (bits & 1 == 0)
    towards = np.where((error > 0) == (total > 0), 1, -1)
    odd = np.where(inexact, bits + towards, bits).view(np.float64)
    return np.asarray(odd.astype(np.float32))


def _unsigned(a: Lanes) -> Lanes:
    return a.view(np.uint32)


def _choose(condition: Any, a: Lanes, b: Lanes) -> Lanes:
    return np.asarray(np.where(condition, a, b))


_MEANING: dict[str, Callable[..., Lanes]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "fma": _fused,
    "sqrt": np.sqrt,
    "max": lambda a, b: _choose(a > b, a, b),
    "min": lambda a, b: _choose(a < b, a, b),
    "where_gt": lambda a, b, x, y: _choose(a > b, x, y),
    "where_eq": lambda a, b, x, y: _choose(a == b, x, y),
    "iadd": np.add,
    "isub": np.subtract,
    "imul": np.multiply,
    "iand": np.bitwise_and,
    "ixor": np.bitwise_xor,
    "shl": np.left_shift,
    "shr": lambda a, b: (_unsigned(a) >> _unsigned(b)).view(np.int32),
    "where_ult": lambda a, b, x, y: _choose(_unsigned(a) < _unsigned(b), x, y),
    "to_float": lambda a: a.astype(np.float32),
    "to_int": lambda a: a.astype(np.int32),
    "bits_of": lambda a: a.view(np.int32),
    "float_of_bits": lambda a: a.view(np.float32),
    "high_product": lambda a, b: (
        (_unsigned(a).astype(np.uint64) * _unsigned(b).astype(np.uint64)) >> np.uint64(32)
    ).astype(np.uint32).view(np.int32),
}  # fmt: skip


class _Machine:
    """The state of one run: buffers, registers, values and loop variables."""

    def __init__(self, program: ir.Program, buffers: list[Lanes]) -> None:
        self.buffers = buffers
        self.values: list[Lanes | None] = [None] * len(program.types)
        self.registers: list[Lanes | None] = [None] * len(program.register_types)
        self.loops: dict[int, int] = {}

    def position(self, index: ir.Affine) -> int:
        place = index.constant
        for loop, coefficient in index.terms:
            place += self.loops[loop] * coefficient
        return place

    def run(self, body: list[ir.Statement]) -> None:
        values = self.values
        for s in body:
            match s:
                case ir.Let(id, op, args):
                    values[id] = _MEANING[op](*[values[a] for a in args])
                case ir.Constant(id, type, value):
                    values[id] = np.full(ir.LANES, value, np.float32 if type == ir.F32 else np.int32)
                case ir.LaneNumber(id):
                    values[id] = np.arange(ir.LANES, dtype=np.int32)
                case ir.Shuffle(id, a, b, mask):
                    values[id] = np.concatenate([values[a], values[b]])[list(mask)]
                case ir.Load(id, buffer, at, how):
                    first = self.position(at)
                    data = self.buffers[buffer][first : first + (ir.LANES if how == "vector" else 1)]
                    values[id] = data.copy() if how == "vector" else data.repeat(ir.LANES)
                case ir.Gather(id, buffer, image, stride, offset, bytes):
                    values[id] = self.gather(buffer, values[image], stride, values[offset], bytes)
                case ir.Store(buffer, at, value, how):
                    first, count = self.position(at), ir.LANES if how == "vector" else 1
                    self.buffers[buffer][first : first + count] = values[value][:count]  # type: ignore[index]
                case ir.Get(id, register):
                    values[id] = self.registers[register]
                case ir.Set(register, value):
                    self.registers[register] = values[value]
                case ir.Loop(variable, turns, inner):
                    for self.loops[variable] in range(turns):
                        self.run(inner)

    def gather(self, buffer: int, image: Any, stride: int, offset: Any, bytes: int) -> Lanes:
        data, places = self.buffers[buffer], image.astype(np.int64) * stride + offset
        if bytes == 4:
            return np.ascontiguousarray(data[places[:, None] + np.arange(4)]).view("<i4")[:, 0].astype(np.int32)
        picked: Lanes = data[places]
        return picked.astype(np.int32) if picked.dtype == np.uint8 else picked


def interpret(program: ir.Program, buffers: list[Lanes]) -> None:
    """Run `program` on one flat array per buffer; arrays that it stores to are changed in place.

    Parameters
    ----------
    program : Program
    buffers : list of 1-D arrays, float32, int32 or uint8 as the program says, in the order of `program.buffers`.
    """
    for spec, data in zip(program.buffers, buffers, strict=True):
        expected = {"f32": np.float32, "i32": np.int32, "u8": np.uint8}[spec.type]
        if data.ndim != 1 or data.dtype != expected or data.size < spec.scalars:
            raise ProgramError(
                f"{program.name}: {spec.name} takes {spec.scalars} {spec.type}, not {data.dtype} {data.shape}"
            )
    with np.errstate(all="ignore"):
        _Machine(program, buffers).run(program.body)
