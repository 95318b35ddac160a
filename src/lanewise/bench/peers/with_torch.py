"""PyTorch: eager in either memory format, compiled, and in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from numpy.typing import NDArray

from lanewise.bench import data
from lanewise.bench.ops import LayerStep, pads_evenly, steps, stride_of, walk
from lanewise.bench.workload import Learner, Workload
from lanewise.network import activations
from lanewise.network import layers as ours
from lanewise.network.channelwise import BatchNorm
from lanewise.network.graph import is_frozen

nn: Any = torch.nn


class _Network(nn.Module):  # type: ignore[misc, unused-ignore]
    """Modules of all steps, and who reads whom."""

    def __init__(self, steps: list[LayerStep]) -> None:
        super().__init__()
        self.steps = steps
        self.layers = nn.ModuleList([_module(step) for step in steps])

    def forward(self, x: Any) -> Any:
        """Logits of images (n, channels, rows, columns)."""
        return walk(self.steps, x, lambda number, _, inputs: self.layers[number](*inputs))


def learner(workload: Workload) -> Learner:
    """Modes: "contiguous", "channels_last", "compile" (channels_last as well), "bfloat16" (channels_last as well)."""
    torch.set_num_threads(workload.task.threads)
    mode, binary = workload.task.mode, workload.binary
    x = torch.from_numpy(data.prepared(workload.pixels, channels_first=mode == "contiguous"))
    labels = torch.from_numpy(workload.labels.astype(np.float32 if binary else np.int64))
    model = network(steps(workload.graph, workload.weights, channels_last=False))
    if mode != "contiguous":
        # a view in the order (n, channels, rows, columns) of what lies in memory with the channels last
        x, model = x.permute(0, 3, 1, 2), model.to(memory_format=torch.channels_last)
    # the fused update is the fastest of three that PyTorch has
    optimizer = torch.optim.SGD(model.parameters(), lr=data.LEARNING_RATE, momentum=data.MOMENTUM, fused=True)
    run = torch.compile(model) if mode == "compile" else model
    criterion = nn.BCEWithLogitsLoss() if binary else nn.CrossEntropyLoss()

    def learn(batches: Sequence[NDArray[np.int32]]) -> float:
        loss: Any = None
        for numbers in batches:
            images = torch.from_numpy(numbers)
            with torch.autocast("cpu", torch.bfloat16, enabled=mode == "bfloat16"):
                logits = run(x[images])
                loss = criterion(logits[:, 0] if binary else logits, labels[images])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return float(loss)

    return learn


def network(steps: list[LayerStep]) -> Any:
    """PyTorch's own chain where that is enough, as its users would write it."""
    chain = all(step.inputs == (number,) for number, step in enumerate(steps))
    return nn.Sequential(*map(_module, steps)) if chain else _Network(steps)


class _Sum(nn.Module):  # type: ignore[misc, unused-ignore]
    def forward(self, x: Any, *others: Any) -> Any:
        for other in others:
            x = x + other
        return x


class _Concatenation(nn.Module):  # type: ignore[misc, unused-ignore]
    def forward(self, *inputs: Any) -> Any:
        return torch.cat(inputs, 1)


def _module(step: LayerStep) -> Any:
    module = _layer(step)
    with torch.no_grad():
        # running statistics of a batch normalisation come behind its parameters, and start alike everywhere
        for parameter, weight in zip(module.parameters(), step.weights, strict=not isinstance(step.layer, BatchNorm)):
            parameter.copy_(torch.from_numpy(weight))
    return module.requires_grad_(not is_frozen(step.layer))


_SIMPLE: dict[type, Any] = {
    ours.Flatten: nn.Flatten,
    ours.ReLU: nn.ReLU,
    ours.Sigmoid: nn.Sigmoid,
    ours.Tanh: nn.Tanh,
    activations.GELU: nn.GELU,
    activations.ReLU6: nn.ReLU6,
    activations.SiLU: nn.SiLU,
    activations.HardSwish: nn.Hardswish,
    activations.HardSigmoid: nn.Hardsigmoid,
}


def _layer(step: LayerStep) -> Any:
    match step.layer:
        case ours.Conv2D() as layer:
            filters, channels = step.weights[0].shape[:2]
            counts = (channels * layer.groups, filters)
            before, pads = _padding(step, 0.0)
            conv = nn.Conv2d(*counts, layer.kernel, layer.stride, pads, layer.dilation, layer.groups, layer.bias)
            return nn.Sequential(*before, conv) if before else conv
        case ours.MaxPool2D() as layer:
            before, pads = _padding(step, -torch.inf)
            pool = nn.MaxPool2d(layer.window, stride_of(layer), pads)
            return nn.Sequential(*before, pool) if before else pool
        case ours.AvgPool2D() as layer if pads_evenly(step.padding):
            return nn.AvgPool2d(layer.window, stride_of(layer), step.padding[:2], count_include_pad=layer.count_padding)
        case ours.Dense() as layer:
            return nn.Linear(step.weights[0].reshape(layer.units, -1).shape[1], layer.units, layer.bias)
        case ours.GlobalAvgPool2D():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case ours.Dropout(rate):
            return nn.Dropout(rate)
        case ours.LeakyReLU(slope):
            return nn.LeakyReLU(slope)
        case BatchNorm(epsilon, frozen=False):
            return (nn.BatchNorm2d if step.maps else nn.BatchNorm1d)(len(step.weights[0]), epsilon)
        case ours.Add():
            return _Sum()
        case ours.Join():
            return _Concatenation()
        case _ if type(step.layer) in _SIMPLE:
            return _SIMPLE[type(step.layer)]()
        case _:
            raise ValueError(f"no PyTorch layer is known for {step.layer}")


def _padding(step: LayerStep, value: float) -> tuple[list[Any], tuple[int, int]]:
    """Layers before a window, and its own padding, which PyTorch has for two sides alike only."""
    top, left, bottom, right = step.padding
    if pads_evenly(step.padding):
        return [], (top, left)
    return [nn.ConstantPad2d((left, right, top, bottom), value)], (0, 0)
