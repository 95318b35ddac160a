"""Lanewise: raw pixels, picked, scaled and laid into lanes in each step; all steps of a burst in one native call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lanewise.bench import data
from lanewise.bench.workload import Learner, Predictor, Workload
from lanewise.engine.inference import Inference
from lanewise.engine.single import SingleInference
from lanewise.engine.trainer import ImageFormat, Optimizer, Steps, Trainer

if TYPE_CHECKING:
    from lanewise.model_file import Preprocessing


def learner(workload: Workload) -> Learner:
    """Only one mode, "float32"."""
    pixels, labels, task = workload.pixels, workload.labels, workload.task
    channels, rows, columns = task.net.shape
    scale, offset = np.full(channels, data.SCALE, np.float32), np.full(channels, data.OFFSET, np.float32)
    trainer = Trainer(
        workload.graph,
        workload.weights,
        ImageFormat((rows, columns, channels), "uint8", scale, offset),
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
    image_format = _format_of(contents.preprocessing)
    if workload.task.batch == 1:
        return _one_by_one(SingleInference(contents.graph, contents.parameters, image_format))
    compiled = Inference(contents.graph, contents.parameters, image_format, threads=workload.task.threads)

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


def _format_of(preprocessing: Preprocessing) -> ImageFormat:
    scale, offset = np.array(preprocessing.scale, np.float32), np.array(preprocessing.offset, np.float32)
    return ImageFormat(preprocessing.shape, preprocessing.dtype, scale, offset)
