"""Whatever happens around a training, the model is saved: presses, signals, readers and terminals that go, full disks.

    python -m tests.reliability.leaving --count 60

Each case trains in a process of its own, with two threads, and lets one thing happen at a random moment after training
has begun. The process must not crash, must not print a traceback, and must leave a model that loads.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from lanewise import Model
from tests.reliability.running import main

TRAIN = [sys.executable, "-m", "lanewise", "train", "digits", "--threads", "2", "--epochs", "60", "--no-early-stopping"]
CASES = (
    *("one press", "two presses", "three presses", "terminate", "hang up", "terminate twice"),
    *("reader goes", "terminal closes", "full disk", "no output", "no streams", "ignored hang up"),
)
SHORT = "4"
"""Epochs where training goes on to its end."""


def trial(number: int) -> str | None:
    """Train, let something happen, and look for the model; what is wrong, or None."""
    kind = CASES[number % len(CASES)]
    random = np.random.default_rng(number)
    with tempfile.TemporaryDirectory() as folder:
        wrong = _happen(kind, random, folder)
        if wrong is not None:
            return f"{kind}: {wrong}"
        models = sorted(Path(folder).glob("*.onnx"))
        if len(models) != 1:
            return f"{kind}: {len(models)} models were saved"
        Model.load(models[0])
        litter = [name for name in os.listdir(folder) if name.endswith(".tmp")]
        return f"{kind}: it left {litter}" if litter else None


def _happen(kind: str, random: np.random.Generator, folder: str) -> str | None:
    if kind in ("reader goes", "full disk", "no output", "no streams"):
        goes = {"reader goes": "| head -1", "full disk": "> /dev/full", "no output": ">&-", "no streams": ">&- 2>&-"}
        words = [*TRAIN[:-2], SHORT]
        shell = f"{' '.join(words)} {goes[kind]}; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", shell], cwd=folder, capture_output=True, text=True, timeout=600)
        expected = 1 if kind == "full disk" else 0
        if "Traceback" in done.stderr or "Exception" in done.stderr or done.returncode != expected:
            return f"exit status {done.returncode}, {done.stderr[-300:]}"
        return None if kind != "full disk" or "no space left" in done.stderr else f"nothing was said: {done.stderr}"
    if kind == "terminal closes":
        return _without_terminal(folder)
    before = (lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) if kind == "ignored hang up" else None  # type: ignore[misc]
    words = [*TRAIN[:-2], SHORT, "--no-early-stopping"] if kind == "ignored hang up" else TRAIN
    process = subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before
    )
    _await_training(process)
    time.sleep(float(random.uniform(0, 0.4)))
    for pause, sent in _signals(kind, random):
        time.sleep(pause)
        if process.poll() is None:
            process.send_signal(sent)
    out, err = process.communicate(timeout=600)
    allowed = {0} if kind == "ignored hang up" else {130, 0} if process.returncode == 0 else {130}
    if process.returncode not in allowed or "Traceback" in out + err:
        return f"exit status {process.returncode}, {err[-400:]}"
    return None


def _signals(kind: str, random: np.random.Generator) -> list[tuple[float, Any]]:
    press = signal.SIGINT
    return {
        "one press": [(0.0, press)],
        "two presses": [(0.0, press), (0.02, press)],
        "three presses": [(float(random.uniform(0, 0.3)), press) for _ in range(3)],
        "terminate": [(0.0, signal.SIGTERM)],
        "terminate twice": [(0.0, signal.SIGTERM), (0.01, signal.SIGINT)],
        "hang up": [(0.0, signal.SIGHUP)],
        "ignored hang up": [(0.0, signal.SIGHUP)],
    }[kind]


def _await_training(process: Any) -> None:
    """Return once training has begun: its first line has been printed."""
    for line in process.stdout:
        if line.startswith("Epoch"):
            return


def _without_terminal(folder: str) -> str | None:
    """Train on a terminal that closes after the first words."""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execv(TRAIN[0], [*TRAIN[:-2], SHORT, "--no-early-stopping"])
    seen = b""
    while b"epoch" not in seen.lower() and b"Network" not in seen:
        seen += os.read(master, 4096)
    os.close(master)
    _, status = os.waitpid(pid, 0)
    return None if status == 0 else f"wait status {status}"


if __name__ == "__main__":
    main("leaving", trial, 60)
