"""Winograd's transforms: a row of taps slides over a row of inputs, with fewer multiplications than taps.

For a tile of m outputs and t taps, with n = m + t - 1 points, F(m, t):

    y  = A^T [(G g) * (B^T d)]      d: n inputs, g: t taps, y: m outputs, * value by value
    dg = G^T [(A dy) * (B^T d)]     the same read backwards: the gradient of the taps

Points are the numbers at which the polynomials with coefficients g and y are evaluated: 0, pairs p and -p, and
infinity, which takes the last coefficient. F(2, 3) has the pair 1, and transforms written out for it. F(4, 3) and
F(2, 5) have the pairs a = 5/8, b = 3/2, and so the same B^T; F(4, 5) has the pairs 1/2, 1, 2. All powers of these are
exact in float32, and since the product of the pairs is about 1 no point's products are large and then cancelled:
measured in two dimensions, the error of a = 5/8, b = 3/2 is half of that with the usual 1, 2 (`docs/winograd.md`).

A transform of two dimensions is one of all columns, then one of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import prod

from lanewise.lanes.program import Recorder, Value

Row = list[Value]
Grid = list[list[Value]]
Transform = Callable[[Recorder, Row], Row]


def _pair(k: Recorder, point: float, odd: Value, even: Value) -> Row:
    """Values at point and -point of a polynomial: even + point * odd, even - point * odd."""
    return [k.apply("fma", point, odd, even), k.apply("fma", -point, odd, even)]


def _horner(k: Recorder, x: float, c: Row) -> Value:
    """c[0] + c[1] x + c[2] x^2 + ..."""
    *others, value = c
    for coefficient in reversed(others):
        value = k.apply("fma", x, value, coefficient)
    return value


def _weighted(k: Recorder, weights: Sequence[float], row: Row, rest: Value | None = None) -> Value:
    """The sum of the row's values, weighted, and `rest`; from the last to the first."""
    pairs = list(zip(weights, row, strict=True))
    if rest is None:
        weight, value = pairs.pop()
        rest = value if weight == 1 else value * weight
    for weight, value in reversed(pairs):
        rest = k.apply("fma", weight, value, rest)
    return rest


def _sums_and_differences(row: Row) -> tuple[Row, Row]:
    """Of the values at p and at -p, for all pairs."""
    couples = list(pairwise(row[1:-1]))[::2]
    return [a + b for a, b in couples], [a - b for a, b in couples]


@dataclass(frozen=True, slots=True)
class Points:
    """The points 0, p and -p for all p of `pairs`, infinity; and the transforms that belong to them."""

    pairs: tuple[float, ...]

    def factor(self, pair: float | None = None) -> float:
        """1 over the product of a point's distances to the others: it goes to the weights, so that B^T never divides.

        Of the point 0, or of `pair` and -`pair`.
        """
        if pair is None:
            return 1 / prod(-(q**2) for q in self.pairs)
        return 1 / (2 * pair**2 * prod(pair**2 - q**2 for q in self.pairs if q != pair))

    def _factors(self) -> list[float]:
        return [self.factor(p) for p in self.pairs]

    def _vanishing(self, but: float | None = None) -> list[float]:
        """Coefficients of the product of all x^2 - p^2 but one, as a polynomial in x^2: it is zero at these points."""
        coefficients = [1.0]
        for p in self.pairs:
            if p != but:
                shifted, scaled = [0.0, *coefficients], [-(p**2) * c for c in coefficients] + [0.0]
                coefficients = [a + b for a, b in zip(shifted, scaled, strict=True)]
        return coefficients

    def analyse(self, k: Recorder, d: Row) -> Row:
        """B^T."""
        first = _weighted(k, self._vanishing(), d[:-1:2])
        last = _weighted(k, self._vanishing(), d[1::2])
        odd, even = d[1:-2:2], d[2:-1:2]
        at_pairs = [(p, self._vanishing(p)) for p in self.pairs]
        return [
            first,
            *(v for p, c in at_pairs for v in _pair(k, p, _weighted(k, c, odd), _weighted(k, c, even))),
            last,
        ]

    def evaluate(self, k: Recorder, c: Row) -> Row:
        """A, and but for the factors of the points G: the polynomial with coefficients c at all points."""
        odd, even = c[1::2], c[0::2]
        at_pairs = (_pair(k, p, _horner(k, p**2, odd), _horner(k, p**2, even)) for p in self.pairs)
        return [c[0], *(value for pair in at_pairs for value in pair), c[-1]]

    def weigh(self, k: Recorder, g: Row) -> Row:
        """G."""
        first, *at_pairs, last = self.evaluate(k, g)
        factors = [factor for factor in self._factors() for _ in range(2)]
        return [first * self.factor(), *(v * factor for v, factor in zip(at_pairs, factors, strict=True)), last]

    def synthesise(self, outputs: int, k: Recorder, m: Row) -> Row:
        """A^T.

        Parameters
        ----------
        outputs : int
            Of a tile, along this axis.
        k : Recorder
        m : list of Value
            The products at all points.
        """
        sums, differences = _sums_and_differences(m)
        y = [sum(sums, m[0])]
        for n in range(1, outputs):
            powers = [p**n for p in self.pairs]
            y.append(_weighted(k, powers, differences if n % 2 else sums, m[-1] if n == outputs - 1 else None))
        return y

    def collect(self, taps: int, k: Recorder, s: Row) -> Row:
        """G^T.

        Parameters
        ----------
        taps : int
            Of the kernel, along this axis.
        k : Recorder
        s : list of Value
            The sums of products at all points.
        """
        sums, differences = _sums_and_differences(s)
        dg = [_weighted(k, [self.factor(), *self._factors()], [s[0], *sums])]
        for n in range(1, taps):
            powers = [p**n * factor for p, factor in zip(self.pairs, self._factors(), strict=True)]
            dg.append(_weighted(k, powers, differences if n % 2 else sums, s[-1] if n == taps - 1 else None))
        return dg


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
    taps: int
    analyse: Transform  # B^T: inputs to points
    weigh: Transform  # G: taps to points
    synthesise: Transform  # A^T: points to outputs
    spread: Transform  # A: gradients of the outputs to points
    collect: Transform  # G^T: points to gradients of the taps

    @property
    def points(self) -> int:
        """How many points a tile has: as many as inputs that it reads."""
        return self.outputs + self.taps - 1

    def tiles(self, size: int) -> int:
        """How many tiles cover `size` outputs; the last may stick out."""
        return -(-size // self.outputs)


def _scheme(points: Points, outputs: int, taps: int) -> Scheme:
    assert outputs + taps == 2 * len(points.pairs) + 3
    return Scheme(
        outputs,
        taps,
        points.analyse,
        points.weigh,
        partial(points.synthesise, outputs),
        points.evaluate,
        partial(points.collect, taps),
    )


SIX_POINTS = Points((5 / 8, 3 / 2))
EIGHT_POINTS = Points((1 / 2, 1.0, 2.0))

F2 = Scheme(2, 3, _analyse2, _weigh2, _synthesise2, _spread2, _collect2)
F4 = _scheme(SIX_POINTS, 4, 3)
F2_5 = _scheme(SIX_POINTS, 2, 5)
F4_5 = _scheme(EIGHT_POINTS, 4, 5)

SCHEMES = {3: (F2, F4), 5: (F2_5, F4_5)}
"""By number of taps, the more exact first."""


def both_axes(k: Recorder, along_columns: Transform, along_rows: Transform, grid: Grid) -> Iterator[Row]:
    """Transform each column of `grid`, then each row of what came out, when it is asked for.

    Whoever stores a row before asking for the next keeps all of them from waiting in registers.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    along_columns, along_rows : Transform
    grid : rows of Value
        All of one length.
    """
    columns = [along_columns(k, list(column)) for column in zip(*grid, strict=True)]
    for row in zip(*columns, strict=True):
        yield along_rows(k, list(row))
