"""Labelled images as the engine takes them, and their mean and standard deviation.

Pixels are (N, rows, columns, channels), uint8 or float32, C-contiguous, perhaps mapped from a file. Pixels that were
read from files are followed by at least `SLACK` readable bytes; arrays that a caller hands in are taken as they are.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lanewise.brief import short
from lanewise.data.blocks import in_blocks, on_disk
from lanewise.errors import DataError, TooLargeError
from lanewise.limits import available_memory
from lanewise.notes import Caution

Pixels = npt.NDArray[np.uint8 | np.float32]
Labels = npt.NDArray[np.int32]
Moments = npt.NDArray[np.float64]

SLACK = 64
"""Bytes that may be read after the last pixel: vector code loads whole registers."""

MOST_OF_MEMORY = 0.5
"""The share of the free memory that pixels may take at most."""

_BLOCK = 256  # images at most that are looked at together: so many squares of a byte fit in 32 bits
_BLOCK_BYTES = 2**22  # or so many bytes, which the processor caches: twice as fast for large images


@short
@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Which images belong together, of one specimen, patient or track, so that no split parts them.

    Attributes
    ----------
    numbers : (N,) int64
        The group of each image, a position in `names`.
    names : tuple of str
        What groups are called.
    by : str
        How they were found: the value of `group_by`, or "groups" where an array was given.
    """

    numbers: npt.NDArray[np.int64]
    names: tuple[str, ...]
    by: str

    @property
    def count(self) -> int:
        """How many groups these images are of."""
        return len(np.unique(self.numbers))

    @property
    def told(self) -> str:
        """How they were found, as part of a sentence."""
        return {"folder": "by folder", "similar": "by similarity", "groups": "as given"}.get(self.by, f"by {self.by!r}")

    def take(self, indices: npt.NDArray[np.int64]) -> Groups:
        """Those of some of the images."""
        return replace(self, numbers=self.numbers[indices])

    def to_json(self) -> dict[str, Any]:
        """How images were grouped, as values that JSON can hold."""
        return {"by": self.by, "count": self.count}


def numbered(values: Sequence[object], by: str) -> Groups:
    """Groups in the order of their names, which does not depend on that of the images."""
    distinct = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    number = {value: n for n, value in enumerate(distinct)}
    return Groups(np.array([number[value] for value in values], np.int64), tuple(map(str, distinct)), by)


@short
@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """One set of images.

    Attributes
    ----------
    pixels : (N, rows, columns, channels) uint8 or float32
    labels : (N,) int32, or None
        Positions in `classes`.
    classes : tuple of str
        Names of the classes.
    names : tuple of str
        One file name an image, relative to the folder that was read; empty for arrays.
    skipped : tuple of (name, reason)
        Files that could not be used.
    notes : tuple of str
        Sentences the user should be told.
    resize : str or None
        How images were brought to one size, a word of `resizing.FITS`, to be done alike when predicting; None for
        arrays.
    bits : int
        Of images with more than 8 bits a value, how many are in use in all of the files; see `decode.read_pixels`.
    groups : Groups or None
        Images that no split may part.
    """

    pixels: Pixels
    labels: Labels | None
    classes: tuple[str, ...]
    names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    resize: str | None = None
    bits: int = 16
    groups: Groups | None = None

    def __len__(self) -> int:
        """Count the images."""
        return len(self.pixels)

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of an image."""
        return self.pixels.shape[1], self.pixels.shape[2]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour, any number for arrays."""
        return int(self.pixels.shape[3])

    def counts(self) -> tuple[int, ...]:
        """Count the images of each class; empty without labels."""
        if self.labels is None:
            return ()
        return tuple(np.bincount(self.labels, minlength=len(self.classes)).tolist())

    def without_images(self) -> tuple[str, ...]:
        """Name the classes that have no image here."""
        return tuple(name for name, count in zip(self.classes, self.counts(), strict=True) if count == 0)

    def take(self, indices: npt.NDArray[np.int64]) -> Images:
        """Copy the images at `indices`, in that order."""
        return replace(
            self,
            pixels=taken(self.pixels, indices),
            labels=None if self.labels is None else self.labels[indices],
            names=tuple(self.names[n] for n in indices) if self.names else (),
            groups=None if self.groups is None else self.groups.take(indices),
        )

    def name(self, n: int) -> str:
        """The file name of image `n`, or its position in an array."""
        return self.names[n] if self.names else f"image {n}"

    def matching(self, pattern: str) -> Images:
        """Copy the images whose file name, with or without its folders, matches a shell pattern like `street-*`."""
        if not self.names:
            raise DataError(f"the pattern {pattern!r} can only choose files, but these images came as arrays")
        chosen = [
            n
            for n, name in enumerate(self.names)
            if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.rpartition("/")[2], pattern)
        ]
        if not chosen:
            raise DataError(f"none of {len(self.names)} files matches {pattern!r}; one of them is {self.names[0]!r}")
        return self.take(np.array(chosen, np.int64))


@short
@dataclass(frozen=True, slots=True, eq=False)
class ImageSets:
    """Training, validation and test set; all with the same classes and shape."""

    train: Images
    validation: Images | None = None
    test: Images | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes about all sets, each once: sets split from one another share them."""
        return tuple(dict.fromkeys(note for part in self.parts.values() for note in part.notes))

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """(name, reason) of all files that could not be used."""
        return tuple(dict.fromkeys(pair for part in self.parts.values() for pair in part.skipped))

    @property
    def parts(self) -> dict[str, Images]:
        """The sets that there are, by name."""
        return {name: part for name in ("train", "validation", "test") if (part := getattr(self, name)) is not None}


def with_missing_told(sets: ImageSets) -> ImageSets:
    """Add a note to each set in which a class has no image."""
    told: dict[str, Images] = {}
    for name, part in sets.parts.items():
        if missing := part.without_images():
            note = Caution(f"the {name} set holds no image of {', '.join(map(repr, missing))}")
            told[name] = replace(part, notes=(*part.notes, note))
    return replace(sets, **told)


def taken(pixels: Pixels, indices: npt.NDArray[np.int64]) -> Pixels:
    """Copy the images at `indices`, in that order."""
    copy = empty_pixels((len(indices), *pixels.shape[1:]), pixels.dtype)
    for start in range(0, len(indices), _BLOCK):
        copy[start : start + _BLOCK] = pixels[indices[start : start + _BLOCK]]
    return copy


def empty_pixels(shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint8) -> Pixels:
    """Allocate pixels with `SLACK` bytes after the last one, which belong to the same memory.

    What would take more than `MOST_OF_MEMORY` of the memory that is free lies in a file that the system may write to
    and read from, as decoded images do.
    """
    count = math.prod(shape) * np.dtype(dtype).itemsize
    free = available_memory()
    memory = on_disk(count + SLACK) if free is not None and count > MOST_OF_MEMORY * free else None
    if free is not None and count > free and memory is None:
        raise TooLargeError(
            f"{shape[0]:,} images of {shape[1]}x{shape[2]}x{shape[3]} need {count / 2**30:,.1f} GB, more than the "
            f"{free / 2**30:,.1f} GB of memory that are free: make room in the cache folder, or choose a smaller size"
        )
    if memory is None:
        memory = np.empty(count + SLACK, np.uint8)
    memory[count:] = 0
    return memory[:count].view(dtype).reshape(shape)


def statistics(pixels: Pixels, indices: npt.NDArray[np.int64] | None = None) -> tuple[Moments, Moments]:
    """Mean and standard deviation of each channel.

    The sums are exact for uint8 and have a fixed order for float32, so the same pixels give the same bits
    everywhere. Pixels are visited in blocks: those mapped from a file are never all in memory.

    Parameters
    ----------
    pixels : (N, rows, columns, channels) uint8 or float32
    indices : (n,) integers, optional
        Only these images.

    Returns
    -------
    mean, std : (channels,) float64
        The standard deviation of a channel that never changes is given as 1, so that dividing by it is safe.
    """
    chosen = np.arange(len(pixels)) if indices is None else indices
    channels = pixels.shape[3]
    # Squares of the distance from some pixel's value, not from 0: nothing cancels where the mean is large.
    shift = np.zeros(channels) if pixels.dtype == np.uint8 else pixels[chosen[0], 0, 0].astype(np.float64)
    total: list[float] = [0] * channels
    squares: list[float] = [0] * channels
    together = min(max(_BLOCK_BYTES // pixels[0].nbytes, 1), _BLOCK)

    def sums_of(start: int, stop: int) -> list[tuple[float, float]]:
        here = chosen[start:stop]
        block = pixels[here[0] : here[-1] + 1] if (np.diff(here) == 1).all() else pixels[here]
        sums, square_sums = _block_sums(block, shift)
        return [(_total(sums[:, :, c]), _total(square_sums[:, :, c])) for c in range(channels)]

    for sums in in_blocks(sums_of, len(chosen), together):
        for c, (one, square) in enumerate(sums):
            total[c] += one
            squares[c] += square
    count = len(chosen) * pixels.shape[1] * pixels.shape[2]
    mean = np.array([total[c] / count for c in range(channels)])
    variance = np.array([(squares[c] * count - total[c] ** 2) / count**2 for c in range(channels)])
    std = np.sqrt(np.maximum(variance, 0.0))
    return mean + shift, np.where(std > 0.0, std, 1.0)


def _block_sums(block: Pixels, shift: Moments) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    """Sums over images, apart for each place in an image, of the values and of their squares."""
    if np.issubdtype(block.dtype, np.integer):
        wide = block.astype(np.uint16)
        return block.sum(axis=0, dtype=np.uint32), (wide * wide).sum(axis=0, dtype=np.uint32)
    distance = block - shift
    return distance.sum(axis=0), (distance * distance).sum(axis=0)


def _total(values: npt.NDArray[np.generic]) -> float:
    """The sum of all values, exact: of whole numbers as a whole number, of others rounded once."""
    if np.issubdtype(values.dtype, np.integer):
        return int(values.sum(dtype=np.uint64))
    return math.fsum(values.ravel().tolist())
