"""The lane program: the language that kernels are recorded in, and the recorder.

A value has 16 lanes, float32 or int32; lane n belongs to image n. A program is a list of statements:

    Let(id, op, args)                  value = op(args), no side effect; the operations are the table OPERATIONS
    Load(id, buffer, index, how)       how = "vector": 16 scalars from index on; "broadcast": one scalar to all lanes
    Gather(id, buffer, image, stride, offset)   lane n: the scalar at image[n] * stride + offset[n]
    Store(buffer, index, value, how)   how = "vector": 16 scalars; "first": lane 0 alone
    Get(id, register)                  value = what the register holds now
    Set(register, value)
    Loop(variable, count, body)        body for variable = 0, 1, ..., count - 1

An index is affine: constant + sum of coefficient * loop variable, counted in scalars of the buffer. It is checked
against the buffer's bounds while recording, for all values of the loop variables at once.

A kernel is a Python function that records one:

    k = Recorder("scale")
    x, y, w = k.lanes("x", (channels, columns)), k.lanes("y", (channels, columns)), k.scalars("w", (channels,))
    for i in k.loop(channels):               # a loop in the machine code
        weight = w[i]                        # one scalar, broadcast to all lanes
        for c in range(columns):             # unrolled while recording
            y[i, c] = x[i, c] * weight
    program = k.program()

Every operation is recorded when Python executes it, so a value never changes after it was made; only a register
does, and reading one takes a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, TypeAlias

from lanewise.errors import ProgramError

LANES = 16

F32, I32, U8 = "f32", "i32", "u8"
BYTES = {F32: 4, I32: 4, U8: 1}

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

    def __str__(self) -> str:
        parts = [f"L{v}" if c == 1 else f"{c}*L{v}" for v, c in self.terms]
        return " + ".join([*parts, str(self.constant)] if self.constant or not parts else parts)


Index: TypeAlias = int | Affine


class Let(NamedTuple):
    id: int
    op: str
    args: tuple[int, ...]


class Constant(NamedTuple):
    id: int
    type: str
    value: float | int


class LaneNumber(NamedTuple):
    id: int


class Shuffle(NamedTuple):
    """Lane n of the result is lane mask[n] of `a` followed by `b` (32 lanes)."""

    id: int
    a: int
    b: int
    mask: tuple[int, ...]


class Load(NamedTuple):
    id: int
    buffer: int
    index: Affine
    how: str


class Gather(NamedTuple):
    id: int
    buffer: int
    image: int
    stride: int
    offset: int


class Store(NamedTuple):
    buffer: int
    index: Affine
    value: int
    how: str


class Get(NamedTuple):
    id: int
    register: int


class Set(NamedTuple):
    register: int
    value: int


class Loop(NamedTuple):
    variable: int
    count: int
    body: list[Statement]
    registers: set[int]  # set somewhere in the body


Statement: TypeAlias = Let | Constant | LaneNumber | Shuffle | Load | Gather | Store | Get | Set | Loop


@dataclass(frozen=True, slots=True)
class BufferSpec:
    """Memory that a program is handed: `scalars` numbers of `type`, `lanes` when it is addressed 16 by 16 and aligned."""

    name: str
    type: str
    scalars: int
    lanes: bool


@dataclass(frozen=True, slots=True)
class Program:
    """A recorded kernel. `types[id]` is the type of value `id`; `register_types` likewise."""

    name: str
    buffers: tuple[BufferSpec, ...]
    body: list[Statement]
    types: list[str]
    register_types: list[str]

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
                case Load(id, buffer, index, how):
                    text = f"v{id} = {self.buffers[buffer].name}[{index}] {how}"
                case Gather(id, buffer, image, stride, offset):
                    text = f"v{id} = {self.buffers[buffer].name}[v{image} * {stride} + v{offset}]"
                case Store(buffer, index, value, how):
                    text = f"{self.buffers[buffer].name}[{index}] {how} = v{value}"
                case Get(id, register):
                    text = f"v{id} = r{register}"
                case Set(register, value):
                    text = f"r{register} = v{value}"
                case Loop(variable, count, inner):
                    lines.append(f"{indent}for L{variable} in 0..{count - 1}")
                    self._print(inner, indent + "  ", lines)
                    continue
            lines.append(indent + text)


class Value:
    """One value of 16 lanes, made once. Operators record the operation."""

    __slots__ = ("id", "k", "scope", "type")

    def __init__(self, k: Recorder, id: int, type: str, scope: int) -> None:
        self.k, self.id, self.type, self.scope = k, id, type, scope

    def __add__(self, other: Operand) -> Value:
        return self.k.apply("iadd" if self.type == I32 else "add", self, other)

    def __sub__(self, other: Operand) -> Value:
        return self.k.apply("isub" if self.type == I32 else "sub", self, other)

    def __mul__(self, other: Operand) -> Value:
        return self.k.apply("imul" if self.type == I32 else "mul", self, other)

    def __truediv__(self, other: Operand) -> Value:
        return self.k.apply("div", self, other)


class Register:
    """Something that may change: an accumulator. Only `set` and `accumulate` change it; reading takes a snapshot."""

    __slots__ = ("k", "number", "scope", "type")

    def __init__(self, k: Recorder, number: int, type: str, scope: int) -> None:
        self.k, self.number, self.type, self.scope = k, number, type, scope

    def get(self) -> Value:
        """What the register holds now."""
        return self.k.read(self)

    def set(self, value: Value) -> None:
        """Replace what the register holds."""
        self.k.write(self, value)

    def accumulate(self, a: Operand, b: Operand) -> None:
        """Register = a * b + register, rounded once."""
        self.k.write(self, self.k.apply("fma", a, b, self))

    def add(self, a: Operand) -> None:
        """Register = register + a."""
        self.k.write(self, self.k.apply("iadd" if self.type == I32 else "add", self, a))


Operand: TypeAlias = Value | Register | float | int


class Buffer:
    """A buffer as the kernel sees it: indexed by row, column, ... and by loop variables.

    `border` allows indices below 0 and past the end, per axis (before, after); the memory is laid out with it.
    """

    __slots__ = ("axes", "k", "lanes", "number", "origin", "strides", "type")

    def __init__(
        self, k: Recorder, number: int, type: str, lanes: bool, shape: Sequence[int], border: Sequence[tuple[int, int]]
    ) -> None:
        self.k, self.number, self.type, self.lanes = k, number, type, lanes
        full = [before + size + after for size, (before, after) in zip(shape, border, strict=True)]
        unit = LANES if lanes else 1
        self.strides = [unit * prod(full[axis + 1 :]) for axis in range(len(full))]
        self.origin = sum(before * stride for (before, _), stride in zip(border, self.strides, strict=True))
        self.axes = [(-before, size + after) for size, (before, after) in zip(shape, border, strict=True)]

    def at(self, index: Index | tuple[Index, ...], reach: int = 1) -> Affine:
        """The position in scalars; `reach` is how many elements along the last axis will be touched."""
        indices = index if isinstance(index, tuple) else (index,)
        if len(indices) != len(self.strides):
            raise ProgramError(f"{self.name} has {len(self.strides)} axes, but {len(indices)} indices were given")
        constant, terms = self.origin, dict[int, int]()
        for axis, (i, stride) in enumerate(zip(indices, self.strides, strict=True)):
            low, high = (i, i) if isinstance(i, int) else self.k.bounds(i)
            if axis == len(indices) - 1:
                high += reach - 1
            if low < self.axes[axis][0] or high >= self.axes[axis][1]:
                raise ProgramError(
                    f"{self.k.name}: index {low}..{high} on axis {axis} of {self.name} leaves {self.axes[axis]}"
                )
            if isinstance(i, int):
                constant += i * stride
            else:
                constant += i.constant * stride
                for loop, coefficient in i.terms:
                    terms[loop] = terms.get(loop, 0) + coefficient * stride
        return Affine(constant, tuple(sorted(terms.items())))

    @property
    def name(self) -> str:
        """Its name in the program."""
        return self.k.buffers[self.number].name

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Value:
        return self.k.load(self, self.at(index), "vector" if self.lanes else "broadcast")

    def __setitem__(self, index: Index | tuple[Index, ...], value: Operand) -> None:
        self.k.store(self, self.at(index), value, "vector" if self.lanes else "first")

    def vector(self, *index: Index) -> Value:
        """16 scalars that follow one another along the last axis."""
        return self.k.load(self, self.at(index, 1 if self.lanes else LANES), "vector")

    def set_vector(self, value: Operand, *index: Index) -> None:
        """Store 16 scalars one after the other along the last axis."""
        self.k.store(self, self.at(index, 1 if self.lanes else LANES), value, "vector")

    def lane(self, lane: int, *index: Index) -> Value:
        """Lane `lane` of one element, broadcast to all lanes."""
        return self.k.load(self, self.at(index) + lane, "broadcast")


class Recorder:
    """Records one program."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.buffers: list[BufferSpec] = []
        self.types: list[str] = []
        self.register_types: list[str] = []
        self.counts: list[int] = []  # by loop number
        self.body: list[Statement] = []
        self._statements = self.body
        self._scopes: list[int] = [0]  # the open scopes, outermost first
        self._registers_set: list[set[int]] = [set()]
        self._next_scope = 1
        self._constants: dict[tuple[str, float | int], Value] = {}

    # buffers

    def lanes(self, name: str, shape: Sequence[int], border: Sequence[tuple[int, int]] | None = None) -> Buffer:
        """A buffer whose elements have 16 lanes of float32."""
        return self._buffer(name, F32, True, shape, border)

    def scalars(
        self, name: str, shape: Sequence[int], type: str = F32, border: Sequence[tuple[int, int]] | None = None
    ) -> Buffer:
        """A buffer whose elements are single numbers."""
        return self._buffer(name, type, False, shape, border)

    def _buffer(
        self, name: str, type: str, lanes: bool, shape: Sequence[int], border: Sequence[tuple[int, int]] | None
    ) -> Buffer:
        border = border or [(0, 0)] * len(shape)
        full = prod(before + size + after for size, (before, after) in zip(shape, border, strict=True))
        self.buffers.append(BufferSpec(name, type, full * (LANES if lanes else 1), lanes))
        return Buffer(self, len(self.buffers) - 1, type, lanes, shape, border)

    # control

    def loop(self, count: int) -> Iterator[Index]:
        """Record the loop's body once, for an index that runs over 0 .. count - 1."""
        if count <= 0:
            return
        if count == 1:
            yield 0
            return
        number = len(self.counts)
        self.counts.append(count)
        outer, self._statements = self._statements, []
        scope, self._next_scope = self._next_scope, self._next_scope + 1
        self._scopes.append(scope)
        self._registers_set.append(set())
        yield Affine(0, ((number, 1),))
        if self._scopes.pop() != scope:
            raise ProgramError(f"{self.name}: a loop was left before its body ended")
        registers = self._registers_set.pop()
        self._registers_set[-1] |= registers
        outer.append(Loop(number, count, self._statements, registers))
        self._statements = outer

    def bounds(self, index: Affine) -> tuple[int, int]:
        """Smallest and largest value the index takes."""
        low = high = index.constant
        for loop, coefficient in index.terms:
            reach = coefficient * (self.counts[loop] - 1)
            low, high = low + min(reach, 0), high + max(reach, 0)
        return low, high

    # values

    def constant(self, value: float | int, type: str = F32) -> Value:
        """The same number in all lanes; recorded once, at the head of the program."""
        known = self._constants.get((type, value))
        if known is None:
            known = Value(self, self._new(type), type, 0)
            self.body.insert(len(self._constants), Constant(known.id, type, value))
            self._constants[type, value] = known
        return known

    def integer(self, value: int) -> Value:
        """An int32 in all lanes; unsigned numbers above 2**31 - 1 are taken by their bits."""
        return self.constant(value - (1 << 32) if value >= 1 << 31 else value, I32)

    def lane_number(self) -> Value:
        """0, 1, ..., 15."""
        value = self._value(I32)
        self._statements.append(LaneNumber(value.id))
        return value

    def register(self, value: Operand = 0.0) -> Register:
        """A new register that holds `value`."""
        start = self._operand(value, F32)
        register = Register(self, len(self.register_types), start.type, self._scopes[-1])
        self.register_types.append(start.type)
        self.write(register, start)
        return register

    def read(self, register: Register) -> Value:
        """A snapshot of the register."""
        self._check_open(register.scope)
        value = self._value(register.type)
        self._statements.append(Get(value.id, register.number))
        return value

    def write(self, register: Register, value: Value) -> None:
        """Replace what the register holds."""
        self._check_open(register.scope)
        self._check_open(value.scope)
        if value.type != register.type:
            raise ProgramError(f"{self.name}: a register of {register.type} was given {value.type}")
        self._registers_set[-1].add(register.number)
        self._statements.append(Set(register.number, value.id))

    def apply(self, op: str, *operands: Operand) -> Value:
        """Record `op`. Plain numbers become constants of the type that fits."""
        expected, result = OPERATIONS[op]
        if len(operands) != len(expected):
            raise ProgramError(f"{self.name}: {op} takes {len(expected)} operands, not {len(operands)}")
        free = next((o.type for o, e in zip(operands, expected, strict=True) if e == "?" and not _plain(o)), F32)
        args = []
        for operand, wanted in zip(operands, expected, strict=True):
            type = free if wanted == "?" else wanted
            value = self._operand(operand, type)
            if value.type != type:
                raise ProgramError(f"{self.name}: {op} takes {type}, not {value.type}")
            args.append(value.id)
        value = self._value(free if result == "?" else result)
        self._statements.append(Let(value.id, op, tuple(args)))
        return value

    def shuffle(self, a: Value, b: Value, mask: Sequence[int]) -> Value:
        """Lane n of the result is lane mask[n] of `a` followed by `b`."""
        if len(mask) != LANES or not all(0 <= m < 2 * LANES for m in mask) or a.type != b.type:
            raise ProgramError(f"{self.name}: a shuffle takes 16 lane numbers below 32 and two values of one type")
        self._check_open(a.scope)
        self._check_open(b.scope)
        value = self._value(a.type)
        self._statements.append(Shuffle(value.id, a.id, b.id, tuple(mask)))
        return value

    # memory

    def load(self, buffer: Buffer, index: Affine, how: str) -> Value:
        """Record a load from a position in scalars; kernels write `buffer[...]`."""
        value = self._value(buffer.type)
        self._statements.append(Load(value.id, buffer.number, index, how))
        return value

    def gather(self, buffer: Buffer, image: Value, stride: int, offset: Value) -> Value:
        """Lane n: the scalar at image[n] * stride + offset[n] of `buffer`; bytes come as integers."""
        value = self._value(I32 if buffer.type == U8 else buffer.type)
        self._statements.append(Gather(value.id, buffer.number, image.id, stride, offset.id))
        return value

    def store(self, buffer: Buffer, index: Affine, value: Operand, how: str) -> None:
        """Record a store to a position in scalars; kernels write `buffer[...] = value`."""
        stored = self._operand(value, buffer.type)
        if stored.type != buffer.type:
            raise ProgramError(f"{self.name}: {buffer.name} holds {buffer.type}, not {stored.type}")
        self._statements.append(Store(buffer.number, index, stored.id, how))

    def program(self) -> Program:
        """The finished program."""
        if len(self._scopes) != 1:
            raise ProgramError(f"{self.name}: a loop is still open")
        return Program(self.name, tuple(self.buffers), self.body, self.types, self.register_types)

    # inside

    def _new(self, type: str) -> int:
        self.types.append(type)
        return len(self.types) - 1

    def _value(self, type: str) -> Value:
        return Value(self, self._new(type), type, self._scopes[-1])

    def _operand(self, operand: Operand, type: str) -> Value:
        if isinstance(operand, Value):
            self._check_open(operand.scope)
            return operand
        if isinstance(operand, Register):
            return self.read(operand)
        return self.constant(float(operand), F32) if type == F32 else self.integer(int(operand))

    def _check_open(self, scope: int) -> None:
        if scope not in self._scopes:
            raise ProgramError(f"{self.name}: a value made inside a loop was used after the loop ended")


def _plain(operand: Operand) -> bool:
    return isinstance(operand, (int, float))
