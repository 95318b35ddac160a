"""A training killed again and again, at random moments, and resumed: the model has the bits of one never killed.

    python -m tests.reliability.kills --count 25          each case kills four times

Each case starts `lanewise train` in a process of its own and kills it by SIGKILL while it starts and reads, while it
compiles (every other case begins with an empty cache), while it trains, and while it evaluates and saves, in random
order, at a random moment. Each time the same command goes on. Then it runs to its end: the file must hold the same
weights, history and figures as that of a process that was never killed, and nothing else may be left in the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lanewise import Model
from lanewise.model_file.metadata import to_properties
from tests.reliability.running import main

START = """
import sys
from lanewise.training import checkpoint
checkpoint.SHARE, checkpoint.SECONDS = 1e9, 0.05
from lanewise.cli import main
main()
"""
"""The command, with a checkpoint at every end of an epoch and every 50 ms: a training of a second has many."""

WORDS = ["train", "digits", "--network", "conv 3@3x3, batchnorm, relu, dense 10", "--epochs", "40", "--threads", "2"]
WORDS += ["--ema", "0.99", "--checkpoint", "kept", "--resume", "-o", "m.onnx", "--no-early-stopping"]

PHASES = {"starting and reading": "", "compiling": "Images", "training": "Epoch", "evaluating and saving": "Trained"}
"""What a process is doing from a line on that begins with this word."""

LONGEST = {"starting and reading": 0.6, "compiling": 0.5, "training": 1.0, "evaluating and saving": 0.15}
"""Seconds after that line within which it is killed."""

TIMED = {"seconds", "date", "images_per_second"}

phases: dict[str, int] = dict.fromkeys([*PHASES, "too late"], 0)
"""How many were killed in each."""


def trial(number: int, kills: int = 4) -> str | None:
    """Kill a training so many times, let it end, and compare; what is wrong, or None."""
    random = np.random.default_rng(number)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as empty:
        here = dict(os.environ) | ({"LANEWISE_CACHE": empty} if number % 2 else {})
        for phase in random.permutation([*PHASES] * -(-kills // len(PHASES)))[:kills]:
            killed = _killed(folder, here, str(phase), random.uniform(0, LONGEST[str(phase)]))
            phases[str(phase) if killed else "too late"] += 1
            if not killed:
                break
        if not (Path(folder) / "m.onnx").exists() or (Path(folder) / "kept").exists() or kills == 0:
            done = subprocess.run([sys.executable, "-c", START, *WORDS], cwd=folder, env=here, **_TEXT)
            if done.returncode:
                return f"exit status {done.returncode}, {done.stderr[-300:]}"
        left = sorted(name for name in os.listdir(folder) if not name.endswith(".lanewise.tmp"))
        if left != ["m.onnx"]:
            return f"it left {left}"
        found = hash_of(Path(folder) / "m.onnx")
    return None if found == never_killed() else f"other bits: {found}, never killed {never_killed()}"


_TEXT: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 1200}


def _killed(folder: str, environment: dict[str, str], phase: str, seconds: float) -> bool:
    """Start the command, and kill it so long after it has come to a phase; whether it was still running."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", START, *WORDS],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    if PHASES[phase]:
        for line in process.stdout:
            if line.startswith(PHASES[phase]):
                break
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    return process.wait() == -signal.SIGKILL


@cache
def never_killed() -> str:
    """The hash of the model of a process that was left alone."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", START, *WORDS], cwd=folder, check=True, **_TEXT)
        return hash_of(Path(folder) / "m.onnx")


def hash_of(path: Path) -> str:
    """Of all that a model file holds, but for times."""
    model = Model.load(path)
    properties = to_properties(model)
    told = [_untimed(json.loads(properties.pop(name))) for name in ("history", "provenance")]
    digest = hashlib.sha256(json.dumps([properties, told], sort_keys=True).encode())
    for array in model.parameters:
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _untimed(one) for key, one in value.items() if key not in TIMED}
    return [_untimed(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    try:
        main("kills", trial, 25)
    finally:
        print(f"killed: {', '.join(f'{count} {phase}' for phase, count in phases.items())}; hash {never_killed()}")
