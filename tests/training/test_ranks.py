"""`lanewise.train` and `lanewise train` under `mpiexec`: one model, one voice, and no rank left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lanewise
from lanewise import launch
from lanewise.errors import OptionError
from lanewise.ranks import check_size, together
from lanewise.training import same
from lanewise.training.options import TrainOptions
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
            "lanewise: ranks must be given the same, but differ in learning rate: 0.1 on rank 0, 0.2 on rank 1; "
            "momentum: 0.9 on rank 0, 0.5 on rank 1",
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
        assert one["text"].startswith("ranks must be given the same, but differ in labels: ")
        assert "; pixels: " in one["text"]


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


@pytest.mark.parametrize(
    ("known", "launched", "number"),
    [
        ({}, False, 0),
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, False, 0),
        ({"PMI_SIZE": "4", "PMI_RANK": "3"}, True, 3),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, True, 1),
        ({"PMIX_RANK": "5"}, True, 5),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, False, 0),
        ({"PMI_SIZE": "4", "PMI_RANK": "3", "LANEWISE_RANKS": "off"}, False, 0),
    ],
    ids=["alone", "one", "MPICH", "Open MPI", "PMIx", "a script of Slurm", "off"],
)
def test_launchers_are_known_by_the_environment(
    known: dict[str, str], launched: bool, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*launch.SIZES, *launch.RANKS, *launch.OTHERS, launch.OFF):
        monkeypatch.delenv(name, raising=False)
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    assert launch.launched() == launched
    assert launch.number() == number


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

    def __init__(self, **other: str) -> None:
        self.other = other

    def gather(self, value: dict[str, str]) -> list[dict[str, str]]:
        return [value, value | self.other]

    def named(self, rank: int) -> str:
        return f"rank {rank}"


def test_each_difference_is_named() -> None:
    same.check_options(Others(), TrainOptions(seed=1))
    with pytest.raises(OptionError, match=r"differ in version of lanewise: .* on rank 0, 9\.9 on rank 1$"):
        same.check_options(Others(**{"version of lanewise": "9.9"}), TrainOptions())
    other = {name: "3" for name in ("seed", "epochs", "batch_size", "momentum", "ema", "folds", "flip", "zoom")}
    with pytest.raises(OptionError, match=r"batch size: None on rank 0, 3 on rank 1; ema: .*; and 2 differences more"):
        same.check_options(Others(**other), TrainOptions())


def test_each_rank_may_have_threads_of_its_own() -> None:
    assert "threads" in same.OWN
    assert {*same.OWN} <= {name for name in TrainOptions.__dataclass_fields__}
