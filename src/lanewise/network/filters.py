"""Hand-made filters: the small kernels that described images before networks learned their own.

`fixed sobel+blur` in the text of a network is a bank of them, applied to every channel. Weights meet pixels as they lie
here, unflipped: [[-1, 0, 1]] answers where it gets brighter to the right. Those that tell of edges add up to 0, so even
areas give nothing, and their positive weights to about 4; the others add up to 1 and keep the brightness. Cosines, like
those of `dct3`, are not hand-made: they are a basis in which any kernel can be written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lanewise.errors import NetworkError

Kernel = npt.NDArray[np.float32]
"""(rows, columns)."""


def _kernel(rows: Sequence[Sequence[float]], divisor: float = 1.0) -> Kernel:
    return np.asarray(np.array(rows) / divisor, np.float32)


def identity() -> dict[str, Kernel]:
    """The image itself, so that a bank may hand it on beside what it found."""
    return {"identity": _kernel([[1]])}


def blur() -> dict[str, Kernel]:
    """The mean of 3x3 pixels, the box filter (Gonzalez and Woods, "Digital Image Processing", on smoothing)."""
    return {"blur": _kernel(np.ones((3, 3)).tolist(), 9)}


def gaussian() -> dict[str, Kernel]:
    """A bell by binomial numbers (Burt and Adelson 1983, "The Laplacian Pyramid as a Compact Image Code")."""
    return {"gaussian": _kernel([[1, 2, 1], [2, 4, 2], [1, 2, 1]], 16)}


def sharpen() -> dict[str, Kernel]:
    """The image less its Laplacian (Gonzalez and Woods, "Digital Image Processing", on sharpening)."""
    return {"sharpen": _kernel([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])}


def emboss() -> dict[str, Kernel]:
    """The image as a relief lit from the upper left: the filter of that name in image editors."""
    return {"emboss": _kernel([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])}


def sobel() -> dict[str, Kernel]:
    """Gradient to the right and downward (Sobel and Feldman 1968, "A 3x3 Isotropic Gradient Operator")."""
    return _gradients("sobel", [1, 2, 1], 1)


def prewitt() -> dict[str, Kernel]:
    """Gradient without weight on the middle (Prewitt 1970, "Object Enhancement and Extraction")."""
    return _gradients("prewitt", [1, 1, 1], 1)


def scharr() -> dict[str, Kernel]:
    """Gradient whose direction is truest (Scharr 2000, "Optimale Operatoren in der Digitalen Bildverarbeitung").

    Divided by 4, so that it answers to a step as Sobel's does.
    """
    return _gradients("scharr", [3, 10, 3], 4)


def laplacian() -> dict[str, Kernel]:
    """The sum of both second derivatives: points and lines (Marr and Hildreth 1980, "Theory of Edge Detection")."""
    return {"laplacian": _kernel([[0, 1, 0], [1, -4, 1], [0, 1, 0]])}


def gabor() -> dict[str, Kernel]:
    """Stripes under a bell, in four directions, as cells of the visual cortex like them best.

        g(x, y) = exp(-(x^2 + y^2) / (2 s^2)) * (cos(2 pi (x cos a + y sin a) / w) - c)

    with waves of w = 4 pixels along the angles a = 0, 45, 90 and 135 degrees (y is down: 0 are upright stripes), s =
    0.39 w, which is a bandwidth of 1.5 octaves, c such that even areas give 0, and positive weights that add up to 4.
    Daugman 1985, "Uncertainty relation for resolution in space, spatial frequency, and orientation optimized by
    two-dimensional visual cortical filters".
    """
    return {f"gabor {angle}°": _stripes(angle) for angle in (0, 45, 90, 135)}


def _gradients(name: str, across: Sequence[float], divisor: float) -> dict[str, Kernel]:
    x = _kernel([[-weight, 0, weight] for weight in across], divisor)
    return {f"{name} x": x, f"{name} y": np.ascontiguousarray(x.T)}


def _stripes(degrees: int) -> Kernel:
    wave, angle = 4.0, math.radians(degrees)
    spread = 0.39 * wave
    places = [(x, y) for y in range(-2, 3) for x in range(-2, 3)]
    bell = [math.exp(-(x * x + y * y) / (2 * spread * spread)) for x, y in places]
    stripes = [math.cos(2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / wave) for x, y in places]
    mean = sum(b * s for b, s in zip(bell, stripes, strict=True)) / sum(bell)
    values = [b * (s - mean) for b, s in zip(bell, stripes, strict=True)]
    positive = sum(value for value in values if value > 0)
    # Whole numbers of 4096ths: the same with every mathematical library, and their sum is exactly 0.
    parts = [round(4 * 4096 * value / positive) for value in values]
    parts[12] -= sum(parts)
    return np.array(parts, np.float32).reshape(5, 5) / np.float32(4096)


def dct(size: int) -> dict[str, Kernel]:
    """The waves of the discrete cosine transform (DCT-II) of size x size pixels: of length 1, at right angles.

        a(u) a(v) cos(pi u (r + 1/2) / size) cos(pi v (c + 1/2) / size),    a(0)^2 = 1 / size, otherwise 2 / size

    with u waves down and v to the right. Every kernel of that size is a sum of them, so a convolution by them and a 1x1
    convolution behind it are together any convolution: a harmonic block (Ulicny, Krylov and Dahyot 2022, "Harmonic
    convolutional networks based on discrete cosine transform", Pattern Recognition 129).

    Parameters
    ----------
    size : int
        Rows and columns.
    """
    waves = [_wave(size, u) for u in range(size)]
    return {
        f"dct {u},{v}": np.outer(down, right).astype(np.float32)
        for u, down in enumerate(waves)
        for v, right in enumerate(waves)
    }


def _wave(size: int, u: int) -> npt.NDArray[np.float64]:
    """In whole 4096ths, the same with every mathematical library; those of a wave, not of a mean, add up to 0."""
    length = math.sqrt((1 if u == 0 else 2) / size)
    parts = [round(4096 * length * math.cos(math.pi * u * (r + 0.5) / size)) for r in range(size)]
    if u:  # where the number is odd, the middle takes what rounding left; else both sides cancel, or the two of it do
        left = sum(parts)
        parts[size // 2] -= left - left // 2
        parts[(size - 1) // 2] -= left // 2
    return np.array(parts) / 4096


HAND_MADE: dict[str, dict[str, Kernel]] = {
    make.__name__: make()
    for make in (identity, blur, gaussian, sharpen, emboss, sobel, prewitt, scharr, laplacian, gabor)
}
"""What described images before networks learned filters of their own, which a learned one may resemble."""

COSINES = {f"dct{size}": size for size in range(2, 9)}
"""Name of a bank of cosines -> its rows and columns."""

BANKS: dict[str, dict[str, Kernel]] = HAND_MADE | {name: dct(size) for name, size in COSINES.items()}
"""Name in the text of a network -> its filters, by a label for people."""


def labels(names: Iterable[str]) -> tuple[str, ...]:
    """What the filters of a bank are called, in its order: ("sobel x", "sobel y", "blur") for sobel and blur.

    Raises
    ------
    NetworkError
        There is no bank of such a name; the message lists those that are.
    """
    return tuple(_filters(names))


def bank(names: Iterable[str]) -> npt.NDArray[np.float32]:
    """The filters of some names, one after the other.

    Parameters
    ----------
    names : iterable of str
        Keys of `BANKS`.

    Returns
    -------
    float32 array (filters, rows, columns)
        In the order of `labels`. All are as large as the largest: zeros are put around the others.

    Raises
    ------
    NetworkError
        As `labels` does.
    """
    kernels = list(_filters(names).values())
    rows, columns = (max(kernel.shape[axis] for kernel in kernels) for axis in (0, 1))
    return np.stack([_amid(kernel, rows, columns) for kernel in kernels])


def _filters(names: Iterable[str]) -> dict[str, Kernel]:
    chosen = tuple(names)
    unknown = [name for name in chosen if name not in BANKS]
    if unknown or not chosen:
        raise NetworkError(f"there are no fixed filters {', '.join(map(repr, unknown))}; known are {', '.join(BANKS)}")
    return {label: kernel for name in chosen for label, kernel in BANKS[name].items()}


def _amid(kernels: npt.NDArray[Any], rows: int, columns: int) -> npt.NDArray[Any]:
    """Kernels (..., rows, columns) in the middle of zeros."""
    above, before = (rows - kernels.shape[-2]) // 2, (columns - kernels.shape[-1]) // 2
    below, behind = rows - kernels.shape[-2] - above, columns - kernels.shape[-1] - before
    return np.pad(kernels, [(0, 0)] * (kernels.ndim - 2) + [(above, below), (before, behind)])


@dataclass(frozen=True, slots=True, eq=False)
class Resemblance:
    """The fixed filter that a kernel is most like.

    Attributes
    ----------
    label : str
        Like "sobel x".
    turns : int
        Quarter turns, counter-clockwise, that bring the filter to look like the kernel, 0 to 3.
    negative : bool
        Whether all its signs must be changed as well.
    score : float
        From 0, nothing in common, to 1, the same but for its strength. Its square is the share of the kernel that the
        filter explains: of the sum of its squared weights.
    filter : float32 array (rows, columns)
        The filter turned, its signs changed, and laid where it fits best; of the kernel's size, unless it is larger.
    """

    label: str
    turns: int
    negative: bool
    score: float
    filter: Kernel

    def __str__(self) -> str:
        """In words: "sobel x, negative" or "emboss, turned by 90°"."""
        turned = [f"turned by {90 * self.turns}°"] if self.turns else []
        return ", ".join([self.label, *turned, *["negative"] * self.negative])


def resembles(kernels: npt.ArrayLike) -> tuple[Resemblance, ...]:
    """For each kernel the hand-made filter that it is most like, whatever its strength, sign, place and quarter turn.

    The score is the cosine of the angle between kernel and filter. Among so many filters chance alone finds some: of
    3x3 kernels of random numbers half score above 0.66 and one in twenty above 0.83, of 5x5 ones 0.51 and 0.64.

    Parameters
    ----------
    kernels : array (n, rows, columns)
        Of a convolution that sees several channels, a kernel is what one filter does with one channel.

    Returns
    -------
    tuple of Resemblance
        One for each kernel. Of a kernel of zeros the score is 0.
    """
    given = np.asarray(kernels, np.float64)
    if given.ndim != 3 or 0 in given.shape[1:]:
        raise ValueError(f"kernels are an array (n, rows, columns), not one of shape {given.shape}")
    candidates = list(_candidates(given.shape[1], given.shape[2]))
    cosines = np.stack([_cosines(given, candidate.filter) for candidate in candidates])
    found = []
    for column, best in zip(cosines.T, np.abs(cosines).round(9).argmax(axis=0), strict=True):
        one, cosine = candidates[best], float(column[best])
        filter_ = 0 - one.filter if cosine < 0 else one.filter
        found.append(replace(one, negative=cosine < 0, score=min(1.0, abs(cosine)), filter=filter_))
    return tuple(found)


def _cosines(kernels: npt.NDArray[np.float64], laid: Kernel) -> npt.NDArray[np.float64]:
    """For each kernel the cosine between it and a filter, which may be larger; 0 for a kernel of zeros."""
    amid = _amid(kernels, *laid.shape).reshape(len(kernels), laid.size)
    lengths = np.linalg.norm(amid, axis=1) * np.linalg.norm(laid)
    return np.asarray(np.divide(amid @ laid.ravel(), lengths, out=np.zeros(len(amid)), where=lengths > 0))


def _candidates(rows: int, columns: int) -> Iterator[Resemblance]:
    """Every filter, first as it is and then turned, at every place in a kernel of this size."""
    seen: list[Kernel] = []
    for turns in range(4):
        for label, kernel in _filters(HAND_MADE).items():
            turned = np.ascontiguousarray(np.rot90(kernel, turns))
            if not any(turned.shape == old.shape and _same_but_for_sign(turned, old) for old in seen):
                seen.append(turned)
                yield from (Resemblance(label, turns, False, 0.0, laid) for laid in _laid(turned, rows, columns))


def _same_but_for_sign(one: Kernel, other: Kernel) -> bool:
    return np.array_equal(one, other) or np.array_equal(one, -other)


def _laid(kernel: Kernel, rows: int, columns: int) -> Iterator[Kernel]:
    """The filter at every place where it fits into a kernel of this size; in the middle first."""
    high, wide = max(rows, kernel.shape[0]), max(columns, kernel.shape[1])
    above, before = high - kernel.shape[0], wide - kernel.shape[1]
    places = [(r, c) for r in range(above + 1) for c in range(before + 1)]
    for r, c in sorted(places, key=lambda place: abs(2 * place[0] - above) + abs(2 * place[1] - before)):
        yield np.pad(kernel, ((r, above - r), (c, before - c)))
