"""A lane program as LLVM's text: a table from operation to text, and loops in SSA form.

Only this file and `engine/native.py` know LLVM. There is nothing to optimise here: the program is already what the
kernel's author meant, registers are phi nodes, and no fast-math flag is ever set, so that LLVM may choose
instructions but not change a single bit.
"""

from __future__ import annotations

import struct

from lanewise.lanes import ir
from lanewise.target import Target

_TYPE = {ir.F32: f"<{ir.LANES} x float>", ir.I32: f"<{ir.LANES} x i32>"}
_SCALAR = {ir.F32: "float", ir.I32: "i32", ir.U8: "i8"}
_V, _I = _TYPE[ir.F32], _TYPE[ir.I32]
_WIDE = f"<{ir.LANES} x i64>"
_MASK = f"<{ir.LANES} x i1>"

# operation -> lines; {r} is the result, {0} {1} ... the arguments, {t} the type of a chosen value
_TEXT: dict[str, str] = {
    "add": f"{{r}} = fadd {_V} {{0}}, {{1}}",
    "sub": f"{{r}} = fsub {_V} {{0}}, {{1}}",
    "mul": f"{{r}} = fmul {_V} {{0}}, {{1}}",
    "div": f"{{r}} = fdiv {_V} {{0}}, {{1}}",
    "fma": f"{{r}} = call {_V} @{{fma}}({_V} {{0}}, {_V} {{1}}, {_V} {{2}})",
    "sqrt": f"{{r}} = call {_V} @llvm.sqrt.v16f32({_V} {{0}})",
    "max": f"{{r}}.m = fcmp ogt {_V} {{0}}, {{1}}\n  {{r}} = select {_MASK} {{r}}.m, {_V} {{0}}, {_V} {{1}}",
    "min": f"{{r}}.m = fcmp olt {_V} {{0}}, {{1}}\n  {{r}} = select {_MASK} {{r}}.m, {_V} {{0}}, {_V} {{1}}",
    "where_gt": f"{{r}}.m = fcmp ogt {_V} {{0}}, {{1}}\n  {{r}} = select {_MASK} {{r}}.m, {{t}} {{2}}, {{t}} {{3}}",
    "where_eq": f"{{r}}.m = fcmp oeq {_V} {{0}}, {{1}}\n  {{r}} = select {_MASK} {{r}}.m, {{t}} {{2}}, {{t}} {{3}}",
    "where_ult": f"{{r}}.m = icmp ult {_I} {{0}}, {{1}}\n  {{r}} = select {_MASK} {{r}}.m, {{t}} {{2}}, {{t}} {{3}}",
    "iadd": f"{{r}} = add {_I} {{0}}, {{1}}",
    "isub": f"{{r}} = sub {_I} {{0}}, {{1}}",
    "imul": f"{{r}} = mul {_I} {{0}}, {{1}}",
    "iand": f"{{r}} = and {_I} {{0}}, {{1}}",
    "ixor": f"{{r}} = xor {_I} {{0}}, {{1}}",
    "shl": f"{{r}} = shl {_I} {{0}}, {{1}}",
    "shr": f"{{r}} = lshr {_I} {{0}}, {{1}}",
    "to_float": f"{{r}} = sitofp {_I} {{0}} to {_V}",
    "to_int": f"{{r}} = fptosi {_V} {{0}} to {_I}",
    "bits_of": f"{{r}} = bitcast {_V} {{0}} to {_I}",
    "float_of_bits": f"{{r}} = bitcast {_I} {{0}} to {_V}",
    "high_product": f"{{r}}.a = zext {_I} {{0}} to {_WIDE}\n  {{r}}.b = zext {_I} {{1}} to {_WIDE}\n"
    f"  {{r}}.p = mul {_WIDE} {{r}}.a, {{r}}.b\n"
    f"  {{r}}.s = lshr {_WIDE} {{r}}.p, splat (i64 32)\n  {{r}} = trunc {_WIDE} {{r}}.s to {_I}",
}

_DECLARATIONS = f"""\
declare {_V} @llvm.fma.v16f32({_V}, {_V}, {_V})
declare {_V} @llvm.sqrt.v16f32({_V})
declare {_V} @llvm.masked.gather.v16f32.v16p0(<16 x ptr>, i32, <16 x i1>, {_V})
declare {_I} @llvm.masked.gather.v16i32.v16p0(<16 x ptr>, i32, <16 x i1>, {_I})
declare <16 x i8> @llvm.masked.gather.v16i8.v16p0(<16 x ptr>, i32, <16 x i1>, <16 x i8>)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
"""
_FMA = "llvm.fma.v16f32"
# For processors that cannot fuse, LLVM calls C's fmaf for each lane. Unpooled out behind every multiply-add, that made
# kernels of 160,000 lines, which took 13 s to compile; so it stands here once.
_SLOW_FMA = f"""\
define internal {_V} @fused({_V} %a, {_V} %b, {_V} %c) noinline #0 {{
  %r = call {_V} @{_FMA}({_V} %a, {_V} %b, {_V} %c)
  ret {_V} %r
}}"""
_ALL = "<" + ", ".join(["i1 true"] * ir.LANES) + ">"


def _number(type: str, value: float | int) -> str:
    """A splat constant; floats as the exact bits of the float32, in the 64-bit form that LLVM's text wants."""
    if type == ir.I32:
        return f"splat (i32 {value})"
    as_float32 = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"splat (float 0x{struct.unpack('<Q', struct.pack('<d', as_float32))[0]:016X})"


class _Scope:
    """One loop body (or the function): its lines, and the addresses worked out once at its head."""

    def __init__(self, loop: int | None) -> None:
        self.loop = loop
        self.head: list[str] = []
        self.lines: list[str] = []
        self.known: dict[tuple[int, tuple[tuple[int, int], ...]], str] = {}


class _Renderer:
    def __init__(self, program: ir.Program, target: Target) -> None:
        self.program = program
        self.fma = _FMA if target.fuses else "fused"
        self.values = [""] * len(program.types)
        self.registers: dict[int, str] = {}
        self.scopes = [_Scope(None)]
        self.label = "entry"
        self.count = 0

    def fresh(self, prefix: str) -> str:
        self.count += 1
        return f"%{prefix}{self.count}"

    def emit(self, line: str) -> None:
        self.scopes[-1].lines.append("  " + line)

    def address(self, buffer: int, index: ir.Affine) -> str:
        """A pointer; its variable part is computed at the head of the innermost loop that it depends on."""
        base, type = f"%b{buffer}", _SCALAR[self.program.buffers[buffer].type]
        if index.terms:
            loops = {loop for loop, _ in index.terms}
            scope = next(s for s in reversed(self.scopes) if s.loop in loops)
            pointer = scope.known.get((buffer, index.terms))
            if pointer is None:
                total = ""
                for loop, coefficient in index.terms:
                    term = self.fresh("t")
                    scope.head.append(f"  {term} = mul nsw i64 %L{loop}, {coefficient}")
                    if total:
                        added = self.fresh("t")
                        scope.head.append(f"  {added} = add nsw i64 {total}, {term}")
                        term = added
                    total = term
                pointer = scope.known[buffer, index.terms] = self.fresh("p")
                scope.head.append(f"  {pointer} = getelementptr inbounds {type}, ptr {base}, i64 {total}")
            base = pointer
        if index.constant == 0:
            return base
        pointer = self.fresh("p")
        self.emit(f"{pointer} = getelementptr inbounds {type}, ptr {base}, i64 {index.constant}")
        return pointer

    def body(self, statements: list[ir.Statement]) -> None:
        for s in statements:
            match s:
                case ir.Let(id, op, args):
                    self.values[id] = f"%v{id}"
                    type, given = _TYPE.get(self.program.types[id]), (self.values[a] for a in args)
                    self.emit(_TEXT[op].format(*given, r=f"%v{id}", t=type, fma=self.fma))
                case ir.Constant(id, type, value):
                    self.values[id] = _number(type, value)
                case ir.LaneNumber(id):
                    self.values[id] = "<" + ", ".join(f"i32 {n}" for n in range(ir.LANES)) + ">"
                case ir.Shuffle(id, a, b, mask):
                    self.values[id] = f"%v{id}"
                    type, lanes = _TYPE[self.program.types[id]], ", ".join(f"i32 {m}" for m in mask)
                    self.emit(
                        f"%v{id} = shufflevector {type} {self.values[a]}, {type} {self.values[b]}, <16 x i32> <{lanes}>"
                    )
                case ir.Load():
                    self.load(s)
                case ir.Gather():
                    self.gather(s)
                case ir.Store():
                    self.store(s)
                case ir.Get(id, register):
                    self.values[id] = self.registers[register]
                case ir.Set(register, value):
                    self.registers[register] = self.values[value]
                case ir.Loop():
                    self.loop(s)

    def alignment(self, buffer: int, how: str) -> int:
        spec = self.program.buffers[buffer]
        return 64 if spec.lanes and how == "vector" else 4

    def load(self, s: ir.Load) -> None:
        pointer, type = self.address(s.buffer, s.at), self.program.types[s.id]
        align = self.alignment(s.buffer, s.how)
        result = self.values[s.id] = f"%v{s.id}"
        if s.how == "vector":
            self.emit(f"{result} = load {_TYPE[type]}, ptr {pointer}, align {align}")
            return
        self.emit(f"{result}.s = load {_SCALAR[type]}, ptr {pointer}, align {align}")
        self.emit(f"{result}.i = insertelement {_TYPE[type]} poison, {_SCALAR[type]} {result}.s, i64 0")
        self.emit(
            f"{result} = shufflevector {_TYPE[type]} {result}.i, {_TYPE[type]} poison, <16 x i32> zeroinitializer"
        )

    def gather(self, s: ir.Gather) -> None:
        type, result = self.program.buffers[s.buffer].type, f"%v{s.id}"
        vector = f"<{ir.LANES} x {_SCALAR[type]}>"
        self.emit(f"{result}.a = sext {_I} {self.values[s.image]} to {_WIDE}")
        self.emit(f"{result}.b = mul {_WIDE} {result}.a, splat (i64 {s.stride})")
        self.emit(f"{result}.c = sext {_I} {self.values[s.offset]} to {_WIDE}")
        self.emit(f"{result}.d = add {_WIDE} {result}.b, {result}.c")
        self.emit(f"{result}.p = getelementptr {_SCALAR[type]}, ptr %b{s.buffer}, {_WIDE} {result}.d")
        whole = _TYPE[ir.I32] if s.bytes == 4 else vector
        suffix = "i32" if s.bytes == 4 else {ir.F32: "f32", ir.I32: "i32", ir.U8: "i8"}[type]
        raw = f"{result}.g" if type == ir.U8 and s.bytes == 1 else result
        self.emit(
            f"{raw} = call {whole} @llvm.masked.gather.v16{suffix}.v16p0("
            f"<16 x ptr> {result}.p, i32 {1 if type == ir.U8 else 4}, <16 x i1> {_ALL}, {whole} poison)"
        )
        if raw != result:
            self.emit(f"{result} = zext {vector} {raw} to {_I}")
        self.values[s.id] = result

    def store(self, s: ir.Store) -> None:
        pointer, type = self.address(s.buffer, s.at), self.program.types[s.value]
        align, value = self.alignment(s.buffer, s.how), self.values[s.value]
        if s.how == "vector":
            self.emit(f"store {_TYPE[type]} {value}, ptr {pointer}, align {align}")
            if s.more:  # may lie past the end: to fetch a line that is not there does nothing
                behind = self.fresh("p")
                self.emit(f"{behind} = getelementptr {_SCALAR[type]}, ptr {pointer}, i64 {ir.LANES}")
                self.emit(f"call void @llvm.prefetch.p0(ptr {behind}, i32 1, i32 3, i32 1)")
            return
        first = self.fresh("s")
        self.emit(f"{first} = extractelement {_TYPE[type]} {value}, i64 0")
        self.emit(f"store {_SCALAR[type]} {first}, ptr {pointer}, align {align}")

    def loop(self, s: ir.Loop) -> None:
        carried = sorted(r for r in s.registers if r in self.registers)
        before, start = self.label, {r: self.registers[r] for r in carried}
        head, exit = f"head{s.variable}", f"exit{s.variable}"
        self.emit(f"br label %{head}")
        self.scopes.append(_Scope(s.variable))
        self.label = head
        for r in carried:
            self.registers[r] = f"%r{r}.{s.variable}"
        self.body(s.body)
        scope = self.scopes.pop()
        variable = f"%L{s.variable}"
        self.scopes[-1].lines += [
            f"{head}:",
            f"  {variable} = phi i64 [ 0, %{before} ], [ {variable}.next, %{self.label} ]",
            *(
                f"  %r{r}.{s.variable} = phi {_TYPE[self.program.register_types[r]]} "
                f"[ {start[r]}, %{before} ], [ {self.registers[r]}, %{self.label} ]"
                for r in carried
            ),
            *scope.head,
            *scope.lines,
            f"  {variable}.next = add nuw nsw i64 {variable}, 1",
            f"  {variable}.done = icmp eq i64 {variable}.next, {s.turns}",
            f"  br i1 {variable}.done, label %{exit}, label %{head}",
            f"{exit}:",
        ]
        self.label = exit


def render(program: ir.Program, symbol: str, target: Target) -> str:
    """LLVM's text of a module with one function, `void symbol(ptr buffers)`.

    Its one argument points to an array of pointers, one per buffer of the program. The buffers must not overlap.

    Parameters
    ----------
    program : Program
    symbol : str
        The name of the function, an identifier.
    target : Target
        The processor, whose vectors decide how 16 lanes are cut.
    """
    r = _Renderer(program, target)
    r.body(program.body)
    pointers = ", ".join(f"ptr noalias %b{n}" for n in range(len(program.buffers)))
    unpack = []
    for n in range(len(program.buffers)):
        unpack.append(f"  %a{n} = getelementptr ptr, ptr %buffers, i64 {n}")
        unpack.append(f"  %b{n} = load ptr, ptr %a{n}, align 8")
    passed = ", ".join(f"ptr %b{n}" for n in range(len(program.buffers)))
    lines = [
        _DECLARATIONS,
        *([_SLOW_FMA] if any("@fused(" in line for line in r.scopes[0].lines) else []),
        f"define internal void @body({pointers}) #0 {{",
        "entry:",
        *r.scopes[0].lines,
        "  ret void",
        "}",
        f"define void @{symbol}(ptr %buffers) #0 {{",
        "entry:",
        *unpack,
        f"  tail call void @body({passed})",
        "  ret void",
        "}",
        # Without the two widths LLVM quietly splits 512-bit values into halves. On a stack aligned as it happens to be,
        # spilled values cross cache lines or not by chance: some kernels took 1.8 times as long in every other process.
        f'attributes #0 = {{ nounwind alignstack=64 "target-cpu"="{target.cpu}" "target-features"="{target.features}" '
        f'"min-legal-vector-width"="512" "prefer-vector-width"="{target.bits}" }}',
    ]
    return "\n".join(lines) + "\n"
