"""Arrays as images in a page: PNG or JPEG as a data URI, the way back from `decode`."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

SMALL = 64
"""Rows or columns up to which a photograph is kept without loss."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """An image in the page: its data URI, and its own rows and columns."""

    uri: str
    rows: int
    columns: int


def as_bytes(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Raw pixels (..., rows, columns, channels) to look at: bytes of 1 or 3 channels, all on the same scale.

    Real numbers go from the smallest to the largest; of other numbers of channels the mean is shown.
    """
    if pixels.shape[-1] not in (1, 3):
        pixels = pixels.mean(axis=-1, keepdims=True, dtype=np.float32)
    if pixels.dtype == np.uint8:
        return np.asarray(pixels)
    low, high = float(pixels.min()), float(pixels.max())
    return np.asarray(np.rint((pixels - low) * (255 / (high - low) if high > low else 0)), np.uint8)


def photograph(pixels: npt.NDArray[Any], largest: int = 192) -> Drawn:
    """Raw pixels (rows, columns, channels) as an image; those larger than `largest` are made smaller."""
    shown = as_bytes(pixels)
    image = Image.fromarray(np.ascontiguousarray(shown[..., 0] if shown.shape[2] == 1 else shown))
    image.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    return _drawn(image, *(("JPEG", {"quality": 85}) if max(pixels.shape[:2]) > SMALL else PNG))


def exact(pixels: npt.NDArray[np.uint8]) -> Drawn:
    """Bytes (rows, columns, 3 or 4), the fourth being opacity, without loss."""
    return _drawn(Image.fromarray(pixels), *PNG)


def indexed(numbers: npt.NDArray[np.uint8], colours: list[tuple[int, int, int]], opacities: list[int]) -> Drawn:
    """Encode an image with a palette as PNG.

    Parameters
    ----------
    numbers : (rows, columns) uint8
        Indices of colours.
    colours : list of (red, green, blue)
        From 0 to 255.
    opacities : list of int
        One for each colour, from 0 to 255.
    """
    image = Image.fromarray(numbers)
    image.putpalette([byte for colour in colours for byte in colour])
    form, options = PNG
    return _drawn(image, form, {**options, "transparency": bytes(opacities)})


def tiled(images: npt.NDArray[Any], columns: int, gap: Any) -> npt.NDArray[Any]:
    """Lay images out on one sheet, with a line of a pixel between them.

    Parameters
    ----------
    images : (N, rows, columns, ...)
    columns : int
        Images in a row.
    gap : scalar
        What stands between them, and where there is no image.
    """
    count, high, wide = images.shape[:3]
    down, across = -(-count // columns), min(columns, count)
    sheet = np.full((down * (high + 1) - 1, across * (wide + 1) - 1, *images.shape[3:]), gap, images.dtype)
    for n, image in enumerate(images):
        top, left = n // columns * (high + 1), n % columns * (wide + 1)
        sheet[top : top + high, left : left + wide] = image
    return sheet


PNG: tuple[str, dict[str, Any]] = ("PNG", {"optimize": True})


def _drawn(image: Image.Image, form: str, options: dict[str, Any]) -> Drawn:
    out = io.BytesIO()
    image.save(out, form, **options)
    text = base64.b64encode(out.getvalue()).decode("ascii")
    return Drawn(f"data:image/{form.lower()};base64,{text}", image.height, image.width)
