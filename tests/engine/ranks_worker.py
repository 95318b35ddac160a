"""Run by `mpiexec`: trains small networks, and prints what each rank came to as a line of JSON.

python -m tests.engine.ranks_worker NAMES...        of `CASES`
"""

from __future__ import annotations

import hashlib
import json
import os
import sys

import numpy as np

from lanewise import processors
from lanewise.engine import gradients
from lanewise.engine.trainer import Optimizer, Trainer
from lanewise.network.initial import initial_parameters
from lanewise.ranks import together
from tests.engine.support import images_for, network, raw_for, steps_of

CASES = {
    "normalised": (
        "conv 5@3 same nobias, batchnorm, relu, max 2, dense 7, relu, dense 3, softmax",
        (2, 7, 6),
        Optimizer(weight_decay=5e-4, clip_norm=0.1),
        250,
    ),
    "deferred": ("conv 3@3 same, relu, dense 40, relu, dense 3, softmax", (2, 6, 6), Optimizer("adamw", ema=0.5), 250),
    "muon": ("conv 5@3 same nobias, batchnorm, relu, max 2, dense 3, softmax", (2, 7, 6), Optimizer("muon"), 140),
    "several groups": ("conv 5@3 same nobias, batchnorm, relu, dense 3, softmax", (1, 5, 5), Optimizer(), 1100),
}
"""Networks for which nothing depends on the ranks; each batch has at least 8 shards, and the last one is not full."""


def hashes(name: str, threads: int) -> str:
    """A hash of all that training leaves behind."""
    text, shape, optimizer, batch = CASES[name]
    gradients.LARGE = 100 if name == "deferred" else 16384
    graph = network(text, shape)
    with together() as ranks:
        trainer = Trainer(
            graph,
            initial_parameters(graph, 5),
            raw_for(graph),
            batch_size=batch,
            optimizer=optimizer,
            threads=threads,
            ranks=ranks,
        )
        assert bool(trainer.layout.deferred) == (name == "deferred")
        numbers = np.arange(3 * batch).reshape(3, batch) % 60
        numbers[1, batch // 3 :] = -1
        numbers[2, batch - 5 :] = -1
        losses, correct = trainer.run(images_for(graph, 60), steps_of(numbers, 3, learning_rate=0.02, key=(3, 1)))
    left = [*trainer.state().values(), losses, correct, trainer.norms]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in left)).hexdigest()


if __name__ == "__main__":
    processors.processors = lambda: 2
    found = {f"{name}, {threads}": hashes(name, threads) for name in sys.argv[1:] for threads in (1, 2)}
    os.write(1, (json.dumps(found) + "\n").encode())  # at once, so that lines of ranks do not mix
