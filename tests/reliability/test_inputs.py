"""Images on other scales, in other layouts and wrappings: a right answer or a refusal, and what users met."""

from __future__ import annotations

import io
import os
import struct
import unicodedata
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import lanewise
from lanewise.cli.group import lanewise as command
from lanewise.data import decode
from lanewise.data.decode import PassingError, read_pixels
from lanewise.data.folders import part_named
from lanewise.data.load import load as read
from lanewise.notes import unheard
from tests.reliability import inputs
from tests.reliability.running import failures

load = partial(read, notes=unheard)

SEED = np.random.default_rng(7)


@pytest.mark.parametrize("first", range(0, len(inputs.CASES), 16))
def test_scales_layouts_and_wrappings(first: int) -> None:
    assert failures(inputs.trial, range(first, first + 16)) == []


@pytest.fixture
def digits_on_disk(tmp_path: Path) -> Path:
    x, y, xt, yt = inputs.digits()
    for part, images, labels in (("train", x[:100], y[:100]), ("test", xt, yt)):
        for n, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = tmp_path / "digits" / part / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{n:03}.png")
    np.savez(tmp_path / "unit.npz", x=(xt / 255).astype(np.float32), y=yt)
    return tmp_path


@pytest.mark.parametrize("what", ["evaluate", "predict", "report"])
@pytest.mark.parametrize(("trained", "says"), [("0 to 1", "bytes are divided by 255"), ("standardised", None)])
def test_commands_scale_files_and_say_so_or_refuse_them(
    what: str, trained: str, says: str | None, digits_on_disk: Path
) -> None:
    inputs.model(trained).save(digits_on_disk / "m.onnx")
    given = digits_on_disk / ("digits/test" if what == "predict" else "digits")
    result = CliRunner().invoke(command, [what, str(digits_on_disk / "m.onnx"), str(given)])
    if says is None:
        assert result.exit_code == 1
        assert "are bytes, 0 to 255, but the model was trained on" in result.stderr
    else:
        assert result.exit_code == 0, result.output
        assert says in " ".join(result.output.split())


def test_evaluating_on_another_scale_is_warned_of_by_the_command(digits_on_disk: Path) -> None:
    inputs.model("standardised").save(digits_on_disk / "m.onnx")
    result = CliRunner().invoke(command, ["evaluate", str(digits_on_disk / "m.onnx"), str(digits_on_disk / "unit.npz")])
    assert "scale them as then, or the answers will be wrong" in " ".join(result.output.split())


@pytest.mark.parametrize("trained", inputs.SCALES)
def test_black_and_white_images_are_on_every_scale(trained: str) -> None:
    """Neither refused nor warned of, which would be an error here; one image or many."""
    for level in (0, 255):
        for count in (1, 9):
            images = inputs.SCALES[trained](np.full((count, 8, 8), level, np.uint8))
            assert len(inputs.model(trained).predict(images)) == count


def test_one_image_of_negative_or_tiny_values_is_warned_of() -> None:
    x = inputs.digits()[2][:1]
    for name, scale in (("bytes", "centred, whole"), ("bytes", "standardised"), ("0 to 65535", "per cent")):
        with pytest.warns(lanewise.LanewiseWarning, match="but the model was trained on values from 0 to"):
            inputs.model(name).predict(inputs.SCALES[scale](x))


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


def test_labels_that_are_bytes_come_back_as_bytes(tmp_path: Path) -> None:
    x = SEED.integers(0, 256, (20, 4, 4, 1)).astype(np.uint8)
    y = np.array([b"a", b"b"] * 10)
    model = lanewise.train(x, y, network="dense 1, sigmoid", epochs=1)
    model.save(tmp_path / "m.onnx")
    for each in (model, lanewise.Model.load(tmp_path / "m.onnx")):
        assert set(each.predict(x).tolist()) <= set(y.tolist())


def test_labels_of_arrays_are_known_in_either_encoding() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Köln") for form in ("NFC", "NFD"))
    x = SEED.integers(0, 256, (20, 4, 4, 1)).astype(np.uint8)
    for trained, asked in ((composed, decomposed), (decomposed, composed)):
        quiet: dict[str, Any] = {"epochs": 1, "notes": lambda note: None}
        model = lanewise.train(x, [trained, "Bonn"] * 10, network="dense 1, sigmoid", **quiet)
        new = SEED.integers(0, 256, (20, 4, 4, 1)).astype(np.uint8)
        assert lanewise.evaluate(model, new, [asked, "Bonn"] * 10).count == 20


@pytest.mark.parametrize(
    ("shape", "says"),
    [((20, 3, 16, 16), "come first"), ((20, 3, 100, 8), "if channels come first"), ((20, 4, 480, 64), "if channels")],
)
def test_axes_that_can_be_read_in_two_ways_are_said(shape: tuple[int, ...], says: str) -> None:
    with pytest.warns(lanewise.LanewiseWarning, match=says):
        lanewise.train(SEED.integers(0, 256, shape).astype(np.uint8), np.arange(20) % 2, network="dense 1", epochs=1)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 3, 40, 30), (2, 1, 40, 30), (2, 3, 16, 16)])
def test_channels_that_come_first_are_moved(shape: tuple[int, ...]) -> None:
    x = SEED.integers(0, 256, (20, 16, 16, 3)).astype(np.uint8)
    quiet: dict[str, Any] = {"epochs": 1, "notes": lambda note: None}
    model = lanewise.train(x, np.arange(20) % 2, network="dense 1, sigmoid", **quiet)
    asked = SEED.integers(0, 256, shape).astype(np.uint8)
    last = asked.transpose(1, 2, 0)[None] if asked.ndim == 3 else asked.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(model.predict_proba(asked), model.predict_proba(last))


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
    with pytest.raises(lanewise.LanewiseError, match="hold folders of the same names, so they are not classes"):
        load(tmp_path / "b")
    for name in ("latest", "contest", "training shoes", "trainer"):
        assert part_named(name) is None


@pytest.mark.parametrize("outer", ["old new", "part1 part2", "imagesTr imagesTs"])
def test_folders_that_may_be_parts_by_other_names_are_said(outer: str, tmp_path: Path) -> None:
    for name in outer.split():
        painted(tmp_path / name, "cat dog")
    assert any("are taken as the classes, but each holds 'cat', 'dog'" in note for note in load(tmp_path).notes)
    painted(tmp_path / outer.split()[0], "bird")
    assert not any("are taken as the classes" in note for note in load(tmp_path).notes)


def test_parts_that_are_packed_twice_are_no_classes(tmp_path: Path) -> None:
    for name in ("signs_train", "signs_test"):
        painted(tmp_path / name / name, "cat dog")
    with pytest.raises(lanewise.LanewiseError, match="hold folders of the same names, so they are not classes"):
        load(tmp_path)


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


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("chunk", [b"gAMA", b"pHYs", b"cHRM", b"sRGB", b"acTL", b"prVt", b"zTXt"])
def test_damage_beside_the_pixels_of_a_png_is_no_reason_to_lose_it(chunk: bytes, after: bool) -> None:
    """A chunk that is too short, or whose checksum is wrong, before and after the pixels."""
    plain = png_with(b"tEXt", b"k\0")
    for content in (b"", b"k\0\0" + zlib.compress(bytes(3 << 20))):
        for spoiled in (False, True):
            crc = zlib.crc32(chunk + content) ^ spoiled
            whole = struct.pack(">I", len(content)) + chunk + content + struct.pack(">I", crc)
            at = len(plain) - 12 if after else 33
            pixels, _ = read_pixels(plain[:at] + whole + plain[at:], (5, 5), 3)
            assert (pixels == 77).all()


def test_damage_among_the_pixels_of_a_png_is_still_found() -> None:
    whole = png_with(b"zTXt", b"k\0\0" + zlib.compress(bytes(3 << 20)))
    with pytest.raises(lanewise.LanewiseError, match=r"cut short|damaged"):
        read_pixels(whole[:-30], (5, 5), 3)


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

    with file.open("rb") as opened, Image.open(file) as image:
        for given in (file.read_bytes(), opened, image, Image.fromarray(x[7])):
            np.testing.assert_array_equal(again.predict_proba(given), again.predict_proba(file))


def test_files_of_more_bits_than_are_in_use_are_refused(tmp_path: Path) -> None:
    for n in range(4):
        folder = tmp_path / "train" / "ab"[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(SEED.integers(0, 4096, (6, 6)).astype(np.uint16)).save(folder / f"{n}.png")
    model = lanewise.train(tmp_path / "train", network="dense 1, sigmoid", epochs=1, notes=lambda note: None)
    Image.fromarray(SEED.integers(0, 65536, (6, 6)).astype(np.uint16)).save(tmp_path / "new.png")
    with pytest.raises(lanewise.LanewiseError, match="the other images use 12 bits, up to 4,095"):
        model.predict(tmp_path / "new.png")


def wide_colours(x: np.ndarray, kind: str) -> bytes:
    """A file with 16 bits a colour, which Pillow cannot write: PNG with or without alpha, or TIFF of either order."""
    rows, columns, channels = x.shape
    if kind.startswith("PNG"):
        chunks = (
            (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 16, 6 if channels == 4 else 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in x))),
            (b"IEND", b""),
        )
        packed = (struct.pack(">I", len(c)) + t + c + struct.pack(">I", zlib.crc32(t + c)) for t, c in chunks)
        return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
    order = "<" if kind == "TIFF, II" else ">"
    after = 8 + 2 + 12 * 9 + 4
    entries = (
        *((256, 3, 1, columns), (257, 3, 1, rows), (258, 3, 3, after), (259, 3, 1, 1), (262, 3, 1, 2)),
        *((273, 4, 1, after + 6), (277, 3, 1, 3), (278, 3, 1, rows), (279, 4, 1, 2 * x.size)),
    )
    written = b"II*\0" if order == "<" else b"MM\0*"
    written += struct.pack(order + "IH", 8, len(entries))
    for tag, sort, count, value in entries:
        written += struct.pack(order + "HHI", tag, sort, count)
        written += struct.pack(
            order + ("HH" if sort == 3 and count == 1 else "I"), *((value, 0)[: 2 - (sort == 4 or count == 3)])
        )
    return written + struct.pack(order + "IHHH", 0, 16, 16, 16) + x.astype(order + "u2").tobytes()


@pytest.mark.parametrize("kind", ["PNG", "PNG, alpha", "TIFF, II", "TIFF, MM"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_wide_colours_are_scaled_by_the_bits_in_use(bits: int, kind: str, tmp_path: Path) -> None:
    x = SEED.integers(0, 2**bits, (8, 6, 5, 3)).astype(np.uint16)
    x[0, 0, 0] = 2**bits - 1
    for n, image in enumerate(x):
        if kind == "PNG, alpha":
            image = np.concatenate([image, np.full((6, 5, 1), 65535, np.uint16)], axis=2)
        folder = tmp_path / "train" / "ab"[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{n}.{kind[:3].lower()}").write_bytes(wide_colours(image, kind))
    sets = load(tmp_path / "train", cache_dir=tmp_path / "cache")
    order = [int(name[2:-4]) for name in sets.train.names]
    assert (sets.train.bits, sets.skipped) == (bits, ())
    np.testing.assert_array_equal(sets.train.pixels, x[order] >> (bits - 8))


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
        (b"II*\0\x10\0\0\0CR\2\0", "camera's raw"),
        (b"\0\0\0\x18ftypcrx ", "camera's raw"),
        (b"FUJIFILMCCD-RAW ", "camera's raw"),
        (b"\0\0\0\x18ftypisom", "film"),
        (b"%!PS-Adobe", "PostScript"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b'{"error": "no"}', "JSON"),
        (b"\n <svg xmlns=", "SVG"),
    ],
)
def test_files_that_are_no_images_are_named(start: bytes, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = tuple(pair for pair in decode._decoders() if not pair[0](start))
    monkeypatch.setattr(decode, "_decoders", lambda: known)
    with pytest.raises(lanewise.LanewiseError, match=says):
        read_pixels(start + bytes(300), (6, 6), 3)


@pytest.mark.parametrize(
    ("suffix", "says"),
    [
        *(
            (".npy", "NumPy"),
            (".dcm", "DICOM"),
            (".cr2", "raw"),
            (".NEF", "raw"),
            (".dng", "raw"),
            (".psd", "Photoshop"),
        ),
        *((".svg", "SVG"), (".pdf", "PDF"), (".jp2", "2000"), (".jxl", "XL"), (".ico", "icon"), (".mp4", "film")),
    ],
)
def test_files_among_the_images_are_named_by_their_suffix(suffix: str, says: str, tmp_path: Path) -> None:
    (painted(tmp_path, "cat dog") / "cat" / f"x{suffix}").write_bytes(b"?")
    assert any(says in reason for _, reason in load(tmp_path).skipped)
