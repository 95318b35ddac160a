"""Gathering: images of a data set into the lanes, scaled, and shifted or mirrored on the way.

    y[i, r, c] = scale[i] * image[r', c', i] + offset[i]

where (r', c') is (r, c) without augmentation. With it, each image is shifted by whole rows and columns and mirrored or
not, by random numbers of its own:

    c' = clamp(c + shift, 0, columns - 1), with c replaced by columns - 1 - c in mirrored images

and rows likewise: pixels from outside the image take the nearest one of its edge.

Images are (rows, columns, channels) and follow one another in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lanewise.errors import ProgramError
from lanewise.kernels import random
from lanewise.kernels.layout import Layout
from lanewise.kernels.tiles import blocks
from lanewise.lanes.program import I32, LANES, Buffer, Index, Program, Recorder, Register, Value, kernel

UNROLLED_CHANNELS = 4
BYTES = 4
"""Bytes that are gathered in one go."""

SHIFT_PLACES = (2**32 - 1, 2**32 - 2)
FLIP_PLACES = (2**32 - 3, 2**32 - 4)
"""Places of the random numbers, for rows and for columns: the last there are, so that dropout does not get to them."""


@dataclass(frozen=True, slots=True)
class Augment:
    """How images may be changed while they are gathered.

    Shifts are whole pixels from -shift to shift, all equally likely; a flip is done to every other image by chance.
    """

    shift_rows: int = 0
    shift_columns: int = 0
    flip_rows: bool = False
    flip_columns: bool = False


@kernel
def gather(
    shape_of: tuple[int, int, int], dtype: Literal["u8", "f32"], y: Layout, augment: Augment | None = None
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

    def put(i: Index, r: Index, c: Index, raw: Value) -> None:
        value = k.apply("to_float", raw) if raw.type == I32 else raw
        ys[i, r, c] = k.apply("fma", value, scale[i], offset[i])

    def values(place: Register, count: int) -> Iterator[tuple[Index, Value]]:
        """`count` values of the image from `place` on, which moves behind them: (number, value)."""
        size = rows * columns * channels
        if dtype == "u8" and count <= BYTES and size >= BYTES:
            yield from enumerate(_bytes(k, pixels, present, size, place.get(), count))
            place.add(count)
            return
        for n in _each(k, count):
            yield n, k.gather(pixels, present, size, place.get())
            place.add(1)

    place = k.register(k.integer(0))
    if augment is None or key is None:
        together = BYTES if channels == 1 else 1  # pixels
        for r in k.loop(rows):
            for c, width in blocks(k, columns, together):
                for n, raw in values(place, width * channels):
                    put(*((0, r, c + n) if channels == 1 else (n, r, c)), raw)
        return k.program()
    numbers = random.stream(k, key, images)
    down = _Axis(k, numbers, 0, rows, augment.shift_rows, augment.flip_rows)
    across = _Axis(k, numbers, 1, columns, augment.shift_columns, augment.flip_columns)
    for r in k.loop(rows):
        row = down.next() * (columns * channels)
        across.start()
        for c in k.loop(columns):
            place.set(row + across.next() * channels)
            for i, raw in values(place, channels):
                put(i, r, c, raw)
    return k.program()


def _bytes(k: Recorder, pixels: Buffer, present: Value, size: int, place: Value, count: int) -> Iterator[Value]:
    """`count` neighbouring bytes of an image, read in one go: a third of the time of one by one.

    At the end of the image the four that are read begin earlier, so as not to leave the data.
    """
    first = k.apply("where_ult", place, size - BYTES, place, size - BYTES)
    word = k.gather(pixels, present, size, first, bytes=BYTES)
    word = k.apply("shr", word, k.apply("shl", place - first, 3))
    for n in range(count):
        yield k.apply("iand", k.apply("shr", word, 8 * n), 255)


def _each(k: Recorder, channels: int) -> Iterator[Index]:
    """The channels of a pixel; few are unrolled."""
    yield from range(channels) if channels <= UNROLLED_CHANNELS else k.loop(channels)


class _Axis:
    """A walk along the rows or columns of the image, each lane in its own direction and from its own start."""

    def __init__(self, k: Recorder, numbers: random.Stream, axis: int, size: int, shift: int, flip: bool) -> None:
        self.k, self.size = k, size
        self.first, self.step = k.integer(0), k.integer(1)
        if flip:
            coin = k.apply("shr", random.bits(k, numbers, k.integer(FLIP_PLACES[axis])), 31)
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
