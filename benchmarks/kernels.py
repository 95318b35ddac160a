"""`python -m benchmarks kernels`: how fast each kernel multiplies and adds, beside a large matrix product.

The cases are the convolutions and dense layers of the nets that are raced. One thread, buffers of one group of 16
images (of a batch for the weight gradients of large dense layers), so what a kernel works on is in the cache as it is
in training. The matrix product is NumPy's own, in float32, timed in turn with each kernel. With a target that is not
this machine, both are held to it.

Run as a module, this file is the process that measures; it prints one JSON object a kernel.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import prod
from statistics import median

import click
import numpy as np

from benchmarks.process import run_module
from benchmarks.report import Report
from lanewise.bench.nets import NETS
from lanewise.bench.tables import Table, figure
from lanewise.engine.fuse import conv_of, fuse
from lanewise.engine.gradients import Gradients
from lanewise.engine.native import Library
from lanewise.engine.schedule import aligned
from lanewise.kernels import conv, conv_weight_gradient, dense, winograd, winograd_weight_gradient
from lanewise.kernels.layout import Layout
from lanewise.lanes.program import LANES, Program
from lanewise.network.layers import Conv2D, Dense
from lanewise.network.shapes import describe
from lanewise.network.text import layer_text
from lanewise.target import chosen, host

MATRIX = 1024
"""Rows and columns of the matrices multiplied: too large for the first caches, as such products are in frameworks."""

GROUPS = 8
"""Groups of 16 images in a batch: gradients that are computed once a batch are those of so many."""

BURST = 0.02
"""Seconds a turn."""

FEW_FILTERS = 8
WANTED = {"avx512": 0.7, "avx2": 0.6}
"""Share of the matrix product that a direct convolution with `FEW_FILTERS` filters or more should reach."""

MATRIX_CORES = {"avx512": "SkylakeX", "avx2": "Haswell", "x86-64": "Nehalem"}
"""What OpenBLAS, which multiplies for NumPy, calls processors that have a target's registers."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One kernel: GF/s is 10^9 floating-point operations a second, a multiply-add counting as two.

    `filters` is None for dense layers; `share` is its speed over that of the matrix product in the same rounds.
    """

    net: str
    layer: str
    filters: int | None
    kernel: str
    microseconds: float
    gflops: float
    matrix_gflops: float
    share: float


def measure(nets: tuple[str, ...], rounds: int, target: str | None, say: Callable[[str], None]) -> Report:
    """Measure in a process of its own, where the matrix product has one thread as well."""
    held = {} if target is None else {"LANEWISE_TARGET": target, "OPENBLAS_CORETYPE": MATRIX_CORES[target]}
    process = run_module("benchmarks.kernels", ",".join(nets), str(rounds), threads=1, **held)
    speeds = []
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            speeds.append(Speed(**json.loads(line)))
            say(f"{speeds[-1].net}, {speeds[-1].layer}, {speeds[-1].kernel}")
    if process.returncode:
        raise click.ClickException(f"the measuring process ended with status {process.returncode}")
    own = "avx512" if host().bits == 512 else "avx2" if host().bits == 256 else "x86-64"
    return report(speeds, target or own)


def report(speeds: list[Speed], target: str) -> Report:
    """One table for each net, and which kernels are slower than they should be."""
    tables = []
    for net in dict.fromkeys(speed.net for speed in speeds):
        rows = tuple(
            (
                speed.layer,
                speed.kernel,
                figure(speed.microseconds),
                figure(speed.gflops),
                f"{100 * speed.share:.0f} %",
            )
            for speed in speeds
            if speed.net == net
        )
        title = f"{net}: kernels for 16 images, {target}, 1 thread"
        tables.append(Table(title, ("layer and its input", "kernel", "µs", "GF/s", "of a matrix product"), rows))
    tables.append(shares(speeds, target))
    product = median(speed.matrix_gflops for speed in speeds)
    remarks = (
        f"The matrix product of {MATRIX} x {MATRIX} float32 ran at {figure(product)} GF/s on 1 thread (median).",
        "Kernels are called from Python one by one here, which costs the smallest of them half their time.",
        *verdict(speeds, target),
    )
    return Report("kernels", tuple(tables), remarks, {"target": target, "kernels": [asdict(one) for one in speeds]})


def shares(speeds: list[Speed], target: str) -> Table:
    """All direct convolutions, a row each."""
    kernels = ("forward", "input gradient", "weight gradient")
    direct = {(one.net, one.layer, one.kernel): one for one in speeds if one.filters and one.kernel in kernels}
    rows = []
    for net, layer in dict.fromkeys((net, layer) for net, layer, _ in direct):
        found = [direct.get((net, layer, kernel)) for kernel in kernels]
        rows.append((f"{net}: {layer}", *(f"{100 * one.share:.0f} %" if one else "" for one in found)))
    return Table(f"Direct convolutions, {target}, as a share of a matrix product", ("", *kernels), tuple(rows))


def verdict(speeds: list[Speed], target: str) -> list[str]:
    """Which direct convolutions do not reach the share wanted of them."""
    if target not in WANTED:
        return []
    evaluated = [one for one in speeds if (one.filters or 0) >= FEW_FILTERS and "Winograd" not in one.kernel]
    slow = [one for one in evaluated if one.share < WANTED[target]]
    reached = f"{len(evaluated) - len(slow)} of {len(evaluated)} direct convolutions with {FEW_FILTERS} filters or more"
    return [
        f"{target}: {reached} reach {WANTED[target]:.0%} of the matrix product.",
        *(f"BELOW: {one.net}, {one.layer}, {one.kernel}: {one.share:.0%}." for one in slow),
    ]


def _main(nets: str, rounds: str) -> None:
    for net in nets.split(","):
        for speed in _speeds(net, int(rounds)):
            print(json.dumps(asdict(speed)), flush=True)


def _speeds(net: str, rounds: int) -> Iterator[Speed]:
    matrix = np.random.default_rng(0).standard_normal((MATRIX, MATRIX), np.float32)
    product = np.empty_like(matrix)
    for layer, filters, kernel, program, work in _programs(net, chosen().registers):
        run = _runner(program)
        times = max(1, round(BURST / _seconds(run, 3)))
        kernel_rates, matrix_rates = [], []
        for _ in range(rounds):
            matrix_rates.append(2e-9 * MATRIX**3 / _seconds(lambda: np.matmul(matrix, matrix, out=product), 1))
            kernel_rates.append(1e-9 * work / _seconds(run, times))
        shares = [ours / theirs for ours, theirs in zip(kernel_rates, matrix_rates, strict=True)]
        rate = median(kernel_rates)
        yield Speed(net, layer, filters, kernel, 1e-3 * work / rate, rate, median(matrix_rates), median(shares))


def _seconds(run: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def _programs(net: str, registers: int) -> Iterator[tuple[str, int | None, str, Program, int]]:
    """Layer, filters, kernel, program and floating-point operations of each kernel of `net`.

    Convolutions are there directly, and also by Winograd's method where training uses that. Operations are counted by
    the layer's formula, so that a method that needs fewer counts as faster.
    """
    graph = NETS[net].graph
    operations = fuse(graph, training=True).operations.values()
    fast = {(kind, operation.number) for operation in operations for kind in operation.winograd}
    for number, node in enumerate(graph.nodes):
        shape = graph.nodes[node.inputs[0]].shape if node.inputs else ()
        name = f"{layer_text(node.layer)}, {describe(shape)}" if shape else ""
        if isinstance(node.layer, Conv2D):
            layer = conv_of(graph, node)
            work = 2 * LANES * prod(node.shape) * prod(layer.weight_shape[1:])
            first = node.inputs == (0,)  # nobody asks for the gradient of the images
            for kind, program in _direct(layer, Layout.of(shape), Layout.of(node.shape), first, registers):
                yield name, layer.filters, kind, program, work
            kinds = {kind for kind, at in fast if at == number and not (first and kind == "input")}
            for kind, program in _by_winograd(layer, Layout.of(shape), Layout.of(node.shape), kinds, registers):
                yield name, layer.filters, f"{kind}, Winograd", program, work
        elif isinstance(node.layer, Dense):
            inputs, units = shape[0], node.layer.units
            work = 2 * LANES * inputs * units
            yield name, None, "forward", dense.forward(inputs, units, relu=True, registers=registers), work
            yield (
                name,
                None,
                "input gradient",
                dense.backward_input(inputs, units, mask=True, registers=registers),
                work,
            )
            if number in Gradients.of(graph, GROUPS, 1).deferred:
                vectors = dense.padded(inputs) // LANES
                program = dense.backward_weight_slice(inputs, units, vectors, GROUPS, 1, registers=registers)
                yield name, None, f"weight gradient, {GROUPS * LANES} images", program, GROUPS * work
            else:
                yield name, None, "weight gradient", dense.backward_weight(inputs, units, registers=registers), work


def _direct(layer: conv.Conv, x: Layout, y: Layout, first: bool, registers: int) -> Iterator[tuple[str, Program]]:
    bordered_x, bordered_dy = x.with_border(layer.x_border(x, y)), y.with_border(layer.dy_border(x, y))
    yield "forward", conv.forward(layer, bordered_x, y, relu=True, registers=registers)
    # A shortcut that strides lies beside a larger kernel, which adds to its gradient and fills the places that it
    # leaves.
    shortcut = layer.kernel == (1, 1) and layer.stride != (1, 1)
    if not first:
        yield (
            "input gradient",
            conv.backward_input(
                layer, bordered_x, bordered_dy, x, mask=not shortcut, gaps=shortcut, registers=registers
            ),
        )
    yield "weight gradient", conv_weight_gradient.backward_weight(layer, bordered_x, y, registers=registers)


def _by_winograd(
    layer: conv.Conv, x: Layout, y: Layout, kinds: set[str], registers: int
) -> Iterator[tuple[str, Program]]:
    if not kinds:
        return
    bordered_x = x.with_border(layer.x_border(x, y)).with_border(winograd.x_border(layer, x, y))
    bordered_dy = y.with_border(winograd.dy_border(layer, x, y))
    if "forward" in kinds:
        yield "forward", winograd.forward(layer, bordered_x, y, relu=True, registers=registers)
    if "input" in kinds:
        yield (
            "input gradient",
            winograd.backward_input(layer, bordered_x, bordered_dy, x, mask=True, registers=registers),
        )
    if "weight" in kinds:
        yield "weight gradient", winograd_weight_gradient.backward_weight(layer, bordered_x, y, registers=registers)


def _runner(program: Program) -> Callable[[], None]:
    """The program compiled, as a function of nothing: it works on buffers of its own, filled with small numbers."""
    library = Library([program], chosen())
    buffers = [aligned(buffer.scalars) for buffer in program.buffers]
    numbers = np.random.default_rng(0)
    for buffer in buffers:
        buffer[:] = 0.1 * numbers.standard_normal(len(buffer))
    pointers = (ctypes.c_void_p * len(buffers))(*(buffer.ctypes.data for buffer in buffers))
    native = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library.addresses()[0])

    def run(keep: tuple[object, ...] = (library, buffers)) -> None:
        native(pointers)

    return run


if __name__ == "__main__":
    _main(*sys.argv[1:])
