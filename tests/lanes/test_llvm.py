"""LLVM's text of a program, and the instructions that come of it on each kind of processor."""

from __future__ import annotations

import re
import struct

import pytest
from llvmlite import binding

from lanewise.engine import native
from lanewise.engine.native import assembly
from lanewise.kernels import conv, conv_weight_gradient, dense, pointwise
from lanewise.kernels.layout import Layout
from lanewise.lanes.ir import LANES, Program
from lanewise.lanes.llvm import render
from lanewise.lanes.program import Recorder
from lanewise.target import NAMED, Target
from tests.conftest import Golden
from tests.lanes.programs import every_statement

pytestmark = pytest.mark.skipif(
    not binding.get_default_triple().startswith(("x86_64", "amd64")), reason="reads x86 assembly"
)


def _conv_programs(target: Target) -> list[Program]:
    x, y = Layout((3, 8, 9), (1, 1, 1, 1)), Layout((16, 8, 9), (1, 1, 1, 1))
    geometry = conv.Conv(16, 3, (3, 3), padding=(1, 1, 1, 1))
    return [
        conv.forward(geometry, x, y, relu=True, registers=target.registers),
        conv.backward_input(geometry, x, y, x, mask=True, registers=target.registers),
        conv_weight_gradient.backward_weight(geometry, x, y, registers=target.registers),
        dense.forward(40, 30, registers=target.registers),
        dense.backward_input(40, 30, registers=target.registers),
        dense.backward_weight(40, 30, registers=target.registers),
        pointwise.activation("sigmoid", (), y, y),
    ]


def _registers(text: str, instruction: str) -> list[str]:
    """The kinds of registers that such instructions write to: zmm, ymm or xmm."""
    return re.findall(rf"^\s+{instruction}\s.*%([xyz]mm)\d+\s*$", text, re.MULTILINE)


def test_avx512_uses_whole_registers() -> None:
    target = NAMED["avx512"]
    for program in _conv_programs(target):
        text = assembly(program, target)
        fused = _registers(text, r"vfn?m(?:add|sub)\w+ps")
        assert fused, program.name
        assert set(fused) == {"zmm"}, f"{program.name}: LLVM splits values of 16 lanes"


def test_avx2_uses_half_and_never_zmm() -> None:
    target = NAMED["avx2"]
    for program in _conv_programs(target):
        text = assembly(program, target)
        assert set(_registers(text, r"vfn?m(?:add|sub)\w+ps")) == {"ymm"}, program.name
        assert "zmm" not in text, program.name
        assert not re.search(r"%[xy]mm(1[6-9]|2\d|3[01])", text), "registers that AVX2 does not have"


def test_plain_x86_64_has_no_later_instructions() -> None:
    target = NAMED["x86-64"]
    for program in _conv_programs(target):
        text = assembly(program, target)
        assert "fmaf" in text, program.name
        assert not re.search(r"[yz]mm|^\s+v[a-z]", text, re.MULTILINE), program.name


@pytest.mark.parametrize("name", NAMED)
def test_multiply_adds_are_fused_where_they_were_and_nowhere_else(name: str) -> None:
    k = Recorder("apart")
    x, y = k.lanes("x", (3,)), k.lanes("y", (1,))
    y[0] = x[0] * x[1] + x[2]
    text = assembly(k.program(), NAMED[name])
    assert "fma" not in text
    assert re.search(r"mulps", text)
    assert re.search(r"addps", text)


def test_without_an_instruction_that_fuses_the_sixteen_calls_stand_once() -> None:
    """Behind each multiply-add they made some kernels take 13 s to compile."""
    k = Recorder("fused")
    x, y = k.lanes("x", (30,)), k.lanes("y", (1,))
    total = k.register(0.0)
    for n in range(29):
        total.accumulate(x[n], x[n + 1])
    y[0] = total.get()
    calls = len(re.findall(r"\bcall", assembly(k.program(), NAMED["x86-64"])))
    assert calls <= 29 + LANES + 1


def test_accumulators_stay_in_registers() -> None:
    """The inner loop of a convolution stores nothing: a spilled accumulator would be stored."""
    for program in _conv_programs(NAMED["avx512"])[:3]:
        text = assembly(program, NAMED["avx512"])
        # Blocks from a label to the jump back to the same label are innermost loops.
        loops = re.findall(r"^(\.L\w+):((?:(?!^\.L).*\n)*?)\s+j\w+\s+\1\b", text, re.MULTILINE)
        fused = [body for _, body in loops if body.count("vfmadd") >= 9]
        assert fused, f"{program.name} has no loop of multiply-adds"
        for body in fused:
            assert not re.search(r"^\s+vmov\w+\s+%[xyz]mm\d+, .*\(", body, re.MULTILINE), program.name


def test_no_fast_math_and_no_aliases() -> None:
    text = render(every_statement(), "kernel", NAMED["avx512"])
    assert not re.search(r"\b(fast|reassoc|contract|nnan|ninf|nsz|arcp|afn|fmuladd)\b", text)
    assert text.count("ptr noalias %b") == len(every_statement().buffers)


def test_constants_are_the_exact_float32() -> None:
    k = Recorder("constants")
    y = k.lanes("y", (4,))
    numbers = (0.1, -0.0, float("inf"), 1e-45)
    for at, number in enumerate(numbers):
        y[at] = number
    text = render(k.program(), "kernel", NAMED["avx2"])
    for number in numbers:
        as_float32 = struct.unpack("<f", struct.pack("<f", number))[0]
        assert f"0x{struct.unpack('<Q', struct.pack('<d', as_float32))[0]:016X}" in text


def test_stored_lanes_are_aligned_only_where_promised() -> None:
    k = Recorder("alignment")
    x, w = k.lanes("x", (2,)), k.scalars("w", (2 * LANES,))
    w.set_vector(x[0] + x.lane(3, 1), 5)
    x[1] = w.vector(3)
    text = render(k.program(), "kernel", NAMED["avx512"])
    assert len(re.findall(r"(?:load|store) <16 x float>.*%b0.*align 64|store <16 x float>.*align 64", text)) == 2
    assert len(re.findall(r"<16 x float>.*align 4$", text, re.MULTILINE)) == 2


def test_spills_are_aligned() -> None:
    k = Recorder("spills")
    x, y = k.lanes("x", (40,)), k.lanes("y", (40,))
    values = [x[n] for n in range(40)]
    total = sum(values[1:], values[0])
    for n, value in enumerate(values):
        y[n] = value * total
    for name in ("avx512", "avx2"):
        text = assembly(k.program(), NAMED[name])
        assert re.search(r"andq\s+\$-64, %rsp", text)
        assert re.search(r"%[yz]mm\d+, \d*\(%rsp\)", text), "nothing was spilled: the test says nothing"
        assert not re.search(r"vmovups.*\(%r[sb]p\)", text)


def test_where_more_is_stored_the_next_line_is_fetched() -> None:
    k = Recorder("more")
    x, y = k.lanes("x", (2,)), k.lanes("y", (2,))
    for n in range(2):
        y.set_vector(x[n], n, more=n == 0)
    fetched = re.findall(r"prefetch\w+\s+(\d*)\(%r\w+\)", assembly(k.program(), NAMED["avx512"]))
    assert fetched == [str(4 * LANES)]


def test_renderer_text(golden: Golden) -> None:
    """Code in the cache is found by the renderer's version: what it emits may not change under the same one."""
    version = native.RENDERER_VERSION
    golden(
        f"renderer_{version}.ll", render(every_statement(), "kernel", NAMED["avx2"]), "raise RENDERER_VERSION, then "
    )


# AArch64, whose assembly can be written anywhere


def _aarch64_assembly(text: str) -> str:
    try:
        binding.initialize_all_targets()
        binding.initialize_all_asmprinters()
        family = binding.Target.from_triple("aarch64-unknown-linux-gnu")
    except RuntimeError:
        pytest.skip("this llvmlite writes no AArch64 code")
    machine = family.create_target_machine(cpu="generic", features="+neon", jit=True, **native.MACHINE_OPTIONS)
    module = binding.parse_assembly(text)
    module.triple = "aarch64-unknown-linux-gnu"
    module.data_layout = str(machine.target_data)
    module.verify()
    return str(machine.emit_assembly(module))


AARCH64 = Target("aarch64", "generic", "+neon", 32, 128)


def test_aarch64_kernels() -> None:
    for program in _conv_programs(AARCH64)[:6]:
        text = _aarch64_assembly(render(program, "kernel", AARCH64))
        assert re.search(r"fmla\s+v\d+\.4s", text), program.name
        assert "fmaf" not in text, program.name
    _aarch64_assembly(render(every_statement(), "kernel", AARCH64))


def test_aarch64_driver() -> None:
    text = _aarch64_assembly(native.driver_text("aarch64-unknown-linux-gnu"))
    assert re.search(r"mrs\s+\w+, FPCR", text, re.IGNORECASE)
    assert re.search(r"orr\s+\w+, \w+, #0x1000000", text)
    assert len(re.findall(r"msr\s+FPCR", text, re.IGNORECASE)) == 2  # on entry and on exit
    assert re.search(r"^\s+yield", text, re.MULTILINE)
    assert "driver:" in text
