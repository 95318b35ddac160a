"""How an image is changed while it is gathered: drawn anew for each image and epoch, by the generator of `random.py`.

Shifts by whole pixels and mirrored images are exact. As soon as images are zoomed or rotated, one affine map does all
that is geometric, and pixels between four others are interpolated. It maps the place (r, c) of the result, counted
from the image's centre, to a place of the source:

    r' = cos t * h_r * s_r * r - sin t * h_c * s_c * c + m_r
    c' = sin t * h_r * s_r * r + cos t * h_c * s_c * c + m_c

where t is the angle, h the share of the rows and columns that is shown, s -1 in mirrored images and 1 in others, and m
the centre of the part that is shown, plus the shift. Places outside the image take the nearest pixel of its edge.

Colours are changed by factors around 1, for brightness b, contrast k and saturation s:

    y[i] = k * (scale[i] * b * (grey + s * (raw[i] - grey)) + offset[i])

where grey is the mean of the pixel's channels. So contrast changes about the value that the network takes as 0: the
mean of the training set, where pixels are standardised. An erased rectangle is filled with that value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from math import pi, sqrt

from lanewise.kernels import random
from lanewise.kernels.functions import sine_and_cosine
from lanewise.lanes.program import Buffer, Index, Operand, Recorder, Value

LAST = 2**32
SHIFT_PLACES = (LAST - 1, LAST - 2)
FLIP_PLACES = (LAST - 3, LAST - 4)
ZOOM_PLACES = (LAST - 5, LAST - 6)
CENTRE_PLACES = (LAST - 7, LAST - 8)
ERASED_SIZE_PLACES = (LAST - 9, LAST - 10)
ERASED_FIRST_PLACES = (LAST - 11, LAST - 12)
MIX_PLACES = (LAST - 17, LAST - 18)
CUT_SIZE_PLACES = (LAST - 19, LAST - 20)
CUT_FIRST_PLACES = (LAST - 21, LAST - 22)
ROTATION_PLACE, BRIGHTNESS_PLACE, CONTRAST_PLACE, SATURATION_PLACE = (LAST - n for n in range(13, 17))
"""Places of the random numbers; pairs are for rows and columns. The last there are: dropout does not get to them."""

NARROWEST = 0.75
"""Zooming shows no smaller a share of the rows than this times that of the columns, nor the other way round."""


@dataclass(frozen=True, slots=True)
class Augment:
    """How images may be changed while they are gathered.

    Attributes
    ----------
    shift_rows, shift_columns : int
        Whole pixels, from -shift to shift, all equally likely.
    flip_rows, flip_columns : bool
        Whether every other image, by chance, is mirrored.
    zoom : float
        Rows and columns are enlarged by up to this factor, each by its own: a part of the image is shown.
    rotate : float
        Degrees, to both sides.
    brightness, contrast, saturation : float
        Factors are between 1 - this and 1 + this. For saturation, images have 3 channels.
    erase : float
        Share of the image that the largest of the rectangles covers that are erased.
    mixup, cutmix : float
        Share that another image gets of this one at most, and of its label (`mixing.py`): all over, or in a rectangle.
    alternating : bool
        Whether images are mirrored in every other epoch, of which chance chooses the first, instead of each time by
        chance.
    """

    shift_rows: int = 0
    shift_columns: int = 0
    flip_rows: bool = False
    flip_columns: bool = False
    zoom: float = 1.0
    rotate: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    alternating: bool = False

    @property
    def record(self) -> dict[str, int | float]:
        """The changes that are made, by name."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) != one.default}

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with others."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def alone(self) -> Augment | None:
        """What is done to each image by itself, if anything."""
        without = replace(self, mixup=0.0, cutmix=0.0)
        return None if without == Augment() else without

    @property
    def interpolates(self) -> bool:
        """Whether pixels come to lie between others."""
        return self.zoom > 1 or self.rotate > 0


class Mirrored:
    """Which lanes' images are mirrored.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    numbers : random.Stream
    key : Buffer
        int32: (seed, epoch).
    images : Value
        int32: the number of each lane's image.
    alternating : bool
        Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU": in two epochs, each image is seen both ways.
    """

    def __init__(self, k: Recorder, numbers: random.Stream, key: Buffer, images: Value, alternating: bool) -> None:
        self.k, self.numbers = k, random.stream(k, key, images, 0) if alternating else numbers
        self.turn = k.apply("shl", key[1], 31) if alternating else None

    def bits(self, axis: int) -> Value:
        """32 bits, the first of which says whether rows, or columns, are mirrored."""
        drawn = random.bits(self.k, self.numbers, self.k.integer(FLIP_PLACES[axis]))
        return drawn if self.turn is None else self.k.apply("ixor", drawn, self.turn)


class AffineMap:
    """A walk over the pixels of the result that says where each lies in the source, in each lane.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    numbers : random.Stream
    mirrored : Mirrored
    size : (rows, columns)
    augment : Augment
    """

    def __init__(
        self, k: Recorder, numbers: random.Stream, mirrored: Mirrored, size: tuple[int, int], augment: Augment
    ) -> None:
        self.k, self.size = k, size
        shifts = (augment.shift_rows, augment.shift_columns)
        flips = (augment.flip_rows, augment.flip_columns)
        shares = [_between(k, numbers, place, 1.0, 1.0 / augment.zoom) for place in ZOOM_PLACES]
        steps, centres = [], []
        for axis in range(2):
            share = k.apply("max", shares[axis], shares[1 - axis] * NARROWEST)
            aside = _between(k, numbers, CENTRE_PLACES[axis], -0.5 * size[axis], 0.5 * size[axis])
            centre = k.apply("fma", k.apply("sub", 1.0, share), aside, (size[axis] - 1) / 2)
            if shifts[axis]:
                drawn = random.below(k, random.bits(k, numbers, SHIFT_PLACES[axis]), 2 * shifts[axis] + 1)
                centre = centre + k.apply("to_float", drawn - shifts[axis])
            if flips[axis]:
                coin = mirrored.bits(axis)
                share = k.apply("where_ult", coin, k.integer(1 << 31), share, share * -1.0)
            steps.append(share)
            centres.append(centre)
        angle = augment.rotate * pi / 180
        sine, cosine = sine_and_cosine(k, _between(k, numbers, ROTATION_PLACE, -angle, angle))
        self.by_row = (cosine * steps[0], sine * steps[0])
        self.by_column = (sine * steps[1] * -1.0, cosine * steps[1])
        corner = (-(size[0] - 1) / 2, -(size[1] - 1) / 2)  # the first pixel, from the image's centre
        self.first = [
            k.apply("fma", row, corner[0], k.apply("fma", column, corner[1], centre))
            for row, column, centre in zip(self.by_row, self.by_column, centres, strict=True)
        ]
        self.row, self.column = k.register(-1.0), k.register(0.0)

    def start(self) -> None:
        """Go to the first column of the next row."""
        self.row.add(1.0)
        self.column.set(self.k.constant(0.0))

    def next(self) -> list[tuple[Value, Value]]:
        """Where the walk is, for rows and columns: (pixel before, share of the one behind it); then go on by one."""
        k, row, column = self.k, self.row.get(), self.column.get()
        self.column.add(1.0)
        places = []
        for axis, size in enumerate(self.size):
            along = k.apply("fma", row, self.by_row[axis], self.first[axis])
            place = k.apply("fma", column, self.by_column[axis], along)
            place = k.apply("min", k.apply("max", place, 0.0), float(size - 1))
            before = k.apply("to_int", k.apply("min", place, float(max(size - 2, 0))))
            places.append((before, place - k.apply("to_float", before)))
        return places


class Colours:
    """The factors by which the colours of each lane's image are changed; None where they are not.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    numbers : random.Stream
    augment : Augment
    """

    def __init__(self, k: Recorder, numbers: random.Stream, augment: Augment) -> None:
        def factor(amount: float, place: int) -> Value | None:
            return _between(k, numbers, place, 1 - amount, 1 + amount) if amount else None

        self.k = k
        self.brightness = factor(augment.brightness, BRIGHTNESS_PLACE)
        self.contrast = factor(augment.contrast, CONTRAST_PLACE)
        self.saturation = factor(augment.saturation, SATURATION_PLACE)

    def saturated(self, pixel: Iterator[tuple[Index, Value]]) -> Iterator[tuple[Index, Value]]:
        """The channels of a pixel, each with its number, nearer to their mean or farther from it."""
        if self.saturation is None:
            yield from pixel
            return
        known = list(pixel)
        grey = sum((value for _, value in known[1:]), known[0][1]) * (1.0 / len(known))
        for i, value in known:
            yield i, self.k.apply("fma", self.saturation, value - grey, grey)

    def scaled(self, raw: Value, scale: Value, offset: Value) -> Value:
        """A value as the network takes it, changed in brightness and contrast.

        Parameters
        ----------
        raw : Value
        scale, offset : Value
            Of its channel: without a change, it is raw * scale + offset.
        """
        if self.brightness is not None:
            raw = raw * self.brightness
        if self.contrast is not None:
            scale, offset = scale * self.contrast, offset * self.contrast
        return self.k.apply("fma", raw, scale, offset)


class Rectangle:
    """A rectangle of each lane's image, as a walk over its pixels.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    numbers : random.Stream
    size : (rows, columns)
    share : float
        Of the image, that the largest rectangle covers; with 0 there is none, and nothing is recorded.
    size_places, first_places : places of the random numbers
    """

    def __init__(
        self,
        k: Recorder,
        numbers: random.Stream,
        size: tuple[int, int],
        share: float,
        size_places: tuple[int, int],
        first_places: tuple[int, int],
    ) -> None:
        self.k, self.share = k, share
        if not share:
            return
        self.sizes, firsts = [], []
        for axis in range(2):
            most = round(size[axis] * sqrt(share))
            self.sizes.append(random.below(k, random.bits(k, numbers, size_places[axis]), most + 1))
            bits = random.bits(k, numbers, first_places[axis])
            firsts.append(k.apply("high_product", bits, k.apply("isub", size[axis] + 1, self.sizes[axis])))
        # how far behind the rectangle's first row and column the walk is; before it, large as unsigned numbers
        self.row = k.register(k.apply("isub", -1, firsts[0]))
        self.before = k.apply("isub", 0, firsts[1])
        self.column = k.register(self.before)
        self.width = k.register(k.integer(0))

    def start(self) -> None:
        """Go to the first column of the next row."""
        if self.share:
            self.row.add(1)
            self.column.set(self.before)
            self.width.set(self.k.apply("where_ult", self.row, self.sizes[0], self.sizes[1], self.k.integer(0)))

    def next(self) -> Callable[[Operand, Value], Value]:
        """What chooses between values inside and outside for the pixel where the walk is; then go on by one."""
        if not self.share:
            return lambda inside, outside: outside
        column, width = self.column.get(), self.width.get()
        self.column.add(1)
        return lambda inside, outside: self.k.apply("where_ult", column, width, inside, outside)


def _between(k: Recorder, numbers: random.Stream, place: int, low: float, high: float) -> Value:
    """A random number of each lane, from `low` to `high`."""
    return k.apply("fma", random.uniform(k, random.bits(k, numbers, place)), high - low, low)
