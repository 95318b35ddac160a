"""Gathering: images of a data set into the lanes, scaled, and augmented on the way.

    y[i, r, c] = scale[i] * image[r', c', i] + offset[i]

where (r', c') is (r, c) without augmentation, or (r, columns - 1 - c) if all are to be mirrored. With it, each image is
shifted by whole rows and columns and mirrored or not, by random numbers of its own:

    c' = clamp(c + shift, 0, columns - 1), with c replaced by columns - 1 - c in mirrored images

and rows likewise: pixels from outside the image take the nearest one of its edge. What else may be done to them is in
`augmentation.py`.

Images are (rows, columns, channels) and follow one another in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from lanewise.errors import ProgramError
from lanewise.kernels import random
from lanewise.kernels.augmentation import (
    ERASED_FIRST_PLACES,
    ERASED_SIZE_PLACES,
    SHIFT_PLACES,
    AffineMap,
    Augment,
    Colours,
    Mirrored,
    Rectangle,
)
from lanewise.kernels.layout import Layout
from lanewise.kernels.tiles import blocks
from lanewise.lanes.ir import U8
from lanewise.lanes.program import I32, LANES, Buffer, Index, Program, Recorder, Value, kernel

UNROLLED_CHANNELS = 4
BYTES = 4
"""Bytes that are gathered in one go."""


@kernel
def gather(
    shape_of: tuple[int, int, int],
    dtype: Literal["u8", "f32"],
    y: Layout,
    augment: Augment | None = None,
    *,
    mirror: bool = False,
) -> Program:
    """Fill the lanes of y with images.

    Parameters
    ----------
    shape_of : (rows, columns, channels)
    dtype : "u8" or "f32"
        What an image's values are.
    y : Layout
        Of shape (channels, rows, columns).
    augment : Augment, optional
    mirror : bool
        Whether all images are mirrored, left to right; without `augment`.

    Buffers: pixels (declared as one image; memory is read wherever `images` points), images (i32, 16: the number of
    each lane's image, -1 for none, which reads image 0), scale and offset (f32, one for each channel),
    key (i32, 2: seed, epoch; only with `augment`), y.
    """
    rows, columns, channels = shape_of
    if y.shape != (channels, rows, columns):
        raise ProgramError(f"gather: images of {shape_of} do not fit the layout {y.shape}")
    k = Recorder("gather")
    pixels = k.scalars("pixels", (rows * columns * channels,), dtype)
    images = k.scalars("images", (LANES,), I32).vector(0)
    scale, offset = k.scalars("scale", (channels,)), k.scalars("offset", (channels,))
    key = k.scalars("key", (2,), I32) if augment else None
    ys = y.buffer(k, "y")
    # as unsigned numbers, the negative ones are those from 2**31 on
    present = k.apply("where_ult", images, k.integer(1 << 31), images, k.integer(0))
    source = _Source(k, pixels, present, shape_of)
    if augment is None or key is None:
        together = BYTES if channels == 1 else 1  # pixels
        for r in k.loop(rows):
            for c, width in blocks(k, columns, together):
                for n, raw in source.values(width * channels):
                    i, beside = (0, c + n) if channels == 1 else (n, c)
                    column = beside * -1 + (columns - 1) if mirror else beside
                    ys[i, r, column] = k.apply("fma", _real(k, raw), scale[i], offset[i])
        return k.program()
    if augment.saturation and channels != 3:
        raise ProgramError(f"gather: images of {channels} channels have no saturation")
    numbers = random.stream(k, key, images)
    mirrored = Mirrored(k, numbers, key, images, augment.alternating)
    walk = (_Between if augment.interpolates else _Whole)(k, numbers, mirrored, source, augment)
    colours = Colours(k, numbers, augment)
    erased = Rectangle(k, numbers, (rows, columns), augment.erase, ERASED_SIZE_PLACES, ERASED_FIRST_PLACES)
    for r in k.loop(rows):
        walk.start()
        erased.start()
        for c in k.loop(columns):
            seen = erased.next()
            for i, value in colours.saturated((i, _real(k, raw)) for i, raw in walk.next()):
                ys[i, r, c] = seen(0.0, colours.scaled(value, scale[i], offset[i]))
    return k.program()


def _real(k: Recorder, raw: Value) -> Value:
    return k.apply("to_float", raw) if raw.type == I32 else raw


class _Source:
    """The pixels of each lane's image, read one after the other from `place` on."""

    def __init__(self, k: Recorder, pixels: Buffer, present: Value, shape_of: tuple[int, int, int]) -> None:
        self.k, self.pixels, self.present = k, pixels, present
        self.rows, self.columns, self.channels = shape_of
        self.size = self.rows * self.columns * self.channels
        self.place = k.register(k.integer(0))

    def values(self, count: int) -> Iterator[tuple[Index, Value]]:
        """`count` values, each with its number; then `place` is behind them."""
        if self.pixels.type == U8 and count <= BYTES and self.size >= BYTES:
            yield from enumerate(self._bytes(count))
            self.place.add(count)
            return
        for n in _each(self.k, count):
            yield n, self.here(0)
            self.place.add(1)

    def here(self, beyond: int) -> Value:
        """One value, so many beyond `place`."""
        place = self.place.get()
        return self.k.gather(self.pixels, self.present, self.size, place + beyond if beyond else place)

    def _bytes(self, count: int) -> Iterator[Value]:
        """`count` neighbouring bytes of an image, read in one go: a third of the time of one by one.

        At the end of the image the four that are read begin earlier, so as not to leave the data.
        """
        k, place, size = self.k, self.place.get(), self.size
        first = k.apply("where_ult", place, size - BYTES, place, size - BYTES)
        word = k.gather(self.pixels, self.present, size, first, bytes=BYTES)
        word = k.apply("shr", word, k.apply("shl", place - first, 3))
        for n in range(count):
            yield k.apply("iand", k.apply("shr", word, 8 * n), 255)


def _each(k: Recorder, channels: int) -> Iterator[Index]:
    """The channels of a pixel; few are unrolled."""
    yield from range(channels) if channels <= UNROLLED_CHANNELS else k.loop(channels)


class _Whole:
    """The pixels of the result, each of them one of the source, row by row."""

    def __init__(
        self, k: Recorder, numbers: random.Stream, mirrored: Mirrored, source: _Source, augment: Augment
    ) -> None:
        self.source = source
        down, across = (mirrored if flip else None for flip in (augment.flip_rows, augment.flip_columns))
        self.down = _Axis(k, numbers, 0, source.rows, augment.shift_rows, down)
        self.across = _Axis(k, numbers, 1, source.columns, augment.shift_columns, across)

    def start(self) -> None:
        """Go to the first column of the next row."""
        self.row = self.down.next() * (self.source.columns * self.source.channels)
        self.across.start()

    def next(self) -> Iterator[tuple[Index, Value]]:
        """The channels of the pixel, each with its number; then go on by one."""
        self.source.place.set(self.row + self.across.next() * self.source.channels)
        yield from self.source.values(self.source.channels)


class _Between:
    """The pixels of the result, each interpolated between four of the source, row by row."""

    def __init__(
        self, k: Recorder, numbers: random.Stream, mirrored: Mirrored, source: _Source, augment: Augment
    ) -> None:
        self.k, self.source = k, source
        self.map = AffineMap(k, numbers, mirrored, (source.rows, source.columns), augment)
        self.start = self.map.start
        self.right = source.channels if source.columns > 1 else 0
        self.below = source.columns * source.channels if source.rows > 1 else 0

    def next(self) -> Iterator[tuple[Index, Value]]:
        """The channels of the pixel, each with its number; then go on by one."""
        k, source = self.k, self.source
        (row, down), (column, across) = self.map.next()
        first = (row * source.columns + column) * source.channels
        source.place.set(first)
        if source.channels > UNROLLED_CHANNELS:
            for i in k.loop(source.channels):
                four = [source.here(row + column) for row in (0, self.below) for column in (0, self.right)]
                yield i, self._mixed(down, across, *four)
                source.place.add(1)
            return
        upper = self._pair()
        source.place.set(first + self.below)
        for i, corners in enumerate(zip(*upper, *self._pair(), strict=True)):
            yield i, self._mixed(down, across, *corners)

    def _pair(self) -> list[list[Value]]:
        """The channels of the pixel at the source's place, and of the one to its right."""
        source, count = self.source, self.source.channels
        if self.right and 2 * count <= BYTES:
            both = [value for _, value in source.values(2 * count)]
            return [both[:count], both[count:]]
        left = [value for _, value in source.values(count)]
        return [left, [value for _, value in source.values(count)] if self.right else left]

    def _mixed(self, down: Value, across: Value, *four: Value) -> Value:
        """Between four values, those of the upper row first."""
        a, b, c, d = (_real(self.k, value) for value in four)
        upper, lower = (self.k.apply("fma", across, right - left, left) for left, right in ((a, b), (c, d)))
        return self.k.apply("fma", down, lower - upper, upper)


class _Axis:
    """A walk along the rows or columns of the image, each lane in its own direction and from its own start."""

    def __init__(
        self, k: Recorder, numbers: random.Stream, axis: int, size: int, shift: int, mirrored: Mirrored | None
    ) -> None:
        self.k, self.size = k, size
        self.first, self.step = k.integer(0), k.integer(1)
        if mirrored:
            coin = k.apply("shr", mirrored.bits(axis), 31)
            self.first, self.step = coin * (size - 1), k.apply("isub", 1, k.apply("shl", coin, 1))
        if shift:
            drawn = random.below(k, random.bits(k, numbers, k.integer(SHIFT_PLACES[axis])), 2 * shift + 1)
            self.first = self.first + (drawn - shift)
        self.clamped = shift > 0
        self.here = k.register(self.first)

    def start(self) -> None:
        """Go back to the beginning."""
        self.here.set(self.first)

    def next(self) -> Value:
        """Where the walk is, kept inside the image; then go on by one."""
        k, here = self.k, self.here.get()
        self.here.add(self.step)
        if not self.clamped:
            return here
        # as unsigned numbers, the negative ones are those from 2**31 on
        inside = k.apply("where_ult", here, k.integer(1 << 31), here, k.integer(0))
        return k.apply("where_ult", inside, self.size, inside, self.size - 1)
