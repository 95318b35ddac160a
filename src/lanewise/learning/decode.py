"""One picture file: what its header says, and its pixels.

Pixels come out upright (EXIF orientation), 8 bits a channel, grey or red-green-blue, transparent parts on white, the
first frame of an animation. A file is opened by the decoder its first bytes ask for and by no other, so a name cannot
choose one, and the limit on pixels is ours: it is checked before decoding, and no process-wide setting is touched.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from lanewise.errors import DataError

MAX_PIXELS = 100_000_000
"""Pictures of more pixels than this are refused unless told otherwise."""

_ORIENTATION = 0x0112
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N"})

_Opener = Callable[[BinaryIO], ImageFile.ImageFile]


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture is before decoding: upright rows and columns, whether it is grey, and has transparent parts."""

    rows: int
    columns: int
    grey: bool
    alpha: bool = False


def read_header(path: str, max_pixels: int = MAX_PIXELS) -> Header:
    """Read size and kind of a picture without decoding it.

    Raises
    ------
    DataError
        With the reason alone, like "it is cut short": the caller knows the name.
    """
    with _reasons(), open(path, "rb") as file:
        image = _opened(file, max_pixels)
        return _header(image, _orientation(image))


def read_pixels(
    path: str, size: tuple[int, int], channels: int, max_pixels: int = MAX_PIXELS
) -> tuple[npt.NDArray[np.uint8], Header]:
    """Decode a picture and stretch it to `size`, (rows, columns).

    Returns
    -------
    pixels : (rows, columns, channels) uint8
    header : Header
        What the picture was before.

    Raises
    ------
    DataError
        With the reason alone.
    """
    with _reasons(), open(path, "rb") as file:
        image = _opened(file, max_pixels)
        header = _header(image, _orientation(image))
        if image.format == "JPEG":
            # Decoded at a half, a quarter or an eighth where that stays at twice the size wanted or above.
            image.draft(None, (2 * size[0], 2 * size[1]) if _orientation(image) >= 5 else (2 * size[1], 2 * size[0]))
        image.load()
        plain = _eight_bits(image)
        if (turn := _TO_UPRIGHT.get(_orientation(image))) is not None:
            plain = plain.transpose(turn)
        plain = plain.convert("L" if channels == 1 else "RGB")
        if plain.size != (size[1], size[0]):
            plain = plain.resize((size[1], size[0]), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.asarray(plain).reshape(*size, channels), header


def _opened(file: BinaryIO, max_pixels: int) -> ImageFile.ImageFile:
    start = file.read(12)
    file.seek(0)
    if not start:
        raise DataError("it is empty")
    opener = next((opener for is_it, opener in _decoders() if is_it(start)), None)
    if opener is None:
        raise DataError("it does not begin like any picture format known here")
    image = opener(file)
    columns, rows = image.size
    if columns * rows > max_pixels:
        raise DataError(f"its {columns} x {rows} pixels are more than the limit of {max_pixels:,}")
    return image


@functools.cache
def _decoders() -> tuple[tuple[Callable[[bytes], bool], _Opener], ...]:
    """How a file of each format begins, and what opens it. Imported late: the decoders take a while."""
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    return (
        (lambda start: start.startswith(b"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
        (lambda start: start.startswith(b"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
        (lambda start: start.startswith((b"GIF87a", b"GIF89a")), GifImagePlugin.GifImageFile),
        (lambda start: start.startswith(b"BM"), BmpImagePlugin.BmpImageFile),
        (lambda start: start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")), TiffImagePlugin.TiffImageFile),
        (lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
        (lambda start: start[:1] == b"P" and start[1:2] in b"123456", PpmImagePlugin.PpmImageFile),
    )


def _header(image: ImageFile.ImageFile, orientation: int) -> Header:
    upright = orientation < 5 or image.format == "TIFF"  # whose plugin gives the size after turning
    columns, rows = image.size if upright else image.size[::-1]
    return Header(rows, columns, image.mode in _GREY_MODES, _transparent(image))


def _transparent(image: Image.Image) -> bool:
    return image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info


def _orientation(image: ImageFile.ImageFile) -> int:
    """1 to 8 as in EXIF. Before a PNG is loaded, EXIF that comes after its pixels is not seen."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises what it likes for broken EXIF, which is no reason to lose the picture.
        return 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey or RGB of 8 bits, with what shows through transparent parts painted white."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 0xFFFF:
            raise DataError("its 32-bit pixels have no known range: save it with 8 or 16 bits a channel")
        return Image.fromarray((wide >> 8).astype(np.uint8))
    if image.mode == "F":
        raise DataError("its floating point pixels have no known range: save it with 8 or 16 bits a channel")
    if _transparent(image):
        upper = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(upper)
        return page.convert("RGB")
    return image if image.mode == "1" else image.convert("RGB")


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn whatever a decoder raises into a `DataError` that says why a file cannot be used."""
    try:
        yield
    except DataError:
        raise
    except MemoryError:
        raise DataError("there is not memory enough to decode it") from None
    except Exception as error:  # Decoders raise OSError, SyntaxError, struct.error, EOFError, IndexError and more.
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"it cannot be opened: {os.strerror(error.errno).lower()}") from None
        text = str(error).partition("\n")[0] or type(error).__name__
        short = any(word in text for word in ("truncated", "Truncated", "requires a buffer", "EOF"))
        raise DataError("it is cut short" if short else f"it is damaged ({text})") from None
