"""`lanewise.train` and `lanewise train` under `mpiexec`: one model, one voice, and no rank left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise import launch
from lanewise.data.grouping import groups_given
from lanewise.data.images import Images, ImageSets
from lanewise.data.seen import hashes_of
from lanewise.errors import OptionError
from lanewise.network.parser import parse
from lanewise.notes import unheard
from lanewise.ranks import check_size, together
from lanewise.training import held_out, same
from lanewise.training.options import TrainOptions
from lanewise.training.same_run import Facts, differences, facts_of, facts_of_options
from lanewise.version import __version__
from tests.explain.support import model
from tests.mpi import SECONDS, command, environment, needs_mpiexec, run

WORKER = "tests.training.ranks_worker"
TRAIN = ["train", "digits", "--network", "conv 4@3 same, relu, max 2, dense 10", "--epochs", "2", "-q", "--force"]


def told(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@needs_mpiexec
@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_a_training_is_the_same_on_any_number_of_ranks(ranks: int, tmp_path: Path) -> None:
    """Weights, history and validation, in every rank, with one thread and two."""
    alone = {one["hash"] for one in told(run((1, WORKER, ["whole"]), folder=tmp_path))}
    found = told(run((ranks, WORKER, ["whole"]), folder=tmp_path))
    assert len(found) == 2 * ranks
    assert {one["hash"] for one in found} == alone
    assert len(alone) == 1


@needs_mpiexec
@pytest.mark.slow
def test_features_of_a_start_are_computed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image by one rank, once; the model that is trained on them is that of one process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    alone = told(run((1, WORKER, ["starts"]), folder=tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "four"))
    found = told(run((4, WORKER, ["starts"]), folder=tmp_path))
    assert len({one["hash"] for one in alone + found}) == 1
    assert alone[-1]["computed"] == [230, 0]
    assert sorted(one["computed"] for one in found if len(one["computed"]) == 2) == [[57, 0], [57, 0], [58, 0], [58, 0]]


@needs_mpiexec
@pytest.mark.slow
def test_ranks_agree_how_long_a_second_is(tmp_path: Path) -> None:
    found = told(run((2, WORKER, ["short"]), folder=tmp_path))
    assert found[0] == found[1]


@needs_mpiexec
@pytest.mark.slow
def test_the_command_has_one_voice(tmp_path: Path) -> None:
    """The first rank alone prints and saves; what it saves is what one process does."""
    done = run((2, "lanewise", [*TRAIN, "-o", "two.onnx"]), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Test accuracy") == 1
    assert done.stdout.count("Saved") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["two.onnx"]
    subprocess.run(
        [sys.executable, "-m", "lanewise", *TRAIN, "-o", "one.onnx"], cwd=tmp_path, env=environment(), check=True
    )
    one, two = (lanewise.Model.load(tmp_path / name) for name in ("one.onnx", "two.onnx"))
    for a, b in zip(one.parameters, two.parameters, strict=True):
        np.testing.assert_array_equal(a, b)


@needs_mpiexec
@pytest.mark.slow
@pytest.mark.parametrize(
    ("programs", "message"),
    [
        (
            [(1, "lanewise", [*TRAIN, "--lr", "0.1"]), (1, "lanewise", [*TRAIN, "--lr", "0.2", "--momentum", "0.5"])],
            "lanewise: ranks must be given the same, but differ (learning rate: 0.1 on rank 0, 0.2 on rank 1; "
            "momentum: 0.9 on rank 0, 0.5 on rank 1)",
        ),
        ([(3, "lanewise", TRAIN)], "lanewise: 3 ranks cannot share the tree of sums evenly: start 2 or 4"),
        ([(8, "lanewise", TRAIN)], "lanewise: a batch of 64 images is cut into 4 shards, too few for 8 ranks"),
        (
            [(1, "lanewise", TRAIN), (1, "lanewise", ["train", "nowhere", *TRAIN[2:]])],
            "lanewise: rank 1: no such folder: nowhere",
        ),
        ([(2, "lanewise", ["predict", "a.onnx", "b.png"])], "lanewise: Only lanewise train shares its work among"),
    ],
    ids=["options", "three", "eight", "no folder", "another command"],
)
def test_what_does_not_fit_is_one_line(programs: list[Any], message: str, tmp_path: Path) -> None:
    done = run(*programs, folder=tmp_path)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.startswith(message), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@needs_mpiexec
@pytest.mark.slow
def test_other_images_are_refused_by_name(tmp_path: Path) -> None:
    for one in told(run((2, WORKER, ["others"]), folder=tmp_path)):
        assert one["text"] == (
            "ranks must be given the same, but differ (other pixels of training images on rank 1; "
            "other labels of training images on rank 1)"
        )


@needs_mpiexec
@pytest.mark.slow
def test_each_rank_decodes_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks then have all images, also where files cannot be read or have 16 bits; the next time nobody decodes."""
    rng = np.random.default_rng(0)
    for n in range(21):
        folder = tmp_path / "photos" / "abc"[n % 3]
        folder.mkdir(parents=True, exist_ok=True)
        if n == 5:
            pixels = rng.integers(0, 4000, (9, 9)).astype(np.uint16)  # 12 bits in use
        else:
            pixels = rng.integers(0, 255, (9 + n % 2, 9)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{n:02d}.png")
    for name in ("a/00.png", "c/20.png"):
        (tmp_path / "photos" / name).write_bytes(b"no image")
    found = {}
    for ranks in (1, 4):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{ranks}"))
        found[ranks] = told(run((ranks, WORKER, ["reads"]), folder=tmp_path))
    alone = found[1][0]
    assert len(alone["names"]) == 19
    assert (alone["bits"], len(alone["skipped"])) == (12, 2)
    for one in found[4]:
        assert one | {"decoded": 0} == alone | {"decoded": 0}
        assert one["decoded"] <= 5 + 2 + 1
    assert len(list((tmp_path / "cache4").rglob("*.images.npy"))) == 1
    assert not list((tmp_path / "cache4").rglob("*.tmp"))


@needs_mpiexec
@pytest.mark.slow
def test_an_error_in_one_rank_is_one_in_all(tmp_path: Path) -> None:
    found = {one["rank"]: one for one in told(run((4, WORKER, ["raises"]), folder=tmp_path))}
    assert found[1]["kind"] == "ZeroDivisionError"
    for rank in (0, 2, 3):
        assert found[rank]["kind"] == "RankError"
        assert found[rank]["text"] == "rank 1: ZeroDivisionError: a fault of rank 1"
        assert found[rank]["seconds"] < found[1]["seconds"] + SECONDS


@needs_mpiexec
@pytest.mark.slow
def test_a_lost_rank_ends_all(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command((4, WORKER, ["waits"])), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    ranks = [json.loads(process.stdout.readline()) for _ in range(4)]
    time.sleep(2)  # in the middle of training
    lost = next(one["process"] for one in ranks if one["rank"] == 2)
    os.kill(lost, signal.SIGKILL)
    began = time.monotonic()
    assert process.wait(60) != 0
    assert time.monotonic() - began < SECONDS
    process.stdout.close()


def _words_of(process: str) -> list[bytes]:
    return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")


@needs_mpiexec
@pytest.mark.slow
def test_a_training_goes_on_with_fewer_ranks(tmp_path: Path) -> None:
    """Four ranks, of which one is killed, then two: the weights of one process that never was."""
    words = [*TRAIN[:5], "800", *TRAIN[6:], "--no-early-stopping"]
    process = subprocess.Popen(
        command((4, "lanewise", [*words, "-o", str(tmp_path / "a.onnx")])),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    kept = tmp_path / "a.checkpoint"
    while not kept.exists():
        assert process.poll() is None
        time.sleep(0.05)
    found = subprocess.run(["pgrep", "-f", f"lanewise train .*{tmp_path}"], capture_output=True, text=True, check=True)
    ranks = [one for one in found.stdout.split() if _words_of(one)[0] == os.fsencode(sys.executable)]
    assert len(ranks) == 4
    os.kill(int(ranks[2]), signal.SIGKILL)
    assert process.wait(60) != 0
    assert not (tmp_path / "a.onnx").exists()
    done = run((2, "lanewise", [*words, "-o", str(tmp_path / "a.onnx"), "--resume"]), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    subprocess.run(
        [sys.executable, "-m", "lanewise", *words, "-o", "b.onnx"], cwd=tmp_path, env=environment(), check=True
    )
    one, two = (lanewise.Model.load(tmp_path / name) for name in ("a.onnx", "b.onnx"))
    for a, b in zip(one.parameters, two.parameters, strict=True):
        np.testing.assert_array_equal(a, b)


@needs_mpiexec
@pytest.mark.slow
def test_ctrl_c_keeps_the_best_so_far(tmp_path: Path) -> None:
    words = [*TRAIN[:5], "100000", *TRAIN[6:], "-o", "a.onnx", "--no-early-stopping", "--history", "a.csv"]
    words.remove("-q")
    process = subprocess.Popen(
        command((2, "lanewise", words)),
        cwd=tmp_path,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while not process.stdout.readline().startswith("Epoch"):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert lanewise.Model.load(tmp_path / "a.onnx").provenance["interrupted"]


# Without mpiexec


OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}
MPICH = {"PMI_SIZE": "4", "PMI_RANK": "3", "PMI_FD": "9", "MPI_LOCALNRANKS": "4", "MPI_LOCALRANKID": "3"}
INTEL = {**MPICH, "I_MPI_HYDRA_HOST_FILE": "hosts"}
ALLOCATION = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_NPROCS": "4", "SLURM_PROCID": "0"}


def step(tasks: int, rank: int, **more: str) -> dict[str, str]:
    """What Slurm tells a process of a step."""
    return {**ALLOCATION, "SLURM_STEP_NUM_TASKS": str(tasks), "SLURM_PROCID": str(rank), **more}


def pmix(rank: int, of: str = "slurm.pmix.7.0") -> dict[str, str]:
    return {"PMIX_RANK": str(rank), "PMIX_NAMESPACE": of}


@pytest.mark.parametrize(
    ("known", "size", "number"),
    [
        ({}, None, 0),
        (OPEN_MPI, 2, 1),
        ({**OPEN_MPI, **pmix(1, "prterun-host-1@1")}, 2, 1),
        ({"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0", **pmix(0, "prterun-host-1@1")}, 1, 0),
        (MPICH, 4, 3),
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, 1, 0),
        (INTEL, 4, 3),
        ({**INTEL, "PMI_SIZE": "1", "PMI_RANK": "0"}, 1, 0),
        (ALLOCATION, None, 0),
        (step(4, 2), None, 0),
        (step(1, 0), None, 0),
        (step(4, 2, PMI_SIZE="4", PMI_RANK="2"), 4, 2),
        (step(1, 0, PMI_SIZE="1", PMI_RANK="0"), 1, 0),
        (step(4, 2, **pmix(2)), 4, 2),
        (step(4, 0, **pmix(0)), 4, 0),
        (step(1, 0, **pmix(0)), 1, 0),
        (step(1, 0, PMIX_RANK="0"), 1, 0),
        ({**step(1, 0, **pmix(0)), **MPICH}, 4, 3),
        ({**step(1, 0, **pmix(0)), **OPEN_MPI}, 2, 1),
        ({**step(1, 0, PMI_SIZE="1", PMI_RANK="0"), **OPEN_MPI}, 2, 1),
        ({**step(1, 0), **pmix(5, "prterun-host-1@1")}, "unknown", 5),
        ({"PMIX_RANK": "5"}, "unknown", 5),
        ({**MPICH, "LANEWISE_RANKS": "off"}, 4, 0),
        ({"PMI_SIZE": "", "PMI_RANK": "x", "PMIX_RANK": ""}, None, 0),
    ],
    ids=[
        "alone",
        "Open MPI",
        "Open MPI 5",
        "Open MPI, one",
        "MPICH",
        "MPICH, one",
        "Intel MPI",
        "Intel MPI, one",
        "a script of Slurm",
        "srun without MPI",
        "srun -n 1 without MPI",
        "srun --mpi=pmi2",
        "srun -n 1 --mpi=pmi2",
        "srun --mpi=pmix",
        "srun --mpi=pmix, the first",
        "srun -n 1 --mpi=pmix",
        "srun -n 1, an old PMIx",
        "MPICH in a shell of Slurm",
        "Open MPI in a shell of Slurm",
        "Open MPI in a shell of Slurm with PMI",
        "another PMIx in a shell of Slurm",
        "another PMIx",
        "off",
        "nonsense",
    ],
)
def test_launchers_are_known_by_the_environment(
    known: dict[str, str], size: int | str | None, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many processes there are, as far as the launcher tells; a process of one trains alone."""
    for name in list(os.environ):
        if name.startswith(("PMI", "OMPI", "SLURM", "MPI_", "I_MPI", launch.OFF)):
            monkeypatch.delenv(name)
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    assert launch.size_told() == (None if size == "unknown" else size)
    assert launch.launched() == (size not in (None, 1) and launch.OFF not in known)
    assert launch.number() == number


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}, True),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, False),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, False),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, False),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0", launch.OFF: "off"}, False),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0", "PMI_SIZE": "1", "PMI_RANK": "0"}, False),
    ],
    ids=["step", "second", "one task", "batch script", "off", "mpiexec within"],
)
def test_processes_that_slurm_did_not_connect_are_told_so(
    given: dict[str, str], told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*(name for names in launch.LAUNCHERS for name in names), launch.PMIX, launch.OFF, "SLURM_PROCID"]:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    with same.with_other_ranks(TrainOptions(notes=said.append)):
        pass
    assert [text.startswith("Slurm started 2 processes, and each trains a model of its own") for text in said] == [
        True
    ] * told


def test_alone_nothing_of_mpi_is_imported() -> None:
    with together() as ranks:
        assert ranks is None
    assert "mpi4py" not in sys.modules


@pytest.mark.parametrize("size", [3, 6, 12])
def test_a_number_of_ranks_that_is_no_power_of_two(size: int) -> None:
    less = {3: 2, 6: 4, 12: 8}[size]
    with pytest.raises(OptionError, match=f"{size} ranks cannot .* start {less} or {2 * less} .mpiexec -n {less}."):
        check_size(size)
    check_size(less)


class Others:
    """Two ranks, of which the second has something else."""

    def __init__(self, other: dict[str, Any]) -> None:
        self.other = other

    def gather(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        return [value, {name: one for name, one in (value | self.other).items() if one != "nothing"}]

    def named(self, rank: int) -> str:
        return f"rank {rank}"


def refused(other: dict[str, Any], options: TrainOptions) -> str:
    with pytest.raises(OptionError, match="ranks must be given the same, but differ") as raised:
        same.check_options(Others(other), options)
    return str(raised.value).partition("(")[2].removesuffix(")")


def test_each_other_option_is_named() -> None:
    same.check_options(Others({}), TrainOptions(seed=1))
    assert refused({"learning rate": 0.2}, TrainOptions()) == "learning rate: none on rank 0, 0.2 on rank 1"
    assert refused({"resume": True}, TrainOptions()) == "resume: False on rank 0, True on rank 1"
    assert refused({"machine": "m68k"}, TrainOptions()).endswith("m68k on rank 1")
    version = "9.9+" + 20 * "abcd"
    assert refused({"version": version}, TrainOptions()) == f"version: {__version__} on rank 0, {version} on rank 1"
    other = dict.fromkeys(("seed", "epochs", "batch size", "momentum", "ema", "folds", "flip", "zoom"), 3)
    assert refused(other, TrainOptions()).endswith("; and 2 differences more")


SEVEN = np.arange(7)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"network": "conv 4@3 same, relu, dense 3"}, {"network": "conv  4@3x3 same,relu, dense 3"}),
        ({"network": "relu, dense 3"}, {"network": parse("relu, dense 3")}),
        ({"sample_weight": SEVEN}, {"sample_weight": SEVEN.astype(np.float32).tolist()}),
        ({"sample_weight": np.ones(100)}, {"sample_weight": 100 * [1]}),
        ({"size": (8, 9)}, {"size": np.array([8, 9])}),
        ({"epochs": 3, "momentum": 0.5}, {"epochs": np.int64(3), "momentum": np.float32(0.5)}),
        ({"class_weight": {"a": 1, "b": 2}}, {"class_weight": {"b": 2.0, "a": np.float32(1)}}),
        ({"groups": ["a", "b"]}, {"groups": [0, 1]}),
        ({"start": "here.onnx"}, {"start": "there.onnx"}),
        ({"threads": 1, "verbose": 2, "strict": True, "checkpoint": "a"}, {}),
    ],
    ids=["text", "layers", "list", "long list", "size", "numbers", "order", "groups", "files", "free"],
)
def test_options_are_compared_by_their_meaning(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Groups and starts are compared by what was read of them."""
    assert facts_of_options(one) == facts_of_options(other)


def test_large_seeds_are_others() -> None:
    assert facts_of_options({"seed": 2**63}) != facts_of_options({"seed": 2**63 + 1})


def changed(images: Images, **arrays: Any) -> Images:
    return replace(images, **{name: change(getattr(images, name)) for name, change in arrays.items()})


def bumped(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[3] ^= 1
    return array


@pytest.mark.parametrize("which", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pixels": bumped}, "other pixels of {} images on rank 1"),
        ({"labels": bumped}, "other labels of {} images on rank 1"),
        ({"classes": lambda known: ("x", *known[1:])}, "classes of {} images: a, b on rank 0, x, b on rank 1"),
        ({"groups": lambda known: groups_given([0, 0, 1, 1, 1, 1], 6)}, "other groups of {} images on rank 1"),
        ({"groups": lambda known: None}, "other groups of {} images on rank 1"),
        ({"resize": lambda known: "crop"}, "fit of {} images: none on rank 0, crop on rank 1"),
        (
            {"pixels": lambda known: known.astype(np.float32)},
            "type of pixels of {} images: uint8 on rank 0, float32 on",
        ),
        ({"pixels": lambda known: known[:, :, :3]}, "size of {} images: 4x4x1 on rank 0, 4x3x1 on rank 1"),
    ],
    ids=["pixels", "labels", "classes", "groups", "no groups", "fit", "type", "size"],
)
def test_each_set_is_compared(which: str, change: dict[str, Any], told: str) -> None:
    one = sets()
    other = replace(one, **{which: changed(getattr(one, which), **change)})
    found = "; ".join(differences(facts(one), facts(other), ("on rank 0", "on rank 1")))
    called = {"train": "training"}.get(which, which)
    assert told.format(called) in found
    assert all(called in each for each in found.split("; "))


def test_of_other_numbers_of_images_nothing_else_is_said() -> None:
    one = sets()
    for other, told in (
        (replace(one, test=None), ["number of test images: 6 then, none now"]),
        (replace(one, train=one.train.take(np.arange(5))), ["number of training images: 6 then, 5 now"]),
    ):
        assert list(differences(facts(one), facts(other))) == told


def test_starts_are_compared_by_what_they_are() -> None:
    known = model("conv 2@3x3, relu, dense 3, softmax")
    weights = [array.copy() for array in known.parameters]
    weights[0].flat[0] += 1
    found = [
        facts(sets(), start)
        for start in (
            None,
            known,
            replace(known),
            replace(known, parameters=tuple(weights)),
            replace(known, classes=tuple("xyz")),
        )
    ]
    assert found[1] == found[2]
    for n in (0, 3, 4):
        assert list(differences(found[1], found[n])) == ["another start now"]


def test_no_image_is_hashed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the split asks for is what is compared; a test set is hashed only to be compared."""
    hashed: list[int] = []
    monkeypatch.setattr(
        held_out, "hashes_of", lambda pixels, form: hashed.append(len(pixels)) or hashes_of(pixels, form)
    )
    monkeypatch.setattr("lanewise.data.held_out.hashes_of", None)
    one = sets()
    hashes = held_out.hashes_by_set(one, None)
    held_out.held_out(one, hashes, np.ones(6, np.float32), 0.1, 0, None, unheard)
    assert hashed == [6, 6]
    facts_of(one, hashes, None, {})
    assert hashed == [6, 6, 6]


def facts(sets: ImageSets, start: lanewise.Model | None = None) -> Facts:
    return facts_of(sets, held_out.hashes_by_set(sets, None), start, {})


def sets() -> ImageSets:
    """Six images in each of three sets, in two classes and two groups."""
    rng = np.random.default_rng(0)
    parts = [
        Images(
            rng.integers(0, 256, (6, 4, 4, 1)).astype(np.uint8),
            np.arange(6, dtype=np.int32) % 2,
            ("a", "b"),
            groups=groups_given([0, 0, 0, 1, 1, 1], 6),
        )
        for _ in range(3)
    ]
    return ImageSets(*parts)
