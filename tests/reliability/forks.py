"""Fork while another thread trains or predicts; the child trains and predicts: `python -m tests.reliability.forks`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
import warnings

import numpy as np

from lanewise.engine.inference import Inference
from lanewise.engine.trainer import Trainer
from lanewise.network.initial import initial_parameters
from tests.engine.support import images_for, network, raw_for, sharing_all, steps_of

PATIENCE = 600
"""Seconds after which a child counts as hung; a busy machine is given time."""


def forked(seed: int) -> str:
    """What went wrong, or nothing."""
    graph = network("conv 6@3 same, relu, max 2, dense 3, softmax", (1, 12, 12))
    images, form = images_for(graph, 64), raw_for(graph)
    numbers = np.arange(64).reshape(1, 64)
    trainer = Trainer(graph, initial_parameters(graph, 1), form, batch_size=64, threads=2)
    inference = Inference(graph, initial_parameters(graph, 1), form, threads=2)
    steps = steps_of(numbers, 3, learning_rate=0.01, key=(1, 1))
    single = sharing_all(graph, initial_parameters(graph, 1), 2)
    expected, alone = inference.run(images), single.run(images[0])
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            trainer.run(images, steps)
            inference.run(images)
            for image in images:
                single.run(image)

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(0.002 * (seed % 7))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, which is what is tried
        child = os.fork()
    if child == 0:
        try:
            right = np.array_equal(inference.run(images), expected) and np.array_equal(single.run(images[0]), alone)
            trainer.run(images, steps)
            other = network(f"conv {5 + seed % 3}@3, relu, dense 3, softmax", (1, 12, 12))
            Trainer(other, initial_parameters(other, 1), raw_for(other), batch_size=64).run(images, steps)
            os._exit(0 if right else 3)
        except BaseException:
            os._exit(4)
    stop.set()
    worker.join()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "" if status == 0 else f"child ended with {status}"
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "child hung"


def run(count: int) -> list[str]:
    """What went wrong, in so many forks."""
    return [f"fork {n}: {problem}" for n in range(count) if (problem := forked(n))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    count = parser.parse_args().count
    failures = run(count)
    print(*failures, sep="\n", end="\n" if failures else "")
    print(f"forks: tried {count}, right {count - len(failures)}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
