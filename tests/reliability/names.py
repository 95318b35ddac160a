"""Processes that save under one name at once: each model gets a name of its own, and says its true one.

python -m tests.reliability.names --count 6
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lanewise import Model
from tests.reliability.running import main

PROCESSES = 4
SAVE = """
import sys, time
from pathlib import Path
from lanewise import Model
from lanewise.cli.saving import place_for, save
model = Model.load(sys.argv[1])
time.sleep(max(0, float(sys.argv[2]) - time.time()))
for _ in range(5):
    print(save(model, place_for("digits", None, False)).path, flush=True)
"""


def trial(number: int) -> str | None:
    """Four processes save five models each, by one default name; what is wrong, or None."""
    import time

    import lanewise

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source.model")
        x = [[[n * 10 + k for k in range(4)] for _ in range(4)] for n in range(8)]
        lanewise.train(x, [0, 1] * 4, network="dense 1, sigmoid", epochs=1, notes=lambda note: None).save(source)
        start = time.time() + 1.5
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", SAVE, str(source), str(start)], cwd=folder, stdout=subprocess.PIPE, text=True
            )
            for _ in range(PROCESSES)
        ]
        said = [line for process in processes for line in process.communicate()[0].split()]
        there = sorted(path.name for path in Path(folder).glob("*.onnx"))
        if sorted(said) != there or len(there) != 5 * PROCESSES:
            return f"{len(said)} were said to be saved under {len(set(said))} names, {len(there)} are there"
        for name in there:
            if not re.fullmatch(r"digits(-\d+)?\.onnx", name):
                return f"a model got the name {name}"
            Model.load(Path(folder, name))
    return None


if __name__ == "__main__":
    main("names", trial, 6)
