"""The limit of all caches: what goes first, what stays, and that images are decoded once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lanewise import cache_limit
from lanewise.cache_limit import UNLIMITED, VARIABLE, clear, entries, limit, make_room, only_one
from lanewise.caching import Cache, cache_folder
from lanewise.data import image_cache, reading
from lanewise.data.load import load
from lanewise.errors import LanewiseWarning, OptionError
from lanewise.notes import unheard

NAMES = {
    "images": "0" * 31 + "{}.images.npy",
    "features": "0" * 32 + "-0{}.features",
    "code": "0" * 63 + "{}.o",
    "programs": "0" * 63 + "{}.json",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test has caches of its own."""
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(kind, number=0, size=1000, days=0.0, name=None):
    """An entry that was used some days ago."""
    path = cache_folder(kind) / (name or NAMES[kind].format(number))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    used = time.time() - days * 86400
    os.utime(path, (used, used))
    return path


def photos(root):
    for n in range(6):
        path = root / "ab"[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 10 * n, np.uint8)).save(path)
    return root


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20GB", 20 * 10**9),
        ("20 gb", 20 * 10**9),
        ("500M", 500 * 10**6),
        ("1.5TB", 1_500 * 10**9),
        ("2GiB", 2 * 2**30),
        ("12345", 12345),
        ("0", 0),
        ("none", UNLIMITED),
    ],
)
def test_the_limit_is_a_size(monkeypatch, text, size):
    monkeypatch.setenv(VARIABLE, text)
    assert limit() == size


@pytest.mark.parametrize("text", ["many", "-1GB", "20 bananas", "GB", "1e9"])
def test_what_is_no_size_is_refused(monkeypatch, text):
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(OptionError, match=r"LANEWISE_CACHE_LIMIT is .*give one like 20GB or 500MB, or none"):
        make_room()


def test_by_default_a_quarter_of_a_small_disk(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(32 * 10**9, 0, 10**9))
    assert limit() == 8 * 10**9
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**13, 0, 10**9))
    assert limit() == 20 * 10**9


def test_what_was_not_used_for_longest_goes_first_whatever_it_is(monkeypatch):
    paths = [put(kind, days=days) for days, kind in enumerate(NAMES)]
    monkeypatch.setenv(VARIABLE, "3500")
    assert make_room()
    assert [path.exists() for path in paths] == [True, True, True, False]
    assert make_room(1500)
    assert [path.exists() for path in paths] == [True, True, False, False]
    assert not make_room(4000), "more than the limit"


def test_room_is_made_on_a_full_disk_too(monkeypatch):
    old, young = put("code", days=2), put("code", 1, days=1)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, cache_limit.FREE + 500))
    assert make_room(1200)
    assert (old.exists(), young.exists()) == (False, True)


def test_only_files_of_ours_are_removed(monkeypatch, folder):
    monkeypatch.setenv(VARIABLE, "0")
    mine = [put("images", name="cat.npy"), put("code", name="main.o"), put("programs", name="a.json"), folder / "x"]
    mine[3].write_text("mine")
    secret = put("code", name="secret")
    make_room()
    clear(tuple(NAMES))
    assert all(path.exists() for path in [*mine, secret])


def test_what_nobody_used_for_a_month_goes_and_what_was_left_half_written():
    old, young = put("features", days=31), put("features", 1, days=29)
    part = NAMES["code"].format(1) + "-" + "0" * 16 + ".part"
    left, new = put("code", name=part, days=2), put("programs", name=part.replace(".o", ".json"), days=0.1)
    draft = put("images", name="1" * 32 + "-abc_1.tmp", days=0.01)
    make_room()
    assert [path.exists() for path in (old, young, left, new, draft)] == [False, True, False, True, False]


def test_the_use_of_code_is_noted():
    cache = Cache()
    key = "0" * 64
    cache.keep(key, b"code")
    path = cache_folder("code") / f"{key}.o"
    put("programs", days=3)
    os.utime(path, (time.time() - 20 * 86400,) * 2)
    assert [entry.kind for entry in entries()] == ["code", "programs"]
    assert cache.find(key) == b"code"
    assert [entry.kind for entry in entries()] == ["programs", "code"]


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_what_is_in_use_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(image_cache, "IN_MEMORY", 1)
    monkeypatch.setenv(VARIABLE, "1GB")
    root = photos(tmp_path / "photos")
    for _ in range(2):  # mapped just after decoding, and again
        pixels = load(root, notes=unheard).train.pixels[2:]
        with monkeypatch.context() as patch:
            patch.setenv(VARIABLE, "0")
            assert not make_room()
        gone, kept = clear(tuple(NAMES))
        assert (len(gone), len(kept)) == (0, 1)
        del pixels
    (one,) = entries()
    assert one.path.exists()
    monkeypatch.setenv(VARIABLE, "0")
    assert make_room()
    assert entries() == []


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_images_that_are_larger_than_the_limit_are_used_but_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(image_cache, "IN_MEMORY", 1)
    monkeypatch.setenv(VARIABLE, "100")
    said: list[str] = []
    pixels = load(photos(tmp_path / "photos"), notes=said.append).train.pixels
    assert isinstance(pixels, np.memmap)
    assert pixels[:, 0, 0, 0].tolist() == [0, 20, 40, 10, 30, 50]
    assert entries() == []
    assert any("LANEWISE_CACHE_LIMIT" in note for note in said)


def test_small_sets_are_not_kept_either(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "0")
    load(photos(tmp_path / "photos"), notes=unheard)
    assert entries() == []


def test_a_folder_elsewhere_has_the_limit_for_itself(tmp_path, monkeypatch):
    other = put("code", size=5000)
    monkeypatch.setenv(VARIABLE, "5500")
    root = photos(tmp_path / "photos")
    for size in (8, 9, 10):
        load(root, size=size, cache_dir=tmp_path / "elsewhere", notes=unheard)
    left = list((tmp_path / "elsewhere").iterdir())
    assert 0 < sum(path.stat().st_size for path in left) <= 1500
    assert other.exists()


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_images_are_decoded_once_by_whoever_comes_first(tmp_path, monkeypatch):
    root, counts, real = photos(tmp_path / "photos"), [], reading.decode_into

    def slow(*args):
        counts.append(len(args[1]))
        time.sleep(0.1)
        return real(*args)

    monkeypatch.setattr(reading, "decode_into", slow)
    found = []
    several = [
        threading.Thread(target=lambda: found.append(load(root, notes=unheard).train.pixels.sum())) for _ in range(4)
    ]
    for one in several:
        one.start()
    for one in several:
        one.join()
    assert counts == [6]
    assert found == [found[0]] * 4
    assert [path.suffix for path in cache_folder("images").iterdir()] == [".npy"]


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_whoever_is_killed_while_it_decodes_waits_for_nobody(tmp_path, folder):
    lock = folder / "images" / "x.lock"
    lock.parent.mkdir(mode=0o700, parents=True)
    code = (
        "import os, signal, sys; from pathlib import Path; from lanewise.cache_limit import only_one\n"
        "with only_one(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(lock)], check=False)
    assert done.returncode == -9
    assert lock.exists()
    with only_one(lock):
        pass
    assert not lock.exists()


def test_nobody_waits_where_no_lock_can_be_made(tmp_path):
    with only_one(Path(tmp_path / "nowhere" / "x.lock")):
        pass


def test_no_training_ends_for_a_limit_that_is_none(monkeypatch):
    """It is told once, where code was written, long after images were read."""
    monkeypatch.setenv(VARIABLE, "many")
    monkeypatch.setattr(cache_limit, "_next_look", 0.0)
    with pytest.warns(LanewiseWarning, match="which is no size"):
        cache_limit.keep_within_limit()
    cache_limit.keep_within_limit()
