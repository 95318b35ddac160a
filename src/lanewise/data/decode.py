"""One image file: what its header says, and its pixels.

Pixels come out upright (EXIF orientation), 8 bits a channel, grey or red-green-blue, transparent parts on white, the
first frame of an animation. A file is opened by the decoder its first bytes ask for and by no other, so a name cannot
choose one, and the limit on pixels is ours: it is checked before decoding, and no process-wide setting is touched.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeGuard

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, features
from PIL import __version__ as pillow_version

from lanewise.data.formats import is_raw, named, of_telephone
from lanewise.errors import DataError
from lanewise.resizing import STRETCH, Size, middle, part_and_content, reduction

MAX_PIXELS = 100_000_000
"""Images of more pixels than this are refused unless told otherwise."""

_DECODER = f"3, Pillow {pillow_version}"
"""Raise the number when what comes out of `read_pixels` changes."""

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
_SWAPPED = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
_KEPT_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND")

_BEGINNING = 132
"""By how many bytes a file's format is told."""

MOST_BEYOND = 0.01
"""Share of the values that may need more bits than are in use: a few hot pixels do."""

_Opener = Callable[[BinaryIO], ImageFile.ImageFile]


class PassingError(DataError):
    """A file could not be read, perhaps for this time only: the memory, the disk or the network failed."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an image is before decoding: upright rows and columns, whether it is grey, has transparent parts, and has
    more than 8 bits a value."""

    rows: int
    columns: int
    grey: bool
    alpha: bool = False
    wide: bool = False


def decoder() -> str:
    """What makes pixels of files: what another one made of them, or could not read, is not taken from the cache."""
    telephones = features.check("avif"), importlib.util.find_spec("pillow_heif") is not None
    return f"{_DECODER}, AVIF and HEIC {telephones}"


def read_header(source: str | bytes | BinaryIO, max_pixels: int = MAX_PIXELS) -> Header:
    """Read size and kind of an image, of which the path, the content or an open file is given, without decoding it.

    Raises
    ------
    DataError
        With the reason alone, like "it is cut short": the caller knows the name.
    """
    with _reasons(), _file(source) as file:
        image = _opened(file, max_pixels)
        return _header(image, _orientation(image))


def read_pixels(
    source: str | bytes,
    size: Size,
    channels: int,
    max_pixels: int = MAX_PIXELS,
    bits: int = 16,
    fit: str = STRETCH,
) -> tuple[npt.NDArray[np.uint8], Header]:
    """Decode an image and bring it to `size`.

    Parameters
    ----------
    source : str or bytes
        The path of a file, or the content of one.
    size : (rows, columns)
    channels : int
        1 for grey, 3 for colour.
    max_pixels : int
        Larger images are refused before they are decoded.
    bits : int
        Of values with more than 8 bits, the number in use; the upper 8 of them are kept.
    fit : str
        How an image of another shape fits the size, a word of `resizing.FITS`.

    Returns
    -------
    pixels : (rows, columns, channels) uint8
    header : Header
        Properties of the image in the file.

    Raises
    ------
    DataError
        The message is the reason alone, without the file.
    """
    with _reasons(), _file(source) as file:
        image = _opened(file, max_pixels)
        header = _header(image, _orientation(image))
        colours = _wide_colours(image) if bits < 16 else None
        if image.format == "JPEG":
            by = reduction(fit, (header.rows, header.columns), size)
            image.draft(None, (image.width // by, image.height // by))
        image = _loaded(image, file)
        plain = _eight_bits(image if colours is None else _narrowed(image, colours(), bits), bits)
        if (turn := _TO_UPRIGHT.get(_orientation(image))) is not None:
            plain = plain.transpose(turn)
        return _fitted(plain, size, channels, fit), header


def bits_in_use(source: str | bytes, max_pixels: int = MAX_PIXELS) -> int:
    """How many bits the largest value of an image takes, 8 at least; 8 for those that have no more."""
    with _reasons(), _file(source) as file:
        image = _opened(file, max_pixels)
        colours = _wide_colours(image)
        if colours is None and not image.mode.startswith("I"):
            return 8
        most = colours().max() if colours is not None else np.asarray(_loaded(image, file)).max()
        return min(max(int(most).bit_length(), 8), 16)


def _file(source: str | bytes | BinaryIO) -> BinaryIO:
    if isinstance(source, str):
        return open(source, "rb")
    return io.BytesIO(source) if isinstance(source, bytes) else source


def is_pillow(image: object) -> TypeGuard[Image.Image]:
    """Whether an object is an image of Pillow's."""
    return isinstance(image, Image.Image)


def image_pixels(
    image: Image.Image, size: Size, channels: int, bits: int = 16, fit: str = STRETCH
) -> npt.NDArray[np.uint8]:
    """Convert an image of Pillow's to pixels, as `read_pixels` does with a file.

    Parameters
    ----------
    image : Image
    size : (rows, columns)
    channels : int
        1 for grey, 3 for colour.
    bits, fit
        As in `read_pixels`.

    Returns
    -------
    (rows, columns, channels) uint8
    """
    with _reasons():
        turn = _TO_UPRIGHT.get(int(image.getexif().get(_ORIENTATION, 1)))
        # Made from an array of whole numbers by somebody who had bytes in mind, and not opened from a file.
        made = image.mode == "I" and image.format is None and int(np.asarray(image).max()) <= 255
        plain = _eight_bits(image.convert("L") if made else image, bits)
        return _fitted(plain if turn is None else plain.transpose(turn), size, channels, fit)


def fitted(pixels: npt.NDArray[Any], size: Size, fit: str) -> npt.NDArray[Any]:
    """Bring one image of an array to a size as files are.

    Parameters
    ----------
    pixels : (rows, columns, channels) uint8 or float32
    size : (rows, columns)
    fit : str
        How an image of another shape fits the size.
    """
    came = pixels.shape[:2]
    part, content = part_and_content(fit, came, size)
    top, left = middle(part, came)
    pixels = pixels[top : top + part[0], left : left + part[1]]
    if part != content:
        planes = [Image.fromarray(np.ascontiguousarray(pixels[..., n])) for n in range(pixels.shape[2])]
        resized = [plane.resize(content[::-1], Image.Resampling.BILINEAR) for plane in planes]
        pixels = np.stack([np.asarray(plane) for plane in resized], axis=-1)
    return _padded(pixels, size)


def _fitted(plain: Image.Image, size: Size, channels: int, fit: str) -> npt.NDArray[np.uint8]:
    plain = plain.convert("L" if channels == 1 else "RGB")
    came = (plain.height, plain.width)
    part, content = part_and_content(fit, came, size)
    if part != came:
        top, left = middle(part, came)
        plain = plain.crop((left, top, left + part[1], top + part[0]))
    if part != content:
        plain = plain.resize(content[::-1], Image.Resampling.BILINEAR, reducing_gap=2.0)
    return _padded(np.asarray(plain).reshape(*content, channels), size)


def _padded(pixels: npt.NDArray[Any], size: Size) -> npt.NDArray[Any]:
    """An image in the middle of a size, with its mean colour around it; that of bytes is rounded down."""
    rows, columns, channels = pixels.shape
    if (rows, columns) == size:
        return pixels
    whole = np.empty((*size, channels), pixels.dtype)
    whole[...] = pixels.mean(axis=(0, 1), dtype=np.float64)
    top, left = middle((rows, columns), size)
    whole[top : top + rows, left : left + columns] = pixels
    return whole


def _opened(file: BinaryIO, max_pixels: int) -> ImageFile.ImageFile:
    start = file.read(_BEGINNING)
    file.seek(0)
    if not start:
        raise DataError("it is empty")
    opener = next((opener for is_it, opener in _decoders() if is_it(start)), None)
    if opener is None:
        raise DataError(named(start))
    if is_raw(start):  # TIFF by its first bytes
        raise DataError(named(start))
    try:
        image = opener(file)
    except Exception as error:
        image = opener(_bare_png(file, error))
    columns, rows = image.size
    if columns * rows > max_pixels:
        raise DataError(f"its {columns} x {rows} pixels are more than the limit of {max_pixels:,}")
    return image


def _loaded(image: ImageFile.ImageFile, file: BinaryIO) -> ImageFile.ImageFile:
    """The image with its pixels."""
    try:
        image.load()
    except Exception as error:
        image = type(image)(_bare_png(file, error))
        image.load()
    return image


def _bare_png(file: BinaryIO, error: Exception) -> BinaryIO:
    """A PNG file that could not be read, with the chunks alone that its pixels need.

    The error is raised again if that will not help. Pillow refuses over 1 MB of compressed text or colour profile, and
    chunks that are damaged, wherever they stand.
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
        raise error
    file.seek(0)
    png = file.read()
    if not png.startswith(b"\x89PNG"):
        raise error
    kept, at = [png[:8]], 8
    while at + 8 <= len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] in _KEPT_CHUNKS:
            kept.append(png[at:end])
        at = end
    return io.BytesIO(b"".join(kept))


def _wide_colours(image: ImageFile.ImageFile) -> Callable[[], npt.NDArray[np.uint16]] | None:
    """What gives the values (rows, columns, 3) of a colour image of 16 bits; None for other images.

    Pillow keeps the upper 8 of them. Told that the bytes come in the other order, it keeps the lower 8.
    """
    swapped = []
    for tile in image.tile:
        args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        kind, _, order = str(args[0] if args else "").partition(";")
        if image.format not in ("PNG", "TIFF") or kind not in ("RGB", "RGBA", "RGBX") or order not in _SWAPPED:
            return None
        name = f"{kind};{_SWAPPED[order]}"
        swapped.append(tile._replace(args=(name, *args[1:]) if isinstance(tile.args, tuple) else name))
    if not swapped or image.fp is None:
        return None
    file, opener = image.fp, type(image)

    def values() -> npt.NDArray[np.uint16]:
        file.seek(0)
        content = file.read()
        upper, lower = opener(io.BytesIO(content)), opener(io.BytesIO(content))
        lower.tile = swapped
        planes = [np.asarray(_loaded(one, io.BytesIO(content)))[..., :3].astype(np.uint16) for one in (upper, lower)]
        return np.asarray(planes[0] << 8 | planes[1], np.uint16)

    return values


def _narrowed(image: Image.Image, colours: npt.NDArray[np.uint16], bits: int) -> Image.Image:
    """An image of 16 bits a colour with the upper 8 of the bits in use; its alpha stays."""
    plain = Image.fromarray(_upper(colours, bits), "RGB")
    if image.mode == "RGBA":
        plain.putalpha(image.getchannel("A"))
    return plain


def _upper(wide: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    """The upper 8 of the bits in use."""
    if np.mean(wide >> bits > 0) > MOST_BEYOND:
        raise DataError(
            f"its values reach {int(wide.max()):,}, but the other images use {bits} bits, up to {2**bits - 1:,}: "
            "scale it like them"
        )
    return np.asarray(np.minimum(wide >> (bits - 8), 255), np.uint8)


def _heif() -> list[tuple[Callable[[bytes], bool], _Opener]]:
    """What opens HEIC and AVIF, as far as it is installed."""
    found: list[tuple[Callable[[bytes], bool], _Opener]] = []
    with suppress(ImportError):
        from PIL import AvifImagePlugin

        if features.check("avif"):
            found.append((lambda start: of_telephone(start) == "an AVIF", AvifImagePlugin.AvifImageFile))
    with suppress(ImportError):
        from pillow_heif.as_plugin import HeifImageFile

        found.append((lambda start: of_telephone(start) == "a HEIC", HeifImageFile))
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
    wide = image.mode.startswith("I") or _wide_colours(image) is not None
    return Header(rows, columns, image.mode in _GREY_MODES, _transparent(image), wide)


def _transparent(image: Image.Image) -> bool:
    return image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info


def _orientation(image: ImageFile.ImageFile) -> int:
    """1 to 8 as in EXIF. Before a PNG is loaded, EXIF that comes after its pixels is not seen."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises what it likes for broken EXIF, which is no reason to lose the image.
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
        return Image.fromarray(_upper(wide, bits))
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
        raise PassingError("there is not enough memory to decode it") from None
    except Exception as error:  # Decoders raise OSError, SyntaxError, struct.error, EOFError, IndexError and more.
        if isinstance(error, OSError) and error.errno is not None:
            raise PassingError(f"it cannot be opened: {os.strerror(error.errno).lower()}") from None
        text = str(error).partition("\n")[0] or type(error).__name__
        short = any(word in text for word in ("truncated", "Truncated", "requires a buffer", "EOF"))
        raise DataError("it is cut short" if short else f"it is damaged ({text})") from None
