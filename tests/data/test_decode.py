"""Each kind of image file comes out upright, with 8 bits a channel and nothing clipped."""

from __future__ import annotations

import io
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lanewise.data.decode import Header, read_header, read_pixels
from lanewise.errors import DataError

RAMP = np.arange(0, 240, 5, dtype=np.uint8).reshape(6, 8)  # all values differ: a flip or a turn shows
COLOURS = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)


def read(path: Path, channels: int = 3, size: tuple[int, int] = (6, 8)) -> np.ndarray:
    return read_pixels(str(path), size, channels)[0].astype(int)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp"])
def test_colour(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(COLOURS).save(path, lossless=True)
    np.testing.assert_array_equal(read(path), COLOURS)
    assert read_header(str(path)) == Header(6, 8, grey=False)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "pgm"])
def test_grey(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RAMP).save(path)
    np.testing.assert_array_equal(read(path, 1)[..., 0], RAMP)
    np.testing.assert_array_equal(read(path, 3), np.stack([RAMP] * 3, axis=-1))
    assert read_header(str(path)) == Header(6, 8, grey=True)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RAMP.astype(np.uint16) * 256 + 77).save(path)
    np.testing.assert_array_equal(read(path, 1)[..., 0], RAMP)
    assert read_header(str(path)).grey


def test_sixteen_bits_big_endian(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray((RAMP.astype(np.uint16) * 256 + 77).astype(">u2")).save(path)
    np.testing.assert_array_equal(read(path, 1)[..., 0], RAMP)


def test_one_bit(tmp_path: Path) -> None:
    bits = RAMP > 100
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png", 1)[..., 0], bits * 255)


def test_palette(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8), "P")
    image.putpalette(COLOURS.reshape(-1).tolist())
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), COLOURS)


def test_cmyk(tmp_path: Path) -> None:
    image = Image.new("CMYK", (8, 6), (0, 255, 255, 0))
    image.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0, 0], [255, 0, 0])


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    alpha = np.zeros((6, 8, 1), np.uint8)
    alpha[:, 4:] = 255
    Image.fromarray(np.concatenate([COLOURS, alpha], axis=-1)).save(tmp_path / "rgba.png")
    Image.fromarray(np.concatenate([RAMP[..., None], alpha], axis=-1)).save(tmp_path / "la.png")
    Image.fromarray(RAMP).save(tmp_path / "trns.png", transparency=int(RAMP[2, 3]))
    rgba, la, trns = read(tmp_path / "rgba.png"), read(tmp_path / "la.png", 1), read(tmp_path / "trns.png", 1)
    assert (rgba[:, :4] == 255).all()
    np.testing.assert_array_equal(rgba[:, 4:], COLOURS[:, 4:])
    assert (la[:, :4] == 255).all()
    np.testing.assert_array_equal(la[:, 4:, 0], RAMP[:, 4:])
    assert trns[2, 3, 0] == 255
    assert (trns[..., 0] != RAMP).sum() == 1


def test_transparent_palette(tmp_path: Path) -> None:
    image = Image.new("P", (8, 6), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.gif", transparency=0)
    pixels = read(tmp_path / "a.gif")
    np.testing.assert_array_equal(pixels[0, 0], [255, 255, 255])
    np.testing.assert_array_equal(pixels[5, 7], [10, 20, 30])


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read(tmp_path / "a.gif")[3, 3], [255, 0, 0])


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    """The image is stored turned, and comes out as it was before."""
    quarters = np.kron(np.array([[0, 80], [160, 240]], np.uint8), np.ones((16, 24), np.uint8))
    stored = {
        1: quarters,
        2: quarters[:, ::-1],
        3: quarters[::-1, ::-1],
        4: quarters[::-1],
        5: quarters.T,
        6: np.rot90(quarters),
        7: quarters[::-1, ::-1].T,
        8: np.rot90(quarters, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    formats: dict[str, dict[str, Any]] = {"webp": {"lossless": True}, "jpg": {"quality": 95}}
    options = formats.get(suffix, {})
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **options)
    np.testing.assert_allclose(read(path, 1, (32, 48))[..., 0], quarters, atol=6)
    header = read_header(str(path))
    assert (header.rows, header.columns) == (32, 48)


def test_shrinking_averages(tmp_path: Path) -> None:
    """A fine chequered pattern becomes its mean; taking every nth pixel would give black or white."""
    chequered = np.indices((512, 512)).sum(axis=0).astype(np.uint8) % 2 * 255
    for name in ("a.png", "a.jpg"):
        Image.fromarray(chequered).save(tmp_path / name, quality=95)
        np.testing.assert_allclose(read(tmp_path / name, 1, (16, 24)), 127.5, atol=4)


def test_large_jpeg_is_stretched_like_a_png(tmp_path: Path) -> None:
    rows, columns = np.indices((400, 600))
    image = np.stack([rows * 255 // 400, columns * 255 // 600, (rows + columns) * 255 // 1000], -1).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(image).save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(read(tmp_path / "a.png", 3, (32, 20)), read(tmp_path / "a.jpg", 3, (32, 20)), atol=5)


def reason(path: Path, content: bytes | None = None, **options: int) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_pixels(str(path), (6, 8), 3, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_cut_short_or_damaged(tmp_path: Path, kind: str) -> None:
    """Wherever a file is cut, it gets a reason of one line, and half a file is never half an image."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(buffer, kind)
    whole = buffer.getvalue()
    for keep in (1, 4, 10, 20, 60, len(whole) // 2, len(whole) * 9 // 10):
        assert reason(tmp_path / "a.png", whole[:keep]).startswith("it ")
    assert "cut short" in reason(tmp_path / "a.png", whole[: len(whole) // 2]) or kind == "WEBP"


def test_no_image(tmp_path: Path) -> None:
    assert reason(tmp_path / "a.png", b"") == "it is empty"
    assert "it is a web page" in reason(tmp_path / "a.jpg", b"<html>not found</html>")
    assert "it is a PostScript drawing" in reason(tmp_path / "a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n")
    assert "not an image in any known format" in reason(tmp_path / "a.png", b"a letter, perhaps")
    assert reason(tmp_path / "none.png") == "it cannot be opened: no such file or directory"


def test_limit_on_pixels_comes_before_decoding(tmp_path: Path) -> None:
    """The header of an image of 20,000 x 20,000 with hardly any data behind it, and no warning from Pillow."""
    header = b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000d49484452 00004e20 00004e20 08 00 00 00 00".replace(" ", ""))
    header += zlib.crc32(header[12:]).to_bytes(4, "big") + bytes.fromhex("0000000a49444154") + bytes(14)
    path = tmp_path / "a.png"
    path.write_bytes(header)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for act in (lambda: read_header(str(path)), lambda: read_pixels(str(path), (6, 8), 3)):
            with pytest.raises(DataError, match="20000 x 20000 pixels are more than the limit of 100,000,000"):
                act()
    Image.fromarray(RAMP).save(path)
    assert "limit of 47" in reason(path, max_pixels=47)
    read_pixels(str(path), (6, 8), 3, max_pixels=48)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(RAMP.astype(np.float32)).save(tmp_path / "a.tif")
    Image.fromarray(RAMP.astype(np.int32) * 100_000).save(tmp_path / "b.tif")
    assert "8 or 16 bits" in reason(tmp_path / "a.tif")
    assert "8 or 16 bits" in reason(tmp_path / "b.tif")
