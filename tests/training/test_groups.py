"""Groups stay on one side of every split, which makes figures honest; near copies on both sides are told."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise.data.images import ImageSets
from lanewise.data.load import load
from lanewise.data.seen import HELD, NEW, TRAINED
from lanewise.errors import DataError, OptionError
from lanewise.evaluation.evaluate import evaluate
from lanewise.evaluation.unseen import kinds_of
from lanewise.experiments.trial import prepared
from lanewise.notes import Caution
from lanewise.training.leaks import leaks_told, proposed
from tests.cli.conftest import failed, run
from tests.tracks import tracks

FAST = {"network": "dense 2", "epochs": 15, "augment": "none", "folds": 0, "verbose": 0}


@pytest.fixture(scope="module")
def images():
    return tracks(40, 8)


@pytest.fixture
def folder(tmp_path):
    """16 tracks of 5 frames, as files."""
    images = tracks(16, 5)
    for name, pixels in zip(images.names, images.pixels, strict=True):
        path = tmp_path / "frames" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[:, :, 0]).save(path)
    return tmp_path / "frames"


def track_of(images):
    return np.array([int(name[2:7]) for name in images.names])


def held_by(model, images):
    return np.flatnonzero(kinds_of(model, replace(images, groups=None)) == HELD)


def test_the_held_out_accuracy_is_honest_with_groups_and_the_leak_is_told_without(images):
    """The labels of tracks are random: nobody can tell that of a new one."""
    said = []
    options = {**FAST, "network": "dense 64, relu, dense 2", "validation_fraction": 0.3}
    naive = lanewise.train(images, notes=said.append, **options)
    (caution,) = [note for note in said if "near copy" in note]
    assert isinstance(caution, Caution)
    assert "--group-by '^[0-9]+' (group_by= in Python)" in caution
    held = held_by(naive, images)
    assert f"of {len(held)} held-out images have a near copy in training, like " in caution

    said = []
    honest = lanewise.train(images, group_by="^[0-9]+", notes=said.append, **options)
    assert not [note for note in said if "near copy" in note]
    held = held_by(honest, images)
    track = track_of(images)
    assert not set(track[held]) & set(track[np.setdiff1d(np.arange(len(track)), held)])
    told = f"{len(held)} of 320 training images, {len(set(track[held]))} of 40 groups (by '^[0-9]+')"
    assert any(told in note for note in said)
    seen, unseen = (evaluate(model, images).accuracy for model in (naive, honest))
    assert seen > 0.9
    assert unseen < 0.75


def test_the_file_says_how_images_were_grouped(images, tmp_path):
    model = lanewise.train(images, group_by="^[0-9]+", **FAST)
    model.save(tmp_path / "model.onnx")
    assert lanewise.Model.load(tmp_path / "model.onnx").provenance["groups"] == {"by": "^[0-9]+", "count": 40}
    assert lanewise.train(images, notes=print, **FAST).provenance["groups"] is None


def test_groups_as_an_array_split_like_those_by_name(images):
    track = track_of(images)
    arrays = lanewise.train(images.pixels, images.labels, groups=track, **FAST)
    named = lanewise.train(images, group_by="^[0-9]+", **FAST)
    assert held_by(arrays, images).tolist() == held_by(named, images).tolist()
    assert arrays.provenance["groups"] == {"by": "groups", "count": 40}
    with pytest.raises(DataError, match=r"groups has the shape \(319,\)"):
        lanewise.train(images.pixels, images.labels, groups=track[1:], **FAST)
    with pytest.raises(OptionError, match="groups or group_by, not both"):
        lanewise.train(images, groups=track, group_by="folder", **FAST)


def test_folds_keep_groups_whole(images):
    few = images.take(np.arange(80))  # 10 tracks
    said = []
    model = lanewise.train(few, group_by="^[0-9]+", notes=said.append, **{**FAST, "folds": 5})
    assert model.provenance["cross_validation"]["images"] == 80
    assert all("on 16 images" in note for note in said if note.startswith("Fold "))
    with pytest.raises(DataError, match=r"of 10 groups .* too few for 11 folds"):
        lanewise.train(few, group_by="^[0-9]+", **{**FAST, "folds": 11})
    with pytest.raises(DataError, match="all 40 images of 'a' are in one group, 'a/'"):
        lanewise.train(few, group_by="[ab]/", **FAST)


def test_leaks_among_folds_are_told(images):
    said = []
    lanewise.train(images, notes=said.append, **{**FAST, "folds": 4, "epochs": 1})
    assert [note for note in said if "near copy" in note]


def test_similar_images_are_kept_together_without_names(images):
    arrays = replace(images, names=())
    model = lanewise.train(arrays, group_by="similar", **FAST)
    assert 40 <= model.provenance["groups"]["count"] < 60
    held = held_by(model, images)
    trained = np.setdiff1d(np.arange(320), held)
    assert not list(leaks_told(images, trained, held))
    half = trained[::2]  # of each track
    (caution,) = leaks_told(arrays, np.setdiff1d(np.arange(320), half), half)
    assert "--group-by similar " in caution
    assert "like image " in caution


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("{c}/{t}_{f}.png", "^[0-9]+"),
        ("{c}/P{t}-slice-{f}.png", "^[A-Za-z]+[-_]?[0-9]+"),
        ("{c}/{t:x}x_{f}.png", "^.+(?=[-_])"),
        ("{c}/of{t}at{f}.png", "^[A-Za-z]+[-_]?[0-9]+"),
        ("{c}/{t}/{f}.png", "folder"),
        ("{c}/{u}_{f}.png", "^[0-9]+"),  # tracks that are counted anew in each class
        ("{c}/{n}.png", "similar"),
        ("train/{c}/img_{n}.png", "similar"),
    ],
)
def test_the_proposed_pattern_puts_frames_of_a_track_together(images, name, by):
    track = track_of(images)
    names = tuple(name.format(c="ab"[t % 2], t=t + 100 * (t % 3), u=t // 2, f=n % 8, n=n) for n, t in enumerate(track))
    pairs = np.array([[n, n + 1] for n in range(0, 320, 8)])
    assert proposed(replace(images, names=names), pairs) == by


def test_experiments_hold_out_whole_groups(images):
    sets, roles = prepared(ImageSets(images), None, None, group_by="^[0-9]+")
    assert roles.kept_back
    assert not set(track_of(sets.train)) & set(track_of(sets.test))
    assert sets.train.groups.count + sets.test.groups.count == 40
    found = lanewise.vary(
        (images.pixels, images.labels), "dense 2", groups=track_of(images), epochs=1, seeds=(0,), augment="none"
    )
    assert found.count == len(sets.test)


def test_an_image_of_a_group_that_was_trained_on_is_not_new(images):
    model = lanewise.train(images.take(np.arange(160)), group_by="^[0-9]+", **FAST)
    held = held_by(model, images.take(np.arange(160)))
    known = np.setdiff1d(np.arange(160), held)
    mates = images.take(np.concatenate([known[:1], np.arange(160, 320)]))
    mates = replace(mates, names=("a/00000_9.png", *mates.names[1:9], *("b/00000_8.png",), *mates.names[10:]))
    assert kinds_of(model, mates).tolist() == [TRAINED] + [NEW] * 160
    named = replace(mates, groups=lanewise.data.grouping.by_names(mates, "^[0-9]+"))
    assert kinds_of(model, named).tolist() == [TRAINED] + [NEW] * 8 + [TRAINED] + [NEW] * 151
    evaluation = evaluate(model, mates, group_by="^[0-9]+")
    assert evaluation.count == 159


def test_folders_are_known_again_without_being_asked_for(images):
    names = tuple(f"{name[0]}/{name[2:7]}/{name[8:]}" for name in images.names)
    by_folder = replace(images, names=names)
    model = lanewise.train(by_folder.take(np.arange(160)), group_by="folder", **FAST)
    trained = kinds_of(model, by_folder.take(np.arange(160))) == TRAINED
    other = replace(by_folder.take(np.arange(160, 320)), names=names[:160])
    mixed = ImageSets(by_folder.take(np.arange(160))).train
    both = replace(
        mixed,
        pixels=np.concatenate([mixed.pixels, other.pixels]),
        labels=np.concatenate([mixed.labels, other.labels]),
        names=(*mixed.names, *other.names),
    )
    assert (kinds_of(model, both)[160:] == TRAINED).tolist() == trained.tolist()


def test_the_commands_take_groups(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ("--group-by", "^[0-9]+", "--network", "dense 2", "--epochs", 2)
    result = run("train", folder, *options, "--folds", 0, "-o", "m.onnx")
    assert result.exit_code == 0, result.output
    assert "of 16 groups (by '^[0-9]+')" in result.output
    assert lanewise.Model.load(tmp_path / "m.onnx").provenance["groups"]["count"] == 16
    assert run("evaluate", "m.onnx", folder, "--group-by", "^[0-9]+").exit_code == 0
    assert "does not match '^x'" in failed(run("train", folder, "--group-by", "^x"))
    result = run("check", folder, "--group-by", "^[0-9]+", "--no-labels")
    assert result.exit_code == 0, result.output
    result = run("vary", folder, *options)
    assert result.exit_code == 0, result.output
    assert "evaluated on 20 held-out images" in result.output


def test_files_are_not_grouped_by_an_array(folder):
    with pytest.raises(OptionError, match="group_by finds them by their names"):
        lanewise.train(folder, groups=[1, 2, 3])
    assert load(folder, group_by="^[0-9]+").train.groups.count == 16
