"""Random numbers that are a function of what they are for: the seed, the epoch, the image and the place.

    (a, b) = stream(seed, epoch, image)
    bits   = mix(mix(place ^ a) + b)

Nothing is counted up, so a number does not depend on threads, on the order of work or on what else was drawn, and the
backward pass finds the forward pass's numbers again without their being stored. `mix` is the 32-bit finaliser
"lowbias32" of C. Wellons, "Prospecting for Hash Functions", 2018: a bijection in which each bit of the input changes
each bit of the output with a probability very close to one half.

`key` is a buffer of two int32: seed, epoch. The first half of this file records programs, the second half is its twin
in NumPy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lanewise.lanes.program import Buffer, Operand, Recorder, Value

MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
SHIFTS = (16, 15, 16)
GOLDEN = 0x9E3779B9
"""2**32 over the golden ratio: keeps the zeros of seed, epoch and image from meeting `mix(0) = 0`."""


class Stream(NamedTuple):
    """The random numbers of one image in each lane: 64 bits from seed, epoch and the image's number."""

    a: Value
    b: Value


def mix(k: Recorder, x: Value) -> Value:
    """Scatter 32 bits; a bijection."""
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        x = k.apply("imul", k.apply("ixor", x, k.apply("shr", x, shift)), k.integer(multiplier))
    return k.apply("ixor", x, k.apply("shr", x, SHIFTS[2]))


def stream(k: Recorder, key: Buffer, image: Value, epoch: Operand | None = None) -> Stream:
    """The stream of each lane's image; record it once, outside of loops.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    key : Buffer
        int32: (seed, epoch).
    image : Value
        int32: the number of each lane's image.
    epoch : Value or int, optional
        Another than that of the key.
    """
    start = mix(k, mix(k, key[0] + k.integer(GOLDEN)) + (key[1] if epoch is None else epoch))
    a = mix(k, k.apply("ixor", start, image))
    return Stream(a, mix(k, a + k.integer(GOLDEN)))


def bits(k: Recorder, stream: Stream, place: Operand) -> Value:
    """32 random bits for `place`, an int or an int32 value.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    stream : Stream
    place : Value, Register or int
        int32: which of the image's random numbers.
    """
    return mix(k, mix(k, k.apply("ixor", stream.a, place)) + stream.b)


def uniform(k: Recorder, bits: Value) -> Value:
    """A float32 from 0 (included) to 1 (excluded), a multiple of 2**-24."""
    return k.apply("to_float", k.apply("shr", bits, 8)) * 2.0**-24


def below(k: Recorder, bits: Value, count: int) -> Value:
    """An int32 from 0 to count - 1.

    Parameters
    ----------
    k : Recorder
        Where it is recorded.
    bits : Value
        32 random bits.
    count : int
        From 1; each number comes equally often but for count / 2**32.
    """
    return k.apply("high_product", bits, k.integer(count))


def mix_array(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """`mix` of each element."""
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(multiplier)
    return x ^ (x >> np.uint32(SHIFTS[2]))


def bits_array(
    seed: npt.ArrayLike, epoch: npt.ArrayLike, image: npt.ArrayLike, place: npt.ArrayLike
) -> npt.NDArray[np.uint32]:
    """The numbers that `bits` gives, as uint32 of at least one axis.

    All four are whole numbers, taken modulo 2**32, and broadcast against each other.

    Parameters
    ----------
    seed, epoch, image, place : arrays of whole numbers
        As `stream` and `bits` take them.
    """

    def unsigned(values: npt.ArrayLike) -> npt.NDArray[np.uint32]:
        return (np.atleast_1d(np.asarray(values, np.int64)) & 0xFFFFFFFF).astype(np.uint32)

    golden = np.uint32(GOLDEN)
    start = mix_array(mix_array(unsigned(seed) + golden) + unsigned(epoch))
    a = mix_array(start ^ unsigned(image))
    b = mix_array(a + golden)
    return mix_array(mix_array(unsigned(place) ^ a) + b)
