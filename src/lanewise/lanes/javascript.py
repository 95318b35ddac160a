"""A lane program as a JavaScript function for one image: lane 0 alone, so that every value is one number.

A page that runs a network looks at one image at a time. What a program does in lane 0 it does with plain numbers: an
element of 16 lanes becomes one number of a `Float32Array`, and positions are divided by 16. A program that looks
across lanes has no such meaning and is refused.

Numbers of JavaScript are float64; `Math.fround` rounds each result to float32, which gives the very bits of float32
arithmetic for all operations but `fma`: its exact product is added in float64 and then rounded again, which differs
from rounding once in about one of 2**29 sums, by the last bit. Integers are kept as signed 32-bit numbers.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

from lanewise.errors import ProgramError
from lanewise.lanes import ir

SUPPORT = """\
const fround = Math.fround;
const realCell = new Float32Array(1);
const wholeCell = new Int32Array(realCell.buffer);
function bitsOf(real) { realCell[0] = real; return wholeCell[0]; }
function floatOfBits(whole) { wholeCell[0] = whole; return realCell[0]; }
// The upper 32 bits of the unsigned product, from products of halves that are all exact.
function highProduct(a, b) {
  const aLow = a & 0xffff, aHigh = a >>> 16, bLow = b & 0xffff, bHigh = b >>> 16;
  const first = aHigh * bLow + ((aLow * bLow) >>> 16);
  const second = aLow * bHigh + (first & 0xffff);
  return (aHigh * bHigh + (first >>> 16) + (second >>> 16)) | 0;
}
"""
"""What the functions that `render` makes call; it must stand in the same scope, once."""

ARRAYS = {"f32": "Float32Array", "i32": "Int32Array", "u8": "Uint8Array"}
"""Type of a buffer -> the typed array that holds it."""

_WORDS = """
    arguments await break case catch class const continue debugger default delete do else enum eval export extends false
    finally for function if implements import in instanceof interface let new null package private protected public
    return static super switch this throw true try typeof undefined var void while with yield
    Infinity Math NaN bitsOf floatOfBits fround highProduct realCell wholeCell
"""
RESERVED = frozenset(_WORDS.split())
"""What no buffer may be named here: the language's own words, and what the functions use."""

# operation -> expression; {0} {1} ... are names, so that no parentheses are needed around them
_TEXT: dict[str, str] = {
    "add": "fround({0} + {1})",
    "sub": "fround({0} - {1})",
    "mul": "fround({0} * {1})",
    "div": "fround({0} / {1})",
    "fma": "fround({0} * {1} + {2})",
    "sqrt": "fround(Math.sqrt({0}))",
    "max": "{0} > {1} ? {0} : {1}",
    "min": "{0} < {1} ? {0} : {1}",
    "where_gt": "{0} > {1} ? {2} : {3}",
    "where_eq": "{0} === {1} ? {2} : {3}",
    "where_ult": "({0} >>> 0) < ({1} >>> 0) ? {2} : {3}",
    "iadd": "({0} + {1}) | 0",
    "isub": "({0} - {1}) | 0",
    "imul": "Math.imul({0}, {1})",
    "iand": "{0} & {1}",
    "ixor": "{0} ^ {1}",
    "shl": "{0} << {1}",
    "shr": "({0} >>> {1}) | 0",
    "to_float": "fround({0})",
    "to_int": "{0} | 0",
    "bits_of": "bitsOf({0})",
    "float_of_bits": "floatOfBits({0})",
    "high_product": "highProduct({0}, {1})",
}


def scalars(spec: ir.BufferSpec) -> int:
    """How many numbers a buffer has for one image."""
    return spec.scalars // ir.LANES if spec.lanes else spec.scalars


def render(program: ir.Program, symbol: str) -> str:
    """JavaScript's text of `function symbol(...)`, which takes one typed array per buffer of the program.

    Parameters
    ----------
    program : Program
        One whose lanes do not depend on one another: forward kernels do not.
    symbol : str
        The function's name.

    Raises
    ------
    ProgramError
        The program looks across lanes, or a buffer's name means something else in JavaScript.
    """
    if taken := [buffer.name for buffer in program.buffers if buffer.name in (*RESERVED, symbol)]:
        raise ProgramError(f"{program.name}: a buffer cannot be named {taken[0]} in JavaScript")
    lines = [f"function {symbol}({', '.join(buffer.name for buffer in program.buffers)}) {{"]
    if program.register_types:
        lines.append(f"  let {', '.join(f'r{n} = 0' for n in range(len(program.register_types)))};")
    lines += _Renderer(program).body(program.body, "  ")
    return "\n".join([*lines, "}"]) + "\n"


def number(type: str, value: float | int) -> str:
    """A constant; floats as the float32 nearest to them."""
    if type != ir.F32:
        return str(int(value))
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    if math.isnan(rounded):
        return "NaN"
    return repr(rounded) if math.isfinite(rounded) else ("Infinity" if rounded > 0 else "-Infinity")


class _Renderer:
    def __init__(self, program: ir.Program) -> None:
        self.program = program
        self.values = [f"v{id}" for id in range(len(program.types))]

    def body(self, statements: list[ir.Statement], indent: str) -> Iterator[str]:
        for s in statements:
            match s:
                case ir.Constant(id, type, value):
                    self.values[id] = number(type, value)
                case ir.LaneNumber(id):
                    self.values[id] = "0"
                case ir.Loop(variable, turns, inner):
                    yield f"{indent}for (let L{variable} = 0; L{variable} < {turns}; L{variable}++) {{"
                    yield from self.body(inner, indent + "  ")
                    yield indent + "}"
                case ir.Store(buffer, at, stored, how):
                    yield f"{indent}{self.element(buffer, at, how, stores=True)} = {self.values[stored]};"
                case ir.Set(register, new):
                    yield f"{indent}r{register} = {self.values[new]};"
                case _:
                    yield f"{indent}const v{s.id} = {self.expression(s)};"

    def expression(self, s: ir.Let | ir.Shuffle | ir.Load | ir.Gather | ir.Get) -> str:
        match s:
            case ir.Let(_, op, args):
                return _TEXT[op].format(*(self.values[a] for a in args))
            case ir.Shuffle(_, a, b, mask):
                if mask[0] % ir.LANES:
                    raise ProgramError(f"{self.program.name}: a shuffle brings lane {mask[0] % ir.LANES} to lane 0")
                return self.values[a if mask[0] < ir.LANES else b]
            case ir.Load(_, buffer, at, how):
                return self.element(buffer, at, how)
            case ir.Gather(_, buffer, image, stride, offset, bytes):
                name = self.program.buffers[buffer].name
                place = f"{self.values[image]} * {stride} + {self.values[offset]}"
                if bytes == 1:
                    return f"{name}[{place}]"
                return "(" + " | ".join(f"({name}[{place} + {n}] << {8 * n})" for n in range(bytes)) + ")"
            case ir.Get(_, register):
                return f"r{register}"

    def element(self, buffer: int, at: ir.Affine, how: str, *, stores: bool = False) -> str:
        """The element of a typed array that lane 0 reads or writes."""
        spec = self.program.buffers[buffer]
        unit = ir.LANES if spec.lanes else 1
        if any(n % unit for n in (at.constant, *(c for _, c in at.terms))):
            raise ProgramError(f"{self.program.name}: {spec.name}[{at}] is not in lane 0")
        if stores and how == "vector" and not spec.lanes:
            raise ProgramError(f"{self.program.name}: {spec.name}[{at}] takes all lanes")
        parts = [f"L{v}" if c == unit else f"{c // unit} * L{v}" for v, c in at.terms]
        if at.constant or not parts:
            parts.append(str(at.constant // unit))
        return f"{spec.name}[{' + '.join(parts)}]"
