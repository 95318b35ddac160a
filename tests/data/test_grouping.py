"""Images that belong together are found by names, tables, arrays or looks, and no split parts them."""

from dataclasses import replace

import numpy as np
import pytest

from lanewise.data.grouping import by_names, check_groups, grouped, groups_given
from lanewise.data.held_out import hold_out
from lanewise.data.images import Images, ImageSets
from lanewise.data.load import load
from lanewise.data.near_copies import leak, similar
from lanewise.data.seen import TRAINED, Seen, hashes_of
from lanewise.data.split import grouped_folds, joined, stratified_split
from lanewise.errors import DataError, OptionError
from lanewise.training.leaks import NOTABLE
from tests.tracks import tracks


def named(*names, labels=None):
    count = len(names)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 1)).astype(np.uint8)
    classes = tuple(sorted({name.rpartition("/")[0].split("/")[0] for name in names}))
    labels = [classes.index(name.split("/")[0]) for name in names] if labels is None else labels
    return Images(pixels, np.array(labels, np.int32), classes, names=names)


def groups_by(images, by):
    groups = by_names(images, by)
    return [groups.names[n] for n in groups.numbers]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("^[0-9]+", ["12", "12", "12", "7"]),  # in the name of the file, whatever the folder
        ("^([0-9])", ["1", "1", "1", "7"]),
        ("[^/]+/[0-9]+", ["cat/12", "cat/12", "dog/12", "dog/7"]),
        ("_[0-9]", ["_1", "_2", "_1", "_1"]),
    ],
)
def test_a_pattern_finds_the_group_in_the_name_or_with_a_slash_in_the_path(by, expected):
    assert groups_by(named("cat/12_1.png", "cat/12_2.png", "dog/12_1.png", "dog/7_1.png"), by) == expected


def test_folders_are_those_below_the_class():
    images = named("cat/ann/1.png", "cat/ann/more/2.png", "dog/ann/1.png", "dog/bob/cat/1.png")
    assert groups_by(images, "folder") == ["ann", "ann", "ann", "bob"]
    with pytest.raises(DataError, match=r"1 of 2 files have no group: 'cat/2.png' lies in no folder below"):
        by_names(named("cat/ann/1.png", "cat/2.png"), "folder")


def test_a_table_holds_names_and_groups(tmp_path):
    table = tmp_path / "who.csv"
    table.write_text("file,patient,age\ncat/1.png,ann,3\n2.png,bob,4\n", "utf-8")
    images = named("cat/1.png", "cat/2.png")
    assert groups_by(images, str(table)) == ["ann", "bob"]
    assert groups_by(images, f"{table}:age") == ["3", "4"]
    with pytest.raises(DataError, match=r"has the columns 'file', 'patient', 'age'"):
        by_names(images, f"{table}:sex")
    with pytest.raises(DataError, match=r"'cat/3.png' is not in"):
        by_names(named("cat/1.png", "cat/3.png"), str(table))
    with pytest.raises(DataError, match=r"no such file: .*missing.csv"):
        by_names(images, str(tmp_path / "missing.csv"))


def test_what_makes_no_groups_is_refused_with_an_example():
    images = named("cat/1.png", "cat/x.png", "dog/2.png")
    with pytest.raises(DataError, match=r"none of 3 files has a group: 'cat/1.png' does not match '\^z'"):
        by_names(images, "^z")
    with pytest.raises(DataError, match=r"1 of 3 files have no group: 'cat/x.png' does not match"):
        by_names(images, "^[0-9]")
    with pytest.raises(OptionError, match=r"'\[' is no regular pattern"):
        by_names(images, "[")
    with pytest.raises(DataError, match="came as arrays: give groups"):
        by_names(replace(images, names=()), "^[0-9]")
    with pytest.raises(DataError, match=r"groups has the shape \(2,\), but there are 3 images"):
        groups_given(["a", "b"], 3)


def test_groups_are_numbered_whatever_the_order_of_images():
    assert groups_given([7, 3, 7], 3).numbers.tolist() == [1, 0, 1]
    assert groups_given(["b", "a"], 2).names == ("a", "b")


def test_an_npz_file_may_hold_the_groups(tmp_path):
    x, y = np.zeros((4, 3, 3), np.uint8), np.array([0, 0, 1, 1])
    path = tmp_path / "scans.npz"
    np.savez(path, x_train=x, y_train=y, patient_train=["ann", "bob", "ann", "eve"], x_test=x, y_test=y)
    groups = load(path, group_by="patient").train.groups
    assert [groups.names[n] for n in groups.numbers] == ["ann", "bob", "ann", "eve"]
    assert load(path).train.groups is None
    with pytest.raises(DataError, match="holds no array doctor_train with the group of each image"):
        load(path, group_by="doctor")


def test_a_group_in_two_sets_is_told():
    train, test = named("cat/1_1.png", "dog/2_1.png"), named("cat/1_2.png", "dog/3_1.png")
    (note,) = grouped(ImageSets(train, test=test), "^[0-9]+").notes
    assert note == "1 group of the training set is in the test set, too: '1'"


@pytest.mark.parametrize("seed", range(5))
def test_splits_and_folds_keep_groups_whole_and_classes_in_proportion(seed):
    random = np.random.default_rng(seed)
    groups = np.sort(random.integers(0, 60, 600))
    labels = (random.integers(0, 3, 60)[groups]).astype(np.int32)
    train, held = stratified_split(labels, 0.2, seed, groups)
    assert sorted([*train, *held]) == list(range(600))
    assert not set(groups[train]) & set(groups[held])
    fold = grouped_folds(labels, groups, 5, seed)
    assert all(len(set(fold[groups == group])) == 1 for group in np.unique(groups))
    for label in range(3):
        count = (labels == label).sum()
        assert abs((labels[held] == label).sum() - 0.2 * count) < 0.05 * count
        assert np.ptp(np.bincount(fold[labels == label], minlength=5)) < 0.1 * count


def test_a_class_of_two_groups_is_on_both_sides():
    labels, groups = np.array([0] * 10 + [1] * 10, np.int32), np.array([0] * 9 + [1] + [2] * 5 + [3] * 5)
    train, held = stratified_split(labels, 0.1, 0, groups)
    assert set(labels[train]) == set(labels[held]) == {0, 1}
    assert set(groups[held]) in ({1, 2}, {1, 3})


def test_the_split_is_the_same_with_the_same_seed_alone():
    labels, groups = np.arange(200, dtype=np.int32) % 4, np.arange(200) // 4
    held = [stratified_split(labels, 0.2, seed, groups)[1].tolist() for seed in (0, 0, 1)]
    assert held[0] == held[1] != held[2]


def test_groups_that_share_an_image_are_one():
    assert joined(np.array([0, 1, 1, 2, 3]), np.array([5, 6, 7, 7, 8])).tolist() == [0, 1, 1, 1, 3]
    images = tracks(12, 5)
    images.pixels[7] = images.pixels[23]  # of tracks 1 and 4
    images = grouped(ImageSets(images), "^[0-9]+").train
    holding = hold_out(images, np.arange(60), 0.25, 0, None)
    assert len(holding.held)
    track = np.arange(60) // 5
    assert not set(track[holding.held]) & set(track[holding.trained])
    assert (1 in track[holding.held]) == (4 in track[holding.held])


def test_images_of_a_group_that_was_trained_on_are_trained_on():
    images = grouped(ImageSets(tracks(12, 5)), "^[0-9]+").train
    hashes = hashes_of(images.pixels)
    holding = hold_out(images, np.arange(60), 0.25, 0, Seen.of("bytes", hashes[:20:5], hashes[:0]))
    assert set(range(20)) <= set(holding.trained.tolist())
    assert (holding.before.kinds_by(hashes)[holding.held] != TRAINED).all()
    assert len(holding.held)


def test_groups_that_no_split_can_keep_whole_are_refused():
    images = grouped(ImageSets(tracks(6, 4)), "^[0-9]+").train
    check_groups(images, np.arange(24), 6)
    with pytest.raises(DataError, match=r"of 6 groups \(by '\^\[0-9\]\+'\), too few for 7 folds: give folds=6"):
        check_groups(images, np.arange(24), 7)
    whole = grouped(ImageSets(replace(images, groups=None)), "[ab]/").train
    with pytest.raises(DataError, match=r"all 12 images of 'a' are in one group, 'a/'"):
        check_groups(whole, np.arange(24))


def test_near_copies_are_found_and_unlike_images_are_not():
    images = tracks(40, 6)
    trained, held = stratified_split(images.labels, 0.2, 0)
    found = leak(images, trained, held)
    assert found.asked == len(held)
    assert len(found.pairs) > 0.5 * len(held)
    assert (found.pairs[:, 0] // 6 == found.pairs[:, 1] // 6).all()
    one_each = images.take(np.arange(0, 240, 6))
    assert not len(leak(one_each, np.arange(8, 40), np.arange(8)).pairs)


def test_near_copies_are_found_in_floats_and_mirrored():
    images = tracks(40, 6)
    trained, held = stratified_split(images.labels, 0.2, 0)
    expected = leak(images, trained, held).pairs.tolist()
    floats = replace(images, pixels=images.pixels.astype(np.float32) * np.float32(0.01) - 1)
    assert len(leak(floats, trained, held).pairs) > 0.9 * len(expected)
    mirrored = images.pixels.copy()
    mirrored[held] = mirrored[held, :, ::-1]
    assert leak(replace(images, pixels=mirrored), trained, held).pairs.tolist() == expected


def test_digits_look_alike_without_being_near_copies():
    digits = load("digits").train
    trained, held = stratified_split(digits.labels, 0.2, 0)
    assert len(leak(digits, trained, held).pairs) < NOTABLE * len(held)


def test_similar_images_are_grouped_by_track():
    images = tracks(40, 6)
    found = similar(images.pixels, images.labels)
    track = np.arange(240) // 6
    count, both = len(np.unique(found)), len(np.unique(np.stack([found, track]), axis=1)[0])
    assert count < 55  # most tracks are in one group
    assert both - count <= 2  # and most groups hold one track
    assert similar(images.pixels[:, ::-1], images.labels).tolist() == found.tolist()


def test_the_norms_of_signatures_are_whole_numbers_that_float32_sums_exactly():
    from lanewise.data.near_copies import NORM, _signatures

    vectors = _signatures(tracks(10, 3).pixels, np.arange(30))
    assert (vectors == np.rint(vectors)).all()
    squares = (vectors.astype(np.float64) ** 2).sum(axis=(1, 2))
    assert np.abs(squares / (2 * NORM * NORM) - 1).max() < 0.01
    assert squares.max() < 2**24
