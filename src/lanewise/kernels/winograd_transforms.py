"""Winograd's transforms: a row of 3 taps slides over a row of inputs, with fewer multiplications than taps.

For a tile of m outputs, with n = m + 2 points:

    y  = A^T [(G g) * (B^T d)]      d: n inputs, g: 3 taps, y: m outputs, * value by value
    dg = G^T [(A dy) * (B^T d)]     the same read backwards: the slope of the taps

Points are the numbers at which the polynomials with coefficients g and y are evaluated; infinity takes the last
coefficient. F(2, 3) has 0, 1, -1, infinity and F(4, 3) has 0, a, -a, b, -b, infinity with a = 5/8, b = 3/2. All
powers of these are exact in float32, and since a b is about 1 no point's products are large and then cancelled:
measured in two dimensions, the error is half of that with the usual a = 1, b = 2 (`docs/winograd.md`).

A transform of two dimensions is one of all columns, then one of all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lanewise.lanes.program import Recorder, Value

Row = list[Value]
Grid = list[list[Value]]
Transform = Callable[[Recorder, Row], Row]

TAPS = 3

A, B = 5 / 8, 3 / 2
A2, B2, A3, B3 = A**2, B**2, A**3, B**3
G_0, G_A, G_B = 1 / (A2 * B2), 1 / (2 * A2 * (A2 - B2)), 1 / (2 * B2 * (B2 - A2))
"""1 over the product of a point's distances to the others: it goes to the weights, so that B^T needs no division."""


def _pair(k: Recorder, point: float, odd: Value, even: Value) -> Row:
    """Values at point and -point of a polynomial: even + point * odd, even - point * odd."""
    return [k.apply("fma", point, odd, even), k.apply("fma", -point, odd, even)]


def _analyse4(k: Recorder, d: Row) -> Row:
    first = k.apply("fma", A2 * B2, d[0], k.apply("fma", -(A2 + B2), d[2], d[4]))
    at_a = _pair(k, A, k.apply("fma", -B2, d[1], d[3]), k.apply("fma", -B2, d[2], d[4]))
    at_b = _pair(k, B, k.apply("fma", -A2, d[1], d[3]), k.apply("fma", -A2, d[2], d[4]))
    last = k.apply("fma", A2 * B2, d[1], k.apply("fma", -(A2 + B2), d[3], d[5]))
    return [first, *at_a, *at_b, last]


def _weigh4(k: Recorder, g: Row) -> Row:
    at_a = _pair(k, A, g[1], k.apply("fma", A2, g[2], g[0]))
    at_b = _pair(k, B, g[1], k.apply("fma", B2, g[2], g[0]))
    return [g[0] * G_0, at_a[0] * G_A, at_a[1] * G_A, at_b[0] * G_B, at_b[1] * G_B, g[2]]


def _synthesise4(k: Recorder, m: Row) -> Row:
    even_a, odd_a, even_b, odd_b = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    return [
        m[0] + even_a + even_b,
        k.apply("fma", A, odd_a, odd_b * B),
        k.apply("fma", A2, even_a, even_b * B2),
        k.apply("fma", A3, odd_a, k.apply("fma", B3, odd_b, m[5])),
    ]


def _spread4(k: Recorder, dy: Row) -> Row:
    at_a = _pair(k, A, k.apply("fma", A2, dy[3], dy[1]), k.apply("fma", A2, dy[2], dy[0]))
    at_b = _pair(k, B, k.apply("fma", B2, dy[3], dy[1]), k.apply("fma", B2, dy[2], dy[0]))
    return [dy[0], *at_a, *at_b, dy[3]]


def _collect4(k: Recorder, s: Row) -> Row:
    even_a, odd_a, even_b, odd_b = s[1] + s[2], s[1] - s[2], s[3] + s[4], s[3] - s[4]
    return [
        k.apply("fma", G_0, s[0], k.apply("fma", G_A, even_a, even_b * G_B)),
        k.apply("fma", G_A * A, odd_a, odd_b * (G_B * B)),
        k.apply("fma", G_A * A2, even_a, k.apply("fma", G_B * B2, even_b, s[5])),
    ]


def _analyse2(k: Recorder, d: Row) -> Row:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[3] - d[1]]


def _weigh2(k: Recorder, g: Row) -> Row:
    even = g[0] + g[2]
    return [g[0], (even + g[1]) * 0.5, (even - g[1]) * 0.5, g[2]]


def _synthesise2(k: Recorder, m: Row) -> Row:
    return [m[0] + m[1] + m[2], m[1] - m[2] + m[3]]


def _spread2(k: Recorder, dy: Row) -> Row:
    return [dy[0], dy[0] + dy[1], dy[0] - dy[1], dy[1]]


def _collect2(k: Recorder, s: Row) -> Row:
    even, odd = s[1] + s[2], s[1] - s[2]
    return [k.apply("fma", 0.5, even, s[0]), odd * 0.5, k.apply("fma", 0.5, even, s[3])]


@dataclass(frozen=True, slots=True)
class Scheme:
    """One axis of Winograd's convolution: tiles of `outputs`, and the five matrices as kernels that apply them."""

    outputs: int
    analyse: Transform  # B^T: inputs to points
    weigh: Transform  # G: taps to points
    synthesise: Transform  # A^T: points to outputs
    spread: Transform  # A: slopes of the outputs to points
    collect: Transform  # G^T: points to slopes of the taps

    @property
    def points(self) -> int:
        """How many points a tile has: as many as inputs that it reads."""
        return self.outputs + TAPS - 1

    def tiles(self, size: int) -> int:
        """How many tiles cover `size` outputs; the last may stick out."""
        return -(-size // self.outputs)


F2 = Scheme(2, _analyse2, _weigh2, _synthesise2, _spread2, _collect2)
F4 = Scheme(4, _analyse4, _weigh4, _synthesise4, _spread4, _collect4)


def both_axes(k: Recorder, along_columns: Transform, along_rows: Transform, grid: Grid) -> Grid:
    """Transform each column of `grid`, then each row of what came out."""
    columns = [along_columns(k, list(column)) for column in zip(*grid, strict=True)]
    return [along_rows(k, list(row)) for row in zip(*columns, strict=True)]
