"""ONNX Runtime: it predicts from the model file that Lanewise saved; scaling is part of that file's graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime  # type: ignore[import-not-found, import-untyped, unused-ignore]
from numpy.typing import NDArray

from lanewise.bench.workload import Predictor, Workload


def predictor(workload: Workload) -> Predictor:
    """Only one mode, "float32", with all the optimisations of graphs that are on by default."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = workload.task.threads, 1
    session = onnxruntime.InferenceSession(workload.task.model, options, providers=["CPUExecutionProvider"])
    (entry,), (exit,) = session.get_inputs(), session.get_outputs()
    name, wanted = entry.name, [exit.name]

    def predict(parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        for pixels in parts:
            (outputs,) = session.run(wanted, {name: pixels})
        return np.asarray(outputs)

    return predict
