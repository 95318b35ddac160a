"""The recorder: a kernel is a Python function that records a lane program (`ir.py`).

    k = Recorder("scale")
    x, y, w = k.lanes("x", (channels, columns)), k.lanes("y", (channels, columns)), k.scalars("w", (channels,))
    for i in k.loop(channels):               # a loop in the machine code
        weight = w[i]                        # one scalar, broadcast to all lanes
        for c in range(columns):             # unrolled while recording
            y[i, c] = x[i, c] * weight
    program = k.program()

Every operation is recorded when Python executes it, so a value never changes after it was made; only a register
does, and reading one takes a snapshot. An index is checked against the buffer's bounds while recording, for all values
of the loop variables at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import TypeAlias

from lanewise.errors import ProgramError
from lanewise.lanes import ir
from lanewise.lanes.catalogue import kernel
from lanewise.lanes.ir import F32, I32, LANES, OPERATIONS, U8, Affine, BufferSpec, Index, Program

__all__ = ["F32", "I32", "LANES", "Buffer", "Index", "Operand", "Program", "Recorder", "Register", "Value", "kernel"]


_NAME = re.compile("(?![vrL][0-9]+$)[A-Za-z_][A-Za-z0-9_]*")
"""Names of buffers: identifiers in any language, other than those of values, registers and loops in texts."""


class Value:
    """One value of 16 lanes, made once. Operators record the operation.

    Parameters
    ----------
    k : Recorder
        The program it belongs to.
    id : int
        Its number there.
    type : "f32" or "i32"
    scope : int
        The loop it was made in, 0 for none: outside of that it cannot be used.
    """

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
    """Something that may change: an accumulator. Only `set` and `accumulate` change it; reading takes a snapshot.

    Parameters
    ----------
    k : Recorder
        The program it belongs to.
    number : int
        Its number there.
    type : "f32" or "i32"
    scope : int
        The loop it was made in, 0 for none.
    """

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

    Parameters
    ----------
    k : Recorder
        The program it belongs to.
    number : int
        Its position among the program's buffers.
    type : "f32", "i32" or "u8"
    lanes : bool
        Whether an element is 16 scalars, one a lane.
    shape : sequence of int
        The size of each axis, in elements, without the border.
    border : sequence of (before, after)
        How many elements lie on each side of each axis beside.
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
        self.k.check_loops(i for i in indices if not isinstance(i, int))
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

    def set_vector(self, value: Operand, *index: Index, more: bool = False) -> None:
        """Store 16 scalars one after the other along the last axis.

        Parameters
        ----------
        value : Value, Register or number
            A lane each.
        *index : int or loop variable
            The first element.
        more : bool
            A hint: those behind them are stored soon.
        """
        self.k.store(self, self.at(index, 1 if self.lanes else LANES), value, "vector", more)

    def lane(self, lane: int, *index: Index) -> Value:
        """Lane `lane` of one element, broadcast to all lanes."""
        if not self.lanes or not 0 <= lane < LANES:
            raise ProgramError(f"{self.k.name}: {self.name} has no lane {lane}")
        return self.k.load(self, self.at(index) + lane, "broadcast")


class Recorder:
    """Records one program."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.buffers: list[BufferSpec] = []
        self.types: list[str] = []
        self.register_types: list[str] = []
        self.counts: list[int] = []  # by loop number
        self.body: list[ir.Statement] = []
        self._statements = self.body
        self._scopes: list[int] = [0]  # the open scopes, outermost first
        self._loops: list[int] = []  # the open loops, outermost first
        self._registers_set: list[set[int]] = [set()]
        self._next_scope = 1
        self._constants: dict[tuple[str, str], Value] = {}

    # buffers

    def lanes(self, name: str, shape: Sequence[int], border: Sequence[tuple[int, int]] | None = None) -> Buffer:
        """A buffer whose elements have 16 lanes of float32.

        Parameters
        ----------
        name : str
            An identifier that no other buffer of the program has, nor looks like v1, r1 or L1.
        shape : sequence of int
            The size of each axis, in elements.
        border : sequence of (before, after), optional
            How many elements lie on each side of each axis beside; none by default.

        Raises
        ------
        ProgramError
            The name will not do.
        """
        return self._buffer(name, F32, True, shape, border)

    def scalars(
        self, name: str, shape: Sequence[int], type: str = F32, border: Sequence[tuple[int, int]] | None = None
    ) -> Buffer:
        """A buffer whose elements are single numbers.

        Parameters
        ----------
        name, shape, border
            As for `lanes`.
        type : "f32", "i32" or "u8"
            What a number is; bytes can only be gathered.

        Raises
        ------
        ProgramError
            The name will not do.
        """
        return self._buffer(name, type, False, shape, border)

    def _buffer(
        self, name: str, type: str, lanes: bool, shape: Sequence[int], border: Sequence[tuple[int, int]] | None
    ) -> Buffer:
        if not _NAME.fullmatch(name) or any(name == other.name for other in self.buffers):
            raise ProgramError(
                f"{self.name}: {name!r} cannot name a buffer: take a new identifier, not like v1, r1, L1"
            )
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
        self._loops.append(number)
        self._registers_set.append(set())
        yield Affine(0, ((number, 1),))
        if self._scopes.pop() != scope:
            raise ProgramError(f"{self.name}: a loop was left before its body ended")
        self._loops.pop()
        registers = self._registers_set.pop()
        self._registers_set[-1] |= registers
        outer.append(ir.Loop(number, count, self._statements, registers))
        self._statements = outer

    def check_loops(self, indices: Iterable[Affine]) -> None:
        """Raise ProgramError if an index uses the variable of a loop that has ended."""
        for index in indices:
            if any(loop not in self._loops for loop, _ in index.terms):
                raise ProgramError(f"{self.name}: the index {index} uses a loop that has ended")

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
        key = (type, repr(value))  # 0.0 and -0.0 are equal, and not the same
        known = self._constants.get(key)
        if known is None:
            known = Value(self, self._new(type), type, 0)
            self.body.insert(len(self._constants), ir.Constant(known.id, type, value))
            self._constants[key] = known
        return known

    def integer(self, value: int) -> Value:
        """An int32 in all lanes; unsigned numbers above 2**31 - 1 are taken by their bits."""
        return self.constant(value - (1 << 32) if value >= 1 << 31 else value, I32)

    def lane_number(self) -> Value:
        """0, 1, ..., 15."""
        value = self._value(I32)
        self._statements.append(ir.LaneNumber(value.id))
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
        self._check_usable(register)
        value = self._value(register.type)
        self._statements.append(ir.Get(value.id, register.number))
        return value

    def write(self, register: Register, value: Value) -> None:
        """Replace what the register holds."""
        self._check_usable(register, value)
        if value.type != register.type:
            raise ProgramError(f"{self.name}: a register of {register.type} was given {value.type}")
        self._registers_set[-1].add(register.number)
        self._statements.append(ir.Set(register.number, value.id))

    def apply(self, op: str, *operands: Operand) -> Value:
        """Record `op`. Plain numbers become constants of the type that fits."""
        expected, result = OPERATIONS[op]
        if len(operands) != len(expected):
            raise ProgramError(f"{self.name}: {op} takes {len(expected)} operands, not {len(operands)}")
        chosen_between = (o for o, e in zip(operands, expected, strict=True) if e == "?")
        free = next((o.type for o in chosen_between if not isinstance(o, int | float)), F32)
        args = []
        for operand, wanted in zip(operands, expected, strict=True):
            type = free if wanted == "?" else wanted
            value = self._operand(operand, type)
            if value.type != type:
                raise ProgramError(f"{self.name}: {op} takes {type}, not {value.type}")
            args.append(value.id)
        value = self._value(free if result == "?" else result)
        self._statements.append(ir.Let(value.id, op, tuple(args)))
        return value

    def shuffle(self, a: Value, b: Value, mask: Sequence[int]) -> Value:
        """Lane n of the result is lane mask[n] of `a` followed by `b`.

        Parameters
        ----------
        a, b : Value
            Of one type.
        mask : sequence of 16 int
            From 0 to 31.

        Raises
        ------
        ProgramError
            The mask or the types do not fit.
        """
        if len(mask) != LANES or not all(0 <= m < 2 * LANES for m in mask) or a.type != b.type:
            raise ProgramError(f"{self.name}: a shuffle takes 16 lane numbers below 32 and two values of one type")
        self._check_usable(a, b)
        value = self._value(a.type)
        self._statements.append(ir.Shuffle(value.id, a.id, b.id, tuple(mask)))
        return value

    # memory

    def load(self, buffer: Buffer, index: Affine, how: str) -> Value:
        """Record a load from a position in scalars; kernels write `buffer[...]`.

        Parameters
        ----------
        buffer : Buffer
            Not one of bytes.
        index : Affine
            The position, in scalars.
        how : "vector" or "broadcast"
            16 scalars from there on, or one to all lanes.

        Raises
        ------
        ProgramError
            The buffer holds bytes.
        """
        if buffer.type == U8:
            raise ProgramError(f"{self.name}: {buffer.name} holds bytes, which can only be gathered")
        value = self._value(buffer.type)
        self._statements.append(ir.Load(value.id, buffer.number, index, how))
        return value

    def gather(self, buffer: Buffer, image: Value, stride: int, offset: Value, *, bytes: int = 1) -> Value:
        """Lane n: the scalar at image[n] * stride + offset[n] of `buffer`; bytes come as integers.

        With `bytes=4`, four bytes from there on come as one integer, the first as its lowest eighth.

        Parameters
        ----------
        buffer : Buffer
        image, offset : Value
            int32, in scalars.
        stride : int
            Scalars from one image to the next.
        bytes : 1 or 4
            How many bytes are taken at once; 1 for buffers of other types.

        Raises
        ------
        ProgramError
            A type does not fit.
        """
        self._check_usable(image, offset)
        if image.type != I32 or offset.type != I32:
            raise ProgramError(f"{self.name}: a gather takes two values of {I32}, not {image.type} and {offset.type}")
        if bytes not in ((1, 4) if buffer.type == U8 else (1,)):
            raise ProgramError(f"{self.name}: {bytes} scalars of {buffer.type} cannot be gathered at once")
        value = self._value(I32 if buffer.type == U8 else buffer.type)
        self._statements.append(ir.Gather(value.id, buffer.number, image.id, stride, offset.id, bytes))
        return value

    def store(self, buffer: Buffer, index: Affine, value: Operand, how: str, more: bool = False) -> None:
        """Record a store to a position in scalars; kernels write `buffer[...] = value`.

        Parameters
        ----------
        buffer : Buffer
        index : Affine
            The position, in scalars.
        value : Value, Register or number
            Of the buffer's type.
        how : "vector" or "first"
            All 16 lanes one after the other, or lane 0 alone.
        more : bool
            A hint: what lies behind is stored soon, so that the line of the cache need not be read.

        Raises
        ------
        ProgramError
            The value is of another type.
        """
        stored = self._operand(value, buffer.type)
        if stored.type != buffer.type:
            raise ProgramError(f"{self.name}: {buffer.name} holds {buffer.type}, not {stored.type}")
        self._statements.append(ir.Store(buffer.number, index, stored.id, how, more))

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
            self._check_usable(operand)
            return operand
        if isinstance(operand, Register):
            return self.read(operand)
        return self.constant(float(operand), F32) if type == F32 else self.integer(int(operand))

    def _check_usable(self, *values: Value | Register) -> None:
        for value in values:
            if value.k is not self:
                raise ProgramError(f"{self.name}: a value of another program, {value.k.name}, was used")
            if value.scope not in self._scopes:
                raise ProgramError(f"{self.name}: a value made inside a loop was used after the loop ended")
