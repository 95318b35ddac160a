"""Folders of images: how they may be laid out, what is said about them, and what is refused."""

from __future__ import annotations

import os
import shutil
import tarfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lanewise.data import image_cache, images
from lanewise.data.load import load as read
from lanewise.data.load import load_for_prediction, load_to_evaluate, parse_size
from lanewise.data.reading import choose_size
from lanewise.errors import DataError, OptionError, TooLargeError
from lanewise.notes import Caution, unheard

load = partial(read, notes=unheard)

SHARED = Path(__file__).parents[3] / "shared" / "data"
Paint = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def paint(tmp_path: Path) -> Paint:
    """Write an image below the folder "images", all of whose pixels are `value`."""

    def write(name: str, value: int | tuple[int, ...] = 0, rows: int = 8, columns: int = 8) -> Path:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L" if isinstance(value, int) else "RGB", (columns, rows), value).save(path)
        return tmp_path / "images"

    return write


def values(pixels: np.ndarray) -> list[int]:
    return pixels[:, 0, 0, 0].tolist()


def test_a_folder_per_class(paint: Paint) -> None:
    for n, name in enumerate(["cat/10.png", "cat/9.PNG", "dog/deep/er/a.bmp", "dog/a.Tiff", "ant/ü 火.png"]):
        root = paint(name, 10 * n)
    sets = load(root)
    train = sets.train
    assert train.classes == ("ant", "cat", "dog")
    assert train.names == ("ant/ü 火.png", "cat/10.png", "cat/9.PNG", "dog/a.Tiff", "dog/deep/er/a.bmp")
    assert train.labels is not None
    assert train.labels.dtype == np.int32
    assert train.labels.tolist() == [0, 1, 1, 2, 2]
    assert values(train.pixels) == [40, 0, 10, 30, 20]
    assert train.counts() == (1, 2, 2)
    assert train.pixels.shape == (5, 8, 8, 1)
    assert (sets.validation, sets.test, sets.notes, sets.skipped) == (None, None, (), ())


@pytest.mark.parametrize("validation", ["val", "validation", "Val"])
def test_train_validation_test(paint: Paint, validation: str) -> None:
    for part in ("train", validation, "test"):
        for name in ("a", "b"):
            root = paint(f"{part}/{name}/0.png")
    paint("train/b/1.png")
    sets = load(root)
    assert sets.validation is not None
    assert sets.test is not None
    assert (len(sets.train), len(sets.validation), len(sets.test)) == (3, 2, 2)
    assert sets.validation.names == (f"{validation}/a/0.png", f"{validation}/b/0.png")
    assert sets.test.classes == ("a", "b")


def test_parts_agree_with_train(paint: Paint) -> None:
    """Size and channels come from the images to learn from; a class that is missing elsewhere is said."""
    for name in ("a/0.png", "b/0.png", "c/0.png"):
        paint(f"train/{name}", (9, 9, 9))
    root = paint("test/b/0.png", 5, 16, 12)
    sets = load(root)
    assert sets.test is not None
    assert sets.test.pixels.shape == (1, 8, 8, 3)
    assert sets.test.labels is not None
    assert sets.test.labels.tolist() == [1]
    assert sets.notes == (
        "1 image of 16x12 in test was stretched to 8x8 (rows x columns)",
        "the test set holds no image of 'a', 'c'",
    )
    paint("test/d/0.png")
    with pytest.raises(DataError, match="test holds a folder 'd', which is none of the classes 'a', 'b', 'c'"):
        load(root)


def test_layouts_refused(paint: Paint, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder: .*/nowhere"):
        load(tmp_path / "nowhere")
    root = paint("a/0.png")
    with pytest.raises(DataError, match="is not a folder of images"):
        load(root / "a" / "0.png")
    with pytest.raises(DataError, match="a holds images but no folders"):
        load(root / "a")
    with pytest.raises(DataError, match="holds only one class, 'a'"):
        load(root)
    (root / "b").mkdir()
    with pytest.raises(DataError, match=r"the class 'b' in .* holds no images"):
        load(root)
    paint("b/0.png")
    paint("train/a/0.png")
    with pytest.raises(DataError, match="holds 'train' beside 'a', 'b'"):
        load(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no images"):
        load(tmp_path / "empty")


def test_parts_refused(paint: Paint) -> None:
    root = paint("test/a/0.png")
    with pytest.raises(DataError, match="holds test but no train folder"):
        load(root)
    paint("train/a/0.png")
    paint("train/b/0.png")
    load(root)
    paint("val/a/0.png")
    paint("validation/a/0.png")
    with pytest.raises(DataError, match="holds both 'val' and 'validation'"):
        load(root)


def test_sets_split_from_one_another_say_each_note_once() -> None:
    notes, skipped = ("4 images were resized",), (("a/1.png", "it is empty"),)
    whole = images.Images(np.zeros((4, 2, 2, 1), np.uint8), None, ("a", "b"), notes=notes, skipped=skipped)
    sets = images.ImageSets(train=whole.take(np.arange(2)), test=whole.take(np.arange(2, 4)))
    assert (sets.notes, sets.skipped) == (notes, skipped)


def test_what_cannot_be_used_is_skipped_and_said(paint: Paint) -> None:
    paint("a/0.png", 1)
    paint("a/3.png", 2)
    paint("b/1.png", 3)
    root = paint("outside.png")
    whole = (root / "a" / "3.png").read_bytes()
    (root / "a" / "1.png").write_bytes(whole[: len(whole) - 30])
    (root / "a" / "2.jpg").write_bytes(b"text")
    (root / "b" / "2.png").write_bytes(b"")
    (root / "b" / "notes.txt").write_text("text")
    for litter in ("a/.DS_Store", "b/Thumbs.db", ".hidden.png", "README.txt"):
        (root / litter).write_bytes(b"litter")
    sets = load(root)
    assert values(sets.train.pixels) == [1, 2, 3]
    assert sets.train.names == ("a/0.png", "a/3.png", "b/1.png")
    assert dict(sets.skipped) == {
        "outside.png": "it lies outside the folders of the classes",
        "b/notes.txt": ".txt is not a known image format",
        "a/1.png": "it is cut short",
        "a/2.jpg": "it is not an image in any known format",
        "b/2.png": "it is empty",
    }
    assert len(sets.notes) == 1
    assert sets.notes[0].startswith("5 files in images skipped: 'outside.png': it lies outside")
    assert sets.notes[0].endswith("; and 2 more")
    for _ in range(2):  # from the cache, too
        assert load(root).skipped == sets.skipped
        with pytest.raises(DataError, match=r"files? in .* cannot be used \('outside.png'"):
            load(root, strict=True)
    with pytest.raises(DataError):
        load(root, strict=True, size=5, progress=lambda done, total: pytest.fail("decoded for nothing"))
    for name in ("outside.png", "b/notes.txt"):
        (root / name).unlink()
    with pytest.raises(DataError, match=r"3 files? in .* cannot be used \('a/1.png': it is cut short"):
        load(root, strict=True)


def test_a_class_that_cannot_be_read(paint: Paint) -> None:
    paint("a/0.png")
    root = paint("b/0.png")
    (root / "b" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"no image of 'b' in .* can be read: 'b/0.png': it is empty"):
        load(root)
    (root / "a" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"no image in .* can be read; 'a/0.png': it is empty"):
        load(root)


def test_limit_on_pixels(paint: Paint) -> None:
    paint("a/0.png")
    paint("a/1.png", 0, 8, 100)
    root = paint("b/0.png")
    assert load(root, max_pixels=799).skipped == (("a/1.png", "its 100 x 8 pixels are more than the limit of 799"),)
    assert load(root, max_pixels=800).skipped == ()


def test_links(paint: Paint, tmp_path: Path) -> None:
    """Links to folders are followed, but not to those of other classes or around them; broken links do no harm."""
    paint("a/0.png", 1)
    paint("b/deep/1.png", 3)
    root = paint("b/0.png", 2)
    outside = tmp_path / "outside" / "c"
    outside.mkdir(parents=True)
    shutil.copy(root / "a" / "0.png", outside)
    for place, target in {
        **{"a/loop": root / "a", "a/up": "..", "a/other": root / "b" / "deep", "a/farther": tmp_path, "c": outside},
        **{
            "a/c": outside,
            "b/x.png": "x.png",
            "b/gone.png": "nowhere.png",
            "b/more": tmp_path / "outside",
            "self": "self",
        },
    }.items():
        (root / place).symlink_to(target)
    sets = load(root)
    assert sets.train.names == ("a/0.png", "b/0.png", "b/deep/1.png", "c/0.png")
    reasons = dict(sets.skipped)
    for link in ("a/loop", "a/up", "a/other", "a/farther", "a/c", "b/more/c"):
        assert "a folder that is read elsewhere, or around it" in reasons[link]
    assert reasons["b/gone.png"] == "no such file or directory"
    assert "b/x.png" in reasons
    names = load_for_prediction([root], size=(8, 8), channels=1)[1]
    assert [name.rpartition("images/")[2] for name in names] == ["a/0.png", "a/c/0.png", "b/0.png", "b/deep/1.png"]
    (root / "d").symlink_to("b", target_is_directory=True)
    with pytest.raises(DataError, match=r"'b' and 'd' in .* are one folder"):
        load(root)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_opened(paint: Paint) -> None:
    paint("a/0.png")
    root = paint("b/0.png")
    os.mkfifo(root / "b" / "pipe.png")
    assert load(root).skipped == (("b/pipe.png", "it is not an ordinary file"),)


def test_names_that_are_no_utf8(paint: Paint) -> None:
    paint("a/0.png")
    root = paint("b/0.png")
    try:
        os.rename(os.fsencode(root / "b"), os.fsencode(root) + b"/b\xff")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    sets = load(root)
    assert sets.train.classes == ("a", "b\\xff")
    assert load(root).train.names[1] == "b\\xff/0.png"


@pytest.mark.parametrize(
    ("given", "size"),
    [("32", (32, 32)), ("32x48", (32, 48)), ("32X48", (32, 48)), (7, (7, 7)), ((3, 4), (3, 4)), (None, None)],
)
def test_sizes_given(given: object, size: tuple[int, int] | None) -> None:
    assert parse_size(given) == size  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["", "x", "32x", "0", "-3", "3x4x5", "3.5", 0, (1, 2, 3), 10**6, "a"])
def test_sizes_refused(given: object) -> None:
    with pytest.raises(OptionError, match="makes no sense: give rows x columns"):
        parse_size(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([(30, 30)] * 3, (30, 30)),
        ([(96, 5)], (96, 5)),
        ([(97, 97)], (64, 64)),
        ([(240, 320)] * 5, (48, 64)),
        ([(240, 320)] * 5 + [(320, 240)] * 2, (48, 64)),
        ([(320, 240)] * 5 + [(240, 320)] * 2, (64, 48)),
        ([(20, 21), (22, 24), (25, 26)], (24, 24)),
        ([(1000, 3)], (64, 8)),
        ([(1, 2), (2, 1)], (8, 8)),
    ],
)
def test_sizes_chosen(sizes: list[tuple[int, int]], chosen: tuple[int, int]) -> None:
    assert choose_size(sizes) == chosen


def test_resizing_is_said(paint: Paint) -> None:
    paint("a/0.png", 10, 100, 150)
    paint("a/1.png", 20, 100, 150)
    root = paint("b/0.png", 30, 120, 180)
    train = load(root).train
    assert train.size == (40, 64)
    assert train.notes == (
        "3 images of 2 sizes in images were stretched to 40x64 (rows x columns); give a size to choose another",
    )
    assert values(train.pixels) == [10, 20, 30]
    assert load(root, size="9x7").train.pixels.shape == (3, 9, 7, 1)
    assert load(root, size="9x7").notes == ("3 images of 2 sizes in images were stretched to 9x7 (rows x columns)",)


def test_channels(paint: Paint) -> None:
    paint("a/0.png", 10)
    root = paint("b/0.png", 30)
    assert load(root).train.channels == 1
    assert load(root, channels=3).train.pixels.shape == (2, 8, 8, 3)
    paint("b/1.png", (255, 0, 0))
    assert load(root).train.channels == 3
    assert values(load(root, channels=1).train.pixels) == [10, 30, 76]


def test_too_large_for_memory(paint: Paint, monkeypatch: pytest.MonkeyPatch) -> None:
    paint("a/0.png")
    root = paint("b/0.png")
    monkeypatch.setattr(image_cache, "reserve", lambda *_: None)
    monkeypatch.setattr(images, "on_disk", lambda _: None)
    monkeypatch.setattr(images, "available_memory", lambda: 2**29 - 1)
    with pytest.raises(TooLargeError, match=r"2 images of 16384x16384x1 need 0\.5 GB"):
        load(root, size=16384)


def test_progress(paint: Paint) -> None:
    for part, count in (("train", 40), ("test", 5)):
        for n in range(count):
            root = paint(f"{part}/{'ab'[n % 2]}/{n}.png", n)
    caller = threading.get_ident()
    calls: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        assert threading.get_ident() == caller
        calls.append((done, total))

    load(root, progress=progress)
    assert calls == [(16, 45), (32, 45), (40, 45), (45, 45)]
    calls.clear()
    load(root, progress=progress)
    assert calls == [(40, 45), (45, 45)]


def test_matching(paint: Paint) -> None:
    for n, name in enumerate(["a/x-1.png", "a/y-1.png", "b/x-2.png", "b/y-2.png"]):
        root = paint(name, n)
    train = load(root).train
    chosen = train.matching("x-*")
    assert chosen.names == ("a/x-1.png", "b/x-2.png")
    assert values(chosen.pixels) == [0, 2]
    assert chosen.labels is not None
    assert chosen.labels.tolist() == [0, 1]
    assert train.matching("b/*").counts() == (0, 2)
    with pytest.raises(DataError, match=r"none of 4 files matches 'z\*'; one of them is 'a/x-1.png'"):
        train.matching("z*")


def test_to_evaluate(paint: Paint) -> None:
    for name in ("train/a/0.png", "train/b/0.png", "train/c/0.png", "val/c/1.png"):
        root = paint(name)

    def evaluate(source: Path) -> tuple[tuple[str, ...], str]:
        found, part = load_to_evaluate(source, classes=("a", "b", "c"), size=(8, 8), channels=3)
        assert found.pixels.shape[1:] == (8, 8, 3)
        assert found.classes == ("a", "b", "c")
        return found.names, part

    assert evaluate(root) == (("val/c/1.png",), "validation")
    paint("test/b/2.png")
    assert evaluate(root) == (("test/b/2.png",), "test")
    assert evaluate(root / "train") == (("a/0.png", "b/0.png", "c/0.png"), "all")
    assert evaluate(root / "test") == (("b/2.png",), "all")
    found, _ = load_to_evaluate(root / "test", classes=("a", "b", "c"), size=(8, 8), channels=3)
    assert found.labels is not None
    assert found.labels.tolist() == [1]
    with pytest.raises(DataError, match="a folder 'c', which is none of the classes 'a', 'b'"):
        load_to_evaluate(root / "train", classes=("a", "b"), size=(8, 8), channels=3)
    with pytest.raises(DataError, match="images of 5 channels: files give 1 or 3"):
        load_to_evaluate(root, classes=("a", "b", "c"), size=(8, 8), channels=5)
    with pytest.raises(OptionError, match="resized by 'warp'"):
        load_to_evaluate(root, classes=("a", "b", "c"), size=(8, 8), channels=3, fit="warp")


def test_for_prediction(paint: Paint, tmp_path: Path) -> None:
    paint("deep/er/0.png", 1, 20, 30)
    root = paint("1.png", 2)
    (root / "bad.png").write_bytes(b"bad")
    (root / "2.txt").write_text("no")
    Image.new("L", (8, 8), 3).save(tmp_path / "nameless", "PNG")
    pixels, names, skipped = load_for_prediction([root, tmp_path / "nameless"], size=(8, 8), channels=1)
    assert names == (f"{root}/1.png", f"{root}/deep/er/0.png", f"{tmp_path}/nameless")
    assert values(pixels) == [2, 1, 3]
    assert [name for name, _ in skipped] == [f"{root}/2.txt", f"{root}/bad.png"]
    with pytest.raises(DataError, match="no such file or folder: nowhere"):
        load_for_prediction(["nowhere"], size=(8, 8), channels=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"there are no images in .*empty"):
        load_for_prediction([tmp_path / "empty"], size=(8, 8), channels=1)
    assert len(load_for_prediction([root / "bad.png"], size=(8, 8), channels=1)[0]) == 0


def test_prediction_decodes_as_training_does(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for n in range(6):
        path = tmp_path / "images" / "ab"[n % 2] / f"{n}.{['png', 'jpg'][n // 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (50 + n, 90 - n, 3), np.uint8)).save(path)
    train = load(tmp_path / "images").train
    assert train.resize is not None
    pixels, names, _ = load_for_prediction(
        [tmp_path / "images"], size=train.size, channels=train.channels, fit=train.resize
    )
    assert [name.removeprefix(f"{tmp_path}/images/") for name in names] == list(train.names)
    np.testing.assert_array_equal(pixels, train.pixels)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared images are not here (../shared/data)")
def test_photographs(tmp_path: Path) -> None:
    with tarfile.open(SHARED / "flowers500.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    sets = load(tmp_path / "flowers")
    assert sets.validation is not None
    assert sets.test is None
    assert sets.train.pixels.shape == (400, 48, 64, 3)
    assert sets.train.counts() == (80,) * 5
    assert sets.validation.counts() == (20,) * 5
    assert "400 images of 122 sizes in train were stretched to 48x64" in sets.notes[0]
    assert sets.train.pixels.std() > 50


@pytest.mark.parametrize("way", ["data/", "archive/data/"])
def test_parts_one_folder_deeper_are_found(paint: Paint, way: str) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png", "test/cat/2.png"):
        root = paint(way + name, 9)
    (root / "README.md").write_text("about")
    sets = load(root)
    assert sets.test is not None
    assert (sets.train.names, sets.test.names) == (
        (f"{way}train/cat/1.png", f"{way}train/dog/1.png"),
        (f"{way}test/cat/2.png",),
    )
    assert f"images holds nothing but {way[:-1]}, which is used instead." in sets.notes
    evaluated, part = load_to_evaluate(root, classes=("cat", "dog"), size=(8, 8), channels=1)
    assert (part, evaluated.names) == ("test", (f"{way}test/cat/2.png",))


def test_classes_one_folder_deeper_are_found_where_they_are_known(paint: Paint) -> None:
    for name in ("cat/1.png", "dog/1.png"):
        root = paint(f"data/{name}", 9)
    evaluated, _ = load_to_evaluate(root, classes=("bird", "cat", "dog"), size=(8, 8), channels=1)
    assert evaluated.names == ("data/cat/1.png", "data/dog/1.png")
    with pytest.raises(DataError, match=f"only one class, 'data'.* give {root / 'data'}"):
        load(root)
    evaluated, _ = load_to_evaluate(root, classes=("data", "other"), size=(8, 8), channels=1)
    assert evaluated.counts() == (2, 0)


@pytest.mark.parametrize("part", ["test", "val"])
def test_a_part_without_labels_is_left_out(paint: Paint, part: str) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png", f"{part}/2.png", f"{part}/3.png"):
        root = paint(name, 9)
    sets = load(root)
    assert (sets.validation, sets.test) == (None, None)
    (note,) = sets.notes
    assert isinstance(note, Caution)
    assert note.startswith(f"{part} is left out: its images are not in class folders")
    evaluated, found = load_to_evaluate(root, classes=("cat", "dog"), size=(8, 8), channels=1)
    assert (found, len(evaluated), evaluated.notes) == ("train", 2, (note,))
