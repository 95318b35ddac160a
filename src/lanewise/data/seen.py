"""Which images a model has seen, one by one: those it was trained on, and those held out to choose its weights.

    Seen.of(form, trained, held) -> Seen        seen.kinds(pixels) -> NEW, HELD or TRAINED for each
    Seen.to_json() -> dict                        Seen.from_json(anything) -> Seen or None

An image is known again by a hash of 40 bits of its shape and pixels, in one form whatever it came as: bytes, whole
numbers as floats, and x / 255 or x / 127.5 - 1 of bytes are hashed as those bytes, others as float32. So renamed,
moved or copied files are known again, and arrays of the same pixels. Of 10,000 new images, 10,000 * 60,000 / 2^40 =
0.0005 are taken for one of 60,000 by chance.

In the file, hashes are sorted, their most significant bytes come first, then their second ones and so on, compressed by
zlib: 4.7 characters an image of 60,000.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lanewise.data.blocks import in_blocks

NEW, HELD, TRAINED = 0, 1, 2

HASH_BYTES = 5
MOST = 2_000_000
"""Hashes of one kind at most: of more images none is remembered."""

FORMS = {"bytes": (1.0, 0.0), "unit": (255.0, 0.0), "signed": (127.5, 127.5), "plain": (1.0, 0.0)}
"""How floats become bytes, x * scale + offset; "plain" ones do not."""

_BLOCK = 256
_SMALL = 2**14  # bytes of an image, below which threads would mostly wait for the interpreter's lock
_NEAR = 0.01  # of a whole number, in steps of a byte

Hashes = NDArray[np.uint64]
Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Hashes of images, sorted, and the form of the pixels that the model was trained on."""

    form: str
    trained: Hashes
    held: Hashes

    @classmethod
    def of(cls, form: str, trained: Hashes, held: Hashes) -> Self:
        """Remember images by their hashes.

        Parameters
        ----------
        form : str
            What the hashes are of: the form of the pixels.
        trained, held : arrays of hashes
            Of the images trained on and held out; one that is in both was trained on.
        """
        trained = np.unique(trained)
        return cls(form, trained, np.setdiff1d(held, trained))

    @classmethod
    def nothing(cls, pixels: Pixels) -> Self:
        """What a model has seen that is to be trained on such pixels."""
        return cls(_form_of(pixels), np.empty(0, np.uint64), np.empty(0, np.uint64))

    def and_more(self, trained: Hashes, held: Hashes) -> Self:
        """With what it sees when it goes on."""
        return self.of(self.form, np.union1d(self.trained, trained), np.union1d(self.held, held))

    def kinds(self, pixels: Pixels) -> NDArray[np.int8]:
        """NEW, HELD or TRAINED for each image."""
        return self.kinds_by(hashes_of(pixels, self.form))

    def kinds_by(self, hashes: Hashes) -> NDArray[np.int8]:
        """NEW, HELD or TRAINED for each hash."""
        return np.where(np.isin(hashes, self.trained), TRAINED, np.isin(hashes, self.held) * HELD).astype(np.int8)

    def to_json(self) -> dict[str, Any] | None:
        """The hashes as values that JSON can hold; None for too many."""
        if max(len(self.trained), len(self.held)) > MOST:
            return None
        return {"form": self.form, "trained_on": _to_text(self.trained), "held_out": _to_text(self.held)}

    @classmethod
    def from_json(cls, value: object) -> Self | None:
        """What `to_json` gave; None if it is anything else."""
        if not isinstance(value, Mapping) or str(value.get("form")) not in FORMS:
            return None
        trained, held = _from_text(value.get("trained_on")), _from_text(value.get("held_out"))
        return None if trained is None or held is None else cls(str(value["form"]), trained, held)


def hashes_of(pixels: Pixels, form: str = "bytes") -> Hashes:
    """The hash of each image (N, rows, columns, channels)."""
    key = str(pixels.shape[1:]).encode()

    def digests(start: int, stop: int) -> bytes:
        block = _canonical(pixels[start:stop], form)
        return b"".join(hashlib.blake2b(image, digest_size=HASH_BYTES, key=key[:64]).digest() for image in block)

    found = b"".join(in_blocks(digests, len(pixels), _BLOCK, 1 if math.prod(pixels.shape[1:]) < _SMALL else None))
    return _numbers(np.frombuffer(found, np.uint8).reshape(-1, HASH_BYTES))


def _canonical(block: Pixels, form: str) -> list[bytes]:
    """Each image as bytes if it was made of bytes, else as float32."""
    if block.dtype.kind in "bu" and block.dtype.itemsize == 1:
        return [image.tobytes() for image in block.view(np.uint8)]
    floats = np.asarray(block, np.float64)
    made = []
    for image in floats:
        found = None
        # bytes that come to a model trained on x / 255 are bytes all the same
        for name in dict.fromkeys((form if form != "plain" else "bytes", "bytes", "unit", "signed")):
            scale, offset = FORMS[name]
            scaled = image * scale + offset
            whole = np.rint(scaled)
            if whole.min() >= 0 and whole.max() <= 255 and np.abs(scaled - whole).max() < _NEAR:
                found = whole.astype(np.uint8).tobytes()
                break
        made.append(found or (image.astype("<f4") + np.float32(0)).tobytes())  # -0.0 is 0.0
    return made


def _form_of(pixels: Pixels) -> str:
    """The first form that all these pixels have."""
    if pixels.dtype.kind in "bu" or not len(pixels):
        return "bytes"
    for name in ("bytes", "unit", "signed"):
        scale, offset = FORMS[name]
        for start in range(0, len(pixels), _BLOCK):
            scaled = np.asarray(pixels[start : start + _BLOCK], np.float64) * scale + offset
            whole = np.rint(scaled)
            if whole.min() < 0 or whole.max() > 255 or np.abs(scaled - whole).max() >= _NEAR:
                break
        else:
            return name
    return "plain"


def _numbers(digits: NDArray[np.uint8]) -> Hashes:
    """Numbers of which each row holds the bytes, the most significant first."""
    powers = np.uint64(256) ** np.arange(HASH_BYTES - 1, -1, -1, dtype=np.uint64)
    return np.asarray((digits.astype(np.uint64) * powers).sum(axis=1, dtype=np.uint64))


def _to_text(hashes: Hashes) -> dict[str, Any]:
    planes = [(hashes >> np.uint64(8 * n) & np.uint64(255)).astype(np.uint8) for n in reversed(range(HASH_BYTES))]
    packed = zlib.compress(b"".join(plane.tobytes() for plane in planes), 9)
    return {"count": len(hashes), "hashes": base64.b64encode(packed).decode("ascii")}


def _from_text(value: object) -> Hashes | None:
    if not isinstance(value, Mapping):
        return None
    count, text = value.get("count"), value.get("hashes")
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST or not isinstance(text, str):
        return None
    size = count * HASH_BYTES
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(text, validate=True), size + 1)
    except (zlib.error, binascii.Error, ValueError):
        return None
    if len(raw) != size or not unpacker.eof:
        return None
    return np.unique(_numbers(np.frombuffer(raw, np.uint8).reshape(HASH_BYTES, count).T))
