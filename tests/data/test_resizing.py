"""Images of another shape are stretched, padded or cropped, in training and prediction alike."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise.data.decode import fitted, image_pixels, read_pixels
from lanewise.data.load import load, load_for_prediction, load_to_evaluate
from lanewise.data_check.collect import gather
from lanewise.errors import DataError, OptionError
from lanewise.evaluation.evaluate import images_for
from lanewise.model_file import read
from lanewise.notes import unheard
from lanewise.resizing import CROP, FITS, PAD, STRETCH, largest, part_and_content, reduction

SIDES = (1, 2, 3, 7, 16, 31, 64, 97, 512, 10_000)
SHAPES = [(rows, columns) for rows in SIDES for columns in SIDES]


def photograph(rows: int, columns: int, channels: int = 3) -> np.ndarray:
    r, c = np.mgrid[:rows, :columns]
    planes = [128 + 60 * np.sin(r / (9 + n)) + 60 * np.cos((r + 2 * c) / (17 - n)) for n in range(channels)]
    return np.stack(planes, axis=2).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("room", [(1, 1), (8, 8), (64, 48), (5, 512)])
def test_the_largest_rectangle_fits_and_has_the_shape_as_nearly_as_pixels_allow(room: tuple[int, int]) -> None:
    for rows, columns in SHAPES:
        high, wide = largest((rows, columns), room)
        assert 1 <= high <= room[0]
        assert 1 <= wide <= room[1]
        assert high == room[0] or wide == room[1]
        scale = min(room[0] / rows, room[1] / columns)
        assert abs(high - max(1, rows * scale)) <= 0.5 + 1e-9
        assert abs(wide - max(1, columns * scale)) <= 0.5 + 1e-9


@pytest.mark.parametrize("fit", FITS)
def test_a_jpeg_keeps_twice_the_pixels_that_are_needed(fit: str) -> None:
    for came in SHAPES:
        by = reduction(fit, came, (16, 24))
        part, content = part_and_content(fit, came, (16, 24))
        enough = [n for n in (1, 2, 4, 8) if all(one // n >= 2 * own for one, own in zip(part, content, strict=True))]
        assert by == max(enough, default=1)


def by_hand(image: np.ndarray, size: tuple[int, int], fit: str) -> np.ndarray:
    """What `fitted` does, pixel by pixel, for images that need no filter: parts and contents of one size."""
    result = np.empty((*size, image.shape[2]), image.dtype)
    for r in range(size[0]):
        for c in range(size[1]):
            if fit == CROP:
                result[r, c] = image[r + (image.shape[0] - size[0]) // 2, c + (image.shape[1] - size[1]) // 2]
            else:
                y, x = r - (size[0] - image.shape[0]) // 2, c - (size[1] - image.shape[1]) // 2
                inside = 0 <= y < image.shape[0] and 0 <= x < image.shape[1]
                result[r, c] = image[y, x] if inside else image.reshape(-1, image.shape[2]).mean(axis=0, dtype=float)
    return result


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("came", "fit"), [((9, 20), CROP), ((31, 16), CROP), ((5, 12), PAD), ((12, 7), PAD)])
def test_parts_and_borders_are_where_they_should_be(came: tuple[int, int], fit: str, dtype: Any, channels: int) -> None:
    square = (min(came),) * 2 if fit == CROP else (max(came),) * 2
    image = np.random.default_rng(0).integers(0, 256, (*came, channels)).astype(dtype)
    expected = by_hand(image, square, fit)
    np.testing.assert_array_equal(fitted(image, square, fit), expected)
    if dtype == np.uint8:
        file = Image.fromarray(image.squeeze())
        np.testing.assert_array_equal(image_pixels(file, square, channels, fit=fit), expected)


def files(folder: Path) -> None:
    """Photographs of many shapes in two classes, one upright by its EXIF only."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for n, (rows, columns) in enumerate([(40, 60), (61, 33), (300, 420), (420, 301), (24, 24), (23, 90)]):
        for label in "ab":
            path = folder / label / f"{n}.{'jpg' if n % 2 else 'png'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photograph(rows, columns)).save(path, **({"exif": exif} if n == 3 else {}))


@pytest.mark.parametrize("fit", FITS)
def test_one_thread_from_the_folder_to_the_saved_model(fit: str, tmp_path: Path) -> None:
    """What `fit` says is done in training, said, kept in the file, and done alike by whoever reads images for it."""
    files(tmp_path / "images")
    said: list[str] = []
    options: dict[str, Any] = {"size": "16x24", "network": "dense 2", "epochs": 1, "folds": 0}
    model = lanewise.train(tmp_path / "images", fit=fit, validation_fraction=0, notes=said.append, **options)
    done = {STRETCH: "stretched", PAD: "resized and padded", CROP: "cropped and resized"}[fit]
    assert any(f"12 images of 6 sizes in images were {done} to 16x24 (rows x columns)" in note for note in said)
    model.save(tmp_path / "model.onnx")
    assert read(tmp_path / "model.onnx").preprocessing.resize == fit
    model = lanewise.Model.load(tmp_path / "model.onnx")
    train = load(tmp_path / "images", size="16x24", fit=fit, notes=unheard).train
    expected = {name: pixels for name, pixels in zip(train.names, train.pixels, strict=True)}
    paths = [tmp_path / "images" / name for name in train.names]
    for brought in (
        model.pixels(paths),
        np.concatenate([model.pixels(path.read_bytes()) for path in paths]),
        np.concatenate([model.pixels(Image.open(path)) for path in paths if path.suffix == ".png"]),
    ):
        names = train.names if len(brought) == len(paths) else [name for name in train.names if name.endswith("png")]
        np.testing.assert_array_equal(brought, [expected[name] for name in names])
    evaluated, _ = images_for(model, tmp_path / "images", split="all")
    np.testing.assert_array_equal(evaluated.pixels, train.pixels)
    collected = gather(tmp_path / "images", like=model.preprocessing)
    np.testing.assert_array_equal(collected.pixels, train.pixels)
    again = lanewise.train(tmp_path / "images", start=model, epochs=1, notes=unheard)
    assert again.preprocessing.resize == fit
    other = lanewise.train(tmp_path / "images", start=model, fit=CROP, epochs=1, notes=unheard)
    assert other.preprocessing.resize == CROP


def test_files_that_say_nothing_are_stretched(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    model = lanewise.train(pixels, np.arange(8) % 2, network="dense 2", epochs=1, folds=0, notes=unheard)
    assert model.preprocessing.resize is None
    image = Image.fromarray(photograph(20, 40))
    np.testing.assert_array_equal(model.pixels(image)[0], image_pixels(image, (8, 8), 3))


def test_each_fit_has_its_own_entry_in_the_cache(tmp_path: Path) -> None:
    files(tmp_path / "images")
    first, second = (
        load(tmp_path / "images", size=16, fit=fit, cache_dir=tmp_path / "cache", notes=unheard).train.pixels
        for fit in (PAD, CROP)
    )
    again = load(tmp_path / "images", size=16, fit=PAD, cache_dir=tmp_path / "cache", notes=unheard).train.pixels
    assert (first != second).any()
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("fit", [PAD, CROP])
def test_arrays_of_several_sizes_are_fitted_alike(fit: str, tmp_path: Path) -> None:
    files(tmp_path / "images")
    model = lanewise.train(tmp_path / "images", fit=fit, size=16, network="dense 2", epochs=1, folds=0, notes=unheard)
    arrays = [photograph(40, 60), photograph(61, 33), photograph(1, 90), photograph(16, 16)]
    files_of = [Image.fromarray(array) for array in arrays]
    difference = model.pixels(arrays).astype(int) - model.pixels(files_of)
    assert np.abs(difference).max() <= 2  # `reducing_gap` has no part in arrays
    np.testing.assert_array_equal(model.pixels(arrays[3])[0], arrays[3])


RUBBISH: dict[str, Image.Image] = {
    "thin.png": Image.fromarray(photograph(1, 10_000)),
    "tall.png": Image.fromarray(photograph(10_000, 1)),
    "one.png": Image.fromarray(photograph(1, 1)),
    "wide.png": Image.fromarray(photograph(40, 60, 1).squeeze().astype(np.uint16) * 256),
    "cmyk.jpg": Image.fromarray(photograph(40, 60)).convert("CMYK"),
    "palette.png": Image.fromarray(photograph(40, 60)).quantize(40),
    "through.png": Image.fromarray(photograph(40, 60, 4)),
}


@pytest.mark.parametrize("fit", FITS)
def test_whatever_opens_comes_out_in_the_size(fit: str, tmp_path: Path) -> None:
    RUBBISH["palette.png"].info["transparency"] = 3
    for name, image in RUBBISH.items():
        image.save(tmp_path / name)
        pixels, _ = read_pixels(str(tmp_path / name), (16, 24), 3, fit=fit)
        assert pixels.shape == (16, 24, 3)
    frames = [Image.new("RGB", (8, 60), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    pixels, _ = read_pixels(str(tmp_path / "moving.gif"), (16, 24), 3, fit=fit)
    assert (pixels == [255, 0, 0]).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_files_cut_short_are_named_as_such(fit: str, kind: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photograph(400, 300)).save(buffer, kind)
    content = buffer.getvalue()
    for share in (0.3, 0.6, 0.95):
        with pytest.raises(DataError, match=r"cut short|damaged"):
            read_pixels(content[: int(share * len(content))], (16, 16), 3, fit=fit)


def test_words_that_are_no_fit_are_refused(tmp_path: Path) -> None:
    files(tmp_path / "images")
    arrays = np.zeros((4, 8, 8), np.uint8), np.arange(4) % 2
    with pytest.raises(OptionError, match='unknown way to fit images "squeeze": choose one of stretch, pad, crop'):
        lanewise.train(tmp_path / "images", fit="squeeze")
    with pytest.raises(OptionError, match="resized by 'squeeze': this version knows stretch, pad, crop"):
        load(tmp_path / "images", fit="squeeze")
    with pytest.raises(OptionError, match="resized by 'squeeze'"):
        load_for_prediction([tmp_path], size=(8, 8), channels=3, fit="squeeze")
    with pytest.raises(OptionError, match="resized by 'squeeze'"):
        load_to_evaluate(tmp_path / "images", classes=("a", "b"), size=(8, 8), channels=3, fit="squeeze")
    with pytest.raises(OptionError, match="arrays are not resized, so there is nothing to fit: leave `fit` out"):
        lanewise.train(*arrays, fit="pad")
    with pytest.raises(OptionError, match="arrays are not resized"):
        load("digits", fit="crop")
