"""Folders in tar files are read as they would be unpacked: the same images, classes, sets, refusals."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

import lanewise
from lanewise.data.folders import list_sets
from lanewise.data.load import load, load_for_prediction, load_to_evaluate
from lanewise.data.tar import read_tar
from lanewise.data.tar_folders import folder_of
from lanewise.data.tree import ImageFile
from lanewise.errors import DataError
from lanewise.notes import unheard
from tests.data.packed import caches_of_its_own, png  # noqa: F401 - the caches are a fixture

BINARY = {"cats/1.png": 10, "cats/2.png": 20, "dogs/1.png": 30, "dogs/deep/er/3.png": 40}


def as_folder(root, files):
    for name, value in files.items():
        path = root / name
        (path if value is None else path.parent).mkdir(parents=True, exist_ok=True)
        if value is not None:
            path.write_bytes(value if isinstance(value, bytes) else png(value))
    return root


def as_tar(path, files, around="", form=tarfile.GNU_FORMAT, shuffled=False):
    """The same files in a tar file; those without content are empty folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(files, reverse=shuffled)
    with tarfile.open(path, "w", format=form) as archive:
        for name in names:
            info = tarfile.TarInfo(around + name)
            value = files[name]
            content = b"" if value is None else value if isinstance(value, bytes) else png(value)
            info.type = tarfile.DIRTYPE if value is None else tarfile.REGTYPE
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def told(source):
    """All that a reader of images may see of a source: sets, or the words that refuse it."""
    notes: list[str] = []
    try:
        sets = load(source, notes=notes.append)
    except DataError as error:
        return [str(error)]
    return [
        (part, one.classes, one.names, one.labels.tolist(), one.pixels.tolist(), one.skipped)
        for part, one in sets.parts.items()
    ] + notes


def alike(tmp_path, files, **how):
    """What is told of a folder and of a tar file of it, which must be the same but for the name."""
    shutil.rmtree(tmp_path / "both", ignore_errors=True)
    folder = as_folder(tmp_path / "both" / "photos", files)
    path = as_tar(tmp_path / "both" / "photos.tar", files, **how)
    known, found = told(folder), told(path)
    around = how.get("around", "").strip("./")
    called = f"photos.tar/{around}" if around else "photos.tar"
    plain = [
        one.replace(called, "photos").replace("photos.tar", "photos") if isinstance(one, str) else one for one in found
    ]
    assert plain == known
    return known


SETS = {f"{part}/{name}": value for part in ("train", "val", "test") for name, value in BINARY.items()}
LAYOUTS = {
    "classes": BINARY,
    "sets": SETS,
    "litter": BINARY
    | {"cats/._1.png": b"x", ".DS_Store": b"x", "__MACOSX/cats/a.png": 9, "dogs/Thumbs.db": b"x", ".git/a.png": 1},
    "skipped": BINARY | {"cats/readme.txt": b"x", "loose.png": 5, "dogs/bad.jpg": b"no image", "dogs/none": b""},
    "bare test": {f"train/{name}": value for name, value in BINARY.items()} | {"test/1.png": 5},
    "an empty class": BINARY | {"eels": None},
    "one class": {"cats/1.png": 10, "x.png": 2},
    "both sets and classes": SETS | {"cats/1.png": 10},
    "sets without train": {f"val/{name}": value for name, value in BINARY.items()},
    "two names for a set": SETS | {f"validation/{name}": value for name, value in BINARY.items()},
    "sets in sets": {f"train/train/{name}": value for name, value in BINARY.items()},
    "unknown sets": {f"{part}/{name}": value for part in ("train1", "train2") for name, value in BINARY.items()},
    "perhaps sets": {f"{part}/{name}": value for part in ("a", "b") for name, value in BINARY.items()},
    "another class in a set": SETS | {"val/eels/1.png": 3},
    "numbers": {f"{n}/x.png": n for n in range(12)},
    "forms of a name": {"Ba\u0308ume/1.png": 1, "B\u00e4ume/2.png": 2, "x/1.png": 3},
    "no UTF-8": {"c\udcffts/1\udce4.png": 1, "x/1.png": 3},
    "dots in names": {"a/IMG.1.png": 1, "a/IMG.2.png": 2, "b/IMG.1.png": 3, "b/IMG.1.jpg": 4},
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
def test_as_unpacked(tmp_path, files):
    alike(tmp_path, files, shuffled=True)
    alike(tmp_path, files, around="./")


@pytest.mark.parametrize("name", ["classes", "sets", "skipped", "bare test", "an empty class", "perhaps sets"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_a_folder_around_all_is_none(tmp_path, name, form):
    alike(tmp_path, LAYOUTS[name], around="photos/", form=form)
    alike(tmp_path, LAYOUTS[name], around="/home/me/photos/", form=form)


def test_the_same_model_and_the_same_answers(tmp_path):
    files = {
        f"{part}/{name}{n}.png": v + 9 * n
        for part in ("train", "test")
        for name, v in (("a/", 0), ("b/", 99))
        for n in range(9)
    }
    folder, path = as_folder(tmp_path / "photos", files), as_tar(tmp_path / "p" / "photos.tar", files, "photos/")
    models = [lanewise.train(one, epochs=2, seed=1, network="dense 2") for one in (folder, path)]
    assert [one.tobytes() for one in models[0].parameters] == [one.tobytes() for one in models[1].parameters]
    for split in ("train", "test", None):
        results = [lanewise.evaluate(models[0], one, split=split) for one in (folder, path)]
        assert results[0].to_json() == results[1].to_json()
    with pytest.raises(DataError, match=r"photos.tar/photos holds no folder 'validation' or 'val'"):
        lanewise.evaluate(models[0], path, split="validation")
    pixels = [load_for_prediction([one], size=(8, 8), channels=1) for one in (folder, path)]
    assert pixels[0][0].tobytes() == pixels[1][0].tobytes()
    ends = [[name.rpartition("photos")[2] for name in names] for _, names, _ in pixels]
    assert ends[0] == ends[1]
    found = [lanewise.check(one, labels=False).collection for one in (folder, path)]
    assert found[0].names == found[1].names
    assert found[0].files == found[1].files


def test_a_check_reads_each_image_twice(tmp_path, monkeypatch):
    """To decode it and for its digest: of a header only the beginning is read."""
    path = as_tar(tmp_path / "a.tar", {name: png(value) + bytes(100_000) for name, value in BINARY.items()})
    read, source = [], ImageFile.source
    monkeypatch.setattr(ImageFile, "source", lambda file: read.append(file.name) or source(file))
    lanewise.check(path, labels=False)
    assert sorted(read) == sorted([*BINARY, *BINARY])
    file = list_sets(folder_of(path, [(read_tar(path), None)]))["train"].files[1]
    assert file.within is not None
    with file.peek() as part, open(path, "rb") as whole:
        whole.seek(file.within[0])
        assert part.read(50) == whole.read(50)
        assert (part.seek(-7, 2), part.read(), part.read()) == (file.within[1] - 7, bytes(7), b"")
        assert part.seek(10) == 10
        assert part.read() == png(20)[10:] + bytes(100_000)


def test_known_classes_are_no_folder_around_all(tmp_path):
    some = as_tar(tmp_path / "a.tar", {"cats/x/1.png": 1, "cats/x/2.png": 2})
    images, part = load_to_evaluate(some, classes=("cats", "dogs"), size=(8, 8), channels=1)
    assert (part, images.labels.tolist(), images.names) == ("all", [0, 0], ("cats/x/1.png", "cats/x/2.png"))


def test_several_tar_files_are_one_folder(tmp_path):
    for n, name in enumerate(BINARY):
        as_tar(tmp_path / "s" / f"p-{n}.tar", {name: BINARY[name]}, around="photos/")
    known = told(as_folder(tmp_path / "photos", BINARY))
    assert told(tmp_path / "s") == told(str(tmp_path / "s" / "p-{0..3}.tar")) == known
    for part in ("train", "val"):
        as_tar(tmp_path / "t" / f"{part}.tar", BINARY, around={"train": "", "val": "x/"}[part])
    sets = load(tmp_path / "t", notes=unheard)
    assert sets.validation.names == tuple(f"validation/{name}" for name in sets_names(known))
    assert sets.train.names == tuple(f"train/{name}" for name in sets_names(known))


def sets_names(known):
    return known[0][2]


def test_pairs_come_before_folders_which_is_said(tmp_path):
    pairs = {"cats/1.png": 1, "cats/1.cls": b"x", "dogs/2.png": 2, "dogs/2.cls": b"y"}
    notes: list[str] = []
    images = load(as_tar(tmp_path / "a.tar", pairs), notes=notes.append).train
    assert (images.classes, len(images)) == (("x", "y"), 2)
    assert "a.tar: the classes are those of .cls and .json files, not those of folders" in notes
    mixed = load(as_tar(tmp_path / "b.tar", pairs | {"dogs/3.png": 3}), notes=unheard).train
    assert [name for name, _ in mixed.skipped] == ["b.tar/dogs/3.png"]
    facts = BINARY | {"cats/1.json": b'{"camera": "x"}'}
    assert load(as_tar(tmp_path / "c.tar", facts), notes=unheard).train.classes == ("cats", "dogs")


def test_names_that_climb_and_names_that_come_again(tmp_path):
    path = as_tar(tmp_path / "a.tar", BINARY | {"cats/../../../up.png": 5, "/dogs/root.png": 6})
    with tarfile.open(path, "a") as archive:
        for name, kind, content in (
            ("./cats/1.png", tarfile.REGTYPE, png(99)),
            ("dogs/link.png", tarfile.SYMTYPE, b""),
            ("dogs/deep", tarfile.REGTYPE, b"a file in place of a folder"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    notes: list[str] = []
    images = load(path, notes=notes.append).train
    values = dict(zip(images.names, images.pixels[:, 0, 0, 0].tolist(), strict=True))
    assert values == BINARY | {"cats/1.png": 99, "dogs/root.png": 6}
    assert any("names with .. or too long are left out, 1 in all" in note for note in notes)
    assert any("1 member has the name of others before" in note for note in notes)
    assert images.skipped == (("dogs/link.png", "it is not an ordinary file"),)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_hard_links_are_what_they_name(tmp_path, form):
    """`tar` writes the second name of a file as a link to the first; of others there are no bytes."""
    long = "dogs/" + "long/" * 60 if form != tarfile.USTAR_FORMAT else "dogs/"
    path = as_tar(tmp_path / "a.tar", BINARY | {f"{long}first.png": 50}, around="./", form=form)
    with tarfile.open(path, "a", format=form) as archive:
        for name, target in (
            ("./cats/again.png", f"./{long}first.png"),
            ("cats/twice.png", "cats/again.png"),
            ("cats/1.png", "./cats/2.png"),
            ("cats/none.png", "cats/later.png"),
            ("cats/up.png", "../../etc/passwd"),
            ("cats/later.png", "cats/later.png"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.LNKTYPE, target
            archive.addfile(info)
    images = load(path, notes=unheard).train
    values = dict(zip(images.names, images.pixels[:, 0, 0, 0].tolist(), strict=True))
    more = {f"{long}first.png": 50, "cats/again.png": 50, "cats/twice.png": 50, "cats/1.png": 20}
    assert values == BINARY | more
    assert [name for name, _ in images.skipped] == ["cats/later.png", "cats/none.png", "cats/up.png"]


def test_folders_deeper_than_the_stack(tmp_path):
    deep, deeper = "cats/" + "d/" * 1500 + "x.png", "cats/" + "d/" * 15_000 + "x.png"
    path = as_tar(tmp_path / "a.tar", BINARY | {deep: 50, deeper: 60})
    notes: list[str] = []
    images = load(path, notes=notes.append).train
    assert deep in images.names
    assert len(images) == len(BINARY) + 1
    assert any("names with .. or too long are left out, 1 in all" in note for note in notes)


def test_what_is_cut_off_is_said(tmp_path):
    path = as_tar(tmp_path / "a.tar", BINARY)
    content = path.read_bytes()
    at = content.index(b"dogs/deep")
    path.write_bytes(content[: at + 100])
    notes: list[str] = []
    assert len(load(path, notes=notes.append).train) == 3
    assert any("cut short at byte" in note and "3 images before that are used" in note for note in notes)
    path.write_bytes(content[: content.index(b"dogs/1") + 100])
    with pytest.raises(DataError, match=r"only one class, .cats., .*; a.tar: it is damaged or cut short at byte"):
        load(path)


def test_rubbish_is_read_as_it_is_unpacked(tmp_path):
    """Members of all kinds in any order: what a tar file gives is what its unpacked folder gives."""
    random = np.random.default_rng(0)
    words = ["cats", "dogs", "train", "test", "1.png", "2.png", "3.jpg", "a.txt", ".hid", "..", ".", "", "Thumbs.db"]
    for turn in range(120):
        count = int(random.integers(1, 14))
        path = tmp_path / f"{turn}" / "photos.tar"
        path.parent.mkdir()
        folder = path.parent / "photos"
        folder.mkdir()
        with tarfile.open(path, "w", format=int(random.integers(0, 3))) as archive:
            for n in range(count):
                parts = [words[k] for k in random.integers(0, len(words), int(random.integers(1, 4)))]
                if random.random() < 0.6:
                    parts = [words[int(random.integers(2))], words[int(random.integers(4, 6))]]
                name = "/".join(parts)
                plain = [part for part in parts if part not in ("", ".")]
                if not plain or not name:
                    continue
                is_folder = random.random() < 0.1
                info = tarfile.TarInfo(name)
                content = b"" if is_folder else png(n)
                info.type, info.size = (tarfile.DIRTYPE if is_folder else tarfile.REGTYPE), len(content)
                archive.addfile(info, io.BytesIO(content))
                unpack(folder, plain, None if is_folder else content)
        known, found = told(folder), told(path)
        if len(found) == 1 and (isinstance(found[0], str)):
            assert len(known) == 1, (found, known)
        else:
            assert [one for one in found if not isinstance(one, str)] == [o for o in known if not isinstance(o, str)]


def unpack(folder: Path, parts, content):
    """What `tar xf` does, where a folder takes the place of a file, and no file that of a folder."""
    if ".." in parts:
        return
    place = folder
    for part in parts[:-1] if content is not None else parts:
        place = place / part
        if place.is_file():
            place.unlink()
        place.mkdir(exist_ok=True)
    if content is not None and not (place / parts[-1]).is_dir():
        (place / parts[-1]).write_bytes(content)
