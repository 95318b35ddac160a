"""Tar files as sources: of every form, and whatever is wrong with them; nothing is ever unpacked."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

import lanewise
from lanewise import ImageFiles
from lanewise.data import tar
from lanewise.data.load import load, load_for_prediction, load_to_evaluate
from lanewise.data.source import shards_of, stem_of
from lanewise.data.tar import DamagedError, members
from lanewise.errors import DataError
from lanewise.notes import unheard
from tests.data.packed import caches_of_its_own, png  # noqa: F401 - the caches are a fixture

LABELS = ("oak", "elm", "oak", "elm")


def put(archive, name, content, **header):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in header.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(content))


def shard(path, samples=None, form=tarfile.USTAR_FORMAT, more=()):
    """A tar file of samples: (key, brightness, {suffix: text})."""
    if samples is None:
        samples = [(f"{n:04}", 10 * n, {"cls": label}) for n, label in enumerate(LABELS)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for key, value, facts in samples:
            put(archive, f"{key}.png", png(value))
            for suffix, text in facts.items():
                put(archive, f"{key}.{suffix}", text if isinstance(text, bytes) else text.encode())
        for name, content, header in more:
            put(archive, name, content, **header)
    return path


def seen(images):
    values = images.pixels[:, 0, 0, 0].tolist()
    return [(n, images.classes[k], v) for n, k, v in zip(images.names, images.labels, values, strict=True)]


WANTED = [(f"a.tar/{n:04}.png", label, 10 * n) for n, label in enumerate(LABELS)]


def failing(source, **options):
    with pytest.raises(DataError) as caught:
        load(source, notes=unheard, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("folder", ["", "deep/" * 40, "Bäume/"])
def test_members_are_those_that_tarfile_finds(tmp_path, form, folder):
    samples = [(f"{folder}{n:04}", n, {"cls": "x"}) for n in range(3)]
    path = shard(
        tmp_path / "a.tar",
        samples,
        form,
        [("link", b"", {"type": tarfile.SYMTYPE, "linkname": "y" * (200 if form else 90)})],
    )
    with tarfile.open(path) as archive, open(path, "rb") as file:
        known = [(one.name, one.offset_data, one.size, one.isfile()) for one in archive]
        assert [(one.name, one.start, one.size, one.ordinary) for one in members(file)] == known


def test_classes_by_text_and_by_json(tmp_path):
    by_json = [
        (f"{n:04}", 10 * n, {"json": json.dumps({"label": label, "tree": n // 2})}) for n, label in enumerate(LABELS)
    ]
    assert seen(load(shard(tmp_path / "a.tar"), notes=unheard).train) == WANTED
    path = shard(tmp_path / "b" / "a.tar", by_json)
    images = load(path, group_by="tree", notes=unheard).train
    assert seen(images) == WANTED
    assert images.groups is not None
    assert images.groups.numbers.tolist() == [0, 0, 1, 1]
    assert load(ImageFiles(path, label_column="tree"), notes=unheard).train.classes == ("0", "1")
    other = shard(tmp_path / "c.tar", [(k, v, {"kind": "xy"[n % 2], **f}) for n, (k, v, f) in enumerate(by_json)])
    assert load(ImageFiles(other, label_column="kind"), notes=unheard).train.classes == ("x", "y")


def test_samples_of_many_files(tmp_path):
    samples = [(f"d/{n:04}", 10 * n, {"mask.png": png(99), "txt": "words", "cls": f"{n % 2}\n"}) for n in range(4)]
    images = load(shard(tmp_path / "a.tar", samples), notes=unheard).train
    assert [one[1:] for one in seen(images)] == [("0", 0), ("1", 10), ("0", 20), ("1", 30)]
    assert images.names[0] == "a.tar/d/0000.png"


def test_sets_by_the_names_of_shards(tmp_path):
    for name in ("train-000", "train-001", "val-000"):
        shard(tmp_path / "s" / f"{name}.tar")
    sets = load(tmp_path / "s", notes=unheard)
    assert sets.validation is not None
    assert (len(sets.train), len(sets.validation)) == (8, 4)
    pattern = str(tmp_path / "s" / "train-{000..001}.tar")
    assert len(load(pattern, notes=unheard).train) == 8
    assert len(load(str(tmp_path / "s" / "*.tar"), notes=unheard).train) == 8
    assert stem_of(pattern) == "train"
    images, part = load_to_evaluate(tmp_path / "s", classes=("elm", "oak"), size=(8, 8), channels=1, split="train")
    assert (len(images), part) == (8, "train")
    assert "train-002.tar" in failing(pattern.replace("001", "002"))
    shard(tmp_path / "s" / "more.tar")
    assert "more.tar is not" in failing(tmp_path / "s")


def test_patterns(tmp_path):
    assert len(shards_of(shard(tmp_path / "x" / "a.tar").parent)) == 1
    for bad in ("a-{9..1}.tar", "a-{b}.tar", "a-{0..999999999}.tar", "*.tar"):
        assert "\n" not in failing(str(tmp_path / bad))
    (tmp_path / "a.tar.gz").write_bytes(b"")
    assert "unpack it" in failing(tmp_path / "a.tar.gz")
    (tmp_path / "b.tar").mkdir()
    assert "is a folder" in failing(str(tmp_path / "{b}.tar".replace("{b}", "[b]")))


def test_nothing_is_written_and_no_path_followed(tmp_path):
    """Names that climb, absolute names, links and devices are names, and nothing else."""
    more = [
        ("../../climbing.png", png(50), {}),
        ("../../climbing.cls", b"oak", {}),
        ("/absolute.png", png(60), {}),
        ("/absolute.cls", b"elm", {}),
        ("link.png", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("hard.png", b"", {"type": tarfile.LNKTYPE, "linkname": "0000.png"}),
        ("pipe.png", b"", {"type": tarfile.FIFOTYPE}),
        ("._0000.png", b"litter", {}),
    ]
    path = shard(tmp_path / "in" / "a.tar", more=more)
    images = load(path, notes=unheard).train
    assert [value for *_, value in seen(images)] == [0, 10, 20, 30, 50, 60]
    assert {name for name, _ in images.skipped} == {"a.tar/link.png", "a.tar/hard.png", "a.tar/pipe.png"}
    assert {one.name for one in tmp_path.rglob("*") if one.is_file()} == {"a.tar"} | {
        one.name for one in (tmp_path / "cache").rglob("*") if one.is_file()
    }
    assert not (tmp_path.parent / "climbing.png").exists()
    assert not Path("/absolute.png").exists()


def test_bad_members_are_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tar, "LARGEST", 5000)
    more = [
        ("bad.png", b"no image", {}),
        ("bad.cls", b"oak", {}),
        ("none.png", png(1), {}),
        ("huge.png", bytes(6000), {}),
        ("huge.cls", b"oak", {}),
        ("json.png", png(2), {}),
        ("json.json", b"{" * 100_000, {}),
        ("latin.png", png(2), {}),
        ("latin.cls", b"B\xe4ume", {}),
        ("list.png", png(2), {}),
        ("list.json", b'{"label": ["oak"]}', {}),
    ]
    images = load(shard(tmp_path / "a.tar", more=more), notes=unheard).train
    assert seen(images) == WANTED
    reasons = {name.removeprefix("a.tar/"): reason for name, reason in images.skipped}
    assert set(reasons) == {"bad.png", "none.png", "huge.png", "json.png", "latin.png", "list.png"}
    assert "no class" in reasons["none.png"]
    assert "no class" in reasons["list.png"]
    assert "5,000" in reasons["huge.png"]
    assert "no JSON" in reasons["json.png"]
    assert "UTF-8" in reasons["latin.png"]
    assert "huge.png" in failing(tmp_path / "a.tar", strict=True)


def test_a_file_that_is_cut_short_gives_what_it_holds(tmp_path):
    whole = shard(tmp_path / "w.tar").read_bytes()
    for length in (512 * 14 + 100, 512 * 13 + 10, 512 * 12):
        (tmp_path / "a.tar").write_bytes(whole[:length])
        said: list[str] = []
        images = load(tmp_path / "a.tar", notes=said.append).train
        assert 2 <= len(images) < 4
        assert any("cut short" in note for note in said) == (length % 512 != 0)


def test_a_damaged_header_is_said(tmp_path):
    content = bytearray(shard(tmp_path / "a.tar").read_bytes())
    content[512 * 8 + 3] ^= 1
    (tmp_path / "a.tar").write_bytes(content)
    said: list[str] = []
    images = load(tmp_path / "a.tar", notes=said.append).train
    assert len(images) == 2
    assert any("a.tar: it is damaged or cut short at byte 4,096; 2 images before that are used" in n for n in said)


def header(**fields):
    info = tarfile.TarInfo("x.png")
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a tar file" * 100,
        b"\xff" * 1024,
        header(size=2**62),
        header(type=tarfile.XHDTYPE, size=2**40),
        header(type=tarfile.GNUTYPE_LONGNAME, size=2**40),
        header(type=tarfile.XHDTYPE, size=8) + b"9999999 " + bytes(504),
        header(type=tarfile.GNUTYPE_LONGNAME, size=2**15),
        bytes(10240),
    ],
    ids=range(9),
)
def test_files_that_are_no_tar_files_get_one_line(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    assert "a.tar" in failing(tmp_path / "a.tar")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    assert "a.tar is not an ordinary file" in failing(tmp_path / "a.tar")


def test_any_byte_may_be_wrong(tmp_path):
    """Reading ends, takes no memory that a header claims, and raises nothing but what is meant."""
    path = tmp_path / "a.tar"
    whole = shard(path, form=tarfile.PAX_FORMAT, samples=[("Bäume/" * 30 + str(n), n, {"cls": "x"}) for n in range(2)])
    content = whole.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(content)
        for place in random.integers(0, len(content), 3):
            broken[place] = random.integers(256)
        path.write_bytes(broken)
        with open(path, "rb") as file:
            try:
                found = list(members(file))
            except DamagedError:
                continue
            assert all(one.start + one.size <= len(content) for one in found)


def test_without_classes(tmp_path):
    message = failing(shard(tmp_path / "a.tar", [(f"{n}", n, {}) for n in range(3)]))
    assert "KEY.cls or KEY.json" in message
    assert "only one class" in failing(shard(tmp_path / "b.tar", [("0", 0, {"cls": "oak"})]))


def test_decoded_once_and_anew_when_written_again(tmp_path):
    path = shard(tmp_path / "a.tar")
    first = load(path, notes=unheard).train
    shard(path, [(f"{n:04}", 100 + n, {"cls": label}) for n, label in enumerate(LABELS)])
    assert first.pixels[0, 0, 0, 0] == 0
    assert load(path, notes=unheard).train.pixels[0, 0, 0, 0] == 100


def test_prediction_and_check(tmp_path):
    path = shard(tmp_path / "a.tar", [(f"{n}", 10 * n, {}) for n in range(3)])
    pixels, names, _ = load_for_prediction([path], size=(8, 8), channels=1)
    assert pixels[:, 0, 0, 0].tolist() == [0, 10, 20]
    assert names == ("a.tar/0.png", "a.tar/1.png", "a.tar/2.png")
    found = lanewise.check(shard(tmp_path / "b.tar"), labels=False)
    assert (found.collection.classes, len(found.collection.files)) == (("elm", "oak"), 4)


def test_what_comes_behind_the_end_is_told(tmp_path):
    one, two = shard(tmp_path / "one.tar"), shard(tmp_path / "two.tar")
    joint = tmp_path / "joint.tar"
    joint.write_bytes(one.read_bytes() + two.read_bytes())
    notes = load(joint, notes=unheard).notes
    assert any("goes on after its end" in note and "4 images before that are used" in note for note in notes)
    content = bytearray(one.read_bytes())
    content[2048:4096] = bytes(2048)
    hole = tmp_path / "hole.tar"
    hole.write_bytes(content)
    assert "goes on after its end" in failing(hole)
    one.write_bytes(one.read_bytes() + bytes(100_000))  # more zeros are no more than an end
    assert not any("end" in note for note in load(one, notes=unheard).notes)


def test_names_that_come_again_are_told(tmp_path):
    samples = [(f"{n:04}", 10 * n, {"cls": label}) for n, label in enumerate(LABELS)]
    again = shard(tmp_path / "a.tar", [*samples, ("0001", 90, {"cls": "oak"})])
    sets = load(again, notes=unheard)
    assert any("2 members have names of others before; the last of a name counts" in note for note in sets.notes)
    assert (len(sets.train), seen(sets.train)[1][1:]) == (4, ("oak", 90))


def test_a_sparse_member_with_a_long_map_ends_where_it_ends(tmp_path):
    """GNU's form has 4 holes in the header, and 21 more in each block behind it."""
    path = shard(tmp_path / "a.tar")
    block = bytearray(512)
    block[:5], block[124:136], block[156], block[482] = b"a.png", b"00000000000\0", ord("S"), 1
    block[257:265] = b"ustar  \0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    more, last = bytearray(512), bytearray(512)
    more[504] = 1
    path.write_bytes(bytes(block) + more + last + path.read_bytes())
    sets = load(path, notes=unheard)
    assert len(sets.train) == 4
    assert [reason for _, reason in sets.skipped] == ["it is not an ordinary file"]


def test_a_packed_file_under_the_name_of_a_tar_file(tmp_path):
    path = shard(tmp_path / "a.tar")
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert "it is packed as a whole: unpack it to a .tar file" in failing(path)
