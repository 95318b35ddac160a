"""One picture file: what its header says, and its pixels.

Pixels come out upright (EXIF orientation), 8 bits a channel, grey or red-green-blue, transparent parts on white, the
first frame of an animation. A file is opened by the decoder its first bytes ask for and by no other, so a name cannot
choose one, and the limit on pixels is ours: it is checked before decoding, and no process-wide setting is touched.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, features
from PIL import __version__ as pillow_version

from lanewise.errors import DataError

MAX_PIXELS = 100_000_000
"""Pictures of more pixels than this are refused unless told otherwise."""

DECODER = f"2, Pillow {pillow_version}"
"""What made pixels of files: those that another one made are not taken from the cache. Raise the number when what comes
out of `read_pixels` changes."""

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


class PassingError(DataError):
    """A file could not be read, perhaps for this time only: the memory, the disk or the network failed."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture is before decoding: upright rows and columns, whether it is grey, has transparent parts, and has
    more than 8 bits a value."""

    rows: int
    columns: int
    grey: bool
    alpha: bool = False
    wide: bool = False


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
    source: str | bytes, size: tuple[int, int], channels: int, max_pixels: int = MAX_PIXELS, bits: int = 16
) -> tuple[npt.NDArray[np.uint8], Header]:
    """Decode a picture, the path of a file or what stands in one, and stretch it to `size`, (rows, columns).

    Of values with more than 8 bits, the upper 8 of those `bits` that are in use are kept.

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
    with _reasons(), io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        image = _opened(file, max_pixels)
        header = _header(image, _orientation(image))
        if image.format == "JPEG":
            # Decoded at a half, a quarter or an eighth where that stays at twice the size wanted or above.
            image.draft(None, (2 * size[0], 2 * size[1]) if _orientation(image) >= 5 else (2 * size[1], 2 * size[0]))
        image.load()
        plain = _eight_bits(image, bits)
        if (turn := _TO_UPRIGHT.get(_orientation(image))) is not None:
            plain = plain.transpose(turn)
        return _stretched(plain, size, channels), header


def bits_in_use(path: str, max_pixels: int = MAX_PIXELS) -> int:
    """How many bits the largest value of an image takes, 8 at least; 8 for those that have no more."""
    with _reasons(), open(path, "rb") as file:
        image = _opened(file, max_pixels)
        if not image.mode.startswith("I"):
            return 8
        image.load()
        return min(max(int(np.asarray(image).max()).bit_length(), 8), 16)


def image_pixels(image: object, size: tuple[int, int], channels: int) -> npt.NDArray[np.uint8] | None:
    """The pixels of an image that Pillow has opened, as those of a file; None if it is no such image."""
    if not isinstance(image, Image.Image):
        return None
    with _reasons():
        turn = _TO_UPRIGHT.get(int(image.getexif().get(_ORIENTATION, 1)))
        plain = _eight_bits(image, 16)
        return _stretched(plain if turn is None else plain.transpose(turn), size, channels)


def stretch(pixels: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Stretch one image, (rows, columns, channels) of uint8 or float32, with the filter that files are resized by."""
    if pixels.shape[:2] == size:
        return pixels
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(pixels[..., n])).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        )
        for n in range(pixels.shape[2])
    ]
    return np.stack(planes, axis=-1)


def _stretched(plain: Image.Image, size: tuple[int, int], channels: int) -> npt.NDArray[np.uint8]:
    plain = plain.convert("L" if channels == 1 else "RGB")
    if plain.size != (size[1], size[0]):
        plain = plain.resize((size[1], size[0]), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(plain).reshape(*size, channels)


def _opened(file: BinaryIO, max_pixels: int) -> ImageFile.ImageFile:
    start = file.read(12)
    file.seek(0)
    if not start:
        raise DataError("it is empty")
    opener = next((opener for is_it, opener in _decoders() if is_it(start)), None)
    if opener is None:
        raise DataError(_named(file.read(132)))
    try:
        image = opener(file)
    except ValueError as error:
        if "MAX_TEXT" not in str(error):
            raise
        # Pillow refuses over 1 MB of compressed text or colour profile: the pixels are sound without them.
        file.seek(0)
        image = opener(io.BytesIO(_without_text(file.read())))
    columns, rows = image.size
    if columns * rows > max_pixels:
        raise DataError(f"its {columns} x {rows} pixels are more than the limit of {max_pixels:,}")
    return image


def _without_text(png: bytes) -> bytes:
    """A PNG file without the chunks that hold text and colour profiles."""
    kept, at = [png[:8]], 8
    while at + 12 <= len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            kept.append(png[at : at + 12 + length])
        at += 12 + length
    return b"".join(kept)


def _named(start: bytes) -> str:
    """What a file that is no image known here is, by how it begins, and what to do about it."""
    brand = start[8:12]
    if start[4:8] == b"ftyp" and brand[:3] in (b"hei", b"hev", b"mif", b"msf"):
        return 'it is a HEIC image: pip install "lanewise[heif]" reads it, or save it as JPEG'
    if start[4:8] == b"ftyp" and brand[:3] == b"avi":
        return "it is an AVIF image: a newer Pillow reads it, or save it as JPEG"
    name = next((name for signs, name in _OTHERS if start.startswith(signs)), None)
    name = "a DICOM file" if start[128:132] == b"DICM" else name
    return f"it is {name}: save it as PNG or JPEG" if name else "it does not begin like any picture format known here"


_OTHERS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"8BPS",), "a Photoshop file"),
    ((b"%PDF",), "a PDF document"),
    ((b"<svg", b"<?xml", b"\xef\xbb\xbf<"), "an SVG drawing or other XML"),
    ((b"<!DOC", b"<html", b"<!doc", b"<HTML"), "a web page, perhaps of an error"),
    ((b"\0\0\x01\0",), "an icon"),
    ((b"\0\0\0\x0cjP  ",), "a JPEG 2000 image"),
    ((b"\xff\x0a", b"\0\0\0\x0cJXL "), "a JPEG XL image"),
    ((b"\x93NUMPY",), "a NumPy array"),
    ((b"\x89HDF",), "an HDF5 file"),
    ((b"v/1\x01",), "an OpenEXR image"),
    ((b"SIMPLE  =",), "a FITS file"),
    ((b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf"), "an archive"),
)
"""How files begin that people have among their images, and what they are."""


def _heif() -> list[tuple[Callable[[bytes], bool], _Opener]]:
    """What opens HEIC and AVIF, as far as it is installed."""
    found: list[tuple[Callable[[bytes], bool], _Opener]] = []
    with suppress(ImportError):
        from PIL import AvifImagePlugin

        if features.check("avif"):
            found.append((lambda start: start[4:11] == b"ftypavi", AvifImagePlugin.AvifImageFile))
    with suppress(ImportError):
        from pillow_heif.as_plugin import HeifImageFile

        brands = (b"hei", b"hev", b"mif", b"msf")
        found.append((lambda start: start[4:8] == b"ftyp" and start[8:11] in brands, HeifImageFile))
    return found


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
        *_heif(),
    )


def _header(image: ImageFile.ImageFile, orientation: int) -> Header:
    upright = orientation < 5 or image.format == "TIFF"  # whose plugin gives the size after turning
    columns, rows = image.size if upright else image.size[::-1]
    return Header(rows, columns, image.mode in _GREY_MODES, _transparent(image), image.mode.startswith("I"))


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


def _eight_bits(image: Image.Image, bits: int) -> Image.Image:
    """Grey or RGB of 8 bits, with what shows through transparent parts painted white.

    Alpha that is 0 throughout hides all of the image, which nobody means: many programs leave it so. It is ignored.
    """
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 0xFFFF:
            raise DataError("its 32-bit pixels have no known range: save it with 8 or 16 bits a channel")
        return Image.fromarray(np.minimum(wide >> (bits - 8), 255).astype(np.uint8))
    if image.mode == "F":
        raise DataError("its floating point pixels have no known range: save it with 8 or 16 bits a channel")
    if _transparent(image):
        upper = image.convert("RGBA")
        if upper.getchannel("A").getextrema() == (0, 0):
            return upper.convert("RGB")
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
        raise PassingError("there is not memory enough to decode it") from None
    except Exception as error:  # Decoders raise OSError, SyntaxError, struct.error, EOFError, IndexError and more.
        if isinstance(error, OSError) and error.errno is not None:
            raise PassingError(f"it cannot be opened: {os.strerror(error.errno).lower()}") from None
        text = str(error).partition("\n")[0] or type(error).__name__
        short = any(word in text for word in ("truncated", "Truncated", "requires a buffer", "EOF"))
        raise DataError("it is cut short" if short else f"it is damaged ({text})") from None
