"""PyTorch: eager in either memory format, compiled, and in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from numpy.typing import NDArray

from benchmarks import data
from benchmarks.nets import Net
from benchmarks.peers import Learner
from benchmarks.peers.chain import Step, pads_evenly, steps, stride_of
from lanewise.network.layers import Conv2D, Dense, Flatten, GlobalAvgPool2D, MaxPool2D, ReLU

nn: Any = torch.nn


def learner(net: Net, batch: int, threads: int, mode: str) -> Learner:
    """Modes: "contiguous", "channels_last", "compile" (channels_last as well), "bfloat16" (channels_last as well)."""
    torch.set_num_threads(threads)
    raw, numbers = data.pictures(net)
    x = torch.from_numpy(data.prepared(raw).transpose(0, 3, 1, 2).copy())
    labels = torch.from_numpy(numbers.astype(np.int64))
    model = nn.Sequential(*(_module(step) for step in steps(net, channels_last=False)))
    if mode != "contiguous":
        x, model = x.to(memory_format=torch.channels_last), model.to(memory_format=torch.channels_last)
    # the fused update is the fastest of three that PyTorch has
    optimizer = torch.optim.SGD(model.parameters(), lr=data.LEARNING_RATE, momentum=data.MOMENTUM, fused=True)
    run = torch.compile(model) if mode == "compile" else model
    criterion = nn.CrossEntropyLoss()

    def learn(batches: Sequence[NDArray[np.int32]]) -> float:
        loss: Any = None
        for numbers in batches:
            images = torch.from_numpy(numbers)
            with torch.autocast("cpu", torch.bfloat16, enabled=mode == "bfloat16"):
                loss = criterion(run(x[images]), labels[images])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return float(loss)

    return learn


def _module(step: Step) -> Any:
    match step.layer:
        case Conv2D() as layer if pads_evenly(step.padding):
            filters, channels = step.weights[0].shape[:2]
            module = nn.Conv2d(
                channels * layer.groups,
                filters,
                layer.kernel,
                layer.stride,
                step.padding[:2],
                layer.dilation,
                layer.groups,
                layer.bias,
            )
        case MaxPool2D() as layer if pads_evenly(step.padding):
            module = nn.MaxPool2d(layer.window, stride_of(layer), step.padding[:2])
        case Dense() as layer:
            module = nn.Linear(step.weights[0].shape[1], layer.units, layer.bias)
        case GlobalAvgPool2D():
            module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case Flatten():
            module = nn.Flatten()
        case ReLU():
            module = nn.ReLU()
        case _:
            raise ValueError(f"no PyTorch layer is known for {step}")
    with torch.no_grad():
        for parameter, weight in zip(module.parameters(), step.weights, strict=True):
            parameter.copy_(torch.from_numpy(weight))
    return module
