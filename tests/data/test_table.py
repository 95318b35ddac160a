"""Tables of image files: every form that people write works or gets one line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise import ImageFiles
from lanewise.data.listings import images_in
from lanewise.data.load import load, load_for_prediction, load_to_evaluate
from lanewise.data.table import read_table
from lanewise.errors import DataError
from lanewise.notes import unheard
from lanewise.wording import shown
from tests.data.packed import caches_of_its_own  # noqa: F401 - the caches are a fixture

FILES = ("a.png", "b.png", "c.png", "d.png", "sub/e.png", "sub/f.png")
LABELS = ("oak", "elm", "oak", "elm", "oak", "elm")


@pytest.fixture
def root(tmp_path):
    """Six images of brightness 0, 10, ... 50 in a folder without classes."""
    for n, name in enumerate(FILES):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 10 * n, np.uint8)).save(path)
    return tmp_path / "photos"


def table(root, text, encoding="utf-8", name="labels.csv"):
    path = root / name
    path.write_bytes(text.encode(encoding))
    return path


def rows(head="file,label", files=FILES, labels=LABELS, sign=","):
    return "\n".join([head.replace(",", sign), *(f"{f}{sign}{label}" for f, label in zip(files, labels, strict=True))])


def seen(images):
    """Each image's name, class and brightness."""
    values = images.pixels[:, 0, 0, 0].tolist()
    return [(n, images.classes[k], v) for n, k, v in zip(images.names, images.labels, values, strict=True)]


WANTED = [(name, label, 10 * n) for n, (name, label) in enumerate(zip(FILES, LABELS, strict=True))]


def failing(source, **options):
    with pytest.raises(DataError) as caught:
        load(source, notes=unheard, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (rows(), "utf-8"),
        (rows(), "utf-8-sig"),
        (rows(), "utf-16"),
        (rows() + "\n\n", "utf-8"),
        (rows().replace("\n", "\r\n"), "utf-8"),
        (rows(sign=";"), "utf-8"),
        (rows(sign="\t"), "utf-8"),
        (rows(sign="|"), "utf-8"),
        (rows("Image Path,Class"), "utf-8"),
        (rows("FileName,category"), "utf-8"),
        (rows("id,breed"), "utf-8"),
        (rows("x,y"), "utf-8"),  # the one that looks like files, and the other
        (rows('"file","label"', [f'"{name}"' for name in FILES], [f'"{label}"' for label in LABELS]), "utf-8"),
        (rows("file,label", [f"./{name}" for name in FILES]), "utf-8"),
        (rows("file,label", [name.replace("/", "\\") for name in FILES]), "utf-8"),
        (rows("image_id,label", [name.removesuffix(".png") for name in FILES]), "utf-8"),
        (rows("label,file", LABELS, FILES), "utf-8"),
        (rows(files=[f" {name} " for name in FILES]), "utf-8"),
    ],
)
def test_forms_that_work(root, text, encoding):
    assert seen(load(table(root, text, encoding), notes=unheard).train) == WANTED


def test_a_table_without_a_head(root):
    text = rows().partition("\n")[2]
    said = []
    assert seen(load(table(root, text), notes=said.append).train) == WANTED
    assert any("no head" in note for note in said)


def test_paths_below_a_folder_or_absolute(root, tmp_path):
    elsewhere = table(tmp_path, rows(), name="elsewhere.csv")
    assert seen(load(ImageFiles(root, labels=elsewhere), notes=unheard).train) == WANTED
    absolute = table(tmp_path, rows(files=[str(root / name) for name in FILES]))
    assert [one[1:] for one in seen(load(absolute, notes=unheard).train)] == [one[1:] for one in WANTED]


def test_other_encodings_are_said(root):
    labels = ["Bäume" if label == "oak" else label for label in LABELS]
    said: list[str] = []
    found = load(table(root, rows(labels=labels), "cp1252"), notes=said.append).train
    assert found.classes == ("Bäume", "elm")
    assert any("Windows-1252" in note for note in said)
    assert load(table(root, rows(labels=labels)), notes=unheard).train.classes == ("Bäume", "elm")


def test_numbers_are_classes_in_their_order(root):
    images = load(table(root, rows(labels=["10", "9", "10", "9", "100", "9"])), notes=unheard).train
    assert images.classes == ("9", "10", "100")


def test_sets_and_groups(root):
    parts = ("train", "train", "train", "valid", "test", "test")
    text = "file,label,split,tree\n" + "\n".join(
        f"{f},{label},{part},{'uvwxyz'[n // 2]}"
        for n, (f, label, part) in enumerate(zip(FILES, LABELS, parts, strict=True))
    )
    path = table(root, text)
    sets = load(path, group_by="tree", notes=unheard)
    assert seen(sets.train) == WANTED[:3]
    assert sets.validation is not None
    assert sets.test is not None
    assert (seen(sets.validation), seen(sets.test)) == (WANTED[3:4], WANTED[4:])
    assert sets.train.groups is not None
    assert sets.train.groups.numbers.tolist() == [0, 0, 1]
    assert sets.train.groups.by == "tree"
    assert any("'v'" in note for note in sets.notes), "a group in two sets"
    how = {"classes": ("elm", "oak"), "size": (8, 8), "channels": 1}
    for split, count in ((None, 2), ("test", 2), ("validation", 1), ("train", 3)):
        images, part = load_to_evaluate(path, split=split, **how)
        assert (len(images), part) == (count, split or "test")
    assert len(load(ImageFiles(path, split_column="split", label_column="label"), notes=unheard).train) == 3


def test_a_pattern_still_groups(root):
    assert load(table(root, rows()), group_by="^.", notes=unheard).train.groups is not None


def test_bad_files_are_left_out_and_named(root):
    (root / "b.png").write_bytes(b"bad")
    images = load(table(root, rows() + "\nmissing.png,oak\n,elm\nhttp://x.org/y.png,elm\nsub,oak"), notes=unheard).train
    assert [name for name, *_ in seen(images)] == ["a.png", "c.png", "d.png", "sub/e.png", "sub/f.png"]
    reasons = dict(images.skipped)
    assert "no such file" in reasons["missing.png"]
    assert "names no file" in reasons["row 9"]
    assert "fetch it first" in reasons["http://x.org/y.png"]
    assert "is a folder" in reasons["sub"]
    assert "b.png" in reasons
    assert "missing.png" in failing(root / "labels.csv", strict=True)


def test_rows_without_a_label_or_of_another_length(root):
    images = load(table(root, rows() + "\na.png\nb.png,\nc.png,oak,,\nd.png,elm,more"), notes=unheard).train
    assert len(images) == 6
    assert [reason for _, reason in images.skipped] == [
        "it has 1 cell, but the head 2",
        "it has 3 cells, but the head 2",
        "it has no label",
    ]


def test_rows_that_come_twice(root):
    said: list[str] = []
    assert len(load(table(root, rows() + "\na.png,oak\n./a.png,oak"), notes=said.append).train) == 6
    assert any("2 rows of labels.csv repeat another" in note for note in said)
    assert "like a.png in rows 2 and 8" in failing(table(root, rows() + "\na.png,elm"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("file,label\n", "no rows"),
        ("file,label\nno.png,x\nnot.png,y", "paths are looked for below"),
        (rows(labels=["oak"] * 6), "only one class, 'oak'"),
        ("a,b,c\na.png,1,2\nb.png,2,3", "--label-column"),
        ("u,v,w\n1,1,2\n2,2,3", "--path-column"),
        ("file\0,label", "zero bytes"),
        ("file,label,set\na.png,x,test\nb.png,y,test", "no train set"),
        ("file,label\n" + "a.png,\n" * 3, "no label"),
    ],
)
def test_bad_tables_get_one_line(root, text, said):
    assert said in failing(table(root, text))


def test_columns_that_are_not_there(root):
    path = table(root, rows())
    for option in ("path_column", "label_column", "split_column"):
        message = failing(ImageFiles(path, **{option: "colour"}))
        assert "'colour'" in message
        assert "--" + option.replace("_", "-") in message
    assert seen(load(ImageFiles(path, label_column="2", path_column="1"), notes=unheard).train) == WANTED
    assert "sets are called train" in failing(ImageFiles(path, split_column="label"))
    assert "give labels" in failing(ImageFiles(root, label_column="label"))
    assert "no folder" in failing(ImageFiles(root / "a.png", labels=path))
    assert "cannot be read" in failing(root / "none.csv")


def test_a_group_that_is_missing(root):
    assert "row 7" in failing(
        table(root, rows("file,label,who", labels=["oak,u", "elm,v"] * 2 + ["oak,u", "elm,"])), group_by="who"
    )


def test_another_label_for_the_same_images_decodes_nothing(root, monkeypatch):
    from lanewise.data import reading

    load(table(root, rows()), notes=unheard)
    monkeypatch.setattr(reading, "decode_into", None)
    assert load(table(root, rows(labels=LABELS[::-1])), notes=unheard).train.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_prediction_takes_the_files_of_a_table(root):
    pixels, names, skipped = load_for_prediction([table(root, rows())], size=(8, 8), channels=1)
    assert pixels[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40, 50]
    assert names == FILES
    assert skipped == ()
    assert len(images_in(table(root, "file\n" + "\n".join(FILES), name="only.csv")).files) == 6


def test_check_reads_tables(root):
    found = lanewise.check(table(root, rows() + "\nmissing.png,oak"), labels=False)
    assert found.collection.classes == ("elm", "oak")
    assert found.collection.names == FILES
    assert len(found.collection.files) == 6


def test_large_tables_are_read_in_one_go(tmp_path):
    text = "file,label\n" + "".join(f"{n}.png,{n % 3}\n" for n in range(5000))
    assert len(read_table(table(tmp_path, text)).rows) == 5000


def test_names_that_terminals_would_obey(root):
    assert "\x1b" not in shown(failing(table(root, rows() + "\nx\x1b[31m.png,oak"), strict=True))


@pytest.mark.parametrize("row", ['b.png,elm,"wide', 'b.png,elm,"5" wide'])
def test_a_stray_quotation_mark_takes_no_rows_with_it(root, row):
    lines = rows("file,label,note").splitlines()
    lines = [lines[0], *(f"{line}," for line in lines[1:])]
    lines[2] = row
    message = failing(table(root, "\n".join(lines)))
    assert "cannot be read as a table: line " in message


def test_old_line_ends_and_the_line_that_names_the_separator(root):
    for text in (rows().replace("\n", "\r"), "sep=;\n" + rows(sign=";"), "sep=;\r\n" + rows(sign=";")):
        assert sorted(seen(load(table(root, text), notes=unheard).train)) == sorted(WANTED)


def test_one_file_is_one_image_however_it_is_spelled(root):
    spelled = ("a.png", "./a.png", "sub/../a.png", "sub//e.png", *FILES[1:])
    labels = ("oak", "oak", "oak", "oak", *LABELS[1:])
    images = load(table(root, rows(files=spelled, labels=labels)), notes=unheard).train
    assert len(images) == len(FILES)
    contrary = ("oak", "oak", "elm", "oak", *LABELS[1:])
    assert "says two things of 1 file" in failing(table(root, rows(files=spelled, labels=contrary)))
    (root / "link.png").symlink_to(root / "a.png")
    assert "says two things" in failing(table(root, rows(files=(*FILES, "link.png"), labels=(*LABELS, "elm"))))


def test_a_class_is_one_whatever_bytes_its_name_has(root):
    labels = ("gr\u00fcn", "elm", "gru\u0308n", "elm", "elm", "elm")
    assert load(table(root, rows(labels=labels)), notes=unheard).train.classes == ("elm", "gr\u00fcn")


def test_numbers_of_one_value_have_one_order(root):
    labels = ("01", "1", "001", "0", "2", "2")
    assert load(table(root, rows(labels=labels)), notes=unheard).train.classes == ("0", "001", "01", "1", "2")


def test_rows_without_a_class_are_one_set_and_no_class(root):
    parts = ("train", "train", "train", "train", "unlabelled", "unlabelled")
    text = "\n".join(["file,label,split", *(f"{f},{k},{p}" for f, k, p in zip(FILES, LABELS, parts, strict=True))])
    assert len(load(table(root, text), notes=unheard).train) == 4
    lanewise.check(table(root, text))
    alone = text.replace(",train", ",unlabelled")
    assert "6 rows are of the set 'unlabelled'" in failing(table(root, alone))
    with pytest.raises(DataError, match="of the set 'unlabelled'"):
        lanewise.check(table(root, alone))
