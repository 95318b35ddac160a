"""Images on other scales, in other layouts and wrappings: a right answer or a refusal, and what users met."""

from __future__ import annotations

import io
import os
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise.learning import decode
from lanewise.learning.decode import PassingError, read_pixels
from lanewise.learning.folders import part_named
from lanewise.learning.images import load
from tests.reliability import inputs
from tests.reliability.running import failures

SEED = np.random.default_rng(7)


@pytest.mark.parametrize("first", range(0, len(inputs.CASES), 16))
def test_scales_layouts_and_wrappings(first: int) -> None:
    assert failures(inputs.trial, range(first, first + 16)) == []


def test_going_on_with_files_uses_the_scale_that_the_model_knows(tmp_path: Path) -> None:
    """A model of x / 255 goes on with bytes as if they had been divided; another one refuses them."""
    x, y = SEED.integers(0, 256, (40, 6, 6, 1)).astype(np.uint8), np.arange(40) % 2
    start = lanewise.train((x / 255).astype(np.float32), y, network="dense 1, sigmoid", epochs=1)
    notes: list[str] = []
    lanewise.train(x, y, start=start, epochs=1, notes=notes.append)
    assert any("bytes are divided by 255" in note for note in notes)
    standardised = lanewise.train((x / 100 - 1.3).astype(np.float32), y, network="dense 1, sigmoid", epochs=1)
    with pytest.raises(lanewise.LanewiseError, match="are bytes, 0 to 255, but the model was trained on values from"):
        lanewise.train(x, y, start=standardised, epochs=1)


@pytest.mark.parametrize(
    "y",
    [
        np.arange(24) % 3,
        np.arange(24) % 3 * 1.0,
        (np.arange(24) % 3).astype(np.float32),
        (np.arange(24) % 3).astype(np.uint8),
        np.arange(24) % 2 == 0,
        np.array(["a", "b", "c"] * 8),
        np.array([2**63, 1, 2] * 8, np.uint64),
        np.array([-0.0, 1.0, 2.0] * 8),
    ],
    ids=lambda y: str(y.dtype),
)
def test_labels_come_back_as_they_were_given(y: np.ndarray, tmp_path: Path) -> None:
    x = (np.eye(24)[:, :, None, None] * 200).astype(np.uint8).reshape(24, 4, 6, 1)
    model = lanewise.train(x, y, network=f"dense {len(np.unique(y))}, softmax", epochs=60, validation_fraction=0)
    assert np.mean(model.predict(x) == y) > 0.9
    model.save(tmp_path / "m.onnx")
    again = lanewise.Model.load(tmp_path / "m.onnx")
    assert np.mean(again.predict(x) == y) > 0.9
    with pytest.warns(lanewise.LanewiseWarning, match="was trained on"):
        assert lanewise.evaluate(again, x, y, split="all").accuracy > 0.9


def painted(folder: Path, names: str, count: int = 3) -> Path:
    for name in names.split():
        (folder / name).mkdir(parents=True)
        for n in range(count):
            Image.fromarray(SEED.integers(0, 256, (6, 6, 3)).astype(np.uint8)).save(folder / name / f"{n}.png")
    return folder


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Training", None, "Testing"),
        ("training_set", None, "test_set"),
        ("seg_train/seg_train", None, "seg_test/seg_test"),
        ("train", "valid", "test"),
        ("TRAIN", "Val", "TEST"),
        ("train-images", "validation images", "test-images"),
        ("trainset", "dev", None),
    ],
)
def test_parts_are_known_by_many_names(train: str, validation: str | None, test: str | None, tmp_path: Path) -> None:
    for part in (train, validation, test):
        if part is not None:
            painted(tmp_path / part, "cat dog")
    painted(tmp_path / "@eaDir", "cat")
    sets = load(tmp_path)
    assert sets.train.classes == ("cat", "dog")
    assert (sets.validation is None, sets.test is None) == (validation is None, test is None)


def test_unlabelled_parts_are_left_aside_and_unknown_ones_refused(tmp_path: Path) -> None:
    painted(tmp_path / "a" / "seg_train", "cat dog")
    painted(tmp_path / "a", "seg_pred")
    assert load(tmp_path / "a").train.classes == ("cat", "dog")
    for fold in ("fold1", "fold2"):
        painted(tmp_path / "b" / fold, "cat dog")
    with pytest.raises(lanewise.LanewiseError, match="hold folders of the same names, so they are no classes"):
        load(tmp_path / "b")
    for name in ("latest", "contest", "training shoes", "trainer"):
        assert part_named(name) is None


def test_one_name_in_two_encodings_is_one_class(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Köln") for form in ("NFC", "NFD"))
    painted(tmp_path / "train", f"{composed} Bonn")
    painted(tmp_path / "test", f"{decomposed} Bonn")
    sets = load(tmp_path)
    assert sets.train.classes == ("Bonn", composed)
    assert sets.test is not None
    assert sets.test.counts() == (3, 3)
    painted(tmp_path / "train", decomposed, count=2)
    assert load(tmp_path).train.counts() == (3, 5)


@pytest.mark.parametrize("kind", ["BMP", "PNG", "TIFF", "WEBP"])
def test_alpha_that_hides_everything_is_ignored(kind: str) -> None:
    x = SEED.integers(0, 256, (6, 6, 4)).astype(np.uint8)
    x[..., 3] = 0
    buffer = io.BytesIO()
    Image.fromarray(x, "RGBA").save(buffer, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    pixels, _ = read_pixels(buffer.getvalue(), (6, 6), 3)
    np.testing.assert_array_equal(pixels, x[..., :3])


def png_with(chunk: bytes, content: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((5, 5, 3), 77, np.uint8)).save(buffer, "PNG")
    whole = buffer.getvalue()
    added = chunk + content
    return whole[:33] + len(content).to_bytes(4, "big") + added + zlib.crc32(added).to_bytes(4, "big") + whole[33:]


@pytest.mark.parametrize(
    ("chunk", "head"), [(b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0"), (b"tEXt", b"k\0")]
)
def test_much_text_in_a_png_is_no_reason_to_lose_it(chunk: bytes, head: bytes) -> None:
    text = bytes(3 << 20)
    content = head + (text if chunk == b"tEXt" else zlib.compress(text))
    pixels, _ = read_pixels(png_with(chunk, content), (5, 5), 3)
    assert (pixels == 77).all()


@pytest.mark.parametrize("failure", [MemoryError(), OSError(5, "EIO"), OSError(24, "EMFILE"), OSError(116, "ESTALE")])
def test_passing_failures_are_not_remembered(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted(tmp_path / "p", "cat dog")
    genuine = decode._eight_bits
    spoiled = iter([True])

    def fails(image: Image.Image, bits: int) -> Image.Image:
        if next(spoiled, False):
            raise failure
        return genuine(image, bits)

    monkeypatch.setattr(decode, "_eight_bits", fails)
    first = load(tmp_path / "p", cache_dir=tmp_path / "cache")
    assert (len(first.train), len(first.skipped)) == (5, 1)
    again = load(tmp_path / "p", cache_dir=tmp_path / "cache")
    assert (len(again.train), len(again.skipped)) == (6, 0)
    spoiled = iter([True])
    with pytest.raises(PassingError):
        read_pixels(os.fspath(tmp_path / "p" / "cat" / "0.png"), (6, 6), 3)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_wide_files_are_scaled_by_the_bits_in_use(bits: int, tmp_path: Path) -> None:
    """Over the whole folder, and alike when the model is asked about one dark file."""
    x = SEED.integers(0, 2**bits, (8, 6, 6)).astype(np.uint16)
    x[0, 0, 0] = 2**bits - 1
    x[7] //= 8
    for n, image in enumerate(x):
        folder = tmp_path / "train" / "ab"[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{n}.png")
    sets = load(tmp_path / "train", cache_dir=tmp_path / "cache")
    order = [int(name[2:-4]) for name in sets.train.names]
    np.testing.assert_array_equal(sets.train.pixels[..., 0], x[order] >> (bits - 8))
    assert any("use" in note for note in sets.notes) == (bits < 16)
    model = lanewise.train(sets, network="dense 1, sigmoid", epochs=1, notes=lambda note: None)
    model.save(tmp_path / "m.onnx")
    again = lanewise.Model.load(tmp_path / "m.onnx")
    assert again.preprocessing.bits == bits
    file = tmp_path / "train" / "b" / "7.png"
    np.testing.assert_array_equal(
        again.predict_proba(file), model.predict_proba((x[7:] >> (bits - 8)).astype(np.uint8))
    )
    with pytest.warns(lanewise.LanewiseWarning, match="was trained on"):
        assert lanewise.evaluate(again, str(tmp_path / "train"), split="all").count == 8


def test_telephones_photographs_are_read_or_named(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    folder = painted(tmp_path / "p", "cat dog")
    photograph = Image.fromarray(np.full((64, 64, 3), 120, np.uint8))
    heif.from_pillow(photograph).save(folder / "cat" / "z.heic", quality=90)
    sets = load(folder, size=6)
    assert "cat/z.heic" in sets.train.names
    assert abs(int(sets.train.pixels[3].mean()) - 120) < 4


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"8BPS\0\1", "Photoshop"),
        (b"%PDF-1.7", "PDF"),
        (b'<svg xmlns="', "SVG"),
        (b"\0" * 128 + b"DICM", "DICOM"),
        (b"\x93NUMPY\1\0", "NumPy"),
    ],
)
def test_files_that_are_no_images_are_named(start: bytes, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = tuple(pair for pair in decode._decoders() if not pair[0](start))
    monkeypatch.setattr(decode, "_decoders", lambda: known)
    with pytest.raises(lanewise.LanewiseError, match=says):
        read_pixels(start + bytes(300), (6, 6), 3)
