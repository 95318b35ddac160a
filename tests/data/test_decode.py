"""Each kind of image file comes out upright, with 8 bits a channel and nothing clipped."""

from __future__ import annotations

import io
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from lanewise.data import decode
from lanewise.data.decode import Header, read_header, read_pixels
from lanewise.errors import DataError
from lanewise.resizing import FITS, STRETCH, reduction

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


def photograph(rows: int, columns: int) -> np.ndarray:
    """Smooth colours with edges and a little noise, like what a camera saves."""
    r, c = np.indices((rows, columns)) / np.array([[[rows]], [[columns]]])
    image = np.stack([r, c, (r + c) / 2], -1) * 160 + 40
    image[rows // 4 : rows // 2, columns // 3 : columns // 2] = (230, 20, 60)
    return np.clip(image + np.random.default_rng(1).normal(0, 4, image.shape), 0, 255).astype(np.uint8)


JPEGS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "baseline": ("RGB", 1, {}),
    "progressive": ("RGB", 1, {"progressive": True}),
    "whole colours": ("RGB", 1, {"subsampling": 0}),
    "grey": ("L", 1, {}),
    "turned": ("RGB", 6, {}),
    "turned over": ("RGB", 7, {}),
    "CMYK and turned": ("CMYK", 8, {}),
}


@pytest.fixture(scope="module")
def taken() -> Image.Image:
    """A photograph of 1,500 rows and 2,000 columns."""
    return Image.fromarray(photograph(1500, 2000))


@pytest.mark.parametrize(("kind", "fit"), [("baseline", fit) for fit in FITS] + [(kind, STRETCH) for kind in JPEGS][1:])
def test_large_jpegs_are_decoded_small(
    taken: Image.Image, monkeypatch: pytest.MonkeyPatch, kind: str, fit: str
) -> None:
    """A fraction of the pixels is decoded, upright and in the colours of the whole, close to what all of it gives."""
    mode, orientation, options = JPEGS[kind]
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    taken.convert(mode).save(buffer, "JPEG", quality=90, exif=exif, **options)
    decoded, loaded = [], decode._loaded

    def counting(image: Any, file: Any) -> Any:
        whole = loaded(image, file)
        decoded.append(whole.width * whole.height)
        return whole

    monkeypatch.setattr(decode, "_loaded", counting)
    channels = 1 if mode == "L" else 3
    small, header = read_pixels(buffer.getvalue(), (96, 128), channels, fit=fit)
    monkeypatch.setattr(decode, "reduction", lambda *_: 1)
    whole, same = read_pixels(buffer.getvalue(), (96, 128), channels, fit=fit)
    assert header == same == Header(*((1500, 2000) if orientation < 5 else (2000, 1500)), grey=mode == "L")
    assert decoded[1] == 1500 * 2000
    assert decoded[0] <= decoded[1] / 16
    difference = np.abs(small.astype(int) - whole.astype(int))
    assert difference.mean() < 1
    assert np.quantile(difference, 0.99) <= 8


@pytest.mark.parametrize(
    ("size", "by"), [((96, 128), 4), ((200, 200), 2), ((375, 500), 2), ((376, 500), 1), ((750, 1000), 1)]
)
def test_twice_the_size_is_left(taken: Image.Image, size: tuple[int, int], by: int) -> None:
    assert reduction(STRETCH, (1500, 2000), size) == by


def telephone(kind: str, image: Image.Image, orientation: int) -> bytes:
    """An image as telephones save them, which turn HEIC by a transformation of the file's own beside EXIF."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    if kind == "AVIF":
        if not features.check("avif"):
            pytest.skip("this Pillow was built without AVIF")
        image.save(buffer, "AVIF", quality=95, exif=exif)
    else:
        heif = pytest.importorskip("pillow_heif")
        heif.encode(image.mode, image.size, image.tobytes(), buffer, quality=95, exif=exif.tobytes())
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 5, 6])
@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_telephones_images(kind: str, orientation: int) -> None:
    """They come out upright, in their colours and at the size asked for."""
    stored = np.kron(COLOURS, np.ones((8, 8, 1), np.uint8))
    upright = {1: COLOURS, 3: COLOURS[::-1, ::-1], 5: COLOURS.transpose(1, 0, 2), 6: np.rot90(COLOURS, -1)}[orientation]
    pixels, header = read_pixels(telephone(kind, Image.fromarray(stored), orientation), upright.shape[:2], 3)
    np.testing.assert_allclose(pixels.astype(int), upright, atol=16)
    assert header == Header(8 * upright.shape[0], 8 * upright.shape[1], grey=False)


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_brand_that_both_share(kind: str) -> None:
    """Some programs write the common brand first, and which of the two it is among those that follow."""
    content = telephone(kind, Image.fromarray(COLOURS), 1)
    _, header = read_pixels(content[:8] + b"mif1" + content[12:], (6, 8), 3)
    assert (header.rows, header.columns) == (6, 8)


@pytest.mark.parametrize(("kind", "said"), [("HEIC", "a HEIC"), ("AVIF", "an AVIF")])
def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, kind: str, said: str) -> None:
    content = telephone(kind, Image.fromarray(COLOURS), 1)
    monkeypatch.setitem(sys.modules, "pillow_heif.as_plugin", None)  # importing it fails, as where it is not installed
    monkeypatch.setattr(features, "check", lambda _: False)
    monkeypatch.setattr(decode, "_decoders", decode._decoders.__wrapped__)
    with pytest.raises(DataError) as error:
        read_pixels(content, (6, 8), 3)
    assert str(error.value) == f'it is {said} image: pip install "lanewise[heif]" reads it, or save it as JPEG'
