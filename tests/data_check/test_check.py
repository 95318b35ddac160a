"""What `lanewise.check` finds in images with one fault each, and that it finds nothing where there is none."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

import lanewise
from lanewise.data.grouping import groups_given
from lanewise.data.images import Images
from lanewise.data.load import load
from lanewise.data_check.check import look
from lanewise.data_check.findings import Finding
from lanewise.data_check.groups import with_copies
from lanewise.data_check.label_errors import folds
from lanewise.errors import DataError
from lanewise.report.data import data_figures


def checked(root, **options):
    return lanewise.check(root, **{"labels": False, **options})


def cases(found, kind):
    one = found.of(kind)
    return [] if one is None else [set(case.names) for case in one.cases]


def test_sound_images_give_no_findings(photos):
    found = checked(photos)
    assert [one.kind for one in found.items] == []
    assert found.collection.counts() == {"train": {"apple": 24, "leaf": 24}, "test": {"apple": 8, "leaf": 8}}


def test_a_copied_file(photos):
    shutil.copy(photos / "train/apple/03.png", photos / "train/apple/copy.png")
    found = checked(photos)
    assert cases(found, "copies") == [{"train/apple/03.png", "train/apple/copy.png"}]
    assert "the same file" in found.of("copies").cases[0].detail


def test_the_same_pixels_in_another_file(photos):
    Image.open(photos / "train/apple/03.png").save(photos / "train/apple/copy.bmp")
    assert "the same pixels" in checked(photos).of("copies").cases[0].detail


def test_a_copy_across_sets_is_serious(photos):
    shutil.copy(photos / "train/leaf/05.png", photos / "test/leaf/new.png")
    found = checked(photos)
    assert found.items[0].kind == "across-splits"
    assert found.items[0].severity == "serious"
    assert cases(found, "across-splits") == [{"train/leaf/05.png", "test/leaf/new.png"}]


def test_copies_across_sets_are_told_first_and_those_of_two_labels_next(photos):
    shutil.copy(photos / "train/leaf/05.png", photos / "train/apple/new.png")
    shutil.copy(photos / "train/leaf/06.png", photos / "test/leaf/new.png")
    shutil.copy(photos / "train/leaf/07.png", photos / "test/apple/new.png")
    found = checked(photos)
    assert [one.kind for one in found.items] == ["across-splits", "two-labels"]
    assert cases(found, "across-splits") == [
        {"train/leaf/07.png", "test/apple/new.png"},
        {"train/leaf/06.png", "test/leaf/new.png"},
    ]
    assert cases(found, "two-labels") == [
        {"train/leaf/07.png", "test/apple/new.png"},
        {"train/leaf/05.png", "train/apple/new.png"},
    ]
    assert "in train and test; labelled 'apple' and 'leaf'" in found.items[1].cases[0].detail


@pytest.mark.parametrize(
    "change",
    [
        ImageOps.mirror,
        lambda image: image.crop((3, 3, 61, 61)),
        lambda image: ImageEnhance.Brightness(image).enhance(1.2),
        lambda image: image.resize((40, 40)),
    ],
    ids=["mirrored", "cropped", "brighter", "smaller"],
)
def test_near_copies(photos, change):
    change(Image.open(photos / "train/apple/03.png")).save(photos / "train/apple/near.jpg", quality=70)
    assert cases(checked(photos), "near-copies") == [{"train/apple/03.png", "train/apple/near.jpg"}]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda image: Image.merge("RGB", image.split()[::-1]), False),
        (lambda image: ImageEnhance.Brightness(image).enhance(0.3), False),
        (lambda image: image.convert("L"), True),
    ],
    ids=["of another colour", "much darker", "made grey"],
)
def test_what_is_alike_but_in_colour_or_brightness_is_no_near_copy_unless_it_became_grey(photos, change, told):
    change(Image.open(photos / "train/apple/03.png")).save(photos / "train/apple/other.png")
    assert bool(cases(checked(photos), "near-copies")) == told


def test_where_all_images_are_much_alike_likeness_is_no_sign_of_a_copy():
    random = np.random.default_rng(0)
    shape = random.integers(60, 190, (16, 16))
    x = (shape + random.normal(0, 6, (40, 16, 16))).astype(np.uint8)
    assert not lanewise.check(x, np.arange(40) % 2, labels=False).items


def test_gradients_of_brightness_are_no_copies():
    rows = np.arange(16)[:, None]
    random = np.random.default_rng(0)
    sky = 100 + 5 * rows + random.normal(0, 2, (2, 16, 16))
    x = np.concatenate([random.integers(0, 256, (40, 16, 16)), sky]).astype(np.uint8)
    assert not lanewise.check(x, np.arange(42) % 2, labels=False).of("two-labels")


def test_all_copies_of_one_image_are_one_case(photos):
    for name in ("a", "b"):
        shutil.copy(photos / "train/apple/03.png", photos / f"train/apple/{name}.png")
    assert [len(case) for case in cases(checked(photos), "copies")] == [3]


def test_files_that_cannot_be_read(photos):
    data = (photos / "train/apple/00.png").read_bytes()
    (photos / "train/apple/00.png").write_bytes(data[: len(data) // 2])
    (photos / "train/apple/01.png").write_bytes(b"")
    (photos / "train/apple/02.png").write_bytes(b"not an image")
    (photos / "train/apple/notes.txt").write_text("images")
    found = checked(photos)
    reasons = {case.names[0]: case.detail for case in found.of("unreadable").cases}
    assert set(reasons) == {f"train/apple/0{n}.png" for n in range(3)}
    assert reasons["train/apple/01.png"] == "it is empty"
    assert cases(found, "ignored") == [{"train/apple/notes.txt"}]
    assert len(found.collection) == 61


def test_constant_images_are_no_copies_of_one_another(photos):
    for name in ("00", "01"):
        Image.new("RGB", (64, 64), (200, 60, 60)).save(photos / f"train/apple/{name}.png")
    found = checked(photos)
    assert cases(found, "constant") == [{"train/apple/00.png"}, {"train/apple/01.png"}]
    assert found.of("copies") is None


def test_images_unlike_the_others(photos, image):
    image(1, (100, 100, 100)).convert("L").save(photos / "train/apple/grey.png")
    image(2, (200, 60, 60)).resize((64, 160)).save(photos / "train/apple/tall.png")
    image(3, (200, 60, 60)).resize((20, 20)).save(photos / "train/apple/small.png")
    image(4, (200, 60, 60)).convert("RGBA").save(photos / "train/apple/clear.png")
    image(5, (200, 60, 60)).save(photos / "train/apple/wrong.png", format="JPEG")
    image(6, (200, 60, 60)).save(photos / "train/apple/leaf_6.png")
    found = checked(photos)
    for kind, name in (
        ("grey", "grey"),
        ("shape", "tall"),
        ("small", "small"),
        ("alpha", "clear"),
        ("misnamed", "wrong"),
        ("name", "leaf_6"),
    ):
        assert cases(found, kind) == [{f"train/apple/{name}.png"}], kind


def test_a_image_far_darker_than_most(photos):
    dark = Image.fromarray(np.array(Image.open(photos / "train/apple/03.png")) // 8)
    dark.save(photos / "train/apple/03.png")
    assert cases(checked(photos), "brightness") == [{"train/apple/03.png"}]


def test_a_image_in_no_class_s_folder(photos, image):
    image(7, (200, 60, 60)).save(photos / "train/lost.png")
    assert cases(checked(photos), "outside") == [{"train/lost.png"}]


def test_doubtful_labels_stand_behind_copies_and_before_odd_looks(photos, monkeypatch):
    shutil.copy(photos / "train/apple/03.png", photos / "train/apple/copy.png")
    Image.new("RGB", (64, 64), (200, 60, 60)).save(photos / "train/apple/00.png")
    together = []

    def tested(collection, copies, seed, threads, progress, known, features):
        together.extend({collection.names[n] for n in group} for group in copies)
        return [Finding("mislabelled", "warning", "", "")], 0.9

    monkeypatch.setattr("lanewise.data_check.check.mislabelled", tested)
    found = lanewise.check(photos)
    assert [one.kind for one in found.items] == ["copies", "mislabelled", "constant"]
    assert found.accuracy == 0.9
    assert together == [{"train/apple/03.png", "train/apple/copy.png"}]


def test_counts(photos):
    for n in range(5, 24):
        os.unlink(photos / f"train/leaf/{n:02}.png")
    shutil.rmtree(photos / "test/leaf")
    found = checked(photos)
    assert "'leaf' (5)" in found.of("few").message
    assert "24 images of 'apple' but only 5 of 'leaf'" in found.of("imbalance").message
    assert "test set holds no image of 'leaf'" in found.of("missing-class").message


def test_of_many_classes_with_few_images_the_smallest_are_named():
    x = np.random.default_rng(0).integers(0, 256, (46, 8, 8), np.uint8)
    said = lanewise.check(x, np.arange(46) % 31, labels=False).of("few").message
    assert said.startswith("There are fewer than 20 training images of '15' (1), ")
    assert said.endswith("(1) and 19 more classes.")


def test_what_training_would_refuse_is_told(photos):
    shutil.rmtree(photos / "train/leaf")
    found = checked(photos)
    assert found.items[0].kind == "layout"
    assert found.items[0].message.startswith(f"{photos}/train holds only one class")
    (photos / "train/leaf").mkdir()
    assert checked(photos).of("layout").message.startswith("The class 'leaf' in ")


def test_nothing_to_look_at(tmp_path):
    with pytest.raises(DataError, match="no images"):
        lanewise.check(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 1 images.*it is empty"):
        lanewise.check(tmp_path)
    with pytest.raises(DataError, match="no such"):
        lanewise.check(tmp_path / "absent")


def test_arrays():
    x = np.random.default_rng(0).integers(0, 255, (60, 8, 8)).astype(np.uint8)
    x[7] = x[3]
    found = lanewise.check(x, np.arange(60) % 2, labels=False)
    assert cases(found, "copies") == [{"train 3", "train 7"}]


def test_images_in_memory_are_looked_at_quickly_whatever_their_sets_are_called():
    x = np.random.default_rng(0).integers(0, 255, (60, 8, 8, 1)).astype(np.uint8)
    x[45] = x[4]
    y = (np.arange(60) % 2).astype(np.int32)
    parts = {
        "train": Images(x[:40], y[:40], ("a", "b")),
        "empty": Images(x[:0], y[:0], ("a", "b")),
        "evaluated": Images(x[40:], y[40:], ("a", "b")),
    }
    found = look(parts)
    assert (found.source, found.collection.part_names) == ("images", ("train", "evaluated"))
    assert [(one.kind, cases(found, one.kind)) for one in found.items] == [
        (kind, [{"train 4", "evaluated 5"}]) for kind in ("across-splits", "two-labels")
    ]
    assert "in train and evaluated" in found.items[0].cases[0].detail
    with pytest.raises(DataError, match="no images"):
        look({"empty": parts["empty"]})
    with pytest.raises(DataError, match="without labels"):
        look({"train": Images(x, None, ("a", "b"))})


@pytest.mark.slow
@pytest.mark.usefixtures("all_processors")
def test_swapped_labels_are_found_and_the_same_whatever_the_threads(photos):
    for n in range(2):
        os.rename(photos / f"train/apple/{n:02}.png", photos / f"train/leaf/moved{n}.png")
    found = [lanewise.check(photos, threads=threads) for threads in (1, 2)]
    assert {"train/leaf/moved0.png"} in cases(found[0], "mislabelled")[:2]
    assert {"train/leaf/moved1.png"} in cases(found[0], "mislabelled")[:2]
    assert found[0].of("mislabelled") == found[1].of("mislabelled")
    assert found[0].of("mislabelled").cases[0].predicted == "apple"
    assert found[0].accuracy > 0.9


def digits_of(side, how):
    """Natural images that tell little apart: the built-in digits of 8x8 pixels, brought to `side` rows and columns."""
    pixels = load("digits").train.pixels[:1000, :, :, 0]
    scaled = (pixels.astype(np.float64) * (255 / pixels.max())).astype(np.uint8)
    sized = np.stack([np.asarray(Image.fromarray(one).resize((side, side), how)) for one in scaled])
    return sized[np.sort(np.unique(sized, axis=0, return_index=True)[1])]


@pytest.mark.parametrize(
    ("side", "how"),
    [
        *((side, Image.Resampling.BILINEAR) for side in (5, 16)),
        *(pytest.param(side, Image.Resampling.BILINEAR, marks=pytest.mark.slow) for side in (6, 8, 11, 32)),
        (24, Image.Resampling.NEAREST),
    ],
)
def test_tiny_images_that_are_naturally_alike_are_no_copies_and_copies_are(side, how):
    x = digits_of(side, how)
    darker = (x[10:20] * 0.8).astype(np.uint8)
    parts = {
        name: Images(pixels[..., None], np.zeros(len(pixels), np.int32), ("digit",))
        for name, pixels in (("train", x), ("test", np.concatenate([x[:10, :, ::-1], darker])))
    }
    assert not cases(look({"train": parts["train"]}), "near-copies")
    found = look(parts)
    assert sorted(map(sorted, cases(found, "across-splits"))) == sorted([f"test {n}", f"train {n}"] for n in range(20))


def test_the_built_in_digits_are_not_accused():
    assert not checked("digits").items


def test_images_are_counted_alike_wherever_copies_across_sets_are_told():
    x = np.random.default_rng(0).integers(0, 255, (90, 16, 16, 1)).astype(np.uint8)
    x[60:62] = x[0]  # two images of the test set are one of the training set
    x[62], x[63] = x[1], x[80]
    names = {"train": x[:60], "test": x[60:80], "validation": x[80:]}
    order = ("train", "validation", "test")
    parts = {name: Images(names[name], np.zeros(len(names[name]), np.int32), ("a",)) for name in order}
    across = look(parts).of("across-splits")
    assert across.message == (
        "3 images of the test set are also in the training set and 1 image of the test set is also in the validation "
        "set, or nearly so, in 3 groups of copies."
    )
    assert (across.count, across.to_json()["count"], len(across.cases)) == (4, 4, 3)
    assert len(data_figures(parts, "test").known) == 3


def test_images_without_labels_contradict_none(photos):
    """A test folder that holds images but no classes says nothing of what they show."""
    shutil.rmtree(photos / "test")
    (photos / "test").mkdir()
    shutil.copy(photos / "train/apple/03.png", photos / "test/copy.png")
    (photos.parent / "around").mkdir()
    photos.rename(photos.parent / "around" / "data")
    found = checked(photos.parent / "around")
    assert found.of("two-labels") is None
    assert cases(found, "across-splits") == [{"train/apple/03.png", "test/copy.png"}]


def test_groups_in_two_sets_are_found_and_stay_in_one_fold(photos):
    for n in (3, 5):
        (photos / "train" / "leaf" / f"{n:02}.png").rename(photos / "train" / "leaf" / f"tree{n}_1.png")
    (photos / "test" / "leaf" / "02.png").rename(photos / "test" / "leaf" / "tree3_2.png")
    found = lanewise.check(photos, labels=False, start=None, group_by="^(tree[0-9]|[0-9]+)")
    (case,) = found.of("groups-across-splits").cases[-1:]
    assert case.names == ("test/leaf/tree3_2.png", "train/leaf/tree3_1.png")
    assert case.detail == "group 'tree3', in training set and test set"
    with pytest.raises(DataError, match="does not match"):
        lanewise.check(photos, labels=False, start=None, group_by="^tree")


def test_groups_and_copies_stay_in_one_fold():
    groups = groups_given([0, 0, 1, 1, 2, 2], 6)
    assert with_copies(groups, [(1, 2)]) == [(0, 1, 2, 3), (4, 5)]
    assert with_copies(None, [(1, 2)]) == [(1, 2)]
    labels = np.arange(60, dtype=np.int32) % 2
    together = with_copies(groups_given(np.arange(60) // 6, 60), [])
    fold = folds(labels, together, 0, dealt=True)
    assert all(len(set(fold[list(members)])) == 1 for members in together)
    assert sorted(np.bincount(fold)) == [12, 12, 18, 18]
