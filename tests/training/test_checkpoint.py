"""A training that is killed and resumed, as often as one likes, ends with the same bits."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

import lanewise
from lanewise.data.images import ImageSets
from lanewise.errors import LanewiseWarning, OptionError
from lanewise.model_file.metadata import to_properties
from lanewise.notes import unheard
from lanewise.training import checkpoint
from lanewise.training.checkpoint import Keeper, before, is_held, keeper_of_part
from lanewise.training.checkpoint_file import CheckpointError, about_of, packed, unpacked, with_about
from lanewise.training.effort import effort_kept
from lanewise.training.health import Epoch
from lanewise.training.loop import Loop
from lanewise.training.recipe import Difficulty, Effort

TIMED = {"seconds", "date", "images_per_second"}

SMALL: dict[str, Any] = {
    "network": "conv 2@3x3, relu, dense 10",
    "epochs": 3,
    "batch_size": 64,
    "verbose": 0,
    "notes": lambda note: None,
}


class KilledError(BaseException):
    """Ends all, as a signal would."""


def untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: untimed(one) for key, one in value.items() if key not in TIMED}
    return [untimed(one) for one in value] if isinstance(value, list) else value


def bits(model: lanewise.Model) -> dict[str, Any]:
    """All that its file holds, but for times."""
    properties = to_properties(model)
    told = {key: untimed(json.loads(properties.pop(key))) for key in ("history", "provenance")}
    return {**properties, **told, "weights": b"".join(array.tobytes() for array in model.parameters)}


@pytest.fixture(scope="module")
def images(digits: ImageSets) -> ImageSets:
    return ImageSets(digits.train.take(np.arange(300)))


@pytest.fixture(scope="module")
def whole(images: ImageSets) -> lanewise.Model:
    """Never killed."""
    return lanewise.train(images, **SMALL)


@pytest.fixture(autouse=True)
def _written_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """At each chance, of which there is one for each step."""
    monkeypatch.setattr(checkpoint, "SHARE", math.inf)
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr("lanewise.training.loop.CHUNK_SECONDS", 0.0)


def dying(after: int) -> Callable[[Any], None]:
    """Kills at the report of progress of this number."""
    count = 0

    def report(now: Any) -> None:
        nonlocal count
        count += 1
        if count == after:
            raise KilledError

    return report


def killed(images: Any, path: Path, after: int, **options: Any) -> None:
    """Train until it is killed."""
    with pytest.raises(KilledError):
        lanewise.train(images, checkpoint=path, progress=dying(after), **SMALL | options)


def killed_again_and_again(images: Any, path: Path, every: int, **options: Any) -> tuple[lanewise.Model, int]:
    """The model that comes out in the end, and how often training was killed."""
    kills = 0
    while True:
        try:
            return lanewise.train(images, checkpoint=path, resume=True, progress=dying(every), **options), kills
        except KilledError:
            kills += 1
            assert kills < 100, "training gets nowhere"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "adamw", "ema": 0.9, "validation_fraction": 0.0},
        {"network": "conv 2@3x3, batchnorm, relu, dropout 0.1, dense 10", "learning_rate": "find"},
        {"folds": 2, "epochs": 1},
        {"class_weight": "balanced", "augment": "shift+flip", "mixup": 0.5},
    ],
    ids=["plain", "average", "norms", "folds", "balanced"],
)
def test_killed_and_resumed_gives_the_same_bits(options: dict[str, Any], images: ImageSets, tmp_path: Path) -> None:
    expected = bits(lanewise.train(images, **SMALL | options))
    model, kills = killed_again_and_again(images, tmp_path / "c", 7, **SMALL | options)
    assert kills >= 2
    assert bits(model) == expected
    model.save(tmp_path / "m.onnx")
    assert os.listdir(tmp_path) == ["m.onnx"], "a saved model needs no checkpoint"


@pytest.mark.parametrize(
    ("options", "every"), [({"epochs": 3}, 5), ({"finetune": 1, "epochs": 2}, 35)], ids=["head", "finetune"]
)
def test_a_new_head_is_resumed(
    options: dict[str, Any], every: int, start: Any, high: ImageSets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several trainings, one after the other: one for each weight decay, and the last stages behind them."""
    monkeypatch.setattr(checkpoint, "SECONDS", math.inf)  # at the end of each epoch
    monkeypatch.setattr("lanewise.training.loop.CHUNK_SECONDS", 0.1)
    monkeypatch.setattr("lanewise.training.new_head.STEPS", 20)
    few = ImageSets(high.train.take(np.arange(120)))
    options = {"start": start, "verbose": 0, "notes": lambda note: None, **options}
    expected = lanewise.train(few, **options)
    model, kills = killed_again_and_again(few, tmp_path / "c", every, **options)
    assert kills >= 2
    assert bits(model) == bits(expected)


@pytest.mark.usefixtures("all_processors")
def test_another_number_of_threads_may_go_on(images: ImageSets, whole: lanewise.Model, tmp_path: Path) -> None:
    killed(images, tmp_path / "c", 5, threads=2)
    model = lanewise.train(images, checkpoint=tmp_path / "c", resume=True, **SMALL, threads=1)
    assert bits(model) == bits(whole)


def test_it_is_said_where_training_goes_on(images: ImageSets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    killed(images, Path("c"), 5)
    said: list[str] = []
    lanewise.train(images, checkpoint="c", resume=True, **SMALL | {"notes": said.append})
    assert said[0].startswith("Training goes on after 0.8 of 3 epochs (")
    assert said[0].endswith("by the checkpoint c.")


def test_a_finished_training_is_there_at_once_until_it_is_saved(
    images: ImageSets, whole: lanewise.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanewise.train(images, checkpoint=tmp_path / "c", **SMALL)
    monkeypatch.setattr(Loop, "one_epoch", None)  # none is needed
    model = lanewise.train(images, checkpoint=tmp_path / "c", resume=True, **SMALL)
    assert bits(model) == bits(whole)
    assert not is_held(tmp_path / "c")


def one_fewer(images: ImageSets) -> ImageSets:
    return ImageSets(images.train.take(np.arange(299)))


def changed_pixel(images: ImageSets) -> ImageSets:
    pixels = images.train.pixels.copy()
    pixels[7, 3, 3] += 1
    return ImageSets(replace(images.train, pixels=pixels))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epochs": 4}, "epochs: 3 then, 4 now"),
        ({"seed": 1, "momentum": 0.8}, "momentum: 0.9 then, 0.8 now; seed: 0 then, 1 now"),
        ({"class_weight": {"3": 2.0}}, "class weight: none then, {'3': 2} now"),
        ({"sample_weight": np.arange(300)}, "another sample weight now"),
        ({"network": "dense 10"}, "network: conv 2@3x3, relu, dense 10 then, dense 10 now"),
        (
            {"images": one_fewer},
            "number of training images: 300 then, 299 now",
        ),
        ({"images": changed_pixel}, "other pixels of training images now"),
    ],
)
def test_other_data_and_options_are_refused_by_name(
    change: dict[str, Any], told: str, images: ImageSets, tmp_path: Path
) -> None:
    killed(images, tmp_path / "c", 5)
    kept = (tmp_path / "c").read_bytes()
    other = change.pop("images", lambda same: same)(images)
    with pytest.raises(OptionError, match="other data or options") as refused:
        lanewise.train(other, checkpoint=tmp_path / "c", resume=True, **SMALL | change)
    assert told in str(refused.value)
    assert (tmp_path / "c").read_bytes() == kept


def test_another_version_is_refused(images: ImageSets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(images, tmp_path / "c", 5)
    monkeypatch.setattr("lanewise.training.same_run.__version__", "7.7")
    with pytest.raises(OptionError, match=r"version: .* then, 7\.7 now"):
        lanewise.train(images, checkpoint=tmp_path / "c", resume=True, **SMALL)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:-1] + b"?"]
)
def test_the_checkpoint_before_takes_the_place_of_a_damaged_one(
    damage: Any, images: ImageSets, whole: lanewise.Model, tmp_path: Path
) -> None:
    path = tmp_path / "c"
    killed(images, path, 8)
    path.write_bytes(damage(path.read_bytes()))
    sound = before(path).read_bytes()
    said: list[str] = []
    with pytest.raises(KilledError):  # at the first chance: the damaged one has not replaced the sound one
        lanewise.train(images, checkpoint=path, resume=True, progress=dying(1), **SMALL | {"notes": said.append})
    assert "c is not used: it " in said[0]
    assert said[0].endswith("; the checkpoint before it is.")
    assert before(path).read_bytes() == sound
    assert bits(lanewise.train(images, checkpoint=path, resume=True, **SMALL)) == bits(whole)


def test_two_damaged_ones_are_refused(images: ImageSets, tmp_path: Path) -> None:
    killed(images, tmp_path / "c", 8)
    for path in (tmp_path / "c", before(tmp_path / "c")):
        path.write_bytes(b"nothing")
    with pytest.raises(OptionError, match=r"c is not used: it is no checkpoint.*Delete both to start training anew"):
        lanewise.train(images, checkpoint=tmp_path / "c", resume=True, **SMALL)


def test_what_is_there_is_not_replaced_unasked(images: ImageSets, tmp_path: Path) -> None:
    killed(images, tmp_path / "c", 5)
    with pytest.raises(OptionError, match=r"holds a training that ended after 0\.8 of 3 epochs .* give resume=True"):
        lanewise.train(images, checkpoint=tmp_path / "c", **SMALL)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OptionError, match="is there already, and is no checkpoint"):
        lanewise.train(images, checkpoint=tmp_path / "mine.txt", **SMALL)


def test_options_that_make_no_sense(images: ImageSets, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="resume is about a checkpoint"):
        lanewise.train(images, resume=True, **SMALL)
    with pytest.raises(OptionError, match="there is no such folder"):
        lanewise.train(images, checkpoint=tmp_path / "nowhere" / "c", **SMALL)
    with pytest.raises(OptionError, match="checkpoint must be the name of a file"):
        lanewise.train(images, checkpoint=3, **SMALL)


@pytest.mark.skipif(os.name != "posix", reason="files are not held elsewhere")
def test_a_training_that_still_runs_is_not_resumed(images: ImageSets, tmp_path: Path) -> None:
    seen = []

    def second(now: Any) -> None:
        if now.epoch == 2:
            with pytest.raises(OptionError, match="still running"):
                lanewise.train(images, checkpoint=tmp_path / "c", resume=True, **SMALL)
            seen.append(now.epoch)

    lanewise.train(images, checkpoint=tmp_path / "c", progress=second, **SMALL)
    assert seen


CALLS = ("open", "fsync", "link", "replace")
"""What is asked of the system when a checkpoint is written."""


def test_one_of_many_trainings_goes_on_or_begins_without_a_question(images: ImageSets, tmp_path: Path) -> None:
    """A damaged checkpoint is begun anew; one that another process holds is left to it."""
    path = tmp_path / "part" / "c"
    assert keeper_of_part(path).path == path
    killed(images, path, 4)
    for name in (path, before(path)):
        name.write_bytes(name.read_bytes()[:-1])
    fresh = keeper_of_part(path)
    assert (fresh.path, fresh.about) == (path, {})
    assert not list(path.parent.iterdir())
    killed(images, path, 2)
    held = keeper_of_part(path)
    assert held.about["where"].startswith("after")
    assert keeper_of_part(path).path is None
    assert path.exists()
    held.close()


def at_call(monkeypatch: pytest.MonkeyPatch, number: int, error: Callable[[], BaseException], after: bool) -> list[int]:
    """Raise at the so-many-th of these calls, before it is done or after."""
    made: list[int] = []

    def spy(function: Any) -> Any:
        def called(*args: Any, **options: Any) -> Any:
            made.append(1)
            if len(made) == number and not after:
                raise error()
            result = function(*args, **options)
            if len(made) == number and after:
                raise error()
            return result

        return called

    for name in CALLS:
        monkeypatch.setattr(os, name, spy(getattr(os, name)))
    return made


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("asked", [False, True], ids=["numbered", "named"])
def test_killed_at_each_call_of_a_write(
    asked: bool, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first write claims its name, the second has none before it, the third does: none is lost that was done."""
    for number in range(1, 100):
        path, written, ended = tmp_path / f"{number}.checkpoint", 0, False
        with monkeypatch.context() as patch:
            made = at_call(patch, number, KilledError, after)
            keeper = Keeper(path, asked=asked)
            keeper.identify(lambda: {"epochs": 1})
            try:
                for written in range(3):
                    keeper._write(([], None, {"written": written}), "somewhere", unheard)
                written, ended = 3, len(made) < number
            except KilledError:
                keeper.close()  # as the end of a process does
        keeper.close()
        found = Keeper(path, resume=True)
        if written or found.about:
            assert found._decided["written"] in (written - 1, written), number
            found.identify(lambda: {"epochs": 1})
            found._write(([], None, {"written": 7}), "somewhere", unheard)
            found.remove()
        found.close()
        assert not [name for name in os.listdir(tmp_path) if name.startswith(path.name)]
        if ended:
            break
    assert number > 15


def test_a_disk_that_takes_no_more_costs_a_caution_and_not_the_training(
    images: ImageSets, whole: lanewise.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    said: list[str] = []
    monkeypatch.setattr(os, "fsync", fails)
    model = lanewise.train(images, checkpoint=tmp_path / "c", **SMALL | {"notes": said.append})
    assert bits(model) == bits(whole)
    assert sum("could not be written (No space left on device)" in one for one in said) == 1
    assert not os.listdir(tmp_path)


def test_a_checkpoint_that_somebody_removes_is_written_anew(
    images: ImageSets, whole: lanewise.Model, tmp_path: Path
) -> None:
    """A tidy colleague costs neither the training nor the next checkpoint."""
    path, said, seen = tmp_path / "c", [], []

    def tidied(_: Any) -> None:
        seen.append(path.exists())
        path.unlink(missing_ok=True)

    model = lanewise.train(images, checkpoint=path, progress=tidied, **SMALL | {"notes": said.append})
    assert sum(seen) > 2
    assert bits(model) == bits(whole)
    assert not any("could not be written" in one for one in said)


def test_a_training_that_is_ended_at_once_can_be_resumed_too(
    images: ImageSets, whole: lanewise.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue of jobs may stop it before there is anything to write; the same command must do the next time."""
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "SHARE", 1e-9)  # none is due

        def interrupted(_: Any) -> None:
            raise KeyboardInterrupt

        ended = lanewise.train(images, checkpoint=tmp_path / "c", progress=interrupted, **SMALL)
        assert ended.provenance["interrupted"]
        assert about_of(tmp_path / "c")["where"] == "at its beginning"
    assert bits(lanewise.train(images, checkpoint=tmp_path / "c", resume=True, **SMALL)) == bits(whole)


def test_a_newest_file_that_cannot_be_read_is_passed_over(
    images: ImageSets, whole: lanewise.Model, tmp_path: Path
) -> None:
    killed(images, tmp_path / "c", 8)
    (tmp_path / "c").unlink()
    (tmp_path / "c").symlink_to("c")  # round in circles
    assert bits(lanewise.train(images, checkpoint=tmp_path / "c", resume=True, **SMALL)) == bits(whole)


def test_writing_takes_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(checkpoint, "SHARE", 0.02)
    monkeypatch.setattr(checkpoint, "SECONDS", 30.0)
    keeper = Keeper(tmp_path / "c")

    def due(seconds: float, cost: float) -> tuple[bool, bool]:
        clock[0], keeper._cost = seconds, cost
        return keeper._due(False), keeper._due(True)

    assert due(0.9, 0.02) == (False, False)
    assert due(1.1, 0.02) == (False, True), "at the end of an epoch"
    assert due(31.0, 0.02) == (True, True), "in a long epoch"
    assert due(31.0, 2.0) == (False, False), "a large network on a slow disk"
    assert due(101.0, 2.0) == (True, True)


def test_of_a_budget_the_time_used_counts(images: ImageSets, tmp_path: Path) -> None:
    timed = SMALL | {"epochs": None, "budget": 3.0, "network": "dense 10"}
    lanewise.train(images, **SMALL | {"network": "dense 10", "epochs": 1})  # what is compiled is known
    dies = dying(3)

    def slow(now: Any) -> None:
        time.sleep(0.7)
        dies(now)

    with pytest.raises(KilledError):
        lanewise.train(images, checkpoint=tmp_path / "c", **timed, progress=slow)
    reports: list[float] = []
    model = lanewise.train(
        images, checkpoint=tmp_path / "c", resume=True, **timed, progress=lambda now: reports.append(now.seconds)
    )
    assert reports[0] > 1.4
    assert reports[-1] < 1.4 + 3.0, "it began anew"
    assert model.provenance["seconds"] > 2.7


def test_what_the_clock_decides_is_decided_once(
    images: ImageSets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How wide a network a budget is enough for, by the speed that was measured."""
    measured = [Effort(Difficulty.HARD, width=4, length=3.0), Effort()]
    monkeypatch.setattr("lanewise.training.effort.effort_for", lambda images, **options: measured.pop(0))
    keeper = Keeper(tmp_path / "c")
    keeper.identify(lambda: {"epochs": 1})
    first = effort_kept(keeper, images.train, "good", 60.0, None)
    keeper._write(([], None, keeper._decided), "somewhere", unheard)
    keeper.close()
    again = Keeper(tmp_path / "c", resume=True)
    assert effort_kept(again, images.train, "good", 60.0, None) == first == Effort(Difficulty.HARD, 4, 3.0)
    assert effort_kept(again, images.train, "good", None, None) == Effort()
    again.close()


def test_arrays_and_values_come_back_as_they_were() -> None:
    shared = np.arange(3, dtype=np.float32)
    epoch = Epoch(2, math.inf, losses=[0.1 * n for n in range(40)], norms=[math.nan])
    state = (epoch, [shared, {"one": shared}], None, True, 2**62, "ß", np.float64(0.1), np.zeros((0, 2), np.int64))
    about, found = unpacked(b"".join(packed({"where": "here"}, state)))
    assert about == {"where": "here"}
    assert found[0].losses == epoch.losses
    assert found[0].loss == math.inf
    assert math.isnan(found[0].norms[0])
    assert found[1][0] is found[1][1]["one"], "an array is kept once"
    assert found[1][0].dtype == np.float32
    assert found[2:7] == state[2:7]
    assert found[7].shape == (0, 2)
    data = b"".join(packed({}, state))
    assert unpacked(b"".join(with_about(data, {"a": 1})))[0] == {"a": 1}


def test_every_other_byte_is_noticed(tmp_path: Path) -> None:
    data = b"".join(packed({"where": "here"}, [np.arange(5, dtype=np.float32), "text", 1.5]))
    for place in range(len(data)):
        with pytest.raises(CheckpointError):
            unpacked(data[:place])
        with pytest.raises(CheckpointError):
            unpacked(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
    with pytest.raises(CheckpointError):
        unpacked(data + b"\0")
    for junk in (b"", b"\0" * 7, b"\xff" * 9, b"\2" + b"\0" * 7 + b"{}", b"[" * 5000):
        (tmp_path / "junk").write_bytes(junk)
        with pytest.raises(CheckpointError):
            about_of(tmp_path / "junk")


def test_only_values_of_training_are_built() -> None:
    with pytest.raises(TypeError, match="cannot hold a PurePosixPath"):
        packed({}, PurePosixPath("x"))


def test_it_is_a_file_of_safetensors(tmp_path: Path) -> None:
    """Its layout is the published one, which other programs open."""
    data = b"".join(packed({}, [np.arange(4, dtype=np.float32), np.array([True])]))
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0
    assert header["0"] == {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    assert header["1"] == {"dtype": "BOOL", "shape": [1], "data_offsets": [16, 17]}
    assert len(data) == 8 + length + 17
    assert all(isinstance(value, str) for value in header["__metadata__"].values())


def test_python_warns_of_a_damaged_checkpoint(images: ImageSets, tmp_path: Path) -> None:
    killed(images, tmp_path / "c", 8)
    (tmp_path / "c").write_bytes(b"")
    with pytest.warns(LanewiseWarning, match="is not used"):
        lanewise.train(images, checkpoint=tmp_path / "c", resume=True, **SMALL | {"notes": None})
