"""How far Winograd's and direct convolution are from float64: `python -m tests.kernels.winograd_error` prints a table.

Weights, gradients and images are drawn from normal distributions; images then go through a ReLU, as most inputs of a
convolution do. An error is the root mean square of the difference, divided by that of the exact result.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lanewise.kernels import conv, conv_weight_gradient, winograd, winograd_weight_gradient
from lanewise.kernels.conv import Conv
from lanewise.kernels.layout import Layout
from lanewise.lanes.program import Program
from tests.kernels.support import Arrays, aligned, buffer, from_lanes, into_lanes, run_native

Array: TypeAlias = npt.NDArray[Any]

SHAPES = [
    *((3, *shape) for shape in [(16, 32), (32, 32), (64, 16), (128, 16), (256, 8), (32, 6), (128, 6)]),
    *((5, *shape) for shape in [(16, 28), (32, 16), (128, 16), (32, 2), (128, 2)]),
]
"""(taps, channels and filters, rows and columns): tiles of 4x4, but for small maps tiles of 2x2."""


class Operands:
    """A convolution with layouts wide enough for all kernels, and its operands in float64."""

    def __init__(self, conv: Conv, shape: tuple[int, int], *, seed: int = 0) -> None:
        (top, left, bottom, right), (u, v) = conv.padding, conv.kernel
        x, y = (
            Layout((conv.channels, *shape)),
            Layout((conv.filters, shape[0] + top + bottom - u + 1, shape[1] + left + right - v + 1)),
        )
        self.conv, self.dx, self.y = conv, x, y
        self.x = x.with_border(winograd.x_border(conv, x, y)).with_border(conv.x_border(x, y))
        self.dy = y.with_border(winograd.dy_border(conv, x, y)).with_border(conv.dy_border(x, y))
        rng = np.random.default_rng(seed)

        def draw(*size: int) -> Array:
            return rng.standard_normal(size).astype(np.float32).astype(np.float64)

        self.images = np.maximum(draw(16, *x.shape), 0)
        scale = np.sqrt(2 / (u * v * conv.channels))
        self.weight = (draw(*conv.weight_shape) * scale).astype(np.float32).astype(np.float64)
        self.bias = [draw(conv.filters)] if conv.bias else []
        self.gradient = draw(16, *y.shape)

    def exact(self) -> tuple[Array, Array, Array, list[Array]]:
        """y, dx, dw and db (if any) in float64: the formula, tap by tap."""
        top, left, bottom, right = self.conv.padding
        padded = np.pad(self.images, ((0, 0), (0, 0), (top, bottom), (left, right)))
        dpadded, dw = np.zeros_like(padded), np.zeros_like(self.weight)
        _, rows, columns = self.y.shape
        y = np.zeros_like(self.gradient)
        for u in range(self.conv.kernel[0]):
            for v in range(self.conv.kernel[1]):
                window = (slice(None), slice(None), slice(u, u + rows), slice(v, v + columns))
                tap = self.weight[:, :, u, v]
                y += np.moveaxis(np.tensordot(tap, padded[window], (1, 1)), 0, 1)
                dpadded[window] += np.moveaxis(np.tensordot(tap, self.gradient, (0, 1)), 0, 1)
                dw[:, :, u, v] = np.tensordot(self.gradient, padded[window], ((0, 2, 3), (0, 2, 3)))
        for bias in self.bias:
            y += bias[:, None, None]
        _, x_rows, x_columns = self.dx.shape
        dx = dpadded[:, :, top : top + x_rows, left : left + x_columns]
        return y, dx, dw, [self.gradient.sum((0, 2, 3)) for _ in self.bias]

    def transformed(self, *, gradient: bool = False) -> Array:
        """The weights as Winograd's kernels take them."""
        program = winograd.transform_weights(self.conv, self.x, self.dy if gradient else self.y, gradient=gradient)
        return run_native(program, [buffer(self.weight), unset(program.buffers[1].scalars)])[1]

    def gradients(self) -> Arrays:
        """Zeros for dw and db."""
        return [aligned(self.weight.size), *(aligned(b.size) for b in self.bias)]


def unset(scalars: int) -> Array:
    """Memory that nobody has written to yet: whoever reads it gets NaN."""
    memory = aligned(scalars)
    memory[:] = np.nan
    return memory


def scratch(program: Program) -> Arrays:
    """The scratch buffers of one of Winograd's programs."""
    return [unset(buffer.scalars) for buffer in program.buffers if buffer.name.startswith("scratch")]


def results(o: Operands) -> tuple[Arrays, Arrays]:
    """(y, dx, dw) by direct convolution, and by Winograd's."""
    x, dy, bias, y, dx = into_lanes(o.images, o.x), into_lanes(o.gradient, o.dy), o.bias, o.y, o.dx
    lanes = [aligned(y.scalars)], [aligned(dx.scalars)]
    weight, biases = [buffer(o.weight)], [buffer(b) for b in bias]
    direct = [
        from_lanes(run_native(conv.forward(o.conv, o.x, y), [x, *weight, *biases, *lanes[0]])[-1], y),
        from_lanes(run_native(conv.backward_input(o.conv, o.x, o.dy, dx), [*weight, dy, *lanes[1]])[-1], dx),
        run_native(conv_weight_gradient.backward_weight(o.conv, o.x, o.dy), [x, dy, *o.gradients()])[2].reshape(
            o.weight.shape
        ),
    ]
    p = winograd.forward(o.conv, o.x, y)
    fast = [from_lanes(run_native(p, [x, o.transformed(), *biases, *scratch(p), *lanes[0]])[-1], y)]
    p = winograd.backward_input(o.conv, o.x, o.dy, dx)
    fast.append(from_lanes(run_native(p, [o.transformed(gradient=True), dy, *scratch(p), *lanes[1]])[-1], dx))
    p = winograd_weight_gradient.backward_weight(o.conv, o.x, o.dy)
    after = run_native(p, [x, dy, *scratch(p), *o.gradients()])
    fast.append(after[2 + len(scratch(p))].reshape(o.weight.shape))
    return direct, fast


def errors(taps: int, channels: int, size: int) -> list[tuple[float, float]]:
    """(direct, Winograd's) error of y, dx and dw for `channels` channels and filters, `size` rows and columns."""
    around = (taps // 2,) * 2
    o = Operands(Conv(channels, channels, (taps, taps), padding=around + around, bias=False), (size, size))
    exact = o.exact()

    def error(came: Array, evaluate: Array) -> float:
        return float(np.sqrt(np.mean((came - evaluate) ** 2) / np.mean(evaluate**2)))

    return [(error(a, e), error(b, e)) for a, b, e in zip(*results(o), exact[:3], strict=True)]


def row(taps: int, channels: int, size: int) -> str:
    """A row of the table in `docs/winograd.md`."""
    cells = [f"{1e7 * direct:.1f} | {1e7 * fast:.1f}" for direct, fast in errors(taps, channels, size)]
    return f"{title(taps, channels, size)}{' | '.join(cells)} |"


def title(taps: int, channels: int, size: int) -> str:
    """How a row of the table begins."""
    return f"| {taps}x{taps}, {channels} to {channels}, {size}x{size} | "


if __name__ == "__main__":
    print("\n".join(row(*shape) for shape in SHAPES))
