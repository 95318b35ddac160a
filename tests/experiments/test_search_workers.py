"""Workers as processes of their own that are killed, and a real PostgreSQL that several share."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from lanewise.experiments.search import search
from lanewise.experiments.study import over, quiet, sqlite, standing
from tests.cli.conftest import make_images

optuna = pytest.importorskip("optuna")

COMMAND = ("search", "photos", "--network", "conv {2..8}@3x3, relu, dense 1", "--learning-rate", "0.01..0.3",
           "--epochs", "20", "--heartbeat", "1s", "-o", "tried", "--quiet")  # fmt: skip


def begun(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lanewise", *COMMAND, *more]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def trials_of(url: str):
    """What a worker sees, from outside; nothing while there is no study."""
    with quiet():
        try:
            return optuna.load_study(study_name="search", storage=url).get_trials()
        except Exception:  # not made yet, or just being made
            return []


def kill_while_training(process: subprocess.Popen[str], url: str) -> int:
    """SIGKILL a worker in the middle of a trial; the number of the trial."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        for trial in trials_of(url):
            mine = trial.user_attrs.get("worker", "").endswith(f":{process.pid}")
            if mine and trial.state.name == "RUNNING" and trial.intermediate_values:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                return trial.number
        time.sleep(0.05)
    raise AssertionError(f"no trial was begun: {process.poll()}")


def end_well(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said


@pytest.mark.slow
def test_one_of_two_workers_killed_twice_loses_no_trial(tmp_path):
    make_images(tmp_path / "photos", {"dark": 60, "light": 60})
    url = sqlite(tmp_path / "tried" / "search.db")
    survivor = begun(tmp_path, "--trials", "12")
    for _ in range(2):
        kill_while_training(begun(tmp_path, "--trials", "12"), url)
    end_well(begun(tmp_path, "--trials", "12"))
    end_well(survivor)
    trials = standing(trials_of(url))
    assert len(trials) == 12
    assert all(map(over, trials))
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    assert sum(trial.user_attrs.get("deaths", 0) for trial in trials) == 2
    assert not [one for one in trials_of(url) if one.state.name in ("RUNNING", "WAITING")]
    assert (tmp_path / "tried" / "search.html").exists()


KILLED = """
import math, os, signal, sys
from lanewise import search
from lanewise.data.load import load
from lanewise.training import checkpoint

checkpoint.SHARE = math.inf  # each epoch

def progress(now):
    if now.training is not None and now.number == 1 and now.training.epoch_done and now.training.epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)

search("digits", folder=sys.argv[1], progress=progress, **OPTIONS)
"""


def test_a_killed_trial_goes_on_from_its_checkpoint_with_the_same_bits(tmp_path):
    options: Any = {
        "trials": 2, "network": "dense {6..9}, relu, dense 10", "learning_rate": "0.02..0.2", "epochs": 5,
        "heartbeat": 0.2, "objectives": "accuracy,weights",
    }  # fmt: skip
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    program = KILLED.replace("OPTIONS", repr(options))
    ended = subprocess.run([sys.executable, "-c", program, str(killed)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(killed.glob("search-1-*.checkpoint*"))) == 2
    epochs = []

    def progress(now):
        if now.training is not None and now.training.epoch_done:
            epochs.append((now.number, now.training.epoch))

    found = search("digits", folder=killed, progress=progress, **options)
    assert epochs == [(1, 3), (1, 4), (1, 5)]
    once = search("digits", folder=whole, **options)
    assert [row.deaths for row in found.rows] == [0, 1]
    assert [row.values for row in found.rows] == [row.values for row in once.rows]
    for row in once.front():
        one, two = once.model(row), found.model(row)
        assert one is not None
        assert two is not None
        assert [part.tobytes() for part in one.parameters] == [part.tobytes() for part in two.parameters]
        assert [each["loss"] for each in one.history] == [each["loss"] for each in two.history]
    assert {path.name for path in killed.iterdir()} == {path.name for path in whole.iterdir()}
    assert not list(killed.glob("*.checkpoint*"))


BINARIES = ("/usr/lib/postgresql/*/bin", "/usr/local/bin", "/opt/homebrew/opt/postgresql*/bin")


def of_postgresql(name: str) -> str | None:
    found = shutil.which(name)
    for pattern in BINARIES if found is None else ():
        found = next((str(path) for path in Path("/").glob(f"{pattern[1:]}/{name}")), found)
    return found


@pytest.fixture
def postgresql():
    """The address of a PostgreSQL of our own, in a folder of its own, and what stops and starts it."""
    initdb, server = of_postgresql("initdb"), of_postgresql("postgres")
    if initdb is None or server is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason='pip install "lanewise[search]"')
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # pytest's own folders are closed to others
    user: Any = {}
    if os.getuid() == 0:  # it refuses to run as root
        user = {"user": "postgres", "group": "postgres"}
        shutil.chown(folder, "postgres", "postgres")
    quietly: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    data = folder / "data"
    subprocess.run([initdb, "-D", data, "-U", "me", "--auth=trust", "-N"], check=True, cwd="/", **quietly, **user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []

    def start() -> None:
        options = ["-D", data, "-p", str(port), "-k", folder, "-h", "127.0.0.1", "-F"]
        running.append(subprocess.Popen([server, *options], cwd="/", **quietly, **user))
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("PostgreSQL did not start")

    def stop() -> None:
        process = running.pop()
        process.send_signal(signal.SIGINT)
        process.wait(60)

    start()
    yield f"postgresql://me@127.0.0.1:{port}/postgres", start, stop
    if running:
        stop()
    shutil.rmtree(folder)


@pytest.mark.slow
def test_workers_share_a_postgresql_and_survive_that_it_is_away(sets, tmp_path, postgresql):
    url, start, stop = postgresql
    space = {"network": "dense {2..3}, relu, dense 1", "learning_rate": "0.01..0.3", "epochs": 2, "augment": "none"}
    away = []

    def progress(now):
        if now.row is not None and now.row.number == 1 and not away:
            stop()
            away.append(1)
            start()

    found = search(sets, trials=4, storage=url, folder=tmp_path / "one", study="s", progress=progress, **space)
    assert len(found.rows) == 4
    assert {row.state for row in found.rows} <= {"complete", "stopped"}
    assert found.model() is not None
    elsewhere = search(sets, trials=4, storage=url, folder=tmp_path / "two", study="s", **space)
    assert elsewhere.rows == found.rows  # nothing is done twice
    assert elsewhere.model() is None  # it lies in the other folder
    assert elsewhere.command() == found.command()
    long = "{" + ",".join(f"dense {2 + n}" for n in range(2)) + ",dense 2 nobias" + "}, relu, dense 1"
    assert search(
        sets, trials=2, storage=url, study="t" * 60, network=[long, "dense {1..2}, relu, dense 1"], epochs=1
    ).rows
