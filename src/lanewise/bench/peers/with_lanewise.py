"""Lanewise: raw pixels, picked, scaled and laid into lanes in each step; all steps of a burst in one native call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lanewise.bench import data
from lanewise.bench.workload import Learner, Predictor, Workload
from lanewise.engine.inference import Inference
from lanewise.engine.single import SingleInference
from lanewise.engine.trainer import Optimizer, Steps, Trainer
from lanewise.preprocessing import Preprocessing


def learner(workload: Workload) -> Learner:
    """Only one mode, "float32"."""
    pixels, labels, task = workload.pixels, workload.labels, workload.task
    channels, rows, columns = task.net.shape
    trainer = Trainer(
        workload.graph,
        workload.weights,
        Preprocessing(rows, columns, channels, "uint8", (data.SCALE,) * channels, (data.OFFSET,) * channels),
        batch_size=task.batch,
        optimizer=Optimizer("sgd", momentum=data.MOMENTUM, nesterov=False),
        threads=task.threads,
    )

    def learn(batches: Sequence[NDArray[np.int32]]) -> float:
        images = np.stack(batches)
        count = len(batches)
        steps = Steps(
            images,
            labels[images],
            np.full(images.shape, 1 / task.batch, np.float32),
            np.full(count, data.LEARNING_RATE, np.float32),
            np.zeros((count, 2), np.int32),
        )
        losses, _ = trainer.run(pixels, steps)
        return float(losses[-1].mean())

    return learn


def predictor(workload: Workload) -> Predictor:
    """Only one mode, "float32"; the network comes from the saved model file."""
    from lanewise.model_file import read

    contents = read(workload.task.model)
    if workload.task.batch == 1:
        single = SingleInference(
            contents.graph, contents.parameters, contents.preprocessing, threads=workload.task.threads
        )
        return _one_by_one(single)
    compiled = Inference(contents.graph, contents.parameters, contents.preprocessing, threads=workload.task.threads)

    def predict(parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        for pixels in parts:
            outputs = compiled.run(pixels)
        return outputs

    return predict


def _one_by_one(compiled: SingleInference) -> Predictor:
    def predict(parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        for pixels in parts:
            outputs = compiled.run(pixels[0])
        return outputs[np.newaxis]

    return predict
