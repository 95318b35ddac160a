"""Decoded images on disk: found again, thrown away when they are not what they should be, never in the way."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lanewise import check, train
from lanewise.data import decode, image_cache, reading
from lanewise.data.images import SLACK, Images
from lanewise.data.load import load as read
from lanewise.errors import DataError
from lanewise.notes import unheard

load = partial(read, notes=unheard)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for n in range(6):
        path = tmp_path / "images" / "ab"[n % 2] / f"{n}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 10 * n, np.uint8)).save(path)
    return tmp_path / "images"


@pytest.fixture(params=["read", "mapped"])
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder, once for images that are read into memory and once for images that are mapped."""
    if request.param == "mapped":
        monkeypatch.setattr(image_cache, "IN_MEMORY", 1)
    yield tmp_path / "cache"
    assert not list((tmp_path / "cache").glob("*.tmp"))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files were decoded, one entry a time that files were."""
    counts: list[int] = []
    real = reading.decode_into

    def counting(*args: object) -> object:
        counts.append(len(args[1]))  # type: ignore[arg-type]
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "decode_into", counting)
    return counts


def values(images: Images) -> list[int]:
    return images.pixels[:, 3, 3, 0].tolist()


VALUES = [0, 20, 40, 10, 30, 50]


def test_found_again(root: Path, cache: Path, decoded: list[int]) -> None:
    first, second = load(root, cache_dir=cache).train, load(root, cache_dir=cache).train
    assert decoded == [6]
    assert values(first) == values(second) == VALUES
    assert first.names == second.names
    assert first.notes == second.notes
    assert cache.stat().st_mode & 0o777 == 0o700
    (entry,) = cache.iterdir()
    stored = np.load(entry)
    np.testing.assert_array_equal(stored, first.pixels)
    start = entry.read_bytes().index(b"\n") + 1
    assert entry.read_bytes()[start + stored.size :][:SLACK] == bytes(SLACK)


def test_mapped_pixels_cannot_be_written(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_cache, "IN_MEMORY", 1)
    for _ in range(2):
        pixels = load(root, cache_dir=tmp_path / "cache").train.pixels
        assert isinstance(pixels, np.memmap)
        assert not pixels.flags.writeable


def test_what_a_new_decoder_reads_is_read(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that no installed decoder could read is tried again once another one is installed."""
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(np.full((16, 16, 3), 200, np.uint8))).save(root / "a" / "9.heic")
    with monkeypatch.context() as without:
        without.setattr(importlib.util, "find_spec", lambda _: None)
        without.setattr(decode, "_decoders", decode._decoders.__wrapped__)
        without.setitem(sys.modules, "pillow_heif.as_plugin", None)
        assert [name for name, _ in load(root, size=8, cache_dir=tmp_path / "cache").skipped] == ["a/9.heic"]
    assert load(root, size=8, cache_dir=tmp_path / "cache").skipped == ()


def test_training_gives_the_same_bits_from_mapped_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From memory, mapped just after decoding, and mapped again; the images held out are mapped, too."""
    random = np.random.default_rng(0)
    for n in range(40):
        path = tmp_path / "images" / "ab"[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 128 + 127 * (n % 2), (8, 8, 3), np.uint8)).save(path)
    weights, kinds = [], []
    for limit, name in ((image_cache.IN_MEMORY, "memory"), (1, "mapped"), (1, "mapped")):
        monkeypatch.setattr(image_cache, "IN_MEMORY", limit)
        sets = load(tmp_path / "images", cache_dir=tmp_path / name)
        model = train(sets, "conv 4@3x3, relu, dense 2", epochs=2, threads=1, verbose=False, notes=unheard)
        kinds.append(isinstance(sets.train.pixels, np.memmap))
        weights.append([array.tobytes() for array in model.parameters])
    assert kinds == [False, True, True]
    assert weights[0] == weights[1] == weights[2]


def test_images_that_were_decoded_for_another_reason_serve(root: Path, cache: Path, decoded: list[int]) -> None:
    """Training chooses a size and evaluation asks for it, or the other way round: it is decoded once."""
    first = load(root, cache_dir=cache).train
    again = load(root, cache_dir=cache, size=8, channels=1, bits=16).train
    assert (values(first), decoded) == (values(again), [6])
    load(root, cache_dir=cache, size=9)
    load(root, cache_dir=cache, size=9, channels=1)
    assert decoded == [6, 6]
    load(root, cache_dir=cache, size=8, fit="pad")
    assert decoded == [6, 6, 6], "another fit is another image"
    for entry in cache.iterdir():
        entry.unlink()
    load(root, cache_dir=cache, size=8, channels=1, bits=16)
    load(root, cache_dir=cache)
    assert decoded == [6, 6, 6, 6]


def test_a_check_decodes_for_the_training_after_it(
    root: Path, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path))
    (root / "a" / "bad.bmp").write_bytes(b"bad")
    found = check(root, labels=False).collection
    images = load(root).train
    assert decoded == [7]
    np.testing.assert_array_equal(found.pixels, images.pixels)
    assert [name for name, _ in found.unreadable] == ["a/bad.bmp"]


@pytest.mark.parametrize("change", ["written", "touched", "added", "removed", "renamed", "size", "channels"])
def test_any_change_is_noticed(root: Path, cache: Path, decoded: list[int], change: str) -> None:
    load(root, cache_dir=cache)
    options: dict[str, int] = {}
    expected = list(VALUES)
    match change:
        case "written":  # with the old time of modification, and by chance of the same length
            old = (root / "a" / "0.bmp").stat()
            Image.fromarray(np.full((8, 8), 7, np.uint8)).save(root / "a" / "0.bmp")
            os.utime(root / "a" / "0.bmp", ns=(old.st_atime_ns, old.st_mtime_ns))
            expected[0] = 7
        case "touched":
            os.utime(root / "a" / "0.bmp")
        case "added":
            Image.fromarray(np.full((8, 8), 99, np.uint8)).save(root / "b" / "6.bmp")
            expected.append(99)
        case "removed":
            (root / "b" / "5.bmp").unlink()
            expected.pop()
        case "renamed":
            (root / "a" / "4.bmp").rename(root / "a" / "1.bmp")
            expected[1:3] = [40, 20]
        case _:
            options = {change: 3}
    assert values_of(root, cache, options) == expected
    assert len(decoded) == 2
    assert values_of(root, cache, options) == expected
    assert len(decoded) == 2
    # A changed folder takes the place of what it was; another size is kept beside it.
    assert len(list(cache.iterdir())) == (2 if options else 1)


def values_of(root: Path, cache: Path, options: dict[str, int]) -> list[int]:
    pixels = load(root, cache_dir=cache, **options).train.pixels  # type: ignore[arg-type]
    return pixels[:, 0, 0, 0].tolist()


def test_bad_files_leave_no_gaps(root: Path, cache: Path) -> None:
    for name in ("a/0.bmp", "a/4.bmp", "b/3.bmp"):
        (root / name).write_bytes(b"bad")
    for _ in range(2):
        images = load(root, cache_dir=cache).train
        assert values(images) == [20, 10, 50]
        assert images.names == ("a/2.bmp", "b/1.bmp", "b/5.bmp")
        assert [name for name, _ in images.skipped] == ["a/0.bmp", "a/4.bmp", "b/3.bmp"]


def test_a_damaged_entry_is_made_anew(root: Path, cache: Path, decoded: list[int]) -> None:
    load(root, cache_dir=cache)
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    places = [0, 7, 60, 128, 128 + 200, len(whole) - 100, len(whole) - 20, len(whole) - 12, len(whole) - 1]
    damaged = [whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :] for n in places]
    damaged += [b"", whole[:100], whole[:-1], whole + b"x", whole[:200] + whole[201:], bytes(len(whole))]
    for times, content in enumerate(damaged):
        entry.write_bytes(content)
        assert values(load(root, cache_dir=cache).train) == VALUES
        assert len(decoded) == times + 2
        assert entry.read_bytes() == whole


def test_a_cache_that_cannot_be_written(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    for limit in (1, 2**20):
        monkeypatch.setattr(image_cache, "IN_MEMORY", limit)
        images = load(root, cache_dir=tmp_path / "file" / "cache").train
        assert values(images) == VALUES
        assert any("is full, or not yours to write to" in note for note in images.notes) == (limit == 1)


def test_a_full_disk(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("posix_fallocate", "replace"):
        for limit in (1, 2**20):
            with monkeypatch.context() as patch:
                patch.setattr(os, name, full)
                patch.setattr(image_cache, "IN_MEMORY", limit)
                assert values(load(root, cache_dir=tmp_path / "cache").train) == VALUES
            assert list((tmp_path / "cache").iterdir()) == []


def test_without_reserving(root: Path, cache: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Some systems cannot set room aside; there the file is written once before."""
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    for _ in range(2):
        assert values(load(root, cache_dir=cache).train) == VALUES
    assert decoded == [6]


def test_an_interruption_leaves_nothing(root: Path, cache: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(root, cache_dir=cache, progress=interrupt)
    assert not cache.exists() or list(cache.iterdir()) == []
    for name in root.rglob("*.bmp"):
        name.write_bytes(b"bad")
    with pytest.raises(DataError):
        load(root, cache_dir=cache)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_old_entries_are_swept_away_and_nothing_else(root: Path, cache: Path) -> None:
    load(root, cache_dir=cache)
    (entry,) = cache.iterdir()
    month = time.time() - 31 * 86400
    old = cache / ("0" * 32 + ".images.npy")
    half = cache / ("1" * 32 + "-abc_1.tmp")
    mine = cache / "mine.npy"
    for path in (old, half, mine):
        path.write_bytes(b"")
        os.utime(path, (month, month))
    os.utime(entry, (month, month))
    load(root, cache_dir=cache)  # reading an entry makes it young again
    load(root, cache_dir=cache, size=5)
    assert entry.exists()
    assert mine.exists()
    assert not old.exists()
    assert not half.exists()


def test_default_folder(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load(root)
    assert len(list((tmp_path / "xdg" / "lanewise" / "images").iterdir())) == 1


def test_processes_at_the_same_time(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from lanewise.data.load import load; from lanewise.data import image_cache\n"
        "image_cache.IN_MEMORY = 1\n"
        "for size in range(8, 16): print(load(sys.argv[1], size=size, cache_dir=sys.argv[2]).train.pixels.sum())"
    )
    command = [sys.executable, "-c", code, str(root), str(tmp_path / "cache")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(outputs[0].split()) == 8
    assert len(list((tmp_path / "cache").iterdir())) == 8
