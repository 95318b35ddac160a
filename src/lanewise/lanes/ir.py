"""The lane program: the language that kernels are recorded in.

A value has 16 lanes, float32 or int32; lane n belongs to image n. A program is a list of statements:

    Let(id, op, args)                  value = op(args), no side effect; the operations are the table OPERATIONS
    Constant(id, type, value)          the same number in all lanes
    LaneNumber(id)                     0, 1, ..., 15
    Shuffle(id, a, b, mask)            lane n: lane mask[n] of `a` followed by `b`
    Load(id, buffer, at, how)          how = "vector": 16 scalars from `at` on; "broadcast": one scalar to all lanes
    Gather(id, buffer, image, stride, offset, bytes)  lane n: the scalar at image[n] * stride + offset[n]
    Store(buffer, at, value, how, more)  how = "vector": 16 scalars; "first": lane 0 alone; `more` is only a hint
    Get(id, register)                  value = what the register holds now
    Set(register, value)
    Loop(variable, turns, body)        body for variable = 0, 1, ..., turns - 1

`at` is affine: constant + sum of coefficient * loop variable, counted in scalars of the buffer. `program.py`
records such programs, `interpret.py` says what they mean, `llvm.py` turns them into machine code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple, TypeAlias

LANES = 16

F32, I32, U8 = "f32", "i32", "u8"

# operation -> (types of the arguments, type of the result). "?" stands for one type, the same wherever it appears.
OPERATIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "add": ((F32, F32), F32),
    "sub": ((F32, F32), F32),
    "mul": ((F32, F32), F32),
    "div": ((F32, F32), F32),
    "fma": ((F32, F32, F32), F32),  # a * b + c, rounded once
    "sqrt": ((F32,), F32),
    "max": ((F32, F32), F32),  # a if a > b else b
    "min": ((F32, F32), F32),  # a if a < b else b
    "where_gt": ((F32, F32, "?", "?"), "?"),  # a > b chooses the third, lane by lane, else the fourth
    "where_eq": ((F32, F32, "?", "?"), "?"),
    "iadd": ((I32, I32), I32),  # integers wrap around
    "isub": ((I32, I32), I32),
    "imul": ((I32, I32), I32),
    "iand": ((I32, I32), I32),
    "ixor": ((I32, I32), I32),
    "shl": ((I32, I32), I32),
    "shr": ((I32, I32), I32),  # zeros come in from the left
    "where_ult": ((I32, I32, "?", "?"), "?"),  # a < b as unsigned numbers
    "to_float": ((I32,), F32),
    "to_int": ((F32,), I32),  # rounded towards zero
    "bits_of": ((F32,), I32),
    "float_of_bits": ((I32,), F32),
    "high_product": ((I32, I32), I32),  # upper 32 bits of the unsigned product
}


class Affine:
    """constant + sum of coefficient * loop variable."""

    __slots__ = ("constant", "terms")

    def __init__(self, constant: int, terms: tuple[tuple[int, int], ...] = ()) -> None:
        self.constant, self.terms = constant, terms  # terms: (loop number, coefficient), by loop number

    def __add__(self, other: Index) -> Affine:
        if isinstance(other, int):
            return Affine(self.constant + other, self.terms)
        terms = dict(self.terms)
        for loop, coefficient in other.terms:
            terms[loop] = terms.get(loop, 0) + coefficient
        return Affine(self.constant + other.constant, tuple(sorted((v, c) for v, c in terms.items() if c)))

    __radd__ = __add__

    def __mul__(self, factor: int) -> Affine:
        return Affine(self.constant * factor, tuple((v, c * factor) for v, c in self.terms) if factor else ())

    __rmul__ = __mul__

    def __sub__(self, other: Index) -> Affine:
        return self + (-other if isinstance(other, int) else other * -1)

    def __repr__(self) -> str:
        return repr((self.constant, self.terms))

    def __str__(self) -> str:
        parts = [f"L{v}" if c == 1 else f"{c}*L{v}" for v, c in self.terms]
        return " + ".join([*parts, str(self.constant)] if self.constant or not parts else parts)


Index: TypeAlias = int | Affine


class Let(NamedTuple):
    """value = op(args)."""

    id: int
    op: str
    args: tuple[int, ...]


class Constant(NamedTuple):
    """The same number in all lanes."""

    id: int
    type: str
    value: float | int


class LaneNumber(NamedTuple):
    """0, 1, ..., 15."""

    id: int


class Shuffle(NamedTuple):
    """Lane n of the result is lane mask[n] of `a` followed by `b` (32 lanes)."""

    id: int
    a: int
    b: int
    mask: tuple[int, ...]


class Load(NamedTuple):
    """16 scalars from `at` on ("vector"), or one to all lanes ("broadcast")."""

    id: int
    buffer: int
    at: Affine
    how: str


class Gather(NamedTuple):
    """Lane n: the scalar at image[n] * stride + offset[n]; bytes come as integers.

    Or `bytes` of them, 4, at once: the first is the lowest eighth of the integer.
    """

    id: int
    buffer: int
    image: int
    stride: int
    offset: int
    bytes: int = 1


class Store(NamedTuple):
    """All lanes to 16 scalars from `at` on ("vector"), or lane 0 alone ("first").

    `more` says that the 16 scalars behind are stored soon, so that their cache line may be fetched.
    """

    buffer: int
    at: Affine
    value: int
    how: str
    more: bool = False


class Get(NamedTuple):
    """What the register holds now."""

    id: int
    register: int


class Set(NamedTuple):
    """Replace what the register holds."""

    register: int
    value: int


class Loop(NamedTuple):
    """The body for variable = 0, 1, ..., turns - 1."""

    variable: int
    turns: int
    body: list[Statement]
    registers: set[int]  # set somewhere in the body


Statement: TypeAlias = Let | Constant | LaneNumber | Shuffle | Load | Gather | Store | Get | Set | Loop


@dataclass(frozen=True, slots=True)
class BufferSpec:
    """Memory that a program is handed: `scalars` numbers of `type`; with `lanes`, 16 by 16 and aligned."""

    name: str
    type: str
    scalars: int
    lanes: bool


@dataclass(frozen=True, eq=False)
class Program:
    """A recorded kernel, the same only as itself. `types[id]` is the type of value `id`; `register_types` likewise."""

    name: str
    buffers: tuple[BufferSpec, ...]
    body: list[Statement]
    types: list[str]
    register_types: list[str]

    @cached_property
    def digest(self) -> str:
        """What tells it from programs that do something else; its name is not in it.

        Every field of every statement is, whatever `str` shows: a field that were left out would let two programs share
        one piece of machine code.
        """
        lines = [repr(self.buffers), repr(self.types), repr(self.register_types)]
        _spell(self.body, lines)
        return sha256("\n".join(lines).encode()).hexdigest()

    def __str__(self) -> str:
        lines = [f"program {self.name}"]
        lines += [f"  buffer {b.name}: {b.scalars} {b.type}{' in lanes' if b.lanes else ''}" for b in self.buffers]
        self._print(self.body, "  ", lines)
        return "\n".join(lines) + "\n"

    def _print(self, body: list[Statement], indent: str, lines: list[str]) -> None:
        for s in body:
            match s:
                case Let(id, op, args):
                    text = f"v{id} = {op} " + " ".join(f"v{a}" for a in args)
                case Constant(id, type, value):
                    text = f"v{id} = {type} {value!r}"
                case LaneNumber(id):
                    text = f"v{id} = lane number"
                case Shuffle(id, a, b, mask):
                    text = f"v{id} = shuffle v{a} v{b} {' '.join(map(str, mask))}"
                case Load(id, buffer, at, how):
                    text = f"v{id} = {self.buffers[buffer].name}[{at}] {how}"
                case Gather(id, buffer, image, stride, offset, bytes):
                    several = f" {bytes} bytes" if bytes > 1 else ""
                    text = f"v{id} = {self.buffers[buffer].name}[v{image} * {stride} + v{offset}]{several}"
                case Store(buffer, at, value, how, more):
                    text = f"{self.buffers[buffer].name}[{at}] {how}{' and more' * more} = v{value}"
                case Get(id, register):
                    text = f"v{id} = r{register}"
                case Set(register, value):
                    text = f"r{register} = v{value}"
                case Loop(variable, turns, inner):
                    lines.append(f"{indent}for L{variable} in 0..{turns - 1}")
                    self._print(inner, indent + "  ", lines)
                    continue
            lines.append(indent + text)


def _spell(body: list[Statement], lines: list[str]) -> None:
    """Append a line for each statement: its kind and all its fields, in their exact texts."""
    for s in body:
        if isinstance(s, Loop):
            lines.append(f"Loop{(s.variable, s.turns, sorted(s.registers))!r}")  # a set has no order of its own
            _spell(s.body, lines)
            lines.append("end")
        else:
            lines.append(type(s).__name__ + tuple.__repr__(s))
