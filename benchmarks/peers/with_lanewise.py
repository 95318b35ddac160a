"""Lanewise: raw pixels, picked, scaled and laid into lanes in each step; all steps of a burst in one native call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks import data
from benchmarks.nets import Net
from benchmarks.peers import Learner
from lanewise.engine.training import Optimizer, PictureFormat, Steps, Trainer
from lanewise.learning.pictures import empty_pixels
from lanewise.network.initial import initial_parameters


def learner(net: Net, batch: int, threads: int, mode: str) -> Learner:
    """Only one mode, "float32"."""
    raw, labels = data.pictures(net)
    pixels = empty_pixels(raw.shape)  # with the few bytes behind it that vector code may read
    pixels[...] = raw
    channels, rows, columns = net.shape
    graph = net.graph
    scale, offset = np.full(channels, data.SCALE, np.float32), np.full(channels, data.OFFSET, np.float32)
    trainer = Trainer(
        graph,
        initial_parameters(graph, data.SEED),
        PictureFormat((rows, columns, channels), "uint8", scale, offset),
        batch_size=batch,
        optimizer=Optimizer("sgd", momentum=data.MOMENTUM, nesterov=False),
        threads=threads,
    )

    def learn(batches: Sequence[NDArray[np.int32]]) -> float:
        images = np.stack(batches)
        count = len(batches)
        steps = Steps(
            images,
            labels[images],
            np.full(images.shape, 1 / batch, np.float32),
            np.full(count, data.LEARNING_RATE, np.float32),
            np.zeros((count, 2), np.int32),
        )
        losses, _ = trainer.run(pixels, steps)
        return float(losses[-1].mean())

    return learn
